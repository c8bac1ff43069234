"""The rules: when a defect is confirmed, which judged frames count, and that each rule states what it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.config.models import DecideConfig
from stream_inspect.decide.rules import NOfM, Sighting, make_rule
from tests.decide.scenes import header, update


def sighting(seen: bool, *, shown: bool = True) -> Sighting:
    return Sighting(pts_s=0.0, seen=seen, score=0.3, shown=shown)


@given(st.integers(1, 6), st.integers(0, 6), st.lists(st.booleans(), max_size=40))
def test_n_of_m_is_n_sightings_in_the_last_m_frames_the_last_of_them_now(hits, more, sights):
    rule = NOfM(hits, hits + more)
    for index, seen in enumerate(sights):
        window = sights[max(0, index + 1 - hits - more) : index + 1]
        assert rule.see(sighting(seen)) is (seen and window.count(True) >= hits)


@given(st.lists(st.sampled_from(["seen", "unseen", "not shown"]), max_size=40))
def test_frames_that_do_not_show_the_defect_make_no_difference(history):
    with_all, without = NOfM(3, 5), NOfM(3, 5)
    for what in history:
        enough = with_all.see(sighting(what == "seen", shown=what != "not shown"))
        assert enough is (what != "not shown" and without.see(sighting(what == "seen")))


@pytest.mark.parametrize(
    ("x", "seen", "shown"),
    [
        (100, False, True),
        (-20, False, True),
        (-21, False, False),
        (1260, False, True),
        (1261, False, False),
        (-39, True, True),  # what was seen was shown
    ],
)
def test_a_frame_shows_a_defect_when_half_of_its_box_lies_in_it(x, seen, shown):
    assert Sighting.of(update(x=x, seen=seen), header(0)).shown is shown


def test_a_sighting_says_when_and_how_surely():
    got = Sighting.of(update(seq=4, score=0.45), header(4))
    assert got == Sighting(pts_s=0.5, seen=True, score=0.45, shown=True)


def test_a_rule_states_itself_with_its_own_numbers():
    rule = make_rule(DecideConfig(confirm_hits=3, confirm_window=5))
    assert rule.sentence() == "seen in 3 of the last 5 judged frames that show it"
