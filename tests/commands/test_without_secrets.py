"""Commands that connect to nothing run where the passwords are not known; those that connect still want them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stream_inspect.cli import app
from stream_inspect.store.events import EventStore
from tests.capture.videos import write_video
from tests.commands.replays import write_lines
from tests.commands.test_replay_pictures import make_picture, spotted

SECRETS = """
version: 1
state_dir: state
line: press
cameras:
  - name: top
    source: {kind: rtsp, url: "rtsp://camera/1", username: eve, password: {env: NOT_SET_CAMERA}}
defects: [{name: spot, prompts: [a dark spot]}]
alerts:
  - {kind: mqtt, name: plc, host: broker, username: eve, password: {env: NOT_SET_BROKER}}
  - {kind: webhook, name: hook, url: "https://receiver/", secret: {file: absent-key}}
web: {host: 0.0.0.0, token: {env: NOT_SET_TOKEN}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "line.yaml"
    path.write_text(SECRETS)
    return path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_replay_of_a_video_and_of_pictures_wants_no_secret(config: Path, tmp_path: Path):
    film = write_video(tmp_path / "belt.mp4", count=3)
    none = write_lines(tmp_path / "none.jsonl", [])
    done = call("replay", film, "--config", config, "--out", tmp_path / "film", "--inspections", none)
    assert done.exit_code == 0, done.output
    make_picture(tmp_path / "parts" / "1.png")
    found = write_lines(tmp_path / "found.jsonl", [spotted(0, "1.png", 0.4)])
    done = call("replay", tmp_path / "parts", "--config", config, "--out", tmp_path / "out", "--inspections", found)
    assert done.exit_code == 0, done.output
    assert "1 picture: 0 PASS, 1 FAIL, 0 UNDECIDED" in done.stdout


def test_dead_letters_and_prompts_want_no_secret(config: Path, tmp_path: Path):
    EventStore(tmp_path / "state" / "events.sqlite").close()
    assert call("refused", config).exit_code == 0
    assert call("refused", config, "--send-again").exit_code == 0
    assert call("prompts", "set", config, "spot", "--threshold", "0.4").exit_code == 0


def test_what_connects_names_every_secret_that_is_not_there(config: Path):
    for command in ("run", "check"):
        done = call(command, config)
        assert done.exit_code == 2
        for missing in ("NOT_SET_CAMERA", "NOT_SET_BROKER", "NOT_SET_TOKEN", "absent-key"):
            assert missing in done.stderr


def test_what_is_wrong_with_a_secret_besides_is_still_reported(config: Path, tmp_path: Path):
    make_picture(tmp_path / "1.png")
    config.write_text(SECRETS.replace("{env: NOT_SET_BROKER}", "{enf: NOT_SET_BROKER}"))
    done = call("replay", tmp_path / "1.png", "--config", config, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "alerts[0].password" in done.stderr
