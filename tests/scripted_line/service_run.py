"""A scripted line inspected by the real service, whose processes are killed; seen from outside, as by a plant.

What is known of the parts is what leaves the service: the sums at /metrics and the events of its log.
"""

from __future__ import annotations

import random
import re
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stream_inspect.config.load import dump
from stream_inspect.messages import DecidedPart, Event, Reason
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database
from tests.e2e.service import Service, crowding
from tests.plant.rigs.modbus import ENCODER, served
from tests.scripted_line.account import Counted, Disturbance, Truth
from tests.scripted_line.in_process import MM_PER_COUNT, VIEWS, line_config
from tests.scripted_line.plugins import NAME, ROUND_S, Schedule, install, views
from tests.scripted_line.script import PART_MM, Script, ScriptedPart

LOOK_EVERY_S = 0.2
RESTARTED_WITHIN_S = 30.0
_LEARNS_S = 3.0
"""Empty belt before the script begins."""
_MOST_STRETCHED = 8.0
_COUNT_AT_0 = 1_000_000
_COUNTS_EVERY_S = 0.01
_SUM = re.compile(
    r'^stream_inspect_parts(_residual)?\{lane="(\d+)",line="[^"]*"(?:,state="(\w+)")?\} (\S+)$', re.MULTILINE
)
"""Prometheus' text has its labels in the order of the alphabet."""


class Encoder:
    """A PLC of its own process, whose register turns with the belt of a script."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.server = served()
        self._folder, self._script = folder, script
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5)
        self.server.kill()

    def _turn(self) -> None:
        while not self._stopping.wait(_COUNTS_EVERY_S):
            schedule = Schedule.of(self._folder)
            count = _COUNT_AT_0 + round(self._script.mm(schedule.now_s()) / MM_PER_COUNT)
            count %= 1 << 32
            self.server.tell(holding={ENCODER: [count >> 16, count & 0xFFFF]})


@dataclass
class Failures:
    """What fails, in seconds of the script."""

    kills: dict[str, int]
    """How often each is killed: `capture`, `inspect`, `track` and the whole `service`."""
    outages: int = 2
    overloads: int = 3
    bad_frames: float = 0.01

    def schedule(self, seed: int, script: Script) -> tuple[Schedule, list[tuple[float, str]]]:
        """When the camera is away, judging takes long and what is killed; not before the first parts."""
        dice = random.Random(f"service {seed}")

        def stretches(count: int, longest_s: float) -> list[tuple[float, float]]:
            begin_s = sorted(dice.uniform(4, script.end_s) for _ in range(count))
            return [(at_s, at_s + dice.uniform(0.3, longest_s)) for at_s in begin_s]

        schedule = Schedule(
            seed=script.seed,
            parts=len(script.parts),
            began_s=0.0,
            bad_frames=self.bad_frames,
            outages=stretches(self.outages, 2.0),
            overloads=stretches(self.overloads, 4.0),
        )
        kills = [(dice.uniform(3, script.end_s), name) for name, count in self.kills.items() for _ in range(count)]
        return schedule, sorted(kills)


@dataclass
class Looks:
    """What was seen at /metrics."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)
    """Sums that did not close."""


