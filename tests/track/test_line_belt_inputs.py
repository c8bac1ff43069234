"""The belt of a line by its inputs: frames wait for the encoder, and every part that the photo-eye saw is counted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stream_inspect.config.models import Config
from stream_inspect.messages import Doubt, Inspection, PartSight, PartsSeen, What
from stream_inspect.track.line_belt import LineBelt
from tests.track.plant_line import EYE_MM, PART_MM, SPEED_MM_S, S, config, count, edge, judged, sight

MS = S // 1000


def belt_of(the_config: Config, record: Path | None = None) -> LineBelt:
    return LineBelt(the_config.lines[0], the_config.cameras, the_config.inputs, record)


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


def test_a_counter_that_was_set_does_not_say_how_many_parts_have_passed_and_is_reported():
    belt = belt_of(config(eye={"table": "input", "counter_bits": 16}))
    run(belt, 0, S)
    belt.read(edge(700, 500 * MS, None))
    belt.read(edge(0, S, 900 * MS))
    (stretch,) = seen(belt, 0, S).changes
    assert (stretch.doubt, stretch.along.low) == (Doubt.UNREAD, 540 - EYE_MM)
    assert belt.eye_problem(S) == "photo-eye infeed: its counter was set from 700 to 0"
    assert belt.eye_problem(3 * S) == ""


@pytest.mark.parametrize(("value", "from_mm", "parts"), [(False, 400, 1), (True, 500, 1), (False, 540, 0)])
def test_the_belt_that_ran_past_an_eye_that_was_not_read_is_one_part_in_doubt(value: bool, from_mm: int, parts: int):
    belt = belt_of(config())
    run(belt, 0, S)
    read_ns = from_mm * S // round(SPEED_MM_S)
    belt.read(edge(value, S, None, unread_from_ns=read_ns))
    changes = seen(belt, 0, S).changes
    assert [round(change.along.low) for change in changes] == [from_mm - EYE_MM] * parts
    assert {change.doubt for change in changes} <= {Doubt.UNREAD}
    assert belt.eye_problem(S).startswith("photo-eye infeed: not read while the belt ran ") is bool(parts)


@pytest.mark.parametrize(("apart_mm", "doubt"), [(6, None), (60, Doubt.TWO_TRIGGERS)])
def test_a_photo_eye_that_triggers_twice_for_one_part_is_reported(apart_mm: int, doubt: Doubt | None):
    belt = belt_of(config())
    run(belt, 0, S)
    first_ns = 500 * MS
    again_ns = first_ns + apart_mm * S // round(SPEED_MM_S)
    for at_ns in (first_ns, again_ns):
        belt.read(edge(True, at_ns, at_ns - 2 * MS))
    changes = seen(belt, 0, S).changes
    assert {change.number for change in changes} == {1}
    assert changes[-1].doubt is doubt
    assert belt.eye_problem(S) == f"photo-eye infeed: two triggers {apart_mm} mm apart, parts are 120 mm long"


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


def pitch(**parts: object) -> LineBelt:
    return belt_of(config(parts={"kind": "pitch", "pitch_mm": 200, "length_mm": PART_MM, **parts}))


def test_at_a_pitch_each_place_is_a_part_as_it_comes_into_the_first_picture():
    belt = pitch(phase_mm=50)
    run(belt, 0, 3 * S)
    at_start, later = seen(belt, 0, 0).changes, seen(belt, 1, S).changes
    assert [part.along.low for part in later] == [150, 350, 550]
    assert {part.doubt for part in at_start[:-1]} == {Doubt.AT_START}
    assert [part.along.low for part in at_start] == [-1250, -1050, -850, -650, -450, -250, -50]


def test_at_a_pitch_with_a_photo_eye_only_what_triggers_is_a_part():
    belt = pitch(eye={"input": "plc", "at_mm": EYE_MM})
    run(belt, 0, 3 * S)
    for at_ns in (S, 2 * S):
        belt.read(edge(True, at_ns, at_ns - 20 * MS))
        belt.read(edge(False, at_ns + 100 * MS, at_ns))
    one, two = seen(belt, 0, 3 * S).changes
    assert (one.doubt, two.doubt) == (None, None)
    assert two.along.low - one.along.low == 600, "two places between them are empty"


def by_prompt() -> LineBelt:
    return belt_of(config(parts={"kind": "prompt", "prompts": ["bottle cap"]}))


def result(seq: int, mono_ns: int, *left_px: float) -> Inspection:
    """A judged frame with parts of 100 px at these places."""
    parts = [PartSight(box_xyxy_px=(left, 300.0, left + 100.0, 400.0)) for left in left_px]
    return msgspec.structs.replace(judged(seq, mono_ns), parts=parts)


def test_the_parts_of_a_judged_frame_lie_where_the_belt_was_at_that_frame():
    belt = by_prompt()
    run(belt, 0, 2 * S)
    for seq, (mono_ns, left) in enumerate(((S, 10.0), (S + 200 * MS, 130.0))):
        assert seen(belt, seq, mono_ns).changes == []
        (found,) = belt.judged(result(seq, mono_ns, left))
    assert (found.by_result, found.odometer_mm) == (True, 720)
    (part,) = found.changes
    assert (part.what, part.along.low, part.along.high) == (What.ENTERED, 490, 590)


def test_a_result_that_comes_before_the_odometers_reading_waits_for_it():
    belt = by_prompt()
    run(belt, 0, S)
    belt.see(sight(0, S + 10 * MS))
    assert [*belt.judged(result(0, S + 10 * MS, 0.0)), *belt.take(S + 15 * MS)] == []
    run(belt, S + 20 * MS, S + 20 * MS)
    captured, by_result = belt.take(S + 20 * MS)
    assert (captured.by_result, by_result.by_result) == (False, True)
    assert by_result.odometer_mm == captured.odometer_mm == 606


def test_results_from_before_the_position_was_lost_say_nothing_of_the_belt_now():
    belt = by_prompt()
    run(belt, 0, S)
    seen(belt, 0, S)
    lost = seen(belt, 1, 4 * S, now_ns=5 * S)
    assert lost.odometer_mm is None
    assert [*belt.judged(result(0, S, 0.0)), *belt.judged(result(1, 4 * S, 0.0))] == []


# --- the next process ---

COUNTER = {"table": "input", "counter_bits": 16}


@pytest.mark.parametrize("bits", [16, 32])
def test_the_next_process_continues_the_encoders_way_though_its_counter_has_turned_over(
    bits: int, tmp_path: Path
) -> None:
    the_config = config(plc={"encoder": {"address": 100, "bits": bits}})
    before_wrap_mm = ((1 << bits) - 100) * 0.5
    record = tmp_path / "belt"

    def read(belt: LineBelt, mono_ns: int) -> None:
        way_mm = before_wrap_mm + SPEED_MM_S * mono_ns / S
        counted = round(way_mm / 0.5) % (1 << bits)
        belt.read(count(counted * 0.5, mono_ns))

    killed = belt_of(the_config, record)
    for mono_ns in range(0, S // 20, 10 * MS):
        read(killed, mono_ns)
    first = seen(killed, 0, 40 * MS)
    after = belt_of(the_config, record)
    for mono_ns in range(S // 2, S, 10 * MS):
        read(after, mono_ns)
    second = seen(after, 20, 900 * MS)
    assert first.origin_ns == second.origin_ns != 0
    assert first.odometer_mm is not None
    assert second.odometer_mm == pytest.approx(first.odometer_mm + 0.86 * SPEED_MM_S, abs=1)


def test_the_next_process_does_not_continue_where_the_counter_may_have_turned_over_more_than_once(
    tmp_path: Path,
) -> None:
    the_config = config(plc={"encoder": {"address": 100, "bits": 16}})
    killed = belt_of(the_config, tmp_path / "belt")
    run(killed, 0, S)
    first = seen(killed, 0, S)
    after = belt_of(the_config, tmp_path / "belt")
    run(after, 40 * S, 41 * S)
    assert seen(after, 20, 41 * S).odometer_mm is None
    run(after, 41 * S + 20 * MS, 42 * S)
    assert seen(after, 21, 42 * S).origin_ns not in (0, first.origin_ns)


def test_the_next_process_counts_the_parts_that_passed_the_eye_meanwhile_and_none_again(tmp_path: Path) -> None:
    the_config = config(eye=COUNTER)
    killed = belt_of(the_config, tmp_path / "belt")
    run(killed, 0, S)
    killed.read(edge(7, 500 * MS, None))
    killed.read(edge(8, S - 20 * MS, S - 40 * MS))
    assert len(seen(killed, 0, S).changes) == 1
    after = belt_of(the_config, tmp_path / "belt")
    run(after, S + 20 * MS, 2 * S)
    after.read(edge(9, 2 * S - 20 * MS, 2 * S - 40 * MS))
    (part,) = seen(after, 20, 2 * S).changes
    assert part.along.low == pytest.approx(SPEED_MM_S * 1.97 - EYE_MM, abs=0.1)
