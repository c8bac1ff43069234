"""Runs one tracker of the `trackers` package: detections as JSON on stdin, the track of each box as JSON on stdout.

It runs with the interpreter of `.venv-bench`, without stream_inspect. The package's defaults are for closed-set
detectors and drop everything under 0.6 to 0.7; open-vocabulary scores are 0.1 to 0.5, so the thresholds let all boxes
pass, and tracks may pause for a second as ours do.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import supervision  # type: ignore[import-not-found]
import trackers  # type: ignore[import-not-found]


def make(name: str, rate_hz: float) -> Any:
    """The tracker of this name."""
    common: dict[str, Any] = {"lost_track_buffer": 30, "frame_rate": rate_hz, "minimum_consecutive_frames": 1}
    if name == "bytetrack":
        return trackers.ByteTrackTracker(track_activation_threshold=0.1, high_conf_det_threshold=0.1, **common)
    if name == "sort":
        return trackers.SORTTracker(track_activation_threshold=0.1, minimum_iou_threshold=0.1, **common)
    if name == "ocsort":
        return trackers.OCSORTTracker(high_conf_det_threshold=0.1, minimum_iou_threshold=0.1, **common)
    raise SystemExit(f"unknown tracker {name}")


def follow(name: str, rate_hz: float, frames: list[dict[str, Any]]) -> list[list[int]]:
    """The track of each box of each frame, -1 for none."""
    tracker = make(name, rate_hz)
    answer = []
    for frame in frames:
        boxes = np.asarray(frame["boxes"], dtype=np.float32).reshape(-1, 4)
        detections = supervision.Detections(
            xyxy=boxes,
            confidence=np.asarray(frame["scores"], dtype=np.float32),
            class_id=np.zeros(len(boxes), dtype=int),
            data={"place": np.arange(len(boxes))},
        )
        found = tracker.update(detections)
        tracks = [-1] * len(boxes)
        for place, track in zip(found.data["place"], found.tracker_id, strict=True):
            tracks[int(place)] = int(track)
        answer.append(tracks)
    return answer


def main() -> None:
    """One request, one answer."""
    request = json.load(sys.stdin)
    json.dump([follow(request["tracker"], request["rate_hz"], line) for line in request["lines"]], sys.stdout)


if __name__ == "__main__":
    main()
