"""A replay refuses what `check` refuses, and says what its verdicts are worth."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stream_inspect.commands.check.cameras import Seen, check_fit
from stream_inspect.commands.replay.fitness import MisfitError
from stream_inspect.commands.replay.run import replay
from stream_inspect.commands.replay.view import ReplayView
from stream_inspect.findings import Level
from stream_inspect.inspect.prompts import PromptsError
from stream_inspect.tiny import scope
from tests.commands.replays import HEIGHT_PX, WIDTH_PX, config, make_video, read_lines
from tests.track import plant_line

LONG = "a long thin bright line on the top of the grey metal box next to a small hole"
TOO_FAST = {"direction": "left_to_right", "speed_mm_s": 6000, "mm_per_px": 1}
MISFITS: dict[str, dict[str, Any]] = {
    "a region drawn on a larger stream": {"region_px": [[960, 0], [1900, 0], [1900, 1070], [960, 1070]]},
    "a region of a few pixels": {"region": [[0, 0], [0.005, 0], [0.005, 0.005]]},
    "a belt that shows no defect twice": {"belt": TOO_FAST},
}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "line.mp4", range(0, 800, 40))


@pytest.mark.parametrize("name", MISFITS)
def test_what_check_fails_a_replay_refuses_in_the_same_words(video: Path, tmp_path: Path, name: str) -> None:
    unfit = config(belt=False, camera=MISFITS[name])
    (found,) = check_fit(unfit, [Seen(WIDTH_PX, HEIGHT_PX, 25.0)])
    assert found.level is Level.FAIL
    with pytest.raises(MisfitError) as caught:
        replay(video, unfit, tmp_path / "out")
    assert str(caught.value) == f"camera top does not fit this recording: {found.text}: {found.advice}"
    assert not (tmp_path / "out").exists()


def test_a_prompt_that_the_detector_cannot_read_whole_is_refused_before_a_model_is_loaded(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_inspect.inspect.detect.owlv2.load_model", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(PromptsError, match=f"the prompt '{LONG}' of defect spot has 25 tokens"):
        replay(video, config(defects=[{"name": "spot", "prompts": [LONG]}]), tmp_path / "out")


def test_a_replay_by_the_embedded_models_says_what_its_verdicts_are_worth_to_the_last_line(
    video: Path, tmp_path: Path
) -> None:
    summary = replay(video, config(), tmp_path / "out")
    words, worth = summary.warnings
    assert worth == f"{scope.VERDICTS}; {scope.ADVICE}"
    assert words.startswith("tiny does not know: a dark spot. It knows only these words: scratch, ")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["warnings"] == summary.warnings
    printed = StringIO()
    with ReplayView(Console(file=printed, width=80)) as view:
        view.finished(summary, tmp_path / "out")
    assert printed.getvalue().rstrip().splitlines()[-2:] == [f"warning: {words}", f"warning: {worth}"]

    recorded = tmp_path / "out" / "frames.jsonl"
    again = replay(video, config(), tmp_path / "again", inspections=recorded)
    assert again.warnings == [scope.VERDICTS]  # whoever made them is known by the hash
    lines = [{**line, "model_hash": "of another model"} for line in read_lines(recorded)]
    recorded.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert replay(video, config(), tmp_path / "other", inspections=recorded).warnings == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("region_in_parts_of_one", "cameras[0].region_px: these are parts of the picture (0 to 1), not pixels"),
        ("region_of_a_1080p_stream", "corner [960, 0] of region_px is outside the picture of 640x360 px"),
        ("prompt_of_18_words", f"the prompt '{LONG}' of defect scratch has 25 tokens, this detector reads 16"),
    ],
)
@pytest.mark.parametrize("command", ["replay", "check", "run"])
def test_each_command_refuses_the_cases(
    case: Callable[[str], Path], name: str, reported: str, command: str, tmp_path: Path
) -> None:
    path = str(case(f"{name}.yaml"))
    if name == "region_of_a_1080p_stream" and command != "replay":
        pytest.skip("its camera is in another network")
    arguments = {
        "replay": [str(case("control_clip.mp4")), "--config", path, "--out", str(tmp_path)],
        "check": [path, "--set", f"state_dir={tmp_path}"],
        "run": [path, "--set", f"state_dir={tmp_path}"],
    }
    command_line = [sys.executable, "-m", "stream_inspect", command, *arguments[command]]
    ended = subprocess.run(command_line, capture_output=True, text=True, timeout=100)
    assert ended.returncode in (1, 2), ended.stderr
    assert reported in ended.stdout + ended.stderr


def test_a_line_that_follows_a_plc_is_not_replayed_as_if_no_part_had_come(video: Path, tmp_path: Path) -> None:
    with pytest.raises(MisfitError, match="line1 is followed by inputs of the plant, which no recording has"):
        replay(video, plant_line.config(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
