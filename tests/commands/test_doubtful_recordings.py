"""What `check` and the service say of a recording's pictures and of its end, a replay says too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fractions import Fraction
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from stream_inspect.commands.check.cameras import check_camera
from stream_inspect.commands.replay.run import replay
from stream_inspect.commands.replay.summary import Summary
from stream_inspect.commands.replay.view import ReplayView
from stream_inspect.config.models import CameraConfig
from stream_inspect.findings import Level
from tests.capture.test_believed_stream import GOP, PICTURES, encoded, ended_too_early, write_raw
from tests.capture.test_ends_of_recordings import SHORT
from tests.capture.test_presentation import write_interlaced, write_with_aspect, write_with_still
from tests.capture.videos import set_display_matrix, write_video
from tests.commands.replays import config, write_lines


def replayed(path: Path) -> tuple[Summary, str]:
    """The summary, and what is printed at the end."""
    out = path.parent / "out"
    nothing = write_lines(path.parent / "nothing.jsonl", [])
    summary = replay(path, config(belt=False), out, inspections=nothing)
    printed = StringIO()
    with ReplayView(Console(file=printed, width=400)) as view:
        view.finished(summary, out)
    written = json.loads((out / "summary.json").read_text())
    assert (written["notes"], written["warnings"]) == (summary.notes, summary.warnings)
    return summary, printed.getvalue()


def checked(path: Path) -> dict[Level, list[str]]:
    """What `check` says of the pictures, by level; its first line, which measures, is left out."""
    source = {"kind": "file", "path": str(path), "pace": "fast"}
    findings, _ = check_camera(CameraConfig.model_validate({"name": "top", "source": source}), busy=False)
    texts: dict[Level, list[str]] = {Level.OK: [], Level.WARN: [], Level.FAIL: []}
    for finding in findings[1:]:
        texts[finding.level].append(f"{finding.text} -> {finding.advice}" if finding.advice else finding.text)
    return texts


def turned(path: Path, name: str) -> Path:
    set_display_matrix(write_video(path, count=20), name)
    return path


def aspect(path: Path) -> Path:
    write_with_aspect(path, (160, 120), Fraction(5), (160, 120))
    return path


def interlaced(path: Path) -> Path:
    write_interlaced(path, "libx264", {"x264-params": "tff=1"}, "yuv420p", top_first=True)
    return path


def believed(path: Path) -> Path:
    return write_raw(path, [ended_too_early(packet) for packet in encoded("hevc", PICTURES, gop=GOP)])


SAID: dict[str, tuple[Callable[[Path], Path], str, bool]] = {
    "turned": (lambda folder: turned(folder / "clip.mp4", "90"), "display matrix: turned by 90 degrees", True),
    "slanted": (lambda folder: turned(folder / "clip.mp4", "slanted"), "a display matrix that is not a quarter", False),
    "pixels of 5:1": (lambda folder: aspect(folder / "clip.mkv"), "pixels of 5:1 are taken as square", False),
    "interlaced": (lambda folder: interlaced(folder / "clip.mkv"), "interlaced, top field first: of each", True),
    "several streams": (lambda folder: write_with_still(folder / "clip.mkv"), "video stream 1 (mpeg4", True),
    "believed": (lambda folder: believed(folder / "clip.h265"), "every packet fails FFmpeg's strict decoding", False),
}


@pytest.mark.parametrize("name", SAID)
def test_what_a_recording_says_of_its_pictures_is_in_the_summary_and_printed(tmp_path: Path, name: str) -> None:
    make, said, honoured = SAID[name]
    path = make(tmp_path)
    texts = checked(path)
    summary, printed = replayed(path)
    assert summary.notes == texts[Level.OK]
    (text,) = [one for one in (summary.notes if honoured else summary.warnings) if one.startswith(said)]
    assert text in texts[Level.OK if honoured else Level.WARN]
    assert f"{'pictures' if honoured else 'warning'}: {text}\n" in printed


@pytest.mark.parametrize("name", ["mp4", "mp4, fragments", "mkv", "mkv, zeros", "avi", "flv"])
def test_a_recording_that_is_not_whole_is_reported_with_numbers(tmp_path: Path, name: str) -> None:
    make, shortfall = SHORT[name]
    path = make(tmp_path)
    summary, printed = replayed(path)
    told = summary.warnings[0]
    assert re.fullmatch(f"the recording is not whole: {shortfall}", told)
    assert f"warning: {told}\n" in printed
    warnings = checked(path)[Level.WARN]
    assert f"{told} -> copy it again from where it was recorded" in warnings
    assert not any(word in text for text in warnings for word in ("cable", "network", "exposure"))


def test_a_long_recording_that_was_cut_is_reported_without_reading_it_to_its_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", count=900, size=(32, 32), codec="mjpeg", pixel_format="yuvj420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    (warning,) = checked(path)[Level.WARN]
    assert re.match(r"the recording is not whole: the file was cut: [\d,]+ of its [\d,]+ bytes are missing", warning)


def test_frames_that_were_not_judged_because_they_are_damaged_are_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", count=20, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    ends = [found.start() for found in re.finditer(rb"\xff\xd9", data)]
    for end in ends[1:]:  # zeros in the place of the last lines
        data[end - 400 : end] = bytes(400)
    path.write_bytes(data)
    summary, printed = replayed(path)
    assert summary.frames.dropped == {"capture.bad_frame": 19}
    damaged = "19 of 20 frames are damaged and were not judged"
    assert damaged in summary.warnings
    assert f"warning: {damaged}\n" in printed
    (warning,) = [text for text in checked(path)[Level.WARN] if "corrupt" in text]
    assert warning == "19 of 20 frames were corrupt -> copy it again from where it was recorded"


def test_a_variable_rate_is_no_fault_of_a_recording(tmp_path: Path) -> None:
    times_s = [*(index / 25 for index in range(10)), 1.0, 2.0, 3.0, 4.0]
    path = write_video(tmp_path / "clip.mkv", pts_s=times_s)
    (warning,) = [text for text in checked(path)[Level.WARN] if "delivers" in text and "rate_hz" not in text]
    assert re.fullmatch(r"reports [\d.]+ fps but delivers 3.2", warning), "and no advice about exposure or network"
    assert [text for text in replayed(path)[0].warnings if "whole" in text or "damaged" in text] == []
