"""The recorder stage on real rings and real files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
import pytest

from stream_inspect import metrics
from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import EndOfMediaError
from stream_inspect.capture.memory_sink import FreshArrays
from stream_inspect.config.models import CameraConfig
from stream_inspect.messages import AnyMessage, Event, FrameHeader, Tracked
from stream_inspect.picture import UInt8Array
from stream_inspect.record.picture_file import Identity
from stream_inspect.record.stage import RecorderStage
from tests.record.filmed import Belt, config, number_in


def identity_in(jpeg: bytes) -> Identity:
    """What the comment of an event's picture says of it."""
    assert jpeg[2:4] == b"\xff\xfe", "no comment right after the beginning"
    length = int.from_bytes(jpeg[4:6], "big")
    return msgspec.json.decode(jpeg[6 : 4 + length], type=Identity)


_TURN_CPU_S = 0.1
"""Of this thread: the budget of a turn and one step more, and room for a machine that does other things too."""


class Recording:
    """A stage and its camera. Frames come as fast as the machine makes them; time in the film is the media clock."""

    def __init__(self, folder: Path, belt: Belt, **sections: object) -> None:
        self.state_dir = folder / "state"
        self.belt = belt
        sections.setdefault("recorder", {"pre_roll_s": 0.5, "post_roll_s": 0.4, "height_px": 240})
        self.stage = RecorderStage(config(self.state_dir, **sections), ring_dir=belt.ring_dir, state_dir=self.state_dir)
        self.longest_turn_cpu_s = 0.0
        self.stage.open()

    def turn(self, *messages: AnyMessage) -> None:
        started_s = time.thread_time()
        if messages:
            list(self.stage.process(messages))
        list(self.stage.tick(time.monotonic_ns()))
        self.longest_turn_cpu_s = max(self.longest_turn_cpu_s, time.thread_time() - started_s)

    def run(self, until_seq: int, seen: range, confirmed: int | None = None, track: int = 1) -> Event | None:
        """Frames up to `until_seq`, every third judged; the defect is seen in `seen` and confirmed in one of them."""
        event = None
        while self.belt.seq < until_seq:
            header = self.belt.shoot()
            messages: list[AnyMessage] = [header]
            seq = header.id.seq
            if seq % 3 == 0:
                messages.append(self.judged(header, seen, track))
            if seq == confirmed:
                event = self.belt.event(header, n=track, track=track)
                messages.append(event)
            self.turn(*messages)
        return event

    def judged(self, header: FrameHeader, seen: range, track: int = 1) -> Tracked:
        first_pts_s = seen.start / self.belt.fps
        if header.id.seq in seen:
            return self.belt.tracked(header, first_pts_s, track)
        if header.id.seq - 3 in seen:
            ended = self.belt.tracked(header, first_pts_s, track, ended=True)
            update = msgspec.structs.replace(ended.ended[0], last_pts_s=header.id.pts_s - 3 / self.belt.fps)
            return msgspec.structs.replace(ended, ended=[update])
        return Tracked(frame=header, tracks=[])

    def turn_until(self, path: Path) -> None:
        """Until the file is there."""
        deadline_s = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline_s, f"{path.name} was not made"
            self.turn()
            time.sleep(0.005)

    def finished(self, event: Event | None) -> tuple[Path, dict[str, Any]]:
        """The clip and its list, once they are on the disk."""
        assert event is not None
        clip = self.state_dir / "clips" / f"{event.id}.mp4"
        self.turn_until(clip)
        return clip, json.loads(clip.with_suffix(".json").read_bytes())


