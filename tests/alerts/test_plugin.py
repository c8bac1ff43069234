"""An output of another package joins by the door that ours use: its own schema, its own probe, its own promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_inspect.alerts.build import build_alert
from stream_inspect.alerts.stage import AlertsStage
from stream_inspect.commands.check.outputs import check_alert
from stream_inspect.config.load import ConfigError, dump, load_text, parse_dump, redacted
from stream_inspect.config.models import Config
from stream_inspect.findings import Level
from stream_inspect.registry import UnknownPluginError
from stream_inspect.store.events import EventStore
from tests.alerts.conftest import Install
from tests.alerts.events import an_event

BELL = """
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Literal

from pydantic import Field

from stream_inspect.config.base import ConfigFinding
from stream_inspect.config.plugin import PluginOptions
from stream_inspect.config.secret import Secret
from stream_inspect.findings import ok


class Tone(Enum):
    LOW = "low"
    HIGH = "high"


class BellOptions(PluginOptions):
    path: Path = Field(description="Where it rings.")
    times: int = Field(1, ge=1, le=9)
    tone: Tone = Tone.HIGH
    lines: list[str] = []
    code: Secret | None = None
    loud: bool = False

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.loud and self.times > 3:
            yield ConfigFinding(("times",), "more than 3 are too loud")


class BellAlert:
    acknowledges = False
    options_model = BellOptions

    def __init__(self, config: BellOptions, *, line: str, state_dir: Path) -> None:
        self.config = config

    def open(self) -> None:
        pass

    def send(self, event) -> None:
        with self.config.path.open("a") as bell:
            bell.write(f"{self.config.name} {event.key}\\n" * self.config.times)

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass

    @staticmethod
    def probe(config: BellOptions):
        return [ok(config.name, f"rings {config.times} times, {config.tone.value}")]
