"""Judged frames come back in order, and only a frame that is on its way is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.messages import Inspection, Missed
from stream_inspect.track import reorder
from stream_inspect.track.reorder import LIMIT_S, STUCK_S, STUCK_TIMES, InFlight, Reorder
from tests.track.test_track_stage import inspection

MS = 1_000_000
LIMIT_MS = round(LIMIT_S * 1000)
STUCK_MS = round(STUCK_S * 1000)


def missed(number: int) -> Missed:
    return Missed(frame=inspection(number).frame, stage="capture", cause="superseded")


def put(room: Reorder, message: Inspection | Missed, at_ms: float = 0) -> bool:
    assert message.frame.due is not None
    return room.put(message.frame.due, message, round(at_ms * MS))


def taken(room: Reorder, at_ms: float = 0, *, everything: bool = False) -> list[int | None]:
    return [one.frame.due for one in room.take(round(at_ms * MS), everything=everything)]


def test_an_overtaken_frame_is_waited_for_and_no_longer_than_until_it_comes():
    room = Reorder()
    assert put(room, inspection(1))
    assert taken(room, 900) == []
    assert put(room, inspection(0), 950)
    assert taken(room, 950) == [0, 1]


def test_a_late_frame_delays_none_of_those_after_it():
    """The wait used to be learned: one frame 0.9 s late made the next 64 wait for a second."""
    room = Reorder()
    put(room, inspection(1))
    put(room, inspection(0), 900)
    assert taken(room, 900) == [0, 1]
    for number in range(2, 100):
        put(room, inspection(number), number * 1000)
        assert taken(room, number * 1000) == [number]


def test_a_missed_frame_is_not_waited_for():
    room = Reorder()
    put(room, inspection(2))
    put(room, missed(0), 10)
    assert taken(room, 10) == [0]
    put(room, missed(1), 20)
    assert taken(room, 20) == [1, 2]


def test_a_frame_that_neither_comes_nor_is_missed_is_given_up_after_the_limit():
    room = Reorder()
    put(room, inspection(1))
    put(room, inspection(3), 500)
    assert taken(room, LIMIT_MS - 1) == []
    assert taken(room, LIMIT_MS) == [1]
    assert taken(room, LIMIT_MS + 499) == []
    assert taken(room, LIMIT_MS + 500) == [3]
    assert not put(room, inspection(0), LIMIT_MS + 600)
    assert taken(room, LIMIT_MS + 600) == []


def between(*in_flight: int) -> InFlight:
    return lambda after, before: any(after < index < before for index in in_flight)


def took(result: Inspection, ms: int) -> Inspection:
    return msgspec.structs.replace(result, judged_mono_ns=result.frame.capture_mono_ns + ms * MS)


def test_a_frame_that_is_in_flight_is_waited_for_longer_than_one_that_is_lost():
    """Two workers, one of which takes 2.5 s for a heavy frame: it was dropped 1 s after the later one."""
    room = Reorder(between(0))
    put(room, inspection(1))
    assert taken(room, LIMIT_MS) == taken(room, 2400) == []
    assert put(room, inspection(0), 2500)
    assert taken(room, 2500) == [0, 1]


def test_a_stuck_frame_holds_the_line_for_no_longer_than_until_it_is_reported():
    room = Reorder(between(0))
    put(room, inspection(1))
    assert taken(room, STUCK_MS - 1) == []
    assert taken(room, STUCK_MS) == [1]


def test_what_is_stuck_follows_from_how_long_results_have_taken():
    """The slow worker takes 4 s: its first result was given up, and from it the wait for its next one is known."""
    room = Reorder(between(0, 2))
    put(room, took(inspection(1), 100))
    assert taken(room, STUCK_MS) == [1]
    assert not put(room, took(inspection(0), 4000), 4000)
    put(room, took(inspection(3), 100), 5000)
    assert taken(room, 8900) == []
    assert put(room, took(inspection(2), 4000), 8900)
    assert taken(room, 8900) == [2, 3]
    put(room, took(inspection(5), 100), 10_000)
    assert taken(room, 10_000 + LIMIT_MS) == [5], "4 is lost, and is waited for no longer than before"
    room = Reorder(between(2))
    put(room, took(inspection(1), 4000))
    put(room, took(inspection(3), 100))
    assert taken(room, STUCK_TIMES * 4000 - 1) == [1]
    assert taken(room, STUCK_TIMES * 4000) == [3]


def test_a_frame_whose_result_is_still_in_the_mailbox_is_not_given_up():
    in_flight = [0]
    room = Reorder(lambda after, before: between(*in_flight)(after, before))
    put(room, inspection(1))
    assert taken(room, 2000) == []
    in_flight.clear()  # its worker has sent it, and has noted that
    assert taken(room, 2001) == []
    assert put(room, inspection(0), 2050)
    assert taken(room, 2050) == [0, 1]


def test_missed_frames_alone_make_no_frame_late():
    """One worker with a model that takes five seconds: the due frames meanwhile are superseded at once."""
    room = Reorder()
    for number in range(1, 40):
        put(room, missed(number), number * 125)
        assert taken(room, number * 125) == []
    assert put(room, inspection(0), 5000)
    assert taken(room, 5000) == list(range(40))


def test_a_process_that_starts_in_the_middle_waits_once_for_what_it_does_not_know_of():
    room = Reorder()
    put(room, inspection(1001))
    put(room, inspection(1000), 80)
    assert taken(room, 500) == []
    assert taken(room, LIMIT_MS) == [1000, 1001]
    put(room, inspection(1002), 5000)
    assert taken(room, 5000) == [1002]


def test_a_result_counts_for_more_than_the_death_of_its_worker():
    """A worker that was killed after it had sent the result: its frame is swept as dropped."""
    for first, then in ((missed(1), inspection(1)), (inspection(1), missed(1))):
        room = Reorder()
        put(room, first)
        put(room, then)
        put(room, inspection(0))
        assert [type(one) for one in room.take(0)] == [Inspection, Inspection]


def test_nothing_waits_behind_a_lost_number_without_bound(monkeypatch):
    monkeypatch.setattr(reorder, "MOST_WAITING", 50)
    room = Reorder()
    left: list[int | None] = []
    for number in range(1, 500):
        put(room, missed(number), number)
        left += taken(room, number)
        assert len(room) <= 50
    assert left == list(range(1, 500))


@dataclass(frozen=True)
class Arrival:
    """How a due frame ends, and when that arrives."""

    number: int
    at_ms: int
    judged: bool

    @property
    def message(self) -> Inspection | Missed:
        return inspection(self.number) if self.judged else missed(self.number)


@st.composite
def arrivals(draw: st.DrawFn, *, latest_ms: int, lost: bool = False) -> list[Arrival]:
    """Due frames 125 ms apart, judged by some workers or missed; each arrives within `latest_ms`."""
    made = []
    for number in range(draw(st.integers(1, 25))):
        if lost and draw(st.integers(0, 9)) == 0:
            continue
        late_ms = draw(st.integers(0, latest_ms) | st.just(0))
        made.append(Arrival(number, number * 125 + late_ms, draw(st.integers(0, 3)) > 0))
    return draw(st.permutations(made))


@dataclass
class Run:
    """What left the room, when, and what was too late."""

    left: list[tuple[int, int]]
    late: list[Arrival]


def run(made: Sequence[Arrival], in_flight: InFlight | None = None) -> Run:
    """A process that is ticked every 50 ms."""
    room, done = Reorder(in_flight) if in_flight else Reorder(), Run([], [])
    by_time = sorted(made, key=lambda arrival: arrival.at_ms)  # stable: those of one moment in any order
    end_ms = max((arrival.at_ms for arrival in made), default=0) + (STUCK_MS if in_flight else LIMIT_MS) + 100
    times = sorted({arrival.at_ms for arrival in made} | set(range(0, end_ms, 50)))
    for now_ms in times:
        while by_time and by_time[0].at_ms <= now_ms:
            arrival = by_time.pop(0)
            if not put(room, arrival.message, now_ms):
                done.late.append(arrival)
        done.left += [(number, now_ms) for number in taken(room, now_ms) if number is not None]
    return done


@given(arrivals(latest_ms=3000, lost=True))
def test_whatever_comes_whenever_all_leaves_in_order_and_once_and_no_result_waits_longer_than_the_limit(
    made: list[Arrival],
):
    done = run(made)
    numbers = [number for number, _ in done.left]
    assert numbers == sorted(set(numbers))
    left_at_ms = dict(done.left)
    for arrival in made:
        if arrival.judged and arrival not in done.late:
            assert left_at_ms[arrival.number] - arrival.at_ms <= LIMIT_MS + 50


@given(arrivals(latest_ms=5000, lost=True))
def test_no_result_waits_longer_than_for_a_stuck_frame_even_if_all_were_in_flight(made: list[Arrival]):
    done = run(made, lambda after, before: True)
    left_at_ms = dict(done.left)
    for arrival in made:
        if arrival.judged and arrival not in done.late:
            assert left_at_ms[arrival.number] - arrival.at_ms <= STUCK_MS + 50


@given(arrivals(latest_ms=STUCK_MS - 126))
def test_nothing_is_lost_that_is_in_flight_and_not_stuck(made: list[Arrival]):
    done = run(made, lambda after, before: True)
    assert done.late == []
    assert [number for number, _ in done.left] == sorted(arrival.number for arrival in made)


@given(arrivals(latest_ms=LIMIT_MS - 126))
def test_nothing_is_lost_that_is_not_later_than_the_limit(made: list[Arrival]):
    done = run(made)
    assert done.late == []
    assert [number for number, _ in done.left] == sorted(arrival.number for arrival in made)


@given(arrivals(latest_ms=3000, lost=True))
def test_what_is_too_late_was_waited_for_as_long_as_the_limit(made: list[Arrival]):
    for late in run(made).late:
        assert any(
            other.judged and other.number > late.number and late.at_ms - other.at_ms >= LIMIT_MS for other in made
        )


@given(arrivals(latest_ms=0))
def test_an_ordered_stream_is_never_delayed_however_many_workers_it_has(made: list[Arrival]):
    done = run(made)
    assert done.left == sorted((arrival.number, arrival.at_ms) for arrival in made)


@given(arrivals(latest_ms=3000))
def test_a_frame_leaves_the_moment_that_all_before_it_have_ended(made: list[Arrival]):
    done = run(made)
    at_ms = dict(done.left)
    for arrival in made:
        if arrival.number in at_ms:
            complete_ms = max(other.at_ms for other in made if other.number <= arrival.number)
            assert at_ms[arrival.number] <= max(arrival.at_ms, complete_ms)