class ServiceRun:
    """One run of a script: `run`, then read the rest."""

    def __init__(self, folder: Path, seed: int, parts: int, failures: Failures, odometer: str) -> None:
        self.script = Script(seed, parts)
        self.looks = Looks()
        self.disturbances: list[Disturbance] = []
        self._folder, self._odometer = folder, odometer
        self._schedule, self._kills = failures.schedule(seed, self.script)
        self._schedule.stretch = min(_MOST_STRETCHED, crowding())
        self.disturbances += [Disturbance("outage", *one) for one in self._schedule.outages]
        self.disturbances += [Disturbance("overload", *one) for one in self._schedule.overloads]
        install(folder / "site")
        (folder / "model").mkdir()
        (folder / "model" / "README").write_text("The scripted line's detector has no weights.\n")
        self._put_off()
        self._encoder = Encoder(folder, self.script) if odometer == "encoder" else None
        self._config = folder / "line.yaml"
        self._config.write_text(self._document())
        self._runs = 0
        self._service = self._started()

    def run(self) -> None:
        """Run the script from its beginning until all parts are carried away, and stop the service."""
        if self._encoder is not None:
            self._encoder.start()
        self._service.wait_judging(5, within_s=60 * crowding())
        time.sleep(_LEARNS_S * self._schedule.stretch)
        rounds = -self._schedule.now_s() // ROUND_S
        self._schedule.began_s -= rounds * ROUND_S * self._schedule.stretch
        self._schedule.write(self._folder)
        while (now_s := self._schedule.now_s()) < self.script.end_s + 3.0:
            if self._kills and self._kills[0][0] <= now_s:
                self._kill(self._kills.pop(0)[1])
            self._look()
            time.sleep(LOOK_EVERY_S)
        assert self._service.stop() == 0

    def close(self) -> None:
        self._service.close()
        if self._encoder is not None:
            self._encoder.close()

    @property
    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("log*")))

    def truth(self) -> Truth:
        """What the run shows of the script. Which frames the finder had is not known from outside."""
        return Truth(
            self.script,
            defaultdict(int, views(self._folder)),
            defaultdict(int),
            self.disturbances,
            VIEWS,
            self._odometer,
        )

    def events(self) -> list[Event]:
        """The verdicts in the event log."""
        store = EventStore(events_database(self._folder / "state"))
        events = [event for _, event in store.after(0, 1_000_000) if event.kind == "part"]
        store.close()
        return events

    def counted(self) -> tuple[list[Counted], list[Counted]]:
        """Our parts by the events: those whose place is known, and the others."""
        return placed(self.script, [one for one in map(self._counted, self.events()) if one is not None])

    # --- inside --------------------------------------------------------------------------------------------------

    def _counted(self, event: Event) -> Counted | None:
        part = event.part
        assert isinstance(part, DecidedPart)
        utc_less_mono_ns = event.last_seen_utc_ns - part.decided_mono_ns
        centre_mm = float("nan")
        # Where it passed unseen, its time is one between two frames: the belt may have stood there.
        if part.trigger_utc_ns is not None and part.reason is not Reason.UNWATCHED:
            mono_s = (part.trigger_utc_ns - utc_less_mono_ns) / 1e9
            centre_mm = self.script.mm((mono_s - self._schedule.began_s) / self._schedule.stretch)
        return Counted((part.run, part.number), part.verdict, part.reason, event.reason, part.lane, centre_mm)

    def _put_off(self) -> None:
        """The script begins long after now: the belt runs empty."""
        self._schedule.began_s = time.monotonic() + 1000 * ROUND_S * self._schedule.stretch
        self._schedule.write(self._folder)

    def _document(self) -> str:
        source = {"kind": "plugin", "plugin": NAME, "options": {"folder": str(self._folder)}}
        every_verdict = {"kind": "file", "verdicts": ["PASS", "FAIL", "UNDECIDED"]}
        config = line_config(
            self._odometer,
            source,
            port=None if self._encoder is None else self._encoder.server.port,
            trigger_mm=0.0,
            stretch=self._schedule.stretch,
            state_dir=str(self._folder / "state"),
            inspect={"detector": {"kind": NAME, "model": str(self._folder / "model")}, "segmenter": None},
            alerts=[every_verdict],
            web={"enabled": False},
            recorder={"enabled": False},
        )
        return dump(config)

    def _started(self) -> Service:
        self._runs += 1
        return Service(self._config, self._folder / f"log{self._runs:03}")

    def _kill(self, name: str) -> None:
        began_s = self._schedule.now_s()
        if name == "service":
            self._service.process.kill()
            self._service.close()
            self._service = self._started()
            self._service.wait_judging(1, within_s=RESTARTED_WITHIN_S * crowding())
        else:
            row = next((row for row in self._service.children() if row.split(".")[0] == name), None)
            if row is None:
                return  # it is being restarted
            restarts = self._service.processes()[row]["restarts"]
            self._service.children()[row].kill()

            def is_back(document: dict) -> bool:
                process = document["processes"][row]
                return bool(process["running"] and process["restarts"] > restarts)

            self._service.wait_for(is_back, RESTARTED_WITHIN_S * crowding(), f"{row} restarted")
        self.disturbances.append(Disturbance(name, began_s, self._schedule.now_s()))

    def _look(self) -> None:
        """The sums as they stand at /metrics."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._service.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.HTTPError):
            return
        sums: dict[str, dict[str, float]] = defaultdict(dict)
        for residual, lane, state, value in _SUM.findall(text):
            sums[lane]["residual" if residual else state] = float(value)
        self.looks.count += bool(sums)
        for lane, of in sums.items():
            parts = sum(of.get(state, 0) for state in ("pass", "fail", "undecided", "on_belt"))
            if of.get("in") != parts or of.get("residual") != 0:
                self.looks.wrong.append(f"{self._schedule.now_s():.2f} s, lane {lane}: {of}")


def placed(script: Script, counted: list[Counted]) -> tuple[list[Counted], list[Counted]]:
    """Give a place to the parts of which the service does not say when they came in: those that were cut off.

    Parts are numbered as they come, so such a part lies between its neighbours of the same lane.
    """
    ours: dict[int, list[Counted]] = defaultdict(list)
    for one in sorted(counted, key=lambda one: one.id):
        ours[one.lane].append(one)
    known: list[Counted] = []
    unknown: list[Counted] = []
    for lane, parts in ours.items():
        scripted = [part for part in script.parts if part.lane == lane]
        free = iter(scripted)
        waiting: list[Counted] = []
        for one in parts:
            if one.centre_mm != one.centre_mm:
                waiting.append(one)
                continue
            between = list(_until(free, one.centre_mm))
            known += _in_order(waiting, between)
            unknown += waiting[len(between) :]
            waiting = []
            known.append(one)
        rest = list(free)
        known += _in_order(waiting, rest)
        unknown += waiting[len(rest) :]
    return known, unknown


def _until(parts: Iterator[ScriptedPart], centre_mm: float) -> Iterator[ScriptedPart]:
    """The parts before the one that lies there, which is taken too."""
    for part in parts:
        if part.high > centre_mm:
            return
        yield part


def _in_order(waiting: list[Counted], between: list[ScriptedPart]) -> list[Counted]:
    """These parts at those places; the last of the places, where there are fewer of ours."""
    places = between[len(between) - len(waiting) :] if len(between) > len(waiting) else between
    return [_at(one, part.low + PART_MM / 2) for one, part in zip(waiting, places, strict=False)]


def _at(one: Counted, centre_mm: float) -> Counted:
    return Counted(one.id, one.verdict, one.reason, one.why, one.lane, centre_mm)
