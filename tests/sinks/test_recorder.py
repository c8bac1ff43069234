"""The recorder stage on real rings and real files."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream_inspect.messages import Event, Output
from stream_inspect.sinks.recorder.stage import RecorderStage
from stream_inspect.sinks.recorder.still import identity_in
from tests.sinks.filmed import Belt, config, number_in


class Recording:
    """A stage with its camera: time is the media clock, run as fast as the machine can."""

    def __init__(self, folder: Path, belt: Belt, **sections: object) -> None:
        self.state_dir = folder / "state"
        self.belt = belt
        self.stage = RecorderStage(config(self.state_dir, **sections), ring_dir=belt.ring_dir, state_dir=self.state_dir)
        self.outputs: list[Output] = []
        self.longest_turn_s = 0.0
        self.stage.open()

    def turn(self, *messages: object) -> None:
        started_s = time.monotonic()
        if messages:
            self.outputs += self.stage.process(messages)
        self.outputs += self.stage.tick(time.monotonic_ns())
        self.longest_turn_s = max(self.longest_turn_s, time.monotonic() - started_s)

    def until(self, *paths: Path) -> None:
        deadline_s = time.monotonic() + 10
        while not all(path.exists() for path in paths):
            assert time.monotonic() < deadline_s, f"not made: {[p.name for p in paths if not p.exists()]}"
            self.turn()
            time.sleep(0.005)

    def clip(self, event: Event) -> Path:
        return self.state_dir / "clips" / f"{event.id}.mp4"


@pytest.fixture
def belt(tmp_path: Path) -> Belt:
    (tmp_path / "ring").mkdir()
    return Belt(tmp_path / "ring")


def test_a_confirmed_defect_gets_a_picture_and_a_clip_that_holds_the_judged_frame(tmp_path: Path, belt: Belt) -> None:
    recording = Recording(tmp_path, belt, recorder={"pre_roll_s": 0.5, "post_roll_s": 0.4, "height_px": 240})
    event: Event | None = None
    for seq in range(60):
        header = belt.shoot()
        messages: list[object] = [header]
        if seq % 3 == 0 and 24 <= seq <= 39:
            messages.append(belt.tracked(header, first_pts_s=24 / 25, ended=seq == 39))
        if seq == 30:
            event = belt.event(header)
            messages.append(event)
        recording.turn(*messages)
    assert event is not None
    recording.until(recording.clip(event))

    listed = json.loads(recording.clip(event).with_suffix(".json").read_bytes())
    assert [frame["seq"] for frame in listed["frames"] if frame.get("judged")] == [30]
    assert listed["frames_missing"] == 0
    first, last = listed["frames"][0]["seq"], listed["frames"][-1]["seq"]
    assert first <= 24 - 12, "the pre-roll counts from when the defect was first seen"
    assert 36 + 10 <= last <= 50, "the post-roll counts from when it was last seen"

    with av.open(str(recording.clip(event))) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.height, stream.width) == (240, 426)
        decoded = [
            (frame.pts, frame.to_ndarray(format="bgr24"), float(frame.pts * frame.time_base))
            for frame in container.decode(stream)
        ]
    assert [number_in(bgr) for _, bgr, _ in decoded] == [frame["seq"] for frame in listed["frames"]]
    times = [time_s for _, _, time_s in decoded]
    assert times == pytest.approx([frame["time_s"] for frame in listed["frames"]], abs=1e-4)
    assert all(before < after for before, after in pairwise(times))
    assert times[0] == 0

    judged = next(bgr for (_, bgr, time_s) in decoded if time_s == pytest.approx(listed["judged_time_s"], abs=1e-4))
    original = cv2.resize(belt.picture(30), (426, 240), interpolation=cv2.INTER_AREA)
    texture = np.s_[120:220, :]
    here = np.abs(judged[texture].astype(int) - original[texture]).mean()
    assert here < 6, "the judged frame's pixels are in the clip"

    still = (recording.state_dir / "pictures" / f"{event.id}.jpg").read_bytes()
    assert identity_in(still).frame == event.frame
    picture = cv2.imdecode(np.frombuffer(still, np.uint8), cv2.IMREAD_COLOR)
    assert number_in(np.asarray(picture, np.uint8)) == 30
    recording.stage.close()
