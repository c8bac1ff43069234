"""Replays of the sample material: real footage without an error, and events that are the truth's defects."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from stream_inspect.commands.replay.run import replay
from tests.commands.replays import SAME, config, confirmed, times_of, write_lines

VIDEOS = (
    "videos/bolt_conveyor.mp4",
    "videos/bottles_a.mp4",
    "videos/palletising_robot.mp4",
    "virtual_conveyor_cookies/clip.mp4",
    "virtual_conveyor_pcb/clip.mp4",
)
MODELS = {
    "defects": [{"name": name, "prompts": [name], "threshold": 0.5} for name in ("scratch", "crack", "hole", "stain")],
    "inspect": {"max_detections": 6},
    "recorder": {"height_px": 360},
}


def truth(data: Path, kind: str) -> list[dict]:
    """The lines of a virtual conveyor's truth."""
    return [json.loads(one) for one in (data / f"virtual_conveyor_{kind}" / "frames.jsonl").read_text().splitlines()]


def detections_of(
    frames: list[dict], path: Path, *, miss: float = 0.0, false: float = 0.0, jitter_px: float = 0.0, every: int = 3
) -> Path:
    """What a detector as good as this would find in every third frame, in defects at least 40 % visible."""
    rng = random.Random(5)
    lines = []
    for frame in frames[::every]:
        defects = [defect for part in frame["parts"] for defect in part["defects"]]
        seen = [d["xyxy"] for d in defects if d["visible_fraction"] >= 0.4 and rng.random() >= miss]
        found = [[value + rng.gauss(0, jitter_px) for value in box] for box in seen]
        if rng.random() < false:
            x, y = rng.uniform(0, 1200), rng.uniform(0, 640)
            found.append([x, y, x + 60, y + 60])
        lines.append(
            {
                "camera": "cam",
                "seq": frame["frame"],
                "pts_s": frame["t_ms"] / 1000,
                "width_px": 1280,
                "height_px": 720,
                "detections": [{"defect": "spot", "score": 0.3, "box_xyxy_px": box, "mask_rle": None} for box in found],
            }
        )
    return write_lines(path, lines)


def matches(frames: list[dict], events: list[dict]) -> tuple[set[str], int]:
    """(defects that an event rests on, events that rest on none or on one already found)."""
    found: set[str] = set()
    false = 0
    for event in events:
        left, top, right, bottom = event["box_xyxy_px"]
        hit = None
        for part in frames[event["frame"]["seq"]]["parts"]:
            for defect in part["defects"]:
                dl, dt, dr, db = defect["xyxy"]
                width, height = min(right, dr) - max(left, dl), min(bottom, db) - max(top, dt)
                if width > 0 and height > 0 and width * height > 0.4 * (dr - dl) * (db - dt):
                    hit = defect["defect_id"]
        if hit is None or hit in found:
            false += 1
        else:
            found.add(hit)
    return found, false


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "defects"), [("cookies", 16), ("pcb", 67)])
def test_events_are_the_defects_of_the_truth(kind, defects, sample_data, tmp_path):
    frames = truth(sample_data, kind)
    clip = sample_data / f"virtual_conveyor_{kind}" / "clip.mp4"
    perfect = detections_of(frames, tmp_path / "perfect.jsonl")
    noisy = detections_of(frames, tmp_path / "noisy.jsonl", miss=0.1, false=0.05, jitter_px=2)
    belt = {"direction": "left_to_right", "speed_mm_s": 285.0, "mm_per_px": 1.0}  # it runs at 300: 5 % faster
    used = config(camera={"belt": belt}, recorder={"height_px": 180})

    replay(clip, used, tmp_path / "perfect", inspections=perfect)
    found, false = matches(frames, confirmed(tmp_path / "perfect"))
    assert (len(found), false) == (defects, 0)

    replay(clip, used, tmp_path / "noisy", inspections=noisy)
    found, false = matches(frames, confirmed(tmp_path / "noisy"))
    assert len(found) == defects
    assert false <= 1


@pytest.mark.slow
def test_without_a_belt_what_moves_little_is_still_one_event_each(sample_data, tmp_path):
    frames = truth(sample_data, "cookies")
    perfect = detections_of(frames, tmp_path / "perfect.jsonl", every=2)  # 24 px a step: about a small defect's width
    clip = sample_data / "virtual_conveyor_cookies" / "clip.mp4"
    replay(clip, config(belt=False, recorder={"height_px": 180}), tmp_path / "out", inspections=perfect)
    found, false = matches(frames, confirmed(tmp_path / "out"))
    assert (len(found), false) == (16, 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", VIDEOS)
def test_every_video_of_the_sample_material_replays(name, sample_data, tmp_path):
    video = sample_data / name
    used = config(belt=False, camera={"sampling": {"rate_hz": 0.5}}, **MODELS)
    summary = replay(video, used, tmp_path / "out")
    times = times_of(video)
    assert summary.frames.residual == 0
    assert summary.frames.dropped == {}
    assert summary.frames.captured == len(times)
    assert summary.frames.judged == len((tmp_path / "out" / "frames.jsonl").read_text().splitlines())
    assert summary.frames.judged >= summary.video.duration_s * 0.5
    assert times_of(tmp_path / "out" / "annotated.mp4") == pytest.approx([time - times[0] for time in times], abs=2e-3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_with_models_twice_the_same_and_again_from_its_own_frames(sample_data, tmp_path):
    video = sample_data / "videos" / "bolt_conveyor.mp4"
    loose = [{"name": name, "prompts": [f"a {name}"], "threshold": 0.25} for name in ("scratch", "crack", "hole")]
    used = config(belt=False, **MODELS | {"defects": loose})
    for name in ("one", "two"):
        summary = replay(video, used, tmp_path / name)
    for name in SAME:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert summary.detections > 0, "nothing was found: there is nothing to compare"
    replay(video, used, tmp_path / "again", inspections=tmp_path / "one" / "frames.jsonl")
    for name in SAME[:3]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
