"""`stream-inspect refused`: dead letters can be found, with the reason, and sent again by hand."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_inspect.alerts.stage import AlertsStage
from stream_inspect.cli import app
from stream_inspect.config.load import load
from stream_inspect.messages import as_sent, event_json
from stream_inspect.service.run_dir import lock_state_dir
from stream_inspect.store.deliveries import Outcome
from stream_inspect.store.deliveries_schema import Settled
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event
from tests.alerts.receivers import HttpReceiver, wait_until


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
    assert [line.split()[1] for line in told(config, "--output", "file")] == ["file"]
    assert len(store.dead_letters("hook")) == 2, "looking changes nothing"
    store.close()


class TestSendAgain:
    @pytest.fixture
    def receiver(self) -> Iterator[HttpReceiver]:
        receiver = HttpReceiver()
        receiver.start()
        yield receiver
        receiver.close()

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        store = EventStore(tmp_path / "state" / "events.sqlite")
        yield store
        store.close()

    @contextmanager
    def running(self, config: Path, receiver: HttpReceiver, tmp_path: Path) -> Iterator[None]:
        """The stage that sends, as in the service: it holds the state folder's lock."""
        config.write_text(config.read_text().replace("http://127.0.0.1:9/", f"http://127.0.0.1:{receiver.port}/"))
        lock = lock_state_dir(tmp_path / "state")
        stage = AlertsStage(load(config), tmp_path / "state" / "events.sqlite")
        stage.open()
        yield
        stage.close()
        lock.close()

    def test_rejected_events_reach_the_receiver_of_the_running_service_under_their_keys(
        self, config: Path, store: EventStore, receiver: HttpReceiver, tmp_path: Path
    ):
        receiver.answer = lambda request: (413 if b"scratch-2" in request.body else 204, {})
        with self.running(config, receiver, tmp_path):
            store.append([an_event(n) for n in (1, 2, 3)])
            assert wait_until(lambda: len(receiver.requests) == 3)
            assert wait_until(lambda: len(store.dead_letters("hook")) == 1)
            assert told(config, "--send-again") == ["hook: 1 event queued again; the service sends them now"]
            assert wait_until(lambda: len(receiver.requests) == 4)
            assert wait_until(lambda: len(store.dead_letters("hook")) == 1), "rejected again: listed again"
            receiver.answer = lambda _: (204, {})
            told(config, "--send-again", "--output", "hook")
            assert wait_until(lambda: len(receiver.requests) == 5)
            assert wait_until(lambda: store.backlog("hook").depth == 0)
        keys = [request.headers["webhook-id"].partition(":")[2] for request in receiver.requests]
        assert keys == [an_event(n).key for n in (1, 2, 3, 2, 2)]
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 3
        assert told(config) == []

    def test_while_the_service_is_stopped_they_wait_for_its_start(
        self, config: Path, store: EventStore, receiver: HttpReceiver, tmp_path: Path
    ):
        store.register_outputs(["hook", "file"])
        store.append([an_event(1), an_event(2)])
        for output in ("hook", "file"):
            outcomes = [Outcome(n, Settled.FAILED, reason="HTTP 500") for n in (1, 2)]
            store.outputs.settle(output, outcomes, cursor=2)
        (line,) = told(config, "--send-again", "--output", "hook")
        assert line == "hook: 2 events queued again; the service sends them when it is started"
        assert [line.split()[1] for line in told(config)] == ["file", "file"], "of the other output they stay"
        with self.running(config, receiver, tmp_path):
            assert wait_until(lambda: len(receiver.requests) == 2)
        assert told(config, "--send-again", "--output", "hook") == ["nothing to send again: no event was rejected"]

    def test_an_output_that_is_not_configured_is_named(self, config: Path, store: EventStore):
        result = CliRunner().invoke(app, ["refused", str(config), "--send-again", "--output", "hok"])
        assert result.exit_code == 2
        assert "no output 'hok'" in result.stderr
        assert "hook" in result.stderr