"""
REST = """\
version: 1
cameras: [{name: top, source: {kind: synthetic}}]
defects: [{name: hole, prompts: [hole]}]
"""
HIDDEN = "hunter2-Zq9"


def config_of(folder: Path, options: str, plugin: str = "bell", overrides: tuple[str, ...] = ()) -> Config:
    text = f"{REST}alerts:\n  - {{kind: file}}\n  - {{kind: plugin, name: door, plugin: {plugin}{options}}}\n"
    return load_text(text, folder / "line.yaml", overrides)


def problems(folder: Path, options: str, plugin: str = "bell", overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_of(folder, options, plugin, overrides)
    return [str(problem).removeprefix(f"{folder}/line.yaml:") for problem in caught.value.problems]


@pytest.fixture
def bell(install: Install) -> None:
    install("bell", "alert", BELL)


@pytest.mark.usefixtures("bell")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("{path: a, tims: 2}", ".tims: unknown key. Did you mean alerts[1].options.times?"),
        ("{path: a, times: 12}", ".times: must be a whole number from 1 to 9, not 12"),
        ("{path: a, times: true}", ".times: must be a whole number from 1 to 9, not true"),
        ("{path: a, tone: hihg}", '.tone: must be low or high, not "hihg". Did you mean high?'),
        ("{path: a, lines: line1}", '.lines: must be a list, not "line1"'),
        ("{path: a, lines: [1]}", ".lines[0]: must be text, not 1: put it in quotes"),
        ("{path: a, times: {b: 1}}", ".times: must be a whole number from 1 to 9, not a mapping"),
        ("{path: a, code: {env: NOT_SET_ANYWHERE}}", ".code: environment variable NOT_SET_ANYWHERE is not set"),
        ("{path: a, loud: true, times: 4}", ".times: more than 3 are too loud"),
        ("{path: a, name: b}", ".name: belongs one level up, next to `plugin`"),
        ("{times: 2}", ".path: is missing: write a path (Where it rings)"),
    ],
)
def test_an_option_that_is_wrong_is_told_with_its_place_and_what_was_meant(
    options: str, told: str, tmp_path: Path
) -> None:
    (found,) = problems(tmp_path, f", options: {options}")
    line, column, rest = found.split(":", 2)
    assert line == "6", found
    assert int(column) > len("  - {kind: plugin, name: door, plugin: bell"), found
    assert rest.startswith(f" alerts[1].options{told}"), found


@pytest.mark.usefixtures("bell")
def test_a_required_option_is_missed_where_no_options_are_given(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "")
    assert found == "6:5: alerts[1].options.path: is missing: write a path (Where it rings)"


@pytest.mark.usefixtures("bell")
def test_an_option_that_is_wrong_is_told_with_everything_else_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(
            REST + "web: {prot: 1}\nalerts:\n  - {kind: mqtt}\n"
            "  - {kind: plugin, name: door, plugin: bell, options: {path: a, times: 12}}\n",
            tmp_path / "line.yaml",
        )
    assert [problem.key for problem in caught.value.problems] == [
        "web.prot",
        "alerts[0].host",
        "alerts[1].options.times",
    ]


@pytest.mark.usefixtures("bell")
def test_options_are_typed_paths_absolute_and_secrets_hidden(tmp_path: Path) -> None:
    config = config_of(tmp_path, f", options: {{path: out/bell, lines: [a, b], code: {HIDDEN}, tone: low}}")
    for reached in (config, parse_dump(dump(config))):
        own = build_alert(reached.alerts[1], reached).config  # type: ignore[attr-defined]
        assert (own.name, own.path, own.times, own.tone.value) == ("door", tmp_path / "out" / "bell", 1, "low")
        assert own.lines == ["a", "b"]
        assert own.code.get_secret_value() == HIDDEN
        assert HIDDEN not in redacted(reached) + repr(reached)
    (found,) = problems(tmp_path, ", options: {path: a}", overrides=(f"alerts.door.options.code={HIDDEN}",))
    assert "a secret on the command line is visible to every user" in found


@pytest.mark.usefixtures("bell")
def test_it_gets_events_as_ours_do(tmp_path: Path) -> None:
    config = config_of(tmp_path, ", options: {path: bell, times: 2}")
    store = EventStore(tmp_path / "events.sqlite")
    stage = AlertsStage(config, tmp_path / "events.sqlite")
    stage.open()
    store.append([an_event(1), an_event(2)])
    stage.close()
    store.close()
    wanted = [f"door {store.identity}:{an_event(n).key}" for n in (1, 1, 2, 2)]
    assert (tmp_path / "bell").read_text().splitlines() == wanted


@pytest.mark.usefixtures("bell")
def test_check_asks_it_and_says_when_it_does_not_acknowledge(tmp_path: Path) -> None:
    config = config_of(tmp_path, ", options: {path: bell, times: 2}")
    probed, promise = check_alert(config.alerts[1], config)
    assert (probed.item, probed.text) == ("alert door", "rings 2 times, high")
    assert promise.text.startswith("its receiver acknowledges nothing")
    assert [finding.text for finding in check_alert(config.alerts[0], config)] == [
        f"{tmp_path}/state/events.jsonl can be written"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_library\n\nclass Broken:\n    pass\n", "No module named 'no_such_library'"),
        ("class Broken:\n    pass\n", "its class Broken does not state acknowledges, probe, options_model"),
    ],
)
def test_one_that_is_broken_is_reported_and_keeps_nothing_else_from_working(
    text: str,
    why: str,
    tmp_path: Path,
    install: Install,
) -> None:
    install("broken", "alert", text)
    config = config_of(tmp_path, ", options: {anything: 1}", plugin="broken")
    (found,) = check_alert(config.alerts[1], config)
    assert (found.level, found.text) == (Level.FAIL, f"the plug-in broken cannot be loaded: {why}")
    store = EventStore(tmp_path / "events.sqlite")
    stage = AlertsStage(config, tmp_path / "events.sqlite")
    stage.open()
    store.append([an_event(1)])
    stage.close()
    assert len((tmp_path / "state" / "events.jsonl").read_text().splitlines()) == 1
    assert store.backlog("door").depth == 1
    store.close()
    with pytest.raises((UnknownPluginError, ImportError), match=why):
        build_alert(config.alerts[1], config)


def test_check_fails_for_a_plugin_that_cannot_be_created(tmp_path: Path, install: Install) -> None:
    install("bell", "alert", BELL.replace("self.config = config", 'raise OSError("no bell on this computer")'))
    config = config_of(tmp_path, ", options: {path: bell}")
    (found,) = check_alert(config.alerts[1], config)
    assert found.level is Level.FAIL
    assert found.text == "the plug-in bell cannot be created: OSError: no bell on this computer"


@pytest.mark.usefixtures("bell")
@pytest.mark.parametrize("kind", ["bell", "bel"])
def test_a_plugin_that_is_written_as_a_kind_is_recognised(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(f"{REST}alerts: [{{kind: {kind}, name: door}}]\n", tmp_path / "line.yaml")
    assert f'plugin, not "{kind}". For the plug-in bell write kind: plugin, plugin: bell' in str(caught.value)


def test_ours_are_not_plugins(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "", plugin="mqtt")
    assert found.endswith("alerts[1].plugin: mqtt is built in: write kind: mqtt")
