"""What the documents say is there is there: links, files, commands with their options, make targets, the first YAML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stream_inspect.alerts import watch
from stream_inspect.alerts.mqtt_connection import KEEPALIVE_S
from stream_inspect.alerts.outbox import POLL_S
from stream_inspect.alerts.stage import BACKLOG_S
from stream_inspect.alerts.status import SILENT_AFTER_S
from stream_inspect.cli import app
from stream_inspect.config.load import load
from stream_inspect.messages import ConditionKind
from stream_inspect.service import frame_rate, judging, overload, process_down
from stream_inspect.service.event_log import STUCK_AFTER_S
from stream_inspect.service.supervisor import WATCH_EVERY_S

ROOT = Path(__file__).parents[1]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INSTRUCTIONS = [*DOCUMENTS, *sorted((ROOT / "deploy").iterdir()), *sorted((ROOT / "configs").glob("*.yaml"))]


def found(pattern: str, documents: list[Path]) -> Iterator[tuple[Path, Any]]:
    """(document, match) of a pattern, as `re.findall` has it; lines that a backslash continues are one line."""
    for document in documents:
        text = re.sub(r"\\\n[#\s]*", " ", document.read_text())
        yield from ((document, match) for match in re.findall(pattern, text, re.MULTILINE))


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command that does something, by its words, with its options."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, set[str]]]:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, f"{words} {name}".strip())
        else:
            options = ([*parameter.opts, *parameter.secondary_opts] for parameter in command.params)
            yield words, {"--help"}.union(*options)

    return walk(typer.main.get_command(app), "")


def test_the_first_own_camera_takes_ten_lines_that_are_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", "of the camera")
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 10
    path = tmp_path / "press-3.yaml"
    path.write_text(block)
    config = load(path)
    assert config.cameras[0].source.kind == "rtsp"
    assert config.inspect.detector.model == "google/owlv2-base-patch16-ensemble"
    assert config.inspect.segmenter is not None
    assert config.inspect.segmenter.model == "facebook/sam-vit-base"
    assert config.alerts[0].kind == "mqtt"


def test_every_link_within_the_checkout_leads_somewhere() -> None:
    links = [(document, link) for document, link in found(r"\]\(([^)\s#]+)", DOCUMENTS) if "://" not in link]
    assert len(links) > 10
    assert [(document.name, link) for document, link in links if not (document.parent / link).exists()] == []


def test_every_file_of_ours_that_is_named_exists() -> None:
    files = list(found(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|js|md|yaml|toml|service))`", DOCUMENTS))
    assert len(files) > 30
    # `detect/resample.py` and `e2e/test_kill.py` stand for the file of ours whose path ends so.
    missing = [(document.name, name) for document, name in files if not (ROOT / name).exists() and not ours(name)]
    assert missing == []


def test_every_test_that_is_named_exists() -> None:
    named = list(found(r"`(tests/[\w/]+\.py)::((?:\w+::)*\w+)`", DOCUMENTS))
    missing = []
    for document, (path, name) in named:
        code = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        defined = re.findall(r"^\s*(?:def|class) (\w+)", code, re.MULTILINE)
        if not set(name.split("::")) <= set(defined):
            missing.append((document.name, path, name))
    assert missing == []


@pytest.mark.parametrize("section", ["When judging stops", "When alerting stops"])
def test_each_way_in_which_the_line_can_stop_names_a_test(section: str) -> None:
    text = (ROOT / "docs" / "operations.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 8
    assert [row[0] for row in rows if not re.search(r"`tests/[\w/]+\.py(?:::\w+)+`", row[-1])] == []


@pytest.mark.parametrize(
    ("way", "bound_s"),
    [
        ("a worker has stopped or hangs", judging.WITHIN_S),
        ("overload: more than 5 %", overload.WINDOW_S),
        ("a camera sends fewer than half", frame_rate.WINDOW_S),
        ("`track` hangs", process_down.DOWN_AFTER_S + WATCH_EVERY_S),
        ("the process `alerts` hangs", process_down.DOWN_AFTER_S + WATCH_EVERY_S),
        ("the event log is locked", STUCK_AFTER_S + WATCH_EVERY_S),
        ("a broker is away", POLL_S + watch.FAILING_AFTER_S),
        ("a broker or a receiver accepts and does not answer", POLL_S + watch.HANGS_AFTER_S),
        ("a receiver rejects one event", BACKLOG_S),
        ("the supervisor reports nothing", SILENT_AFTER_S),
        ("the service is gone", 1.5 * KEEPALIVE_S),
    ],
)
def test_the_time_within_which_a_way_is_reported_is_what_the_code_gives(way: str, bound_s: float) -> None:
    rows = (ROOT / "docs" / "operations.md").read_text().split(f"\n| {way}")
    assert len(rows) == 2
    stated = re.search(r"(\d+) s", rows[1].split(" | ")[1])
    assert stated is not None
    assert bound_s <= float(stated[1]) < bound_s + 2


def test_each_kind_of_condition_is_explained_to_the_operator() -> None:
    """In the tables of what can stop judging or alerting, not only in a log line that is quoted."""
    ways = (ROOT / "docs" / "operations.md").read_text().partition("## When judging stops\n")[2]
    assert [kind for kind in ConditionKind if f"`{kind}`" not in ways] == []


def test_the_layers_are_those_that_are_checked() -> None:
    text = (ROOT / "docs" / "decisions" / "0016-import-layers.md").read_text()
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    listed = [re.split(r"\s{4,}", line)[0] for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE)]
    assert [set(layer.split(" | ")) for layer in listed] == [set(layer.split(" | ")) for layer in contract["layers"]]


def test_everything_that_was_tried_names_its_test() -> None:
    text = (ROOT / "docs" / "what-was-tried.md").read_text()
    (rows,) = [[line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "::" in line]]
    sections = text.partition("\n## ")[2]
    listed = [line for line in sections.splitlines() if line.startswith("| ") and not line.startswith("| what |")]
    assert len(rows) == len(listed) > 20
    assert [row[0] for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+`", row[-1])] == []


def ours(name: str) -> bool:
    return any(any((ROOT / folder).rglob(name)) for folder in ("stream_inspect", "tests"))


def test_the_examples_of_the_help_are_commands_with_their_options() -> None:
    known = dict(commands())
    code = [path.read_text() for path in (ROOT / "stream_inspect" / "cli").glob("*.py")]
    examples = [example for text in code for example in re.findall(r"Example: `stream-inspect (.*)`", text)]
    assert len(examples) > 5
    for example in examples:
        name = next(name for name in sorted(known, key=len, reverse=True) if example.startswith(f"{name} "))
        assert set(re.findall(r"(?<!\S)--[a-z-]+", example)) <= known[name], example


def test_every_command_that_is_named_exists_with_its_options() -> None:
    known = dict(commands())
    groups = {words.split()[0] for words in known if " " in words}
    named = list(found(r"(?:^|[`(*]|bin/)stream-inspect ([a-z]+\b[^`|\n]*)", INSTRUCTIONS))
    assert len(named) > 20
    wrong = []
    for document, line in named:
        words = [word for word in (" ".join(line.split()[:2]), line.split()[0]) if word in known]
        if words:
            unknown = set(re.findall(r"(?<!\S)--[a-z-]+", line)) - known[words[0]]
            wrong += [(document.name, line, option) for option in unknown]
        elif line.strip() not in groups:  # a group spoken of as such is right
            wrong.append((document.name, line, ""))
    assert wrong == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = list(found(r"(?:`|^#? *)make ([a-z-]+)", INSTRUCTIONS))
    assert {"demo", "test"} <= {target for _, target in named}
    assert [(document.name, target) for document, target in named if target not in targets] == []


def test_what_is_written_by_hand_has_lines_as_long_as_the_codes() -> None:
    """Rows of tables, log lines and JSON are as long as they are."""
    lines = [(document.name, line) for document in DOCUMENTS for line in document.read_text().splitlines()]
    assert [each for each in lines if len(each[1]) > 120 and not re.match(r"\||\{|\d\d:\d\d:\d\d\.", each[1])] == []


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [path.read_text().split(". ")[0] for path in DECISIONS] == [f"# {n + 1}" for n in range(len(DECISIONS))]
    assert [int(path.name[:4]) for path in DECISIONS] == [n + 1 for n in range(len(DECISIONS))]
