"""A small line in this process: belt, recorder, live picture and page, run by a thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from stream_inspect.live.stage import LiveStage
from stream_inspect.messages import AnyMessage, LivePicture, Tracked
from stream_inspect.record.stage import RecorderStage
from tests.record.filmed import Belt
from tests.web.served import Served, config


class Line:
    """A small line in this process: belt, recorder, live picture and page, run by a thread at 25 frames a second."""

    def __init__(self, folder: Path) -> None:
        (folder / "ring").mkdir()
        self.served = Served(folder / "state")
        self.belt = Belt(folder / "ring", width_px=1280, height_px=720)
        settings = config(folder / "state", recorder={"pre_roll_s": 0.8, "post_roll_s": 0.8})
        self._stages = (
            LiveStage(settings, ring_dir=folder / "ring"),
            RecorderStage(settings, ring_dir=folder / "ring", state_dir=folder / "state"),
        )
        self._stages[1].open()
        self._confirm = threading.Event()
        self._stop = threading.Event()
        self.served.report("ok")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def find_a_defect(self) -> None:
        self._confirm.set()

    def _run(self) -> None:
        seen_since: int | None = None
        while not self._stop.is_set():
            header = self.belt.shoot()
            batch: list[AnyMessage] = [header]
            if header.id.seq % 3 == 0:
                if self._confirm.is_set() and seen_since is None:
                    seen_since = header.id.seq
                if seen_since is not None and header.id.seq < seen_since + 20:
                    batch.append(self.belt.tracked(header, seen_since / 25))
                else:
                    batch.append(Tracked(frame=header, tracks=[]))
                if header.id.seq == seen_since:
                    event = self.belt.event(header)
                    self.served.happen(event)
                    batch.append(event)
            for stage in self._stages:
                list(stage.process(batch))
                for output in stage.tick(time.monotonic_ns()):
                    if isinstance(output.message, LivePicture):
                        list(self.served.stage.process([output.message]))
            time.sleep(0.025)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for stage in self._stages:
            stage.close()
        self.served.close()
        self.belt.close()
