"""`stream-inspect refused`: dead letters can be found, with the reason, and sent again by hand."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_inspect.cli import app
from stream_inspect.messages import as_sent, event_json
from stream_inspect.store.deliveries import Outcome, Settled
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "line.yaml"
    path.write_text(
        f"version: 1\nstate_dir: {tmp_path}/state\n"
        "cameras: [{name: cam1, source: {kind: synthetic}}]\n"
        "defects: [{name: scratch, prompts: [a scratch]}]\n"
        "alerts: [{kind: webhook, name: hook, url: 'http://127.0.0.1:9/'}, {kind: file}]\n"
    )
    return path


def told(*arguments: str | Path) -> list[str]:
    result = CliRunner().invoke(app, ["refused", *(str(argument) for argument in arguments)])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_where_there_is_no_event_log_none_is_looked_through(config: Path, tmp_path: Path):
    """Silence would read as `none rejected`, and the log may lie elsewhere: the unit sets `state_dir`."""
    result = CliRunner().invoke(app, ["refused", str(config)])
    assert result.exit_code == 2
    shown = "".join(result.stderr.replace("│", "").split())  # in a box that breaks a long path
    assert f"no event log at {tmp_path}/state/events.sqlite".replace(" ", "") in shown
    assert not (tmp_path / "state").exists()


def test_each_dead_letter_is_listed_with_its_reason_and_whole(config: Path, tmp_path: Path):
    store = EventStore(tmp_path / "state" / "events.sqlite")
    store.register_outputs(["hook", "file"])
    events = [an_event(n) for n in (1, 2, 3, 4)]
    store.append(events)
    for output, position, reason in (
        ("hook", 2, "HTTP 413 Too Large: [over 1 MB]"),
        ("hook", 3, "cannot be read"),
        ("file", 4, "not that one"),
    ):
        store.outputs.settle(output, [Outcome(position, Settled.REJECTED, reason=reason)], cursor=position)
    with sqlite3.connect(tmp_path / "state" / "events.sqlite") as file:
        file.execute("UPDATE events SET body = '{}' WHERE position = 3")
    file.close()
    lines = told(config)
    assert [line.split("  ", 1)[1] for line in lines] == [
        f"hook  {an_event(2).key}  HTTP 413 Too Large: [over 1 MB]",
        f"hook  {an_event(3).key}  cannot be read",
        f"file  {an_event(4).key}  not that one",
    ]
    assert [json.loads(line) for line in told(config, "--json")] == [
        json.loads(event_json(as_sent(event, store.identity))) for event in (events[1], events[3])
    ]
    assert len(store.dead_letters("hook")) == 2, "looking changes nothing"
    store.close()