def pictures_of(clip: Path) -> list[tuple[float, UInt8Array]]:
    """(time in seconds, BGR picture) of each frame that a player shows."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        return [
            (float(frame.pts * frame.time_base), np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            for frame in container.decode(stream)
        ]


def outcome(cause: str) -> float:
    return metrics.CLIPS.labels(cause)._value.get()


def wait_for_outcome(recording: Recording, cause: str, before: float) -> None:
    deadline_s = time.monotonic() + 10
    while outcome(cause) == before:
        assert time.monotonic() < deadline_s, f"no clip was counted as {cause}"
        recording.turn()
        time.sleep(0.01)


@pytest.fixture
def belt(tmp_path: Path) -> Iterator[Belt]:
    (tmp_path / "ring").mkdir()
    belt = Belt(tmp_path / "ring")
    yield belt
    belt.close()


@pytest.fixture
def recording(tmp_path: Path, belt: Belt) -> Iterator[Recording]:
    recording = Recording(tmp_path, belt)
    yield recording
    recording.stage.close()


def test_a_confirmed_defect_gets_a_picture_and_a_clip_that_holds_the_judged_frame(recording: Recording) -> None:
    event = recording.run(60, seen=range(24, 37), confirmed=30)
    clip, listed = recording.finished(event)
    assert event is not None

    assert [frame["seq"] for frame in listed["frames"] if frame.get("judged")] == [30]
    assert (listed["frames_missing"], listed["ended_by"]) == (0, "complete")
    first, last = listed["frames"][0]["seq"], listed["frames"][-1]["seq"]
    assert 24 - 12 - 13 <= first <= 24 - 12, "the pre-roll counts from when the defect was first seen"
    assert last in (45, 46), "the post-roll counts from when it was last seen"

    shown = pictures_of(clip)
    assert [number_in(bgr) for _, bgr in shown] == [frame["seq"] for frame in listed["frames"]]
    times_s = [time_s for time_s, _ in shown]
    assert times_s == pytest.approx([frame["time_s"] for frame in listed["frames"]], abs=1e-4)
    assert times_s[0] == 0
    assert all(before < after for before, after in pairwise(times_s))
    assert shown[0][1].shape == (240, 426, 3)

    judged = next(bgr for time_s, bgr in shown if time_s == pytest.approx(listed["judged_time_s"], abs=1e-4))
    box = np.s_[100:140, :]  # the rows of the defect's box
    assert deviation(judged, recording.belt.picture(30), box) < 12, "the judged frame's pixels are in the clip"
    assert deviation(judged, recording.belt.picture(31), box) > 20, "and the comparison tells it from its neighbour"

    still = (recording.state_dir / "pictures" / f"{event.id}.jpg").read_bytes()
    identity = identity_in(still)
    assert (identity.event, identity.frame) == (event.id, event.frame)
    picture = cv2.imdecode(np.frombuffer(still, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 640, 3)
    assert number_in(np.asarray(picture, np.uint8)) == 30
    assert recording.longest_turn_cpu_s < _TURN_CPU_S


def deviation(shown: UInt8Array, original: UInt8Array, where: Any) -> float:
    """Mean difference of brightness between a clip's picture and the original one, in `where`."""
    small = cv2.resize(original, (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_AREA)
    return float(np.abs(shown[where].mean(axis=2) - small[where].mean(axis=2)).mean())


def test_boxes_are_drawn_where_the_defect_is_between_judged_frames(recording: Recording) -> None:
    clip, listed = recording.finished(recording.run(60, seen=range(24, 37), confirmed=30))
    for frame, (_, bgr) in zip(listed["frames"], pictures_of(clip), strict=True):
        if frame["seq"] not in range(27, 34):
            continue
        left = recording.belt.defect_x(frame["seq"]) * 240 / 360
        rows = bgr[115:125].astype(int).mean(axis=0)
        outside = rows[max(0, round(left) - 8) : round(left) - 3]
        inside = rows[round(left) + 3 : round(left) + 20]
        assert inside[:, 2].mean() - inside[:, 0].mean() > 80, "the red defect is where the belt says"
        assert outside[:, 2].mean() - outside[:, 0].mean() < 60, "and the red box stands tight around it"


@pytest.mark.parametrize("rotate_deg", [0, 90, 180])
def test_a_clip_of_a_turned_camera_is_not_turned_twice(tmp_path: Path, belt: Belt, rotate_deg: int) -> None:
    """Read with the rotation it was made with it stays as it is, and without one it is as the sensor saw it."""
    cameras = [{"name": "cam", "source": {"kind": "synthetic"}, "rotate_deg": rotate_deg}]
    recording = Recording(tmp_path, belt, cameras=cameras)
    clip, _ = recording.finished(recording.run(60, seen=range(24, 37), confirmed=30))
    recording.stage.close()
    upright = [bgr for _, bgr in pictures_of(clip)]
    for asked_deg, quarters in ((rotate_deg, 0), (0, rotate_deg // 90)):
        read = pictures_read(clip, asked_deg)
        assert len(read) == len(upright)
        # Their colours are not held against each other: PyAV converts by another way.
        assert all(
            np.abs(one.astype(int) - np.rot90(other, quarters)).mean() < 3
            for one, other in zip(read, upright, strict=True)
        )


def pictures_read(clip: Path, rotate_deg: int) -> list[UInt8Array]:
    """What a camera with this configuration gives of a clip, BGR."""
    source = {"kind": "file", "path": str(clip), "pace": "fast"}
    camera = make_camera(CameraConfig.model_validate({"name": "cam", "source": source, "rotate_deg": rotate_deg}))
    camera.open()
    pictures = []
    with suppress(EndOfMediaError):
        while (frame := camera.read(FreshArrays())) is not None:
            pictures.append(frame.picture.to_bgr())
    camera.close()
    return pictures


def test_simultaneous_events_each_have_a_clip_and_share_the_encoding(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stream_inspect.record import clip_builder

    encoded: list[int] = []
    encode = clip_builder.Encoder.encode

    def counting(self: Any, picture: Any, pts: int, key: bool) -> Any:
        encoded.append(pts)
        return encode(self, picture, pts, key)

    monkeypatch.setattr(clip_builder.Encoder, "encode", counting)
    events: list[Event] = []
    for seq in range(90):
        header = recording.belt.shoot()
        messages: list[AnyMessage] = [header]
        if seq % 3 == 0:
            updates = [recording.belt.tracked(header, 20 / 25, track).tracks[0] for track in (1, 2, 3)]
            messages.append(Tracked(frame=header, tracks=updates if 20 < seq < 50 else []))
        if seq in (27, 33, 45):
            events.append(recording.belt.event(header, n=seq, track={27: 1, 33: 2, 45: 3}[seq]))
            messages.append(events[-1])
        recording.turn(*messages)
    held = []
    for event in events:
        clip, listed = recording.finished(event)
        held.append([frame["seq"] for frame in listed["frames"]])
        assert [number_in(bgr) for _, bgr in pictures_of(clip)] == held[-1]
        assert event.frame is not None
        assert [frame["seq"] for frame in listed["frames"] if frame.get("judged")] == [event.frame.seq]
        assert held[-1][0] <= 20 - 12, "the last one confirmed has its whole pre-roll too"
    assert len(encoded) == len(set(encoded)), "no frame was encoded twice"
    assert len(encoded) < sum(map(len, held)) / 2


def test_many_events_in_one_frame_do_not_hold_up_the_loop(recording: Recording) -> None:
    headers = [recording.belt.shoot() for _ in range(30)]
    recording.turn(*headers[:20])
    events = [recording.belt.event(headers[20], n=n) for n in range(1, 31)]
    recording.turn(*headers[20:], recording.belt.tracked(headers[20], 0.5), *events)
    recording.run(60, seen=range(0))
    for event in events:
        recording.finished(event)
        assert (recording.state_dir / "pictures" / f"{event.id}.jpg").exists()
    assert recording.longest_turn_cpu_s < _TURN_CPU_S


def test_more_events_than_clips_can_be_open_are_counted(recording: Recording) -> None:
    before, header = outcome("too_many"), recording.belt.shoot()
    events = [recording.belt.event(header, n=n) for n in range(1, 41)]
    recording.turn(header, recording.belt.tracked(header, 0.0), *events)
    assert outcome("too_many") == before + 8


def test_the_names_of_an_events_files_are_not_interned(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's table of interned strings only grows: by a megabyte at once, after some thousand names."""
    interned: list[str] = []
    clip = recording.state_dir / "clips" / "cam-1-crack-1.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "intern", lambda text, intern=sys.intern: interned.append(text) or intern(text))
        recording.run(60, seen=range(24, 37), confirmed=30)
        recording.turn_until(clip)
    assert [name for name in interned if clip.stem in name] == []


def test_times_of_variable_frame_rate_are_kept(recording: Recording) -> None:
    pts, event = 1_000_000, None
    for seq in range(80):
        pts += (3600, 1200, 9000, 2400)[seq % 4]
        header = recording.belt.shoot(pts=pts)
        seen = recording.belt.tracked(header, header.id.pts_s)
        messages: list[AnyMessage] = [header, seen if seq < 34 else Tracked(frame=header, tracks=[])]
        if seq == 30:
            event = recording.belt.event(header)
            messages.append(event)
        recording.turn(*messages)
    clip, listed = recording.finished(event)
    first = listed["frames"][0]["pts"]
    for frame, (time_s, _) in zip(listed["frames"], pictures_of(clip), strict=True):
        assert time_s == float(Fraction(frame["pts"] - first, 90_000))


@pytest.mark.parametrize("time_base", [(1, 25), (1001, 30000), (1, 1_000_000_000)])
def test_any_time_base_of_a_camera_makes_a_clip_with_its_times(tmp_path: Path, time_base: tuple[int, int]) -> None:
    (tmp_path / "ring").mkdir()
    belt = Belt(
        tmp_path / "ring",
        time_base=time_base,
        fps=float(Fraction(time_base[1], time_base[0])) if time_base[1] < 1e6 else 25.0,
    )
    recording = Recording(tmp_path, belt)
    clip, listed = recording.finished(recording.run(90, seen=range(24, 37), confirmed=30))
    first = listed["frames"][0]["pts"]
    for frame, (time_s, _) in zip(listed["frames"], pictures_of(clip), strict=True):
        assert time_s == pytest.approx((frame["pts"] - first) * time_base[0] / time_base[1], abs=1e-5)
    recording.stage.close()
    belt.close()


def test_the_clip_of_a_defect_that_stays_is_cut_at_the_limit(tmp_path: Path, belt: Belt) -> None:
    recording = Recording(tmp_path, belt, recorder={"pre_roll_s": 0.4, "post_roll_s": 0.4, "max_clip_s": 2})
    _, listed = recording.finished(recording.run(120, seen=range(24, 200), confirmed=30))
    assert listed["judged_time_s"] is not None
    assert 2.0 - 0.05 <= listed["duration_s"] <= 2.5 + 0.1, "at most a key packet's distance more"
    recording.stage.close()


def test_a_reconnected_camera_ends_the_clip(tmp_path: Path, recording: Recording) -> None:
    event = recording.run(33, seen=range(24, 200), confirmed=30)
    again = Belt(recording.belt.ring_dir, session=2, ring_number=1)
    recording.turn(again.shoot())
    for _ in range(3):
        recording.turn(again.shoot())
    clip, listed = recording.finished(event)
    assert listed["ended_by"] == "camera reconnected"
    assert [frame["session"] for frame in listed["frames"]] == [1] * len(listed["frames"])
    assert listed["frames"][-1]["seq"] == 32
    assert len(pictures_of(clip)) == len(listed["frames"])
    again.close()


def test_a_changed_picture_size_ends_the_clip_and_the_next_one_has_the_new_size(
    tmp_path: Path, recording: Recording
) -> None:
    event = recording.run(33, seen=range(24, 200), confirmed=30)
    wide = Belt(recording.belt.ring_dir, width_px=800, height_px=450, ring_number=1, seq=33)
    recording.belt = wide
    second = recording.run(90, seen=range(40, 49), confirmed=45, track=2)
    clip, listed = recording.finished(event)
    assert listed["ended_by"] == "picture size changed"
    assert listed["frames"][-1]["seq"] == 32
    clip, listed = recording.finished(second)
    assert [number_in(bgr) for _, bgr in pictures_of(clip)] == [frame["seq"] for frame in listed["frames"]]
    wide.close()


def test_a_silent_camera_ends_the_clip(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_inspect.record.clip_builder.SILENT_S", 0.2)
    event = recording.run(32, seen=range(24, 200), confirmed=30)
    _, listed = recording.finished(event)
    assert (listed["ended_by"], listed["frames"][-1]["seq"]) == ("camera silent", 31)


def test_the_judged_frame_is_in_the_clip_even_when_the_ring_has_moved_on(tmp_path: Path) -> None:
    (tmp_path / "ring").mkdir()
    belt = Belt(tmp_path / "ring", slots=6)
    recording = Recording(tmp_path, belt)
    headers = [belt.shoot() for _ in range(30)]
    event = belt.event(headers[-1])
    list(recording.stage.process([*headers, belt.tracked(headers[-1], 1.0), event]))
    later = [belt.shoot() for _ in range(12)]  # before the first frame could be encoded
    list(recording.stage.process([*later, Tracked(frame=later[-1], tracks=[])]))
    clip, listed = recording.finished(event)
    shown = [number_in(bgr) for _, bgr in pictures_of(clip)]
    assert listed["judged_time_s"] is not None
    assert 29 in shown
    assert shown == [frame["seq"] for frame in listed["frames"]]
    assert listed["frames_missing"] > 0, "what is missing is counted"
    recording.stage.close()
    belt.close()


def test_an_event_whose_frame_is_gone_is_counted(tmp_path: Path) -> None:
    (tmp_path / "ring").mkdir()
    belt = Belt(tmp_path / "ring", slots=6)
    recording = Recording(tmp_path, belt)
    before = outcome("frame_overwritten")
    headers = [belt.shoot() for _ in range(30)]
    recording.turn(*headers, belt.tracked(headers[10], 0.0), belt.event(headers[10]))
    assert outcome("frame_overwritten") == before + 1
    assert not list((recording.state_dir / "pictures").iterdir())
    recording.stage.close()
    belt.close()


def test_an_event_may_come_before_its_frame(recording: Recording) -> None:
    headers = [recording.belt.shoot() for _ in range(60)]
    event = recording.belt.event(headers[20])
    recording.turn(event)
    recording.turn(*headers)
    recording.turn(recording.belt.tracked(headers[20], 0.5), Tracked(frame=headers[-1], tracks=[]))
    _, listed = recording.finished(event)
    assert listed["judged_time_s"] is not None


def test_an_event_whose_frame_never_comes_is_counted(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_inspect.record.stage._FRAME_COMES_WITHIN_S", 0.05)
    before = outcome("frame_unknown")
    recording.turn(recording.belt.event(recording.belt.shoot()))
    wait_for_outcome(recording, "frame_unknown", before)


def test_stopping_ends_open_clips_with_what_there_is(recording: Recording) -> None:
    event = recording.run(33, seen=range(24, 200), confirmed=30)
    assert event is not None
    started_s = time.monotonic()
    recording.stage.close()
    assert time.monotonic() - started_s < 2
    listed = json.loads((recording.state_dir / "clips" / f"{event.id}.json").read_bytes())
    assert listed["ended_by"] == "stopped"
    assert listed["judged_time_s"] is not None
    assert pictures_of(recording.state_dir / "clips" / f"{event.id}.mp4")


def test_only_confirmed_defects_of_known_cameras_are_recorded(recording: Recording) -> None:
    header = recording.belt.shoot()
    event = recording.belt.event(header)
    others = [
        msgspec.structs.replace(event, kind="condition", name="black"),
        msgspec.structs.replace(event, state="cleared"),
        msgspec.structs.replace(event, camera="elsewhere"),
    ]
    recording.turn(header, recording.belt.tracked(header, 0.0), *others)
    builder = recording.stage._builders["cam"]
    assert builder.take_finished(time.monotonic_ns(), stopping=True) == [], "a clip was begun"


def test_the_index_comes_first_so_that_a_browser_can_start_at_once(recording: Recording) -> None:
    clip, _ = recording.finished(recording.run(60, seen=range(24, 37), confirmed=30))
    data = clip.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.slow
def test_ffplay_plays_a_clip_to_its_end(recording: Recording) -> None:
    if not shutil.which("ffplay"):
        pytest.skip("ffplay is not installed")
    clip, listed = recording.finished(recording.run(60, seen=range(24, 37), confirmed=30))
    command = ["ffplay", "-v", "error", "-autoexit", "-an", str(clip)]
    started_s = time.monotonic()
    played = subprocess.run(
        command, env={"SDL_VIDEODRIVER": "dummy", "PATH": "/usr/bin:/bin"}, capture_output=True, timeout=30, check=True
    )
    assert played.stderr == b""
    assert time.monotonic() - started_s > listed["duration_s"] * 0.8, "it was played, not refused"


def test_an_event_that_names_no_clip_gets_its_picture_alone(recording: Recording) -> None:
    header = recording.belt.shoot()
    event = msgspec.structs.replace(recording.belt.event(header), clip=None)
    recording.turn(header, recording.belt.tracked(header, 0.0), event)
    recording.turn_until(recording.state_dir / "pictures" / f"{event.id}.jpg")
    assert recording.stage.held()["clips of cam"][0] == 0
