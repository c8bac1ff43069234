"""The belt of a line by its inputs: frames wait for the encoder, and every part that the photo-eye saw is counted."""

from __future__ import annotations

from stream_inspect.config.models import Config
from stream_inspect.messages import Doubt, PartsSeen, What
from stream_inspect.track.line_belt import LineBelt
from tests.track.plant_line import EYE_MM, PART_MM, SPEED_MM_S, S, config, count, edge, sight

MS = S // 1000


def belt_of(the_config: Config) -> LineBelt:
    return LineBelt(the_config.lines[0], the_config.cameras, the_config.inputs)


def run(belt: LineBelt, from_ns: int, to_ns: int, *, speed_mm_s: float = SPEED_MM_S) -> None:
    """The encoder is read every 20 ms, as the belt runs from 0 at time 0."""
    for mono_ns in range(from_ns, to_ns + 1, 20 * MS):
        belt.read(count(speed_mm_s * mono_ns / S, mono_ns))


def seen(belt: LineBelt, seq: int, mono_ns: int, now_ns: int | None = None) -> PartsSeen:
    """What a frame that is handed over now shows."""
    belt.see(sight(seq, mono_ns))
    (one,) = belt.take(mono_ns if now_ns is None else now_ns)
    return one


def test_a_frame_waits_for_the_count_after_it_and_is_placed_between_two():
    belt = belt_of(config())
    run(belt, 0, S)
    belt.see(sight(0, S + 10 * MS))
    assert list(belt.take(S + 15 * MS)) == []
    run(belt, S + 20 * MS, S + 20 * MS)
    (one,) = belt.take(S + 20 * MS)
    assert one.odometer_mm == 606.0


def test_a_frame_waits_for_0_3_s_at_most_and_then_the_last_speed_is_followed_for_a_second():
    belt = belt_of(config())
    run(belt, 0, S)
    belt.see(sight(0, S + 100 * MS))
    belt.see(sight(1, 2 * S + 100 * MS))
    assert list(belt.take(S + 399 * MS)) == []
    (guessed,) = belt.take(S + 400 * MS)
    assert guessed.odometer_mm is not None
    assert abs(guessed.odometer_mm - 660) < 2
    (unknown,) = belt.take(2 * S + 400 * MS)
    assert unknown.odometer_mm is None


def test_a_part_lies_where_the_belt_was_when_the_eye_saw_it_and_has_its_serial():
    belt = belt_of(config())
    run(belt, 0, S)
    belt.read(edge(True, S - 10 * MS, S - 30 * MS, serial="A-1"))
    belt.read(edge(False, S, S - 10 * MS))
    (part,) = seen(belt, 0, S).changes
    leading = SPEED_MM_S * (S - 20 * MS) / S - EYE_MM
    assert (part.what, part.number, part.serial, part.doubt) == (What.ENTERED, 1, "A-1", None)
    assert abs(part.along.low - leading) < 0.1
    assert part.along.length == PART_MM


def test_how_the_eye_stands_when_it_is_first_read_is_no_part():
    belt = belt_of(config())
    run(belt, 0, S)
    belt.read(edge(True, 500 * MS, None))
    assert seen(belt, 0, S).changes == []


def test_a_counter_of_edges_wraps_around_and_counts_what_passed_between_two_reads():
    belt = belt_of(config(eye={"table": "input", "counter_bits": 16}))
    run(belt, 0, 3 * S)
    belt.read(edge(0xFFFF, S, None))
    belt.read(edge(0, S + 20 * MS, S))
    belt.read(edge(2, 3 * S, 2 * S))
    one, two, three = seen(belt, 0, 3 * S).changes
    assert (one.doubt, two.doubt, three.doubt) == (None, Doubt.UNREAD, Doubt.UNREAD)
    assert [round(part.along.low) for part in (two, three)] == [1600, 1900], "spread over the way of 600 mm"
    assert len({one.number, two.number, three.number}) == 3


