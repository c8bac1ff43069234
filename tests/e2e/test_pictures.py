"""A folder of pictures in the service: each is judged alone, and as a replay of the folder judges it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from stream_inspect.commands.replay.run import replay
from stream_inspect.config.load import load
from stream_inspect.picture import Picture
from stream_inspect.sim import SyntheticLine
from tests.commands.replays import read_lines
from tests.e2e.service import running

pytestmark = [pytest.mark.alone, pytest.mark.timeout(180)]

PICTURES = 20


def verdicts(lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What was confirmed, without what differs between a run and a replay: ids and times."""
    return [
        (event["frame"]["file"], event["name"], event["score"], event["box_xyxy_px"], event["reason"])
        for event in lines
        if event["state"] == "confirmed" and event["kind"] == "defect"
    ]


def test_the_service_judges_every_picture_and_as_the_replay_does(tmp_path: Path):
    line = SyntheticLine(3, width_px=640, height_px=360, speed_px_s=200.0)
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(PICTURES):
        drawn = Picture(line.frame(60 + 30 * number).i420, 640, 360).to_bgr()
        cv2.imwrite(str(folder / f"{number:02}.png"), drawn[: 360 - 10 * (number % 3)])
    (folder / "07.png").write_bytes(b"no picture")
    config = tmp_path / "line.yaml"
    document = {
        "version": 1,
        "state_dir": "state",
        "cameras": [{"name": "top", "source": {"kind": "images", "path": "parts", "fps": 1000, "pace": "real_time"}}],
        "defects": [
            {"name": name, "prompts": [name], "threshold": 0.4} for name in ("scratch", "crack", "hole", "stain")
        ],
        "alerts": [{"kind": "file", "path": "events.jsonl"}],
        "web": {"enabled": False},
    }
    config.write_text(json.dumps(document))
    with running(config, tmp_path / "log") as service:
        assert service.process.wait(timeout=120) == 0, service.log
        log = service.log
    account = next(json.loads(line) for line in log.splitlines() if '"frames of this run"' in line)
    assert (account["captured"], account["judged"], account["not_due"]) == (PICTURES, PICTURES - 1, 0), account
    assert '"file": "07.png"' in log
    live = read_lines(next(tmp_path.rglob("events.jsonl")))
    replay(folder, load(config), tmp_path / "out")
    assert verdicts(live) == verdicts(read_lines(tmp_path / "out" / "events.jsonl"))
    assert verdicts(live), "nothing was found: there is nothing to compare"
    finds = [event for event in live if event["kind"] == "defect"]
    states = {event["id"]: event["state"] for event in finds}
    assert set(states.values()) == {"cleared"}, "what a picture shows ends with it"
    for event in finds:
        assert event["clip"] is None
        assert (tmp_path / "state" / event["picture"]).is_file()
