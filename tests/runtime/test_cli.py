"""The command line parses, helps and refuses; what the commands do is tested where it is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stream_inspect import __version__
from stream_inspect.cli import app
from stream_inspect.runtime.schemas import SCHEMAS, schema_text

ROOT = Path(__file__).parents[2]
COMMANDS = [
    ["demo"], ["run"], ["replay"], ["check"],
    ["prompts", "show"], ["prompts", "set"], ["prompts", "add"], ["prompts", "remove"], ["prompts", "undo"],
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
    assert "Exit codes" in call("--help").stdout


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


def test_a_missing_file_is_named(tmp_path: Path):
    result = call("check", tmp_path / "no.yaml")
    assert result.exit_code == 2
    assert "no.yaml" in result.stderr


def test_an_unknown_camera_is_answered_with_those_there_are(config: Path):
    result = call("check", config, "--camera", "bottom")
    assert result.exit_code == 1
    assert "top, side" in result.stderr


def test_prompts_are_changed_in_place_and_taken_back(config: Path):
    assert call("prompts", "set", config, "hole", "--prompt", "a puncture", "--threshold", "0.4").exit_code == 0
    assert "a puncture" in call("prompts", "show", config, "hole").stdout
    assert "# the usual one" in config.read_text()
    assert call("prompts", "undo", config).exit_code == 0
    assert config.read_text() == CONFIG


def test_a_wrong_change_of_prompts_is_refused_whole(config: Path):
    result = call("prompts", "set", config, "hole", "--threshold", "1.5")
    assert result.exit_code == 2
    assert config.read_text() == CONFIG


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_printed_as_json(name: str):
    assert json.loads(call("schema", "show", name).stdout)


@pytest.mark.parametrize(("name", "path"), [("event", "docs/event.schema.json"), ("frames", "docs/frames.schema.json")])
def test_the_committed_schemas_are_up_to_date(name: str, path: str):
    assert (ROOT / path).read_text() == schema_text(name), "run `make docs`"
