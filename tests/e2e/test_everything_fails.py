"""An hour in a plant in which everything fails in turn: nothing is lost, and nothing fails without being reported.

Four cameras, a broker, a webhook's receiver and a disk fail by a schedule that the seed makes. At the end every event
of the log is at every receiver, the ledger has closed at every look, every outage was reported and its end as well,
nothing is reported that no fault explains, no process was restarted, and no process grows.

    STREAM_INSPECT_SOAK_MINUTES=10 STREAM_INSPECT_SOAK_SEED=7 make soak ARGS="tests/e2e/test_everything_fails.py"
"""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stream_inspect.messages import Event, as_sent
from stream_inspect.store.events import EventStore, id_parts
from stream_inspect.store.files import events_database
from tests.capture.processes import need_rtsp_server
from tests.conftest import MakeDisk
from tests.e2e.faults import FAULTS, Fault
from tests.e2e.memory import ENOUGH_S, HEADER, MemoryWatch
from tests.e2e.outages import Outage, Verdict, go_through, history, judged, summary
from tests.e2e.plant import CAMERAS, DISK_KB, Plant
from tests.e2e.service import crowding
from tests.e2e.witness import Witness

MINUTES = float(os.environ.get("STREAM_INSPECT_SOAK_MINUTES", "60"))
SEED = int(os.environ.get("STREAM_INSPECT_SOAK_SEED", "1"))
GROWTH_MB_PER_HOUR = 1.0
WARM_UP_S = 600.0
DELIVERED_WITHIN_S = 60.0


def rounds(dice: random.Random) -> Iterator[tuple[Fault, float, float]]:
    """(fault, how long it lasts, the pause after it) without end: each kind once in every round."""
    while True:
        for fault in dice.sample(FAULTS, len(FAULTS)):
            yield fault, dice.choice((5.0, 8.0, 8.0, 12.0, 12.0, 60.0)), dice.uniform(1, 8)


def fail_in_turn(plant: Plant, witness: Witness, minutes: float, dice: random.Random) -> list[Outage]:
    """Outages until the time is over."""
    outages = []
    until_s = time.monotonic() + 60 * minutes
    for fault, lasts_s, pause_s in rounds(dice):
        if time.monotonic() + lasts_s + pause_s > until_s:
            return outages
        outages.append(go_through(plant, witness, fault, lasts_s, pause_s))
    raise AssertionError("the rounds have no end")


def each_once(plant: Plant, witness: Witness, dice: random.Random) -> list[Outage]:
    """One outage of each kind, as short as it can be noticed in."""
    return [go_through(plant, witness, fault, 6.0, 1.0) for fault in dice.sample(FAULTS, len(FAULTS))]


def start(plant: Plant) -> None:
    """Until every camera is judged and nothing is reported."""

    def judging(document: dict) -> bool:
        frames = document["frames"]
        return document["status"] == "ok" and all(frames.get(name, {}).get("judged", 0) >= 5 for name in CAMERAS)

    plant.service.wait_for(judging, 120, "every camera judged")


def whole_log(store: EventStore) -> list[Event]:
    return [event for _, event in store.after(0, 1_000_000)]


def undelivered(store: EventStore, witness: Witness) -> list[str]:
    """What each receiver lacks of what is in the log now; waits for what is on its way."""
    keys = {as_sent(event, store.identity).key for event in whole_log(store)}
    failures = []
    until_s = time.monotonic() + DELIVERED_WITHIN_S
    for name, got in witness.keys.items():
        refused = {f"{store.identity}:{letter.key}" for letter in store.dead_letters(name)}
        while keys - got - refused and time.monotonic() < until_s:
            time.sleep(0.2)
        if refused:
            failures.append(f"{name}: {len(refused)} events rejected, though its receiver rejected none for what it is")
        if lost := keys - got - refused:
            failures.append(f"{name}: {len(lost)} of {len(keys)} events lost, such as {sorted(lost)[:3]}")
        if invented := set(got) - {as_sent(event, store.identity).key for event in whole_log(store)}:
            failures.append(f"{name}: {len(invented)} events that are not in the log, such as {sorted(invented)[:3]}")
    return failures


def gaps(log: Sequence[Event]) -> list[str]:
    """Events that were made and are not in the log: their numbers are missing."""
    numbers: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    for event in log:
        session, n = id_parts(event)
        numbers[event.camera, session, event.name].add(n)
    return [
        f"events missing in the log: {triple} has {sorted(found)}"
        for triple, found in numbers.items()
        if found != set(range(1, len(found) + 1))
    ]


def report(verdicts: Sequence[Verdict], start_s: float, log: Sequence[Event], witness: Witness) -> None:
    print(f"\nseed {SEED}: {len(verdicts)} outages, {len(log)} events, {witness.looks} looks at the ledger\n")
    print(history(verdicts, start_s))
    print(f"\n{summary(verdicts)}")


def run(plant: Plant, outages_of, slack_s: float) -> tuple[list[str], float]:
    """Go through the outages; what was wrong, and when it began."""
    start(plant)
    witness = Witness(plant)
    start_s = time.monotonic()
    try:
        outages = outages_of(plant, witness)
        store = EventStore(events_database(plant.state))
        plant.subscriber.acknowledge()
        failures = undelivered(store, witness)
        log = whole_log(store)
        failures += gaps(log)
        store.close()
    finally:
        witness.close()
    verdicts = judged(outages, witness, log, slack_s)
    report(verdicts, start_s, log, witness)
    for one in verdicts:
        at = f"minute {(one.outage.began_s - start_s) / 60:.1f}, {one.outage.fault.name}"
        failures += [f"{at}: {failure}" for failure in one.failures]
    failures += [f"minute {(at_s - start_s) / 60:.1f}: {failure}" for at_s, failure in witness.failures]
    failures += [f"{name} was restarted {count} times" for name, count in witness.restarts.items() if count]
    print("\n".join(["", *failures]))
    return failures, start_s


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_outage_is_reported_once_and_no_event_is_lost(tmp_path: Path, make_disk: MakeDisk) -> None:
    need_rtsp_server()
    dice = random.Random(SEED)
    plant = Plant(tmp_path, make_disk(DISK_KB))
    try:
        failures, _ = run(plant, lambda plant, witness: each_once(plant, witness, dice), crowding())
        plant.service.wait_for(lambda seen: seen["status"] == "ok", 10, "nothing left over")
        assert plant.service.stop() == 0
        assert "Traceback" not in plant.service.log
        assert failures == []
    finally:
        plant.close()


@pytest.mark.soak
@pytest.mark.timeout(60 * MINUTES + 1200)
def test_an_hour_in_which_everything_fails(tmp_path: Path, make_disk: MakeDisk) -> None:
    need_rtsp_server()
    dice = random.Random(SEED)
    plant = Plant(tmp_path, make_disk(DISK_KB))
    memory = MemoryWatch(plant.service)
    try:
        failures, start_s = run(plant, lambda plant, witness: fail_in_turn(plant, witness, MINUTES, dice), 0.0)
        plant.service.wait_for(lambda seen: seen["status"] == "ok", 10, "nothing left over")
        memory.close()
        grown = memory.growth(start_s + min(WARM_UP_S, 10 * MINUTES))
        print("\n".join(["", HEADER, *map(str, grown)]))
        if 60 * MINUTES >= ENOUGH_S:
            failures += [f"memory grows: {one}" for one in grown if one.mb_per_hour > GROWTH_MB_PER_HOUR]
        assert plant.service.stop() == 0
        assert "Traceback" not in plant.service.log
        assert failures == []
    finally:
        memory.close()
        plant.close()
