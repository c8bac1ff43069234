"""The command line parses, helps and refuses; what the commands do is tested where it is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stream_inspect import __version__
from stream_inspect.alerts import webhook
from stream_inspect.cli import app
from stream_inspect.commands import prompts
from stream_inspect.commands.schemas import SCHEMAS, schema_text
from tests.capture.videos import write_video

ROOT = Path(__file__).parents[2]
COMMANDS = [
    ["demo"], ["run"], ["replay"], ["check"],
    ["prompts", "show"], ["prompts", "set"], ["prompts", "add"], ["prompts", "remove"], ["prompts", "undo"],
    ["parts", "counts"], ["parts", "list"],
    ["models", "list"], ["models", "pull"], ["models", "verify"],
    ["bench", "transport"], ["bench", "inspect"], ["bench", "track"],
    ["schema", "show"], ["schema", "write"],
]  # fmt: skip

CONFIG = """\
version: 1
cameras:
  - {name: top, source: {kind: synthetic}}
  - {name: side, source: {kind: synthetic, seed: 2}}
defects:
  - {name: hole, prompts: [hole], threshold: 0.5}  # the usual one
"""


def test_the_help_names_every_schema_and_every_answer_that_rejects_an_event():
    shown = " ".join(call("schema", "show", "--help").stdout.split())
    assert "|".join(SCHEMAS) in shown
    listed = " ".join(call("refused", "--help").stdout.split())
    assert ", ".join(map(str, sorted(webhook.ABOUT_THIS_EVENT))) in listed


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "line.yaml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str]):
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert len(result.stdout) > 300


def test_the_exit_codes_are_documented_where_one_looks():
    assert "Exit code" in call("--help").stdout


WRONG_USAGE = {
    "no such command": (["chekc"], "No such command"),
    "no configuration named": (["check"], "Missing argument 'CONFIG'"),
    "no such configuration": (["run", "no.yaml"], "no.yaml: cannot read the configuration"),
    "no such camera": (
        ["check", "line.yaml", "--camera", "bottom"],
        "no camera named 'bottom'; the configuration has: top",
    ),
    "no such key": (["check", "line.yaml", "--set", "web.prt=1"], "Did you mean web.port?"),
    "no such video": (["replay", "no.mp4", "--config", "line.yaml", "--out", "o"], "'no.mp4' does not exist"),
    "a folder without pictures": (["replay", ".", "--config", "line.yaml", "--out", "o"], "contains no picture"),
    "no such detections": (
        ["replay", "video.mp4", "--config", "line.yaml", "--out", "o", "--inspections", "no.jsonl"],
        "'no.jsonl' does not exist",
    ),
    "nobody's demo folder": (
        ["demo", "--out", "full", "--no-browser"],
        "full is not a demo folder (it contains mine.txt)",
    ),
    "a file for a folder": (
        ["demo", "--out", "line.yaml", "--no-browser"],
        "line.yaml cannot be created, read or replaced",
    ),
    "no file to show prompts of": (["prompts", "show", "no.yaml"], "cannot read no.yaml"),
    "no such defect to show": (["prompts", "show", "line.yaml", "hol"], "Did you mean hole?"),
    "no such defect to change": (["prompts", "set", "line.yaml", "hol", "--threshold", "0.4"], "Did you mean hole?"),
    "no change": (["prompts", "set", "line.yaml", "hole"], "nothing to change"),
    "no number": (["prompts", "set", "line.yaml", "hole", "--threshold", "x"], "'--threshold'"),
    "out of range": (
        ["prompts", "set", "line.yaml", "hole", "--threshold", "1.5"],
        "threshold: must be a number above 0 and below 1",
    ),
    "there already": (["prompts", "add", "line.yaml", "hole", "--prompt", "hole"], "defect hole already exists"),
    "the last defect": (
        ["prompts", "remove", "line.yaml", "hole"],
        "cannot remove hole: at least one defect must remain",
    ),
    "nothing to pull": (["models", "pull", "tiny"], "tiny is embedded"),
    "not a hub id": (["models", "pull", "owlv2"], "'owlv2' is not a hub id"),
    "no such schema": (["schema", "show", "frame"], "available: config, event, frames, status"),
    "not a checkout": (["schema", "write", "full"], "full is not a checkout"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG_USAGE.values(), ids=WRONG_USAGE)
def test_wrong_usage_is_exit_code_2_and_says_what_is_wrong(
    arguments: list[str], said: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "video.mp4").write_text("not looked at")
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert config.read_text() == CONFIG
    assert not (tmp_path / "o").exists()


def test_a_folder_with_results_is_wrong_usage_too(config: Path, tmp_path: Path):
    video, out = write_video(tmp_path / "belt.mp4", count=3), tmp_path / "out"
    out.mkdir()
    (out / "summary.json").write_text("precious")
    found = tmp_path / "frames.jsonl"
    found.write_text("")
    result = call("replay", video, "--config", config, "--out", out, "--inspections", found)
    assert result.exit_code == 2, result.stderr
    assert "is not empty: choose a new folder" in result.stderr
    assert (out / "summary.json").read_text() == "precious"


CHECK_LITTLE = ["check", "line.yaml", "--camera", "top", "--set", "inspect.workers=[{device: cpu}]"]
FAILED = {
    "no video": (["replay", "line.yaml", "--config", "line.yaml", "--out", "o"], "cannot be opened as a video"),
    "nothing to undo": (["prompts", "undo", "line.yaml"], "nothing to undo"),
    "a damaged model": (["models", "verify", "empty"], "empty has no config.json"),
    "a check finds something": ([*CHECK_LITTLE, "--set", "transport.ring_dir=line.yaml"], "line.yaml: is not a folder"),
}


@pytest.mark.parametrize(("arguments", "said"), FAILED.values(), ids=FAILED)
def test_what_failed_is_exit_code_1(
    arguments: list[str], said: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = call(*arguments)
    assert result.exit_code == 1, result.stderr
    assert said in " ".join((result.stdout + result.stderr).split())
    assert "Traceback" not in result.stderr


def test_the_version():
    assert call("--version").stdout.strip() == __version__


@pytest.mark.parametrize("command", [["run"], ["check"]])
def test_a_wrong_configuration_is_exit_code_2_with_every_error_and_no_traceback(command: list[str], config: Path):
    config.write_text(CONFIG.replace("threshold: 0.5", "treshold: 0.5").replace("seed: 2", "seed: -2"))
    result = call(*command, config)
    assert result.exit_code == 2
    assert "treshold" in result.stderr
    assert "threshold" in result.stderr
    assert f"{config.name}:4" in result.stderr
    assert f"{config.name}:6" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_interrupt_is_reported_and_is_exit_code_130(config: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(path: Path, defect: str | None) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(prompts, "show", interrupted)
    result = call("prompts", "show", config)
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_prompts_are_changed_in_place_and_taken_back(config: Path):
    assert call("prompts", "set", config, "hole", "--prompt", "a puncture", "--threshold", "0.4").exit_code == 0
    assert "a puncture" in call("prompts", "show", config, "hole").stdout
    assert "# the usual one" in config.read_text()
    assert call("prompts", "undo", config).exit_code == 0
    assert config.read_text() == CONFIG


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_printed_as_json(name: str):
    assert json.loads(call("schema", "show", name).stdout)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("event", "docs/event.schema.json"),
        ("frames", "docs/frames.schema.json"),
        ("status", "docs/status.schema.json"),
    ],
)
def test_the_committed_schemas_are_up_to_date(name: str, path: str):
    assert (ROOT / path).read_text() == schema_text(name), "run `make docs`"
