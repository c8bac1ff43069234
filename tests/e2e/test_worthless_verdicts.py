"""A service whose verdicts mean nothing says so while it runs: demonstration models, a region in no picture."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stream_inspect.tiny import scope
from tests.capture.videos import write_video
from tests.e2e.service import COMMAND, crowding, running

CONFIG = """
version: 1
cameras:
  - name: belt
    source: {kind: synthetic, width_px: 320, height_px: 240, fps: 5}
  - name: own
    source: {kind: file, path: own.mp4, loop: true}
    region_px: [[960, 0], [1900, 0], [1900, 1070], [960, 1070]]
defects: [{name: hole, prompts: [PROMPT]}]
recorder: {enabled: false}
web: {enabled: false}
"""


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_demonstration_models_and_a_region_in_no_picture_are_lasting_conditions(tmp_path: Path) -> None:
    config = tmp_path / "line.yaml"
    config.write_text(CONFIG.replace("PROMPT", "hole"))
    write_video(tmp_path / "own.mp4", count=50, fps=25)
    with running(config, tmp_path / "log") as service:
        wanted = {
            ("demo_models", "own", "models", scope.VERDICTS),
            (
                "config_misfit",
                "own",
                "capture.own",
                "corner [960, 0] of region_px is outside the picture of 160x120 px",
            ),
        }

        def reported(document: dict[str, object]) -> bool:
            conditions = document["conditions"]
            assert isinstance(conditions, list)
            return wanted == {
                (one["kind"], one["camera"], one["source"], one["detail"].split(": ")[0]) for one in conditions
            }

        service.wait_for(reported, 60 * crowding(), "both conditions")
        service.wait_judging(3)
        assert service.health()["status"] == "degraded"
        assert service.stop() == 0
        (warned,) = [json.loads(line) for line in service.log.splitlines() if "demonstration models judge" in line]
    assert (warned["cameras"], warned["worth"]) == (["own"], scope.VERDICTS)
    assert "hole, holes, puncture" in warned["known_words"]


def test_a_prompt_that_the_detector_cannot_read_whole_keeps_the_service_from_starting(tmp_path: Path) -> None:
    config = tmp_path / "line.yaml"
    config.write_text(
        CONFIG.replace("PROMPT", "a long thin bright line on the top of the grey metal box next to a hole")
    )
    ended = subprocess.run([*COMMAND, "run", str(config)], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 2
    assert "next to a hole' of defect hole has" in ended.stderr
    assert not (tmp_path / "state").exists()
