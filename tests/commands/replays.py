"""Recordings and recorded detections made by tests, and the results of a replay read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.capture.planes import copy_rotated_to_slot, copy_to_slot
from stream_inspect.config.models import Config
from stream_inspect.rotation import Rotation, rotated_size

WIDTH_PX, HEIGHT_PX = 320, 180
SPEED_PX_S = 100.0
SAME = ("events.jsonl", "frames.jsonl", "annotated.mp4", "summary.json")


def config(*, belt: bool = True, **changes: Any) -> Config:
    """One camera over a belt of `SPEED_PX_S`, with one defect."""
    camera: dict[str, Any] = {"name": "top", "source": {"kind": "synthetic"}}
    if belt:
        camera["belt"] = {"direction": "left_to_right", "speed_mm_s": SPEED_PX_S, "mm_per_px": 1.0}
    camera |= changes.pop("camera", {})
    defects = changes.pop("defects", [{"name": "spot", "prompts": ["a dark spot"], "severity": "minor"}])
    return Config.model_validate({"version": 1, "cameras": [camera], "defects": defects, **changes})


def spot(pts_s: float) -> tuple[float, float, float, float]:
    """Where the spot of `make_video` is."""
    left = 20 + SPEED_PX_S * pts_s
    return (left, 80.0, left + 20, 100.0)


def make_video(path: Path, times_ms: Sequence[int], size: tuple[int, int] = (WIDTH_PX, HEIGHT_PX)) -> Path:
    """An H.264 video with a dark spot that moves to the right, one frame at each of these times."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        rng = np.random.default_rng(1)
        belt = rng.integers(90, 150, (height, width, 3), dtype=np.uint8)
        for time_ms in times_ms:
            picture = belt.copy()
            left, top, right, bottom = (round(value) for value in spot(time_ms / 1000))
            cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), (10, 10, 10), cv2.FILLED)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn_video(upright: Path, path: Path, rotate_deg: Rotation) -> Path:
    """What a camera would have sent whose picture must be turned so far to be the upright one: no sample is changed."""
    with av.open(str(upright)) as source, av.open(str(path), "w") as container:
        before = source.streams.video[0]
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height = rotated_size(before.width, before.height, rotate_deg)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = before.time_base
        back: Any = (360 - rotate_deg) % 360
        for frame in source.decode(before):
            picture = copy_to_slot(frame, FreshArrays())
            turned = copy_rotated_to_slot(picture, back, FreshArrays()) if back else picture
            lying = av.VideoFrame.from_ndarray(turned.i420, format="yuv420p")
            lying.pts, lying.time_base = frame.pts, frame.time_base
            container.mux(stream.encode(lying))
        container.mux(stream.encode(None))
    return path


def line(seq: int, pts_s: float, *boxes: tuple[float, float, float, float], **changes: Any) -> dict[str, Any]:
    """A judged frame of frames.jsonl, with only the keys that must be there."""
    found = [{"defect": "spot", "score": 0.4, "box_xyxy_px": list(box), "mask_rle": None} for box in boxes]
    size = {"width_px": WIDTH_PX, "height_px": HEIGHT_PX}
    return {"camera": "top", "seq": seq, "pts_s": pts_s, **size, "detections": found, **changes}


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in path.read_text().splitlines()]


def confirmed(out: Path) -> list[dict[str, Any]]:
    """The confirmed events of a replay."""
    return [event for event in read_lines(out / "events.jsonl") if event["state"] == "confirmed"]


def times_of(path: Path) -> list[float]:
    """Presentation times of a video's frames in seconds."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def pictures_of(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")
