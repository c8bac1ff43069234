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
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stream_inspect.messages import Event, as_sent
from stream_inspect.store.events import EventStore, id_parts
from stream_inspect.store.files import events_database
from tests.capture.processes import need_rtsp_server
from tests.conftest import MakeDisk
from tests.e2e.faults import FAULTS, Fault
from tests.e2e.memory import ENOUGH_S, HEADER, MemoryWatch
from tests.e2e.outages import Outage, go_through, history, judged, summary, wait
from tests.e2e.plant import CAMERAS, DISK_KB, Plant
from tests.e2e.service import crowding
from tests.e2e.witness import Witness

MINUTES = float(os.environ.get("STREAM_INSPECT_SOAK_MINUTES", "60"))
SEED = int(os.environ.get("STREAM_INSPECT_SOAK_SEED", "1"))
GROWTH_MB_PER_HOUR = 1.0
WARM_UP_S = 900.0
"""The first round of faults takes about ten minutes: processes are killed in it."""
DELIVERED_WITHIN_S = 60.0


def rounds(dice: random.Random) -> Iterator[tuple[Fault, float, float]]:
    """(fault, how long it lasts, the pause after it) without end: each kind once in every round.

    Processes are killed in the first round alone: the memory of one that runs for minutes says nothing.
    """
    faults = list(FAULTS)
    while True:
        for fault in dice.sample(faults, len(faults)):
            yield fault, dice.choice((5.0, 8.0, 8.0, 12.0, 12.0, 60.0)), dice.uniform(1, 8)
        faults = [fault for fault in FAULTS if not fault.kills]


def fail_in_turn(plant: Plant, witness: Witness, minutes: float, dice: random.Random) -> list[Outage]:
    """Outages until the time is over."""
    outages = []
    until_s = time.monotonic() + 60 * minutes
    for fault, lasts_s, pause_s in rounds(dice):
        if time.monotonic() + lasts_s + pause_s > until_s:
            break
        outages.append(go_through(plant, witness, fault, lasts_s, pause_s))
    return outages


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
        refused = {f"{store.identity}:{key}" for _, key in store.dead_letters(name)}
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


def stop_while_events_wait(plant: Plant, witness: Witness) -> list[str]:
    """Stop the service while the webhook's receiver is away, and start it again with the receiver."""
    plant.webhook.kill()
    before = len(witness.arrivals["mqtt"])
    wait(lambda: len(witness.arrivals["mqtt"]) >= before + 3, 30)
    run_before = plant.service
    assert run_before.stop() == 0
    plant.webhook.start()
    plant.restart_service()
    start(plant)
    return [] if "Traceback" not in run_before.log else ["a traceback in the log"]


def run(plant: Plant, outages_of: Callable[[Witness], list[Outage]], slack_s: float) -> list[str]:
    """Go through the outages; returns what was wrong, and when it began."""
    witness = Witness(plant)
    start_s = time.monotonic()
    try:
        outages = outages_of(witness)
        killed = Counter(one.fault.kills for one in outages)
        failures = [
            f"{name} was restarted {count} times and killed {killed[name]} times"
            for name, count in witness.restarts.items()
            if count != killed[name]
        ]
        failures += stop_while_events_wait(plant, witness)
        plant.subscriber.acknowledge()
        store = EventStore(events_database(plant.state))
        failures += undelivered(store, witness)
        log = whole_log(store)
        failures += gaps(log)
        store.close()
        wait(lambda: not witness.standing(), 10)
        failures += [f"left over: {one.sign} by {one.by}" for one in witness.standing()]
    finally:
        witness.close()
    verdicts = judged(outages, witness, log, slack_s)
    for one in verdicts:
        at = f"minute {(one.outage.began_s - start_s) / 60:.1f}, {one.outage.fault.name}"
        failures += [f"{at}: {failure}" for failure in one.failures]
    failures += [f"minute {(at_s - start_s) / 60:.1f}: {failure}" for at_s, failure in witness.failures]
    print(f"\nseed {SEED}: {len(verdicts)} outages, {len(log)} events, {witness.looks} looks at the ledger\n")
    print(history(verdicts, start_s), summary(verdicts), "\n".join(failures), sep="\n\n")
    return failures


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_outage_is_reported_and_no_event_is_lost(tmp_path: Path, make_disk: MakeDisk) -> None:
    need_rtsp_server()
    plant = Plant(tmp_path, make_disk(DISK_KB))
    try:
        start(plant)
        failures = run(plant, lambda witness: each_once(plant, witness, random.Random(SEED)), crowding())
        assert plant.service.stop() == 0
        assert failures == []
    finally:
        plant.close()


@pytest.mark.soak
@pytest.mark.timeout(60 * MINUTES + 1200)
def test_an_hour_in_which_everything_fails(tmp_path: Path, make_disk: MakeDisk) -> None:
    need_rtsp_server()
    plant = Plant(tmp_path, make_disk(DISK_KB))
    try:
        start(plant)
        memory, began_s = MemoryWatch(plant.service), time.monotonic()

        def fail(witness: Witness) -> list[Outage]:
            outages = fail_in_turn(plant, witness, MINUTES, random.Random(SEED))
            memory.close()
            return outages

        failures = run(plant, fail, slack_s=0.0)
        grown = memory.growth(began_s + min(WARM_UP_S, 15 * MINUTES))
        print("", HEADER, *grown, sep="\n")
        if 60 * MINUTES >= ENOUGH_S:
            failures += [f"memory grows: {one}" for one in grown if one.mb_per_hour > GROWTH_MB_PER_HOUR]
        assert plant.service.stop() == 0
        assert failures == []
    finally:
        plant.close()
