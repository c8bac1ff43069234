"""The alert contract, on every registered class, with a real receiver at the other end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from stream_inspect import registry
from stream_inspect.alerts.alert import Alert, AlertError
from stream_inspect.config.load import load_text
from stream_inspect.config.outputs import alert_models
from stream_inspect.findings import Level
from stream_inspect.messages import Event
from tests.alerts.events import a_part, an_event
from tests.alerts.rigs import BUILT_IN, SECRET, TIMEOUT_S, Rig, rigs

LONGEST_SEND_S = 2 * TIMEOUT_S + 0.5


@pytest.fixture(params=rigs())
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    rig = rigs()[request.param](tmp_path)
    yield rig
    rig.close()


def open_and_send(alert: Alert, event: Event) -> None:
    alert.open()
    alert.send(event)


@pytest.mark.slow
class TestContract:
    @pytest.mark.parametrize("event", [an_event(1), a_part(1)], ids=["defect", "part"])
    def test_an_event_arrives_whole(self, rig, event):
        rig.alert.open()
        rig.alert.send(event)
        assert rig.arrived(1) == [rig.payload(event)]

    def test_events_arrive_in_order_and_once(self, rig):
        events = [an_event(n, camera=f"cam{n % 3}") for n in range(1, 101)]
        rig.alert.open()
        for n, event in enumerate(events):
            rig.alert.send(event)
            if n % 10 == 9:
                rig.arrived(n + 1)  # what cannot be acknowledged must not be sent faster than it is read
        assert rig.arrived(100) == [rig.payload(event) for event in events]

    def test_a_dead_receiver_is_an_error_that_passes(self, rig):
        """Where death cannot be noticed, what is sent meanwhile is lost without delaying anything."""
        first, second = an_event(1), an_event(2)
        open_and_send(rig.alert, first)
        rig.arrived(1)
        rig.take_away()
        for attempt in (rig.alert.send, partial(open_and_send, rig.alert)):
            start_s = time.monotonic()
            with pytest.raises(AlertError) if rig.notices_death else contextlib.suppress(AlertError) as found:
                attempt(second)
            assert time.monotonic() - start_s < LONGEST_SEND_S
            assert found is None or SECRET not in str(found.value)
            rig.alert.close()
        rig.bring_back()
        open_and_send(rig.alert, second)
        assert rig.arrived(2) == [rig.payload(first), rig.payload(second)]

    def test_one_that_acknowledges_notices_a_dead_receiver(self, rig):
        assert isinstance(rig.alert_class.acknowledges, bool)
        assert rig.notices_death or not rig.alert_class.acknowledges

    def test_close_may_come_at_any_time_and_twice(self, rig):
        rig.alert.close()
        rig.alert.open()
        rig.alert.close()
        rig.alert.close()
        rig.alert.open()
        rig.alert.send(an_event(1))
        rig.alert.check()
        rig.alert.close()
        assert len(rig.arrived(1)) == 1

    def test_close_is_quick_when_the_receiver_is_dead(self, rig):
        rig.alert.open()
        rig.take_away()
        start_s = time.monotonic()
        rig.alert.close()
        assert time.monotonic() - start_s < 1.5

    def test_nothing_shows_the_secret(self, rig):
        assert SECRET not in repr(vars(rig.alert))

    def test_its_probe_finds_the_receiver_sends_nothing_and_misses_it_when_it_is_gone(self, rig):
        there = rig.alert_class.probe(rig.config)
        assert there
        assert {finding.item for finding in there} == {rig.config.name}
        assert Level.FAIL not in {finding.level for finding in there}
        assert rig.payloads() == []
        rig.take_away()
        gone = rig.alert_class.probe(rig.config)
        assert (Level.FAIL in {finding.level for finding in gone}) is rig.notices_death
        assert SECRET not in repr(there + gone)


def test_every_kind_of_the_configuration_is_registered_and_has_an_example():
    assert sorted(BUILT_IN) == sorted(registry.BUILT_IN["alert"])
    assert [kind for kind in BUILT_IN if not alert_models()[kind].example] == []


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_constructor_does_no_work(kind, tmp_path):
    text = (
        "version: 1\ncameras: [{name: top, source: {kind: synthetic}}]\ndefects: [{name: hole, prompts: [hole]}]\n"
        + alert_models()[kind].example
    )
    (config,) = load_text(text, tmp_path / "line.yaml", fetch_secrets=False).alerts
    paths = {key: tmp_path / "folder" / key for key, value in config if isinstance(value, Path)}
    config = config.model_copy(update=paths)
    registry.load("alert", kind)(config, line="line1", state_dir=tmp_path).close()
    assert list(tmp_path.iterdir()) == []
