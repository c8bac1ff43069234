"""Runs one tracker of the `trackers` package: MOT boxes on disk, a JSON request on stdin; tracks as MOT files.

It runs with the interpreter of `.venv-bench`, without stream_inspect. `settings` are arguments of the tracker's
constructor; without any it has the package's defaults, and knows the rate of judged frames. The answer on stdout is the
time of each update in milliseconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import supervision  # type: ignore[import-not-found]
import trackers  # type: ignore[import-not-found]

CLASSES = {"bytetrack": trackers.ByteTrackTracker, "sort": trackers.SORTTracker, "ocsort": trackers.OCSORTTracker}
SIMILARITIES = {
    "IoU": trackers.IoU(),
    "buffered IoU 0.5": trackers.BIoU(0.5),
    "buffered IoU 1.5": trackers.BIoU(1.5),
    "GIoU": trackers.GIoU(),
}


def make(name: str, rate_hz: float, settings: dict[str, Any]) -> Any:
    """The tracker of this name."""
    arguments = dict(settings)
    if "iou" in arguments:
        arguments["iou"] = SIMILARITIES[arguments["iou"]]
    return CLASSES[name](frame_rate=rate_hz, **arguments)


def follow(tracker: Any, source: Path, frames: int, target: Path) -> list[float]:
    """Track the boxes of one run; the milliseconds of each update."""
    rows = np.loadtxt(source, delimiter=",", ndmin=2)
    target.parent.mkdir(parents=True, exist_ok=True)
    times_ms = []
    with target.open("w", encoding="utf-8") as out:
        for number in range(1, frames + 1):
            seen = rows[rows[:, 0] == number]
            corners = np.concatenate((seen[:, 2:4], seen[:, 2:4] + seen[:, 4:6]), axis=1).astype(np.float32)
            detections = supervision.Detections(
                xyxy=corners,
                confidence=seen[:, 6].astype(np.float32),
                class_id=np.zeros(len(seen), dtype=int),
                data={"place": np.arange(len(seen))},
            )
            began_s = time.perf_counter()
            found = tracker.update(detections)
            times_ms.append(1e3 * (time.perf_counter() - began_s))
            for place, track in zip(found.data["place"], found.tracker_id, strict=True):
                if track >= 0:
                    left, top, width, height = seen[int(place), 2:6]
                    out.write(f"{number},{track + 1},{left:.2f},{top:.2f},{width:.2f},{height:.2f},1.0,1\n")
    return times_ms


def main() -> None:
    """One request, one answer: of each run, in order."""
    request = json.load(sys.stdin)
    folder = Path(request["folder"])
    times_ms = [
        follow(
            make(request["tracker"], request["rate_hz"], settings),
            folder / "boxes" / f"{run}.txt",
            frames,
            folder / "tracks" / request["into"] / f"{run}.txt",
        )
        for run, frames, settings in request["runs"]
    ]
    json.dump(times_ms, sys.stdout)


if __name__ == "__main__":
    main()
