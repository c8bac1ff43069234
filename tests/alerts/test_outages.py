"""No alert is lost: events through a mosquitto that is killed and started again, while alerts itself is killed too.

What "none lost" means here. The outbox hands an event over when the broker acknowledges it (PUBACK); what the broker
had only in memory then, kill -9 takes with it, and no sender can know. But mosquitto writes an event to the subscribers
that are connected before it acknowledges it to us. So the subscriber here
- has a persistent session (QoS 1) that mosquitto has saved, and comes back by itself,
- is connected whenever the broker is killed, and
- answers only in between. One that answers each event breaks its connection to a dead broker by its own PUBACK, before
  it has read all that the broker had sent: its loss, and on a busy computer 25 events in one run of four.
Nothing else is arranged: the kills come at random times in the middle of the traffic. Then all that was ever
acknowledged must have arrived.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from stream_inspect.messages import Event, as_sent
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event
from tests.alerts.receivers import Mosquitto, Subscriber, wait_until

ROOT = Path(__file__).parents[2]


class AlertsProcess:
    """The process that sends, in as many lives as it takes."""

    def __init__(self, folder: Path, store: Path, port: int) -> None:
        alerts = [{"kind": "mqtt", "host": "127.0.0.1", "port": port, "timeout_s": 2}]
        module = "tests.alerts.alerts_process"
        self._command = [sys.executable, "-m", module, str(folder), str(store), json.dumps(alerts)]
        self._log = (folder / "alerts.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=self._log, stderr=self._log)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._log.close()


@dataclass
class Result:
    """What the outages did."""

    events: list[str]
    received: list[str]
    outages: int = 0
    kills_in_traffic: int = 0
    kills_of_alerts: int = 0
    repeated_by_broker: int = 0
    seconds: float = 0.0

    @property
    def firsts(self) -> list[str]:
        return list(dict.fromkeys(self.received))

    @property
    def is_in_order(self) -> bool:
        """That of each camera: while an event fails, those of other cameras are tried."""
        cameras = {camera_of(key) for key in self.events}
        return all(
            [key for key in self.firsts if camera_of(key) == camera]
            == [key for key in self.events if camera_of(key) == camera]
            for camera in cameras
        )

    @property
    def duplicates(self) -> int:
        return len(self.received) - len(self.firsts)

    def __str__(self) -> str:
        lost = len(set(self.events) - set(self.received))
        return (
            f"{len(self.events)} events, {self.outages} kills of the broker ({self.kills_in_traffic} with events "
            f"waiting), {self.kills_of_alerts} kills of alerts, {self.seconds:.0f} s: {lost} lost, "
            f"{'in order' if self.is_in_order else 'OUT OF ORDER'}, {self.duplicates} duplicates "
            f"({self.repeated_by_broker} of them repeated by the broker)"
        )


def go_through(folder: Path, events: int, outages: int, seed: int) -> Result:
    """Append events all the while, kill the broker `outages` times and alerts every fourth time, and say what came."""
    dice = random.Random(seed)
    broker = Mosquitto(
        folder / "broker",
        extra=f"persistence true\npersistence_location {folder}/broker/\nautosave_on_changes true\nautosave_interval 1",
    )
    broker.start()
    saved = folder / "broker" / "mosquitto.db"
    subscriber = Subscriber(broker.port, "stream_inspect/+/+/events", holds_acks=True)
    assert wait_until(lambda: saved.exists() and b"subscriber" in saved.read_bytes()), "the session is not saved"
    store = EventStore(folder / "events.db")
    store.register_outputs(["mqtt"])
    alerts = AlertsProcess(folder, folder / "events.db", broker.port)
    all_events = [an_event(n, camera=f"cam{n % 3}", line=f"line{n % 2}") for n in range(1, events + 1)]
    identity = store.identity
    result = Result(events=[as_sent(event, identity).key for event in all_events], received=[])
    # Appending lasts longer than the outages do: each of them strikes while events are made.
    pace_s = outages * 1.0 / events
    appending = threading.Thread(target=append_all, args=(store, all_events, pace_s, dice.randrange(2**32)))
    start_s = time.monotonic()
    try:
        alerts.start()
        appending.start()
        for outage in range(outages):
            before = len(subscriber.messages)
            assert wait_until(lambda seen=before: len(subscriber.messages) > seen, 30), f"stuck in outage {outage}"
            # Some kills come at once, while what waited through the last outage is being sent, some in quieter times.
            time.sleep(dice.uniform(0, dice.choice([0.02, 0.4])))
            assert subscriber.is_subscribed.wait(10)
            subscriber.acknowledge()
            result.kills_in_traffic += store.backlog("mqtt").depth > 0
            broker.kill()
            result.outages += 1
            # It has read to the end of the old connection before there can be a new one: otherwise a slow subscriber
            # would still look connected at the next kill.
            assert wait_until(lambda: not subscriber.is_subscribed.is_set(), 10)
            time.sleep(dice.uniform(0.02, 0.5))
            if outage % 4 == 2:
                alerts.kill()
                alerts.start()
                result.kills_of_alerts += 1
            broker.start()
            assert subscriber.is_subscribed.wait(10)
        appending.join()
        wait_until(lambda: store.backlog("mqtt").depth == 0, 60)
        wait_until(lambda: len({payload for _, payload, _ in subscriber.messages}) >= events, 10)
        result.seconds = time.monotonic() - start_s
    finally:
        appending.join()
        alerts.close()
        subscriber.close()
        broker.close()
        store.close()
    result.repeated_by_broker = subscriber.repeated_by_broker
    got = [msgspec.json.decode(payload, type=Event) for _, payload, _ in subscriber.messages]
    by_key = {event.key: event for event in (as_sent(event, identity) for event in all_events)}
    assert all(event.late_s >= 0 for event in got)
    in_the_log = [msgspec.structs.replace(event, late_s=msgspec.UNSET) for event in got]
    assert all(event == by_key[event.key] for event in in_the_log), "a duplicate differs from its original"
    result.received = [event.key for event in got]
    return result


def camera_of(key: str) -> str:
    return key.partition(":")[2].partition("-")[0]


def append_all(store: EventStore, events: list[Event], pace_s: float, seed: int) -> None:
    """In bursts, so that there is often something waiting."""
    dice = random.Random(seed)
    while events:
        size = dice.randint(1, 10)
        burst, events = events[:size], events[size:]
        store.append(burst)
        time.sleep(size * pace_s)


def judge(result: Result) -> None:
    print(result)
    assert sorted(result.firsts) == sorted(result.events)
    assert result.is_in_order
    # A death between an acknowledgement and its record repeats one event; nothing else does.
    assert result.duplicates - result.repeated_by_broker <= result.outages + result.kills_of_alerts


@pytest.mark.slow
def test_through_3_outages(tmp_path):
    result = go_through(tmp_path, events=120, outages=3, seed=1)
    judge(result)
    assert result.outages == 3
    assert result.kills_of_alerts == 1


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_1000_events_through_20_outages(tmp_path):
    result = go_through(tmp_path, events=1000, outages=20, seed=2)
    judge(result)
    assert result.outages == 20
    assert result.kills_of_alerts == 5
