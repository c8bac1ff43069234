"""Frames of several workers come back in order, and nobody waits who need not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.track.reorder import LIMIT_S, Reorder
from tests.track.test_track_stage import inspection

MS = 1_000_000


def test_frames_in_order_do_not_wait():
    room = Reorder(first_wait_s=0.0)
    for seq in range(50):
        assert room.put(inspection(seq), seq * 100 * MS)
        assert [one.frame.id.seq for one in room.take(seq * 100 * MS)] == [seq]
    assert room.wait_s == 0.0


def test_an_overtaken_frame_comes_before_the_one_that_overtook_it():
    room = Reorder(first_wait_s=0.3)
    assert room.put(inspection(1), 0)
    assert room.take(50 * MS) == []
    assert room.put(inspection(0), 100 * MS)
    assert room.take(299 * MS) == []
    assert [one.frame.id.seq for one in room.take(300 * MS)] == [0, 1]


def test_the_wait_is_learned_from_how_late_frames_come():
    room = Reorder(first_wait_s=0.3)
    for pair in range(40):
        at_ns = pair * 200 * MS
        room.put(inspection(2 * pair + 1), at_ns)
        room.put(inspection(2 * pair), at_ns + 80 * MS)
        room.take(at_ns + 199 * MS)
    assert room.wait_s == pytest.approx(0.1)


def test_a_wait_that_is_not_needed_any_more_goes():
    room = Reorder(first_wait_s=0.3)
    room.put(inspection(1), 0)
    room.put(inspection(0), 80 * MS)
    for seq in range(2, 100):
        room.put(inspection(seq), seq * 100 * MS)
    assert room.wait_s == 0.0


def test_a_frame_that_is_late_after_a_long_time_in_step_is_waited_for():
    room = Reorder(first_wait_s=0.3, floor_s=0.1)
    for seq in range(1000):
        room.put(inspection(seq), seq * 125 * MS)
        room.take(seq * 125 * MS + 124 * MS)
    at_ns = 1000 * 125 * MS
    assert room.put(inspection(1001), at_ns)
    assert room.take(at_ns + 90 * MS) == []
    assert room.put(inspection(1000), at_ns + 95 * MS)
    assert [one.frame.id.seq for one in room.take(at_ns + 120 * MS)] == [1000, 1001]


def test_a_frame_later_than_the_wait_is_given_up():
    room = Reorder(first_wait_s=0.0)
    room.put(inspection(1), 0)
    assert [one.frame.id.seq for one in room.take(0)] == [1]
    assert not room.put(inspection(0), 10 * MS)
    assert room.take(LIMIT_S * 1e9 * 2, everything=True) == []


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 400)), min_size=1, max_size=60, unique_by=lambda a: a[0]),
    st.floats(0.0, 0.5),
)
def test_whatever_the_order_of_arrival_frames_leave_in_order_and_once(arrivals, first_wait_s):
    room = Reorder(first_wait_s)
    now_ns, left, refused = 0, [], 0
    for seq, gap_ms in arrivals:
        now_ns += gap_ms * MS
        refused += not room.put(inspection(seq), now_ns)
        left += [one.frame.id.seq for one in room.take(now_ns)]
    left += [one.frame.id.seq for one in room.take(now_ns, everything=True)]
    assert left == sorted(set(left))
    assert len(left) + refused == len(arrivals)
