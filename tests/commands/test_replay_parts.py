"""A replay accounts for every part: parts.jsonl has one line each, with its verdict and when it passed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import pytest
from rich.console import Console

from stream_inspect.commands.replay.recorded import FramesError
from stream_inspect.commands.replay.run import replay
from stream_inspect.commands.replay.view import ReplayView
from stream_inspect.config.builtin import builtin_config
from stream_inspect.config.load import load
from stream_inspect.config.models import Config
from tests.belt.conveyor_video import LANE_PX, SIZE_PX, STEP_PX, write_conveyor
from tests.belt.pictures import HEIGHT_PX, WIDTH_PX
from tests.commands.replays import line, read_lines, write_lines

FRAMES, EVERY = 230, 3
ENTERS = (40, 75, 110)
"""Frames in which the leading edge of each part comes into the picture."""
DEFECTIVE = 1
"""The part with the spot."""


def left_px(part: int, frame: int) -> float:
    """Where the part's trailing edge is."""
    return STEP_PX * (frame - ENTERS[part]) - SIZE_PX


def conveyor(**changes: Any) -> Config:
    """One camera over the belt of `conveyor_video`, whose parts are accounted for; 1 px is 1 mm."""
    belt = {"direction": "left_to_right", "speed_mm_s": STEP_PX * 25.0, "mm_per_px": 1.0}
    parts_line = {"name": "line1", "odometer": {"kind": "picture"}, "parts": {"kind": "background"}, "gate_mm": 600.0}
    return Config.model_validate(
        {
            "version": 1,
            "cameras": [{"name": "top", "source": {"kind": "file", "path": "/x.mp4"}, "belt": belt}],
            "defects": [{"name": "spot", "prompts": ["a dark spot"]}],
            "lines": [parts_line | changes],
        }
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A belt that runs to the right, empty at first, with three bright parts on it."""
    path = tmp_path_factory.mktemp("conveyor") / "belt.mp4"
    write_conveyor(path, ENTERS, FRAMES)
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded detections of every third frame: the spot of the second part, where it is in the picture."""
    lines = []
    for frame in range(0, FRAMES, EVERY):
        left = left_px(DEFECTIVE, frame) + 50
        spots = [(left, 170.0, left + 20, 190.0)] if 0 <= left <= WIDTH_PX - 20 else []
        lines.append(line(frame, frame / 25, *spots, width_px=WIDTH_PX, height_px=HEIGHT_PX))
    return write_lines(tmp_path_factory.mktemp("found") / "found.jsonl", lines)


def test_every_part_gets_one_verdict_and_the_times_at_which_it_passed(video: Path, found: Path, tmp_path: Path) -> None:
    summary = replay(video, conveyor(), tmp_path / "out", inspections=found)
    parts = read_lines(tmp_path / "out" / "parts.jsonl")
    assert [(part["part_id"], part["lane"], part["verdict"]) for part in parts] == [
        (1, 0, "PASS"),
        (2, 0, "FAIL"),
        (3, 0, "PASS"),
    ]
    assert [part["defects"] for part in parts] == [[], [{"defect": "spot", "score": 0.4}], []]
    for number, part in enumerate(parts):
        middle_s = (ENTERS[number] + SIZE_PX / 2 / STEP_PX) / 25  # when the part's centre comes in
        assert part["trigger_s"] == pytest.approx(middle_s + WIDTH_PX / 2 / STEP_PX / 25, abs=0.02)
        assert part["gate_s"] == pytest.approx(middle_s + 600 / STEP_PX / 25, abs=0.02)
        assert part["first_pts_s"] == pytest.approx(middle_s, abs=0.05)
        assert part["last_pts_s"] == pytest.approx(middle_s + WIDTH_PX / STEP_PX / 25, abs=0.05)
    assert json.loads((tmp_path / "out" / "summary.json").read_bytes())["parts"] == {
        "in": 3,
        "pass": 2,
        "fail": 1,
        "undecided": 0,
        "undecided_by": {},
    }
    assert summary.frames.residual == 0


def test_a_second_replay_gives_the_same_parts(video: Path, found: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        replay(video, conveyor(), tmp_path / name, inspections=found)
    first, second = ((tmp_path / name / "parts.jsonl").read_bytes() for name in ("first", "second"))
    assert first == second != b""


def test_a_part_without_enough_views_is_undecided_and_says_why(video: Path, found: Path, tmp_path: Path) -> None:
    summary = replay(video, conveyor(views=60), tmp_path / "out", inspections=found)
    first, second, third = read_lines(tmp_path / "out" / "parts.jsonl")
    assert (first["verdict"], first["reason"], second["verdict"]) == ("UNDECIDED", "too_few_views", "FAIL")
    assert " usable views, 60 needed; " in first["why"]
    assert third["verdict"] == "UNDECIDED"
    printed = io.StringIO()
    ReplayView(Console(file=printed, width=200)).finished(summary, tmp_path / "out")
    assert "3 parts: 0 PASS, 1 FAIL, 2 UNDECIDED (2 too_few_views)" in printed.getvalue()
    assert "(parts.jsonl, events.jsonl" in printed.getvalue()


def test_a_part_that_is_in_the_picture_as_the_recording_ends_is_undecided(
    video: Path, found: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.mp4"
    with av.open(str(video)) as source, av.open(str(short), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(source.demux(video=0)):
            if packet.size and index < 130:
                packet.stream = stream
                target.mux(packet)
    kept = write_lines(tmp_path / "found.jsonl", [one for one in read_lines(found) if one["seq"] < 130])
    replay(short, conveyor(), tmp_path / "out", inspections=kept)
    parts = read_lines(tmp_path / "out" / "parts.jsonl")
    assert [part["verdict"] for part in parts] == ["PASS", "FAIL", "UNDECIDED"]
    assert (parts[2]["why"], parts[2]["gate_s"]) == ("the recording ended while the part was on the belt", None)


# --- the sample clips ---------------------------------------------------------------------------------------------


def truth_as_inspections(folder: Path, path: Path) -> Path:
    """What a perfect detector would have found in every third frame, as recorded detections."""
    lines = []
    for frame in read_lines(folder / "frames.jsonl")[::EVERY]:
        boxes = [
            tuple(defect["xyxy"])
            for part in frame["parts"]
            for defect in part["defects"]
            if defect["visible_fraction"] > 0.5
        ]
        lines.append(line(frame["frame"], frame["t_ms"] / 1000, *boxes, width_px=1280, height_px=720))
    return write_lines(path, lines)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("clip", ["virtual_conveyor_cookies", "virtual_conveyor_pcb"])
def test_the_example_finds_every_part_of_the_sample_clips(clip: str, sample_data: Path, tmp_path: Path) -> None:
    folder = sample_data / clip
    config = load(builtin_config("conveyor_clip"))
    spots = config.model_copy(update={"defects": conveyor().defects})
    found = truth_as_inspections(folder, tmp_path / "found.jsonl")
    replay(folder / "clip.mp4", spots, tmp_path / "out", inspections=found)
    parts = read_lines(tmp_path / "out" / "parts.jsonl")
    truth = read_lines(folder / "parts.jsonl")
    by_time = sorted(parts, key=lambda part: part["trigger_s"])
    assert len(parts) == len(truth)
    for seen, true in zip(by_time, sorted(truth, key=lambda part: part["centre_at_trigger_ms"]), strict=True):
        assert seen["verdict"] == ("FAIL" if true["defective"] else "PASS"), true["part_id"]
        assert 1000 * seen["trigger_s"] == pytest.approx(true["centre_at_trigger_ms"], abs=40)
        assert 1000 * seen["gate_s"] == pytest.approx(true["centre_at_gate_ms"], abs=20)


def prompted(**prompt: Any) -> Config:
    """As `conveyor`, with parts that a detector finds."""
    return conveyor(parts={"kind": "prompt", "prompts": ["a biscuit"], "threshold": 0.3, **prompt})


@pytest.fixture(scope="module")
def found_parts(found: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`found`, with the boxes of the parts as another detector states them."""
    lines = []
    for frame in read_lines(found):
        lefts = [left_px(part, frame["seq"]) for part in range(len(ENTERS))]
        shown = [(max(left, 0.0), min(left + SIZE_PX, WIDTH_PX)) for left in lefts]
        boxes = [(left, LANE_PX[0], right, LANE_PX[1]) for left, right in shown if right - left > 4]
        lines.append(frame | {"parts": {"found": [{"box_xyxy_px": box} for box in boxes]}})
    return write_lines(tmp_path_factory.mktemp("found") / "parts.jsonl", lines)


def test_parts_that_a_detector_found_get_their_verdicts_from_its_file_again_and_again(
    video: Path, found_parts: Path, tmp_path: Path
) -> None:
    replay(video, prompted(), tmp_path / "first", inspections=found_parts)
    parts = read_lines(tmp_path / "first" / "parts.jsonl")
    assert [(part["verdict"], part["reason"]) for part in parts] == [
        ("PASS", "enough_views"),
        ("FAIL", "defect"),
        ("PASS", "enough_views"),
    ]
    events = read_lines(tmp_path / "first" / "events.jsonl")
    assert {event["name"] for event in events if event["kind"] == "defect"} == {"spot"}, "a part is no defect"
    replay(video, prompted(), tmp_path / "second", inspections=tmp_path / "first" / "frames.jsonl")
    first, second = ((tmp_path / name / "parts.jsonl").read_bytes() for name in ("first", "second"))
    assert first == second


@pytest.mark.parametrize(
    ("stated", "reported"),
    [
        (None, "line 1: no parts were looked for, and lines[].parts has prompts for them"),
        ({"found": [], "threshold": 0.2}, "line 1: parts were looked for with the threshold 0.2, not 0.3"),
        ({"found": [], "wordings": "0123"}, "line 1: parts were looked for with other prompts"),
        ({"found": [{"box_xyxy_px": [9, 9, 5, 20]}]}, "line 1, parts.found[0]: box_xyxy_px must be left < right"),
    ],
)
def test_a_file_that_cannot_say_where_the_parts_are_is_refused(
    video: Path, found: Path, tmp_path: Path, stated: dict[str, Any] | None, reported: str
) -> None:
    lines = [frame | ({"parts": stated} if stated else {}) for frame in read_lines(found)]
    with pytest.raises(FramesError) as refused:
        replay(video, prompted(), tmp_path / "out", inspections=write_lines(tmp_path / "wrong.jsonl", lines))
    assert reported in str(refused.value)
