"""The one loop that runs every stage, and the chain of two stages in one process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from stream_inspect import metrics
from stream_inspect.messages import AnyMessage, Condition, ConditionKind, Event, EventState, Output
from stream_inspect.service.chain import Chain
from stream_inspect.service.stage import run_stage


def condition(detail: str) -> Condition:
    return Condition(camera="top", kind=ConditionKind.BLACK, active=True, detail=detail, mono_ns=0, utc_ns=0)


def event(reason: str) -> Event:
    return Event(
        id="top-0-black-1", key="top-0-black-1:confirmed", kind="condition", state=EventState.CONFIRMED, line="line1",
        camera="top", name="black", severity="major", first_seen_utc_ns=0, last_seen_utc_ns=0, reason=reason,
    )  # fmt: skip


class Recorded:
    """A stage that notes what is done to it and answers each condition with an event."""

    wake_fd: int | None = None

    def __init__(self, fail_in: str = "") -> None:
        self.calls: list[str] = []
        self.lost: list[Output] = []
        self._fail_in = fail_in

    def open(self) -> None:
        self._called("open")

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        self._called("process")
        return [Output("events", event(m.detail)) for m in batch if isinstance(m, Condition)]

    def tick(self, now_mono_ns: int) -> Iterable[Output]:
        self._called("tick")
        return []

    def undelivered(self, output: Output) -> None:
        self.lost.append(output)

    def close(self) -> None:
        self.calls.append("close")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self._fail_in:
            raise RuntimeError(f"broken in {name}")


class OneBatchChannels:
    """Channels that deliver the given batches, one a turn, and keep what is sent."""

    def __init__(self, batches: list[list[AnyMessage]], full: bool = False) -> None:
        self.batches = batches
        self.full = full
        self.subscribed: list[tuple[str, str]] = []
        self.sent: list[AnyMessage] = []
        self.closed = False

    def subscribe(self, topic: str, key: str = "") -> None:
        self.subscribed.append((topic, key))

    def send(self, topic: str, message: AnyMessage, key: str = "") -> bool:
        if not self.full:
            self.sent.append(message)
        return not self.full

    def receive(self, timeout_s: float, wake_fd: int | None = None) -> Sequence[AnyMessage]:
        return self.batches.pop(0) if self.batches else []

    def close(self) -> None:
        self.closed = True


def run(stage: Recorded | Chain, channels: OneBatchChannels, turns: int = 2) -> list[str]:
    """Run `turns` turns; returns the order of ready and beats."""
    said: list[str] = []
    left = iter([False] * turns + [True])
    run_stage(
        "track",
        stage,
        channels,
        [("conditions", "")],
        ready=lambda: said.append("ready"),
        beat=lambda: said.append("beat"),
        stopping=lambda: next(left),
    )
    return said


def test_a_stage_is_opened_fed_ticked_and_closed():
    stage, channels = Recorded(), OneBatchChannels([[condition("one")]])
    assert run(stage, channels) == ["ready", "beat", "beat"]
    assert stage.calls == ["open", "process", "tick", "tick", "close"]
    assert channels.subscribed == [("conditions", "")]
    assert [m.reason for m in channels.sent if isinstance(m, Event)] == ["one"]
    assert channels.closed


def test_what_is_in_the_mailbox_when_told_to_stop_is_still_worked_off():
    channels = OneBatchChannels([[condition("one")], [condition("two")], [condition("three")]])
    run(Recorded(), channels, turns=1)
    assert [m.reason for m in channels.sent if isinstance(m, Event)] == ["one", "two", "three"]


def test_the_stage_hears_of_what_found_its_mailbox_full():
    stage = Recorded()
    run(stage, OneBatchChannels([[condition("one")]], full=True))
    assert [output.topic for output in stage.lost] == ["events"]


@pytest.mark.parametrize("where", ["open", "process", "tick"])
def test_a_failing_stage_is_closed_and_its_error_goes_to_the_caller(where: str):
    stage, channels = Recorded(fail_in=where), OneBatchChannels([[condition("one")]])
    with pytest.raises(RuntimeError, match=f"broken in {where}"):
        run(stage, channels)
    assert stage.calls[-1] == "close"
    assert channels.closed


class Holding(Recorded):
    """Holds so many frames."""

    def held(self) -> dict[str, tuple[int, int]]:
        return {"frames": (3, 8)}


def test_what_a_stage_holds_and_its_bound_are_metrics():
    run(Holding(), OneBatchChannels([[]]))
    for gauge, value in ((metrics.HELD_ITEMS, 3), (metrics.HELD_ITEMS_LIMIT, 8)):
        assert gauge.labels("track", "frames")._value.get() == value


class Echo(Recorded):
    """Hands every condition on as it came."""

    def process(self, batch: Sequence[AnyMessage]) -> Iterable[Output]:
        return [Output("conditions", message) for message in batch]


def test_a_chain_hands_over_within_the_process_and_still_sends():
    channels = OneBatchChannels([[condition("one")]])
    run(Chain(Echo(), Recorded(), "conditions"), channels)
    kinds = [type(message).__name__ for message in channels.sent]
    # handed over (an event), sent on its topic, and the second stage also sees the batch itself (an event)
    assert kinds == ["Event", "Condition", "Event"]
