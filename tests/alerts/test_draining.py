"""Outputs that drain a long queue do not hold up the event log: `decide` appends as if there were none."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from stream_inspect.alerts.outbox import Outbox, OutboxThread
from stream_inspect.messages import Event
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event

WAITING = 2000
OUTPUTS = ("a", "b", "c")


class Acknowledges:
    """An output whose receiver answers at once: the queue drains as fast as its record can be written."""

    acknowledges = True

    def open(self) -> None: ...

    def send(self, event: Event) -> None: ...

    def check(self) -> None: ...

    def close(self) -> None: ...


def append_ms(store: EventStore, numbers: list[int]) -> list[float]:
    took = []
    for n in numbers:
        start_s = time.perf_counter()
        store.append([an_event(n)])
        took.append((time.perf_counter() - start_s) * 1000)
        time.sleep(0.01)
    return took


@pytest.mark.slow
def test_appending_while_three_outputs_drain_waits_for_none_of_their_locks(tmp_path: Path):
    log, sending = EventStore(tmp_path / "events.sqlite"), EventStore(tmp_path / "events.sqlite")
    sending.register_outputs(OUTPUTS)
    alone = append_ms(log, list(range(1, 101)))
    log.append([an_event(n) for n in range(101, 101 + WAITING)])
    threads = [OutboxThread(Outbox(output, Acknowledges(), sending)) for output in OUTPUTS]
    for thread in threads:
        thread.start()
    draining = append_ms(log, list(range(101 + WAITING, 201 + WAITING)))
    assert all(sending.backlog(output).depth > 0 for output in OUTPUTS), "drained too early to prove anything"
    for thread in threads:
        thread.stop(0)
    for thread in threads:
        thread.join(10)
    for name, took in (("alone", alone), ("draining", draining)):
        p90 = statistics.quantiles(took, n=10)[-1]
        print(f"append, {name}: median {statistics.median(took):.1f}, p90 {p90:.1f}, worst {max(took):.1f} ms")
    assert statistics.quantiles(draining, n=10)[-1] < 3 * statistics.quantiles(alone, n=10)[-1] + 20
    log.close()
    sending.close()
