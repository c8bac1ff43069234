"""n of m, and which judged frames count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.decide.rules import NOfM, shows
from tests.decide.scenes import update


@given(st.integers(1, 6), st.integers(0, 6), st.lists(st.booleans(), max_size=40))
def test_enough_is_n_sightings_in_the_last_m_frames_the_last_of_them_now(hits, more, sights):
    rule = NOfM(hits, hits + more)
    for index, seen in enumerate(sights):
        window = sights[max(0, index + 1 - hits - more) : index + 1]
        assert rule.add(seen) is (seen and window.count(True) >= hits)


@pytest.mark.parametrize(
    ("x", "seen", "expected"),
    [(100, False, True), (-20, False, True), (-21, False, False), (1260, False, True), (1261, False, False)],
)
def test_a_frame_counts_when_half_of_the_box_lies_in_it(x, seen, expected):
    assert shows(update(x=x, seen=seen), 1280, 720) is expected


def test_a_sighting_always_counts():
    assert shows(update(x=-39, seen=True), 1280, 720)