def test_a_counter_that_was_set_says_nothing_of_parts():
    belt = belt_of(config(eye={"table": "input", "counter_bits": 16}))
    run(belt, 0, S)
    belt.read(edge(700, 500 * MS, None))
    belt.read(edge(0, S, 900 * MS))
    assert seen(belt, 0, S).changes == []


def test_parts_that_pass_while_the_odometer_is_unknown_are_counted_and_the_frame_has_no_position():
    belt = belt_of(config())
    run(belt, 0, S)
    assert seen(belt, 0, S).odometer_mm == 600
    for after_s in (4, 5):
        belt.read(edge(True, after_s * S, after_s * S - 20 * MS))
        belt.read(edge(False, after_s * S + 100 * MS, after_s * S))
    lost = seen(belt, 1, 6 * S, now_ns=8 * S)
    assert lost.odometer_mm is None
    assert [(part.what, part.number) for part in lost.changes] == [(What.ENTERED, 1), (What.ENTERED, 2)]


def test_a_count_that_jumps_loses_the_position_once_and_says_so():
    belt = belt_of(config())
    run(belt, 0, S)
    assert seen(belt, 0, S).odometer_mm == 600
    assert belt.unknown(S) == ""
    for n in range(1, 6):
        belt.read(count(600_000 + 12 * n, S + 20 * n * MS))
    lost_ns = S + 100 * MS
    assert seen(belt, 1, lost_ns).odometer_mm is None
    assert "position lost: count jumped by" in belt.unknown(lost_ns)
    run_on_ns = lost_ns + 20 * MS
    belt.read(count(600_000 + 72, run_on_ns))
    assert seen(belt, 2, run_on_ns).odometer_mm is not None
    assert belt.unknown(lost_ns + 2 * S) != "", "silent by now"
    for n in range(7, 160):
        belt.read(count(600_000 + 12 * n, S + 20 * n * MS))
    assert belt.unknown(S + 20 * 159 * MS) == ""


def test_an_encoder_that_is_silent_is_reported_after_a_second_and_not_at_the_start():
    belt = belt_of(config())
    assert belt.unknown(0) == ""
    assert belt.unknown(S) == ""
    assert "encoder plc: never read" in belt.unknown(S + 10 * MS)
    run(belt, 2 * S, 3 * S)
    assert belt.unknown(4 * S) == ""
    assert "encoder plc: last read 1.1 s ago" in belt.unknown(4 * S + 100 * MS)


def with_picture() -> LineBelt:
    odometer = {"kind": "encoder", "input": "plc", "mm_per_count": 0.5, "check_with": "picture"}
    return belt_of(config(odometer=odometer))


def test_the_picture_takes_over_from_a_silent_encoder_where_that_is_checked_with_it():
    belt = with_picture()
    placed: list[PartsSeen] = []
    for frame in range(80):
        mono_ns = frame * 100 * MS
        if mono_ns <= 2 * S:
            run(belt, mono_ns - 80 * MS if frame else 0, mono_ns)
        belt.see(sight(frame, mono_ns, way_mm=60.0 * frame))
        placed += belt.take(mono_ns)
    positions = [one.odometer_mm for one in placed]
    assert None not in positions
    assert abs(positions[-1] - 60.0 * (len(positions) - 1)) < 30
    assert len(positions) == 80
    assert belt.unknown(79 * 100 * MS) == ""


def test_an_encoder_that_slides_is_a_slip_with_both_ways():
    belt = with_picture()
    for frame in range(60):
        mono_ns = frame * 100 * MS
        run(belt, mono_ns - 80 * MS if frame else 0, mono_ns, speed_mm_s=0.8 * SPEED_MM_S)
        belt.see(sight(frame, mono_ns, way_mm=60.0 * frame))
        list(belt.take(mono_ns))
    assert belt.slip().startswith("encoder plc says ")
    assert "top " in belt.slip()
