"""What a plant reports while things fail in it: which condition, by what, from when to when.

A witness sees only what an operator or a PLC can see: /healthz, the status in the broker, and the events that arrive.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.e2e.plant import Plant

LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Sign:
    """A condition as it is reported; an empty camera means one of the line, an empty source any."""

    kind: str
    camera: str = ""
    source: str = ""

    def covers(self, other: Sign) -> bool:
        """Whether `other` is what this one describes."""
        sources = ("", other.source, other.source.rpartition(".")[2])
        return (self.kind, self.camera) == (other.kind, other.camera) and self.source in sources

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.camera, self.source) if part)


@dataclass(slots=True)
class Report:
    """One condition in one place, as long as it stood there. Times are monotonic."""

    by: str
    sign: Sign
    began_s: float
    ended_s: float | None = None


class Witness:
    """Watches a plant from a thread of its own."""

    def __init__(self, plant: Plant) -> None:
        self.reports: list[Report] = []
        self.arrivals: dict[str, list[tuple[float, dict[str, Any]]]] = {"mqtt": [], "webhook": []}
        """Per receiver the events that arrived there, with their monotonic times."""
        self.keys: dict[str, set[str]] = {"mqtt": set(), "webhook": set()}
        self.failures: list[tuple[float, str]] = []
        """What was wrong with an account, and when."""
        self.looks = 0
        self.restarts: dict[str, int] = {}
        self._plant = plant
        self._open: dict[tuple[str, Sign], Report] = {}
        self._seen = {"mqtt": 0, "webhook": 0, "status": 0}
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(look,), daemon=True)
            for look in (self._look_at_health, self._look_at_receivers)
        ]
        """Two, so that a slow answer of /healthz delays no time of an arrival."""
        self._look_at_receivers()  # what arrived before is not of the first outage
        for thread in self._threads:
            thread.start()

    def standing(self) -> list[Report]:
        """What is reported now."""
        return list(self._open.copy().values())

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(10)

    def _run(self, look: Callable[[], None]) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                look()
            except AssertionError as error:
                self.failures.append((time.monotonic(), f"the ledger does not close: {error}"))

    def _look_at_health(self) -> None:
        document = self._plant.service.health()
        if not document:
            return
        self.looks += 1
        self.restarts = {name: one.get("restarts", 0) for name, one in document["processes"].items()}
        self._levels("/healthz", document["conditions"])

    def _look_at_receivers(self) -> None:
        now_s = time.monotonic()
        for _topic, payload, is_retained in self._new("status", self._plant.status.messages):
            if not is_retained:  # that is what a restarted broker still knew
                self._levels("status in the broker", json.loads(payload)["conditions"])
        for _topic, payload, _ in self._new("mqtt", self._plant.subscriber.messages):
            self._arrived("mqtt", now_s, json.loads(payload))
        for arrived_s, event in self._new("webhook", self._plant.accepted):
            self._arrived("webhook", arrived_s, event)

    def _new(self, receiver: str, found: list[Any]) -> Iterator[Any]:
        first, self._seen[receiver] = self._seen[receiver], len(found)
        yield from found[first : self._seen[receiver]]

    def _arrived(self, receiver: str, at_s: float, event: dict[str, Any]) -> None:
        if event["key"] in self.keys[receiver]:
            return  # repeated by the broker
        self.keys[receiver].add(event["key"])
        self.arrivals[receiver].append((at_s, event))
        if event["kind"] == "condition":
            sign = Sign(event["name"], event.get("camera", ""), event.get("source", ""))
            self._level(f"event at {receiver}", sign, event["state"] == "confirmed", at_s)

    def _levels(self, by: str, conditions: list[dict[str, Any]]) -> None:
        now_s = time.monotonic()
        active = {Sign(one["kind"], one.get("camera", ""), one.get("source", "")) for one in conditions}
        for sign in active:
            self._level(by, sign, True, now_s)
        for known_by, sign in list(self._open):
            if known_by == by and sign not in active:
                self._level(by, sign, False, now_s)

    def _level(self, by: str, sign: Sign, active: bool, at_s: float) -> None:
        report = self._open.get((by, sign))
        if active and report is None:
            self._open[by, sign] = report = Report(by, sign, at_s)
            self.reports.append(report)
        elif not active and report is not None:
            del self._open[by, sign]
            report.ended_s = at_s
