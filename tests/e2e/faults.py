"""Everything that fails in a plant, one after the other: what is done, and what must report it within which time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.e2e.plant import PATTERN, SPEED_PX, Plant
from tests.e2e.witness import Sign

WITHIN_S = 3.0
NO_ANSWER_WITHIN_S = 4.0
"""That nothing is answered is known when the output's time-out (here 1 s) is over."""
DOWN_WITHIN_S = 4.0
"""A process that does not respond for 3 s is reported: one that is back sooner has not been missed."""

Owed = Literal["", "mqtt", "webhook", "log"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of outage. `end` returns when its cause is gone."""

    name: str
    begin: Callable[[Plant], None]
    end: Callable[[Plant], None]
    reported_as: tuple[Sign, ...]
    """Any of these reports it."""
    within_s: float = WITHIN_S
    needs_event: Owed = ""
    """An output with nothing to send does not fail: the time counts from the first event that could not go there."""
    also: tuple[Sign, ...] = ()
    """What may be reported besides."""
    lasts_s: float = 0.0
    """At the longest, where it must not last longer."""
    kills: str = ""
    """The process that is killed for it."""

    @property
    def outputs(self) -> set[str]:
        """The outputs that it may make fail."""
        return {sign.source for sign in (*self.reported_as, *self.also) if sign.kind == "output_failing"}


def _moving(plant: Plant) -> None:
    for server in (plant.top, plant.side):
        server.show(PATTERN, SPEED_PX)


def _signal(row: str, number: signal.Signals) -> Callable[[Plant], None]:
    return lambda plant: plant.service.children()[row].send_signal(number)


def _answers(status: int) -> Callable[[Plant], None]:
    def begin(plant: Plant) -> None:
        plant.answer_with = lambda _: status

    return begin


def _stopped(row: str, *reported_as: Sign, also: tuple[Sign, ...] = ()) -> Fault:
    """A process that hangs, and goes on before it is killed for it."""
    return Fault(
        f"{row} hangs",
        _signal(row, signal.SIGSTOP),
        _signal(row, signal.SIGCONT),
        reported_as or (Sign("process_down", source=row),),
        within_s=WITHIN_S if reported_as else DOWN_WITHIN_S,
        also=(Sign("process_down", source=row), *also),
        lasts_s=8.0,
    )


def _kill(row: str) -> Callable[[Plant], None]:
    """kill -9 after two seconds of the outage that has begun, in which something has come to wait."""

    def kill(plant: Plant) -> None:
        time.sleep(2)
        plant.service.children()[row].kill()

    return kill


def _one_after_the_other(*steps: Callable[[Plant], None]) -> Callable[[Plant], None]:
    def begin(plant: Plant) -> None:
        for step in steps:
            step(plant)

    return begin


def _webhook(
    name: str, begin: Callable[[Plant], None], end: Callable[[Plant], None], within_s: float = WITHIN_S
) -> Fault:
    return Fault(
        f"webhook's receiver {name}",
        begin,
        end,
        (Sign("output_failing", source="webhook"),),
        within_s=within_s,
        needs_event="webhook",
    )


NOT_JUDGED = tuple(
    Sign(kind, camera) for kind in ("not_judged", "overload") for camera in ("belt", "loop", "top", "side")
)
OUTPUTS = tuple(Sign("output_failing", source=name) for name in ("mqtt", "webhook"))

FAULTS = (
    Fault(
        "camera's server killed",
        lambda plant: plant.top.stop(),
        lambda plant: plant.top.start(),
        (Sign("no_signal", "top"),),
    ),
    Fault(
        "camera's server hangs",
        lambda plant: plant.side.send_signal(signal.SIGSTOP),
        lambda plant: plant.side.send_signal(signal.SIGCONT),
        (Sign("no_signal", "side"),),
    ),
    # Of H.264 a frozen picture is known after six key frames.
    Fault("picture stands still", lambda plant: plant.side.show(PATTERN), _moving, (Sign("frozen", "side"),)),
    Fault("picture is black", lambda plant: plant.top.show("black"), _moving, (Sign("black", "top"),)),
    Fault("picture is one colour", lambda plant: plant.top.show("blue"), _moving, (Sign("no_signal", "top"),)),
    Fault(
        "broker killed",
        Plant.kill_broker,
        lambda plant: plant.broker.start(),
        (Sign("output_failing", source="mqtt"),),
    ),
    Fault(
        "broker hangs",
        lambda plant: plant.broker.signal(signal.SIGSTOP),
        lambda plant: plant.broker.signal(signal.SIGCONT),
        (Sign("output_failing", source="mqtt"),),
        within_s=NO_ANSWER_WITHIN_S,
        needs_event="mqtt",
    ),
    _webhook("is down", lambda plant: plant.webhook.kill(), lambda plant: plant.webhook.start()),
    _webhook("answers 500", _answers(500), _answers(204)),
    _webhook("answers 401", _answers(401), _answers(204)),
    _webhook("trickles", Plant.trickle, Plant.untrickle, NO_ANSWER_WITHIN_S),
    Fault(
        "disk is full",
        Plant.fill_disk,
        Plant.free_disk,
        (Sign("event_log_stuck"), Sign("recording_stopped")),
        also=OUTPUTS,  # what has been delivered cannot be recorded
    ),
    Fault(
        "event log is locked",
        lambda plant: plant.lock("events.sqlite"),
        Plant.unlock,
        (Sign("event_log_stuck"),),
        needs_event="log",
    ),
    Fault(
        "outputs' database is locked",
        lambda plant: plant.lock("outputs.sqlite"),
        Plant.unlock,
        OUTPUTS,
        within_s=NO_ANSWER_WITHIN_S,
        needs_event="log",
    ),
    _stopped("inspect.0", *NOT_JUDGED),
    _stopped("track", also=NOT_JUDGED),
    _stopped("alerts"),
    Fault(
        "event log is locked and track killed",
        _one_after_the_other(lambda plant: plant.lock("events.sqlite"), _kill("track")),
        Plant.unlock,
        (Sign("event_log_stuck"),),
        needs_event="log",
        also=(*NOT_JUDGED, Sign("process_down", source="track")),
        kills="track",
    ),
    Fault(
        "broker killed and alerts as well",
        _one_after_the_other(Plant.kill_broker, _kill("alerts")),
        lambda plant: plant.broker.start(),
        (Sign("output_failing", source="mqtt"),),
        within_s=WITHIN_S + 4.0,  # two until the kill, two of the restart: the next process counts from its start
        also=(Sign("process_down", source="alerts"),),
        kills="alerts",
    ),
)
