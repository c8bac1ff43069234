"""kill -9 of the process `track` with parts in the picture: each part is counted once, by what the next one keeps."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from stream_inspect.decide.line_parts import LineRecord
from stream_inspect.decide.parts import LaneCounts, LedgerRecord
from stream_inspect.messages import BeltSight, Inspection, Reason
from stream_inspect.service.run_dir import records_path
from tests.e2e.track_process import TrackProcess
from tests.service.parts_line import BACK, END, KILLED, PARTS_MM, STEP_MM, Belt
from tests.track.plant_line import config

ENTERED = sum(part < STEP_MM * KILLED for part in PARTS_MM)
TOPICS: dict[type, str] = {BeltSight: "belt", Inspection: "inspections"}


def test_each_part_is_counted_once_though_the_process_is_killed(tmp_path: Path) -> None:
    the_config = config(odometer={"kind": "picture"}, parts={"kind": "background"}).model_dump()
    (tmp_path / "run").mkdir()
    more = {key: the_config[key] for key in ("cameras", "lines", "inputs")}
    track = TrackProcess(tmp_path / "run", tmp_path / "state", tmp_path / "log", **more)
    belt = Belt(began_ns=time.monotonic_ns())

    def send(first: int, end: int) -> None:
        for number in range(first, end):
            for message in belt.captured(number, judged=True):
                if (topic := TOPICS.get(type(message))) is not None:
                    track.send(topic, message)

    def run(first: int, end: int) -> None:
        """In steps: results that lag behind the belt by more than a picture are too late."""
        for begin in range(first, end, 10):
            send(begin, begin + 10)
            track.wait_for(lambda begin=begin: begin in track.answered)

    def counts() -> LaneCounts:
        record = records_path(tmp_path / "run") / "parts.line1"
        if not record.exists():
            return LaneCounts()
        known = msgspec.msgpack.decode(record.read_bytes(), type=LineRecord)
        lanes = msgspec.msgpack.decode(known.ledger, type=LedgerRecord).counts
        return lanes.get(0, LaneCounts())

    try:
        track.start()
        run(0, KILLED)
        track.wait_for(lambda: counts().entered == ENTERED)
        track.kill()
        send(KILLED, BACK)
        track.start()
        run(BACK, END)
        track.wait_for(lambda: sum((counts().passed, counts().undecided)) == len(PARTS_MM))
    finally:
        track.close()
    assert counts().entered == len(PARTS_MM)
    assert counts().undecided_by == {Reason.RESTARTED: 2}
