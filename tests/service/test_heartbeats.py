"""The heartbeat table: what the supervisor reads of a process."""

from __future__ import annotations

import time
from pathlib import Path

from stream_inspect.service.heartbeats import HeartbeatTable, ProcessState


def test_a_process_whose_start_took_long_is_not_silent_once_it_runs(tmp_path: Path) -> None:
    """Its first heartbeat comes with the first turn of its loop, and the supervisor may look before that."""
    table = HeartbeatTable(tmp_path / "heartbeats", 1, create=True)
    table.start(0, owner=1)
    time.sleep(0.3)
    table.set_state(0, ProcessState.RUNNING)
    assert table.silence_s(0) < 0.2


def test_the_vitals_of_a_stage_are_whole_numbers_and_0_where_it_has_none(tmp_path: Path) -> None:
    class Worker:
        longest_batch_ns = 1_500_000_000

    table = HeartbeatTable(tmp_path / "heartbeats", 2, create=True)
    table.set_vitals(1, Worker())
    assert table.longest_batch_s(1) == 1.5
    assert table.vital(1, "waiting") == 0
    assert table.longest_batch_s(0) == 0
