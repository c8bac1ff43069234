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

from stream_inspect.alerts.watch import STEADY_AFTER_S
from stream_inspect.messages import Event, as_sent
from stream_inspect.store.events import EventStore, counter_of
from stream_inspect.store.files import events_database
from tests.capture.processes import need_rtsp_server
from tests.conftest import MakeDisk
from tests.e2e.faults import FAULTS, NOT_JUDGED, Fault
from tests.e2e.memory import ENOUGH_S, HEADER, MemoryWatch
from tests.e2e.outages import Outage, go_through, history, judged, summary, wait
from tests.e2e.plant import CAMERAS, DISK_KB, Plant
from tests.e2e.service import crowding
from tests.e2e.witness import Sign, Witness

MINUTES = float(os.environ.get("STREAM_INSPECT_SOAK_MINUTES", "60"))
SEED = int(os.environ.get("STREAM_INSPECT_SOAK_SEED", "1"))
GROWTH_MB_PER_HOUR = 1.0
WARM_UP_S = 900.0
"""Of each process: caches fill. The first round of faults takes about ten minutes, and processes are killed in it."""
DELIVERED_WITHIN_S = 60.0
LOOK_S = 0.2
"""What the witness itself takes to notice: it looks ten times a second, and /healthz has to answer."""
CROWDED = (*NOT_JUDGED, Sign("process_down"))
"""What is true of a machine that has other things to do; `make soak` wants one that has not."""
LAST_S = (5.0, 8.0, 8.0, 12.0, 12.0, 60.0)
"""How long outages last, by lot."""


def rounds(dice: random.Random) -> Iterator[list[Fault]]:
    """Each kind of fault once in every round, without end.

    Processes are killed in the first round alone: the memory of one that runs for minutes says nothing.
    """
    yield dice.sample(FAULTS, len(FAULTS))
    faults = [fault for fault in FAULTS if not fault.kills]
    while True:
        yield dice.sample(faults, len(faults))


class FailInTurn:
    """Lets the faults of a round fail one after the other.

    An output that fails again within `STEADY_AFTER_S` of its recovery stays reported for that long. That is right, and
    it is not what is measured here: an output has this time between its faults, in which others have their turn.
    """

    def __init__(self, plant: Plant, witness: Witness) -> None:
        self.outages: list[Outage] = []
        self._plant, self._witness = plant, witness

    def go_through(self, faults: list[Fault], times: Callable[[], tuple[float, float]], until_s: float) -> None:
        """Every fault once, each with the times (it lasts, the pause after it), unless the time is over before."""
        waiting = list(faults)
        while waiting:
            fault = min(waiting, key=self._ready_s)  # the first of those that are ready
            lasts_s, pause_s = times()
            begins_s = max(time.monotonic(), self._ready_s(fault))
            if begins_s + lasts_s + pause_s > until_s:
                return
            waiting.remove(fault)
            time.sleep(max(0.0, begins_s - time.monotonic()))
            self.outages.append(go_through(self._plant, self._witness, fault, lasts_s, pause_s))

    def _ready_s(self, fault: Fault) -> float:
        """Not before this time; 0 where it may be at once."""
        now_s = time.monotonic()
        ends_s = [
            now_s if one.ended_s is None else one.ended_s
            for one in self._witness.reports
            if one.sign.kind == "output_failing" and one.sign.source in fault.outputs
        ]
        ready_s = max(ends_s, default=0.0) + STEADY_AFTER_S
        return ready_s if ready_s > now_s else 0.0


def fail_in_turn(plant: Plant, witness: Witness, minutes: float, dice: random.Random) -> list[Outage]:
    """Round after round until the time is over."""
    turns, until_s = FailInTurn(plant, witness), time.monotonic() + 60 * minutes
    for faults in rounds(dice):
        turns.go_through(faults, lambda: (dice.choice(LAST_S), dice.uniform(1, 8)), until_s)
        if time.monotonic() > until_s - max(LAST_S):
            break
    return turns.outages


def each_once(plant: Plant, witness: Witness, dice: random.Random, most: int | None = None) -> list[Outage]:
    """One outage of each kind, or of `most` of them, as short as it can be noticed in."""
    turns = FailInTurn(plant, witness)
    turns.go_through(next(rounds(dice))[:most], lambda: (6.0, 1.0), float("inf"))
    return turns.outages


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
        counted, n = counter_of(event)
        numbers[counted].add(n)
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


def run(
    plant: Plant, outages_of: Callable[[Witness], list[Outage]], slack_s: float, excused: Sequence[Sign] = ()
) -> list[str]:
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
        failures += [
            f"left over: {one.sign} by {one.by}"
            for one in witness.standing()
            if not any(sign.covers(one.sign) for sign in excused)
        ]
    finally:
        witness.close()
    verdicts = judged(outages, witness, log, slack_s, excused)
    for one in verdicts:
        at = f"minute {(one.outage.began_s - start_s) / 60:.1f}, {one.outage.fault.name}"
        failures += [f"{at}: {failure}" for failure in one.failures]
    failures += [f"minute {(at_s - start_s) / 60:.1f}: {failure}" for at_s, failure in witness.failures]
    print(f"\nseed {SEED}: {len(verdicts)} outages, {len(log)} events, {witness.looks} looks at the ledger\n")
    print(history(verdicts, start_s), summary(verdicts), "\n".join(failures), sep="\n\n")
    return failures


@pytest.mark.timeout(600)
@pytest.mark.parametrize("most", [pytest.param(4, marks=pytest.mark.alone), pytest.param(None, marks=pytest.mark.soak)])
def test_each_outage_is_reported_and_no_event_is_lost(tmp_path: Path, make_disk: MakeDisk, most: int | None) -> None:
    need_rtsp_server()
    plant = Plant(tmp_path, make_disk(DISK_KB))
    try:
        start(plant)
        failures = run(plant, lambda witness: each_once(plant, witness, random.Random(SEED), most), crowding(), CROWDED)
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
        memory = MemoryWatch(plant.service)

        def fail(witness: Witness) -> list[Outage]:
            outages = fail_in_turn(plant, witness, MINUTES, random.Random(SEED))
            memory.close()
            return outages

        failures = run(plant, fail, slack_s=LOOK_S)
        grown = memory.growth(min(WARM_UP_S, 15 * MINUTES))
        print("", HEADER, *grown, sep="\n")
        if 60 * MINUTES >= ENOUGH_S:
            failures += [f"memory grows: {one}" for one in grown if one.mb_per_hour > GROWTH_MB_PER_HOUR]
        assert plant.service.stop() == 0
        assert failures == []
    finally:
        plant.close()
