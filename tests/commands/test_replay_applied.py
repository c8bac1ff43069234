"""Recorded detections under another configuration: what recorded scores answer is answered, the rest is refused."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import pytest
from rich.console import Console

from stream_inspect.commands.replay.recorded import FramesError
from stream_inspect.commands.replay.run import replay
from stream_inspect.commands.replay.view import ReplayView
from stream_inspect.config.models import Config
from stream_inspect.inspect.prompts import wordings_hash
from stream_inspect.picture import Picture
from stream_inspect.sim import SyntheticLine
from tests.commands.replays import config, line, make_video, read_lines, write_lines
from tests.commands.test_replay_pictures import table

NAMES = ("scratch", "crack", "hole", "stain")
SAME = ("events.jsonl", "frames.jsonl", "verdicts.csv")


def of_defects(threshold: float = 0.4, camera: dict[str, Any] | None = None, **changes: Any) -> Config:
    defects = [{"name": name, "prompts": [name], "threshold": threshold} | changes for name in NAMES]
    return config(belt=False, defects=defects, camera=camera or {})


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the synthetic line, which the embedded models know."""
    folder = tmp_path_factory.mktemp("parts")
    belt = SyntheticLine(3, width_px=640, height_px=360, speed_px_s=200.0)
    for index in range(8):
        drawn = Picture(belt.frame(60 + 30 * index).i420, 640, 360)
        cv2.imwrite(str(folder / f"{index}.png"), drawn.to_bgr())
    return folder


@pytest.fixture(scope="module")
def judged(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A replay of them with the models, at the threshold 0.4."""
    out = tmp_path_factory.mktemp("judged") / "out"
    replay(parts, of_defects(), out)
    return out


def found(out: Path) -> list[tuple[Any, ...]]:
    """(file, defect, score) of every detection."""
    frames = read_lines(out / "frames.jsonl")
    return [(frame["file"], one["defect"], one["score"]) for frame in frames for one in frame["detections"]]


def test_a_line_says_what_was_looked_for_what_matched_and_what_did_not_count(judged):
    frames = read_lines(judged / "frames.jsonl")
    assert all(frame["looked_for"].keys() == set(NAMES) for frame in frames)
    assert {one["threshold"] for frame in frames for one in frame["looked_for"].values()} == {0.4}
    assert all(one["prompt"] == one["defect"] for frame in frames for one in frame["detections"])
    candidates = [one for frame in frames for one in frame["candidates"]]
    assert candidates, "nothing was below its threshold: there is nothing to compare"
    for one in candidates:
        assert one["refused_for"] == "threshold"
        assert 0.1 <= one["score"] < 0.4
        assert one["prompt"] == one["defect"]
    rows = table(judged)
    for frame in frames:
        for one in frame["candidates"]:
            assert float(rows[frame["file"]][one["defect"]]) >= one["score"], "the table has scores below threshold too"


def test_the_same_configuration_gives_the_same_bytes(parts, judged, tmp_path):
    summary = replay(parts, of_defects(), tmp_path / "again", inspections=judged / "frames.jsonl")
    for name in SAME:
        assert (judged / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    first = json.loads((judged / "summary.json").read_text())
    assert summary.hashes.prompts == first["hashes"]["prompts"]
    assert json.loads((tmp_path / "again" / "summary.json").read_text())["recorded"] == {
        "refused": {},
        "candidates_counted": 0,
        "prompts_known": True,
    }


def test_a_higher_threshold_gives_what_the_models_give_with_it(parts, judged, tmp_path):
    higher = of_defects(0.6)
    summary = replay(parts, higher, tmp_path / "recorded", inspections=judged / "frames.jsonl")
    fresh = replay(parts, higher, tmp_path / "fresh")
    assert found(tmp_path / "recorded") == found(tmp_path / "fresh") != found(judged)
    assert summary.pictures.verdicts == fresh.pictures.verdicts
    assert summary.hashes.prompts == fresh.hashes.prompts, "the hash is that of what was used"
    assert summary.hashes.config == fresh.hashes.config
    assert summary.recorded.refused == {"threshold": len(found(judged)) - len(found(tmp_path / "recorded"))}
    back = replay(parts, of_defects(), tmp_path / "back", inspections=tmp_path / "recorded" / "frames.jsonl")
    assert found(tmp_path / "back") == found(judged), "what it refused is a candidate, and counts again"
    assert back.recorded.candidates_counted == summary.recorded.refused["threshold"]


def test_a_lower_threshold_gives_the_candidates_down_to_the_floor(parts, judged, tmp_path):
    lower = of_defects(0.2)
    summary = replay(parts, lower, tmp_path / "recorded", inspections=judged / "frames.jsonl")
    fresh = replay(parts, lower, tmp_path / "fresh")
    verdicts = {name: row["verdict"] for name, row in table(tmp_path / "recorded").items()}
    assert verdicts == {name: row["verdict"] for name, row in table(tmp_path / "fresh").items()}
    assert summary.recorded.candidates_counted > 0
    assert summary.hashes.prompts == fresh.hashes.prompts
    with pytest.raises(FramesError, match=r"the threshold 0\.05 of \w+ is lower .* down to 0\.1: replay with"):
        replay(parts, of_defects(0.05), tmp_path / "no", inspections=judged / "frames.jsonl")
    assert not (tmp_path / "no").exists()


def test_other_wordings_and_new_defects_are_refused(parts, judged, tmp_path):
    for used, said in (
        (of_defects(prompts=["a scratch"]), r"scratch was looked for with other prompts or counter-prompts"),
        (of_defects(counter_prompts=["bolt"]), r"scratch was looked for with other prompts or counter-prompts"),
        (of_defects(name="dent"), "two defects"),
    ):
        if said == "two defects":
            used = config(belt=False, defects=[{"name": "dent", "prompts": ["dent"]}])
            said = "dent was not looked for"
        with pytest.raises(FramesError, match=rf"frames\.jsonl, line 1: {said}: replay without --inspections"):
            replay(parts, used, tmp_path / "no", inspections=judged / "frames.jsonl")
    assert not (tmp_path / "no").exists()


def test_the_region_the_sizes_and_the_severity_are_those_of_the_configuration(parts, judged, tmp_path):
    left_half = [[0, 0], [320, 0], [320, 360], [0, 360]]
    used = of_defects(camera={"region_px": left_half}, severity="critical", min_area_px=300)
    replay(parts, used, tmp_path / "recorded", inspections=judged / "frames.jsonl")
    replay(parts, used, tmp_path / "fresh")
    assert found(tmp_path / "recorded") == found(tmp_path / "fresh") != found(judged)
    frames = read_lines(tmp_path / "recorded" / "frames.jsonl")
    assert {one["severity"] for frame in frames for one in frame["detections"]} == {"critical"}
    assert {one["refused_for"] for frame in frames for one in frame["candidates"]} >= {"region", "size"}
    replay(parts, of_defects(camera={"mm_per_px": 0.5}), tmp_path / "scaled", inspections=judged / "frames.jsonl")
    for frame in read_lines(tmp_path / "scaled" / "frames.jsonl"):
        for one in frame["detections"]:
            assert one["extent"]["area_mm2"] == pytest.approx(one["extent"]["area_px"] / 4, abs=1e-3)


def test_another_detectors_file_is_filtered_too_and_says_that_prompts_have_no_effect(tmp_path):
    video = make_video(tmp_path / "line.mp4", range(0, 400, 40))
    small, large = (20.0, 80.0, 24.0, 84.0), (100.0, 80.0, 130.0, 110.0)
    lines = [line(seq, seq * 0.04, small, large, prompts_hash="theirs") for seq in range(10)]
    for one in lines[:4]:
        one["detections"][1]["score"] = 0.2
    recorded = write_lines(tmp_path / "found.jsonl", lines)
    used = config(belt=False, defects=[{"name": "spot", "prompts": ["a spot"], "min_area_px": 100}])
    summary = replay(video, used, tmp_path / "out", inspections=recorded)
    assert summary.detections == 6
    assert summary.recorded.refused == {"size": 10, "threshold": 4}
    assert (summary.recorded.prompts_known, summary.hashes.prompts) == (False, "theirs")
    printed = StringIO()
    ReplayView(Console(file=printed, width=40)).finished(summary, tmp_path / "out")
    assert "recorded detections that do not count: 10 too small, 4 below their threshold" in printed.getvalue()
    assert "prompts and counter-prompts have no effect on these recorded detections" in printed.getvalue()


def test_a_candidate_at_the_place_of_a_better_find_is_not_counted_twice(tmp_path):
    """As the models fuse them: of one severity and like size, whatever the names; another severity keeps its name."""
    video = make_video(tmp_path / "line.mp4", [0])
    names = {"spot": "minor", "stain": "minor", "hole": "critical"}
    used = config(
        belt=False,
        defects=[{"name": name, "prompts": [name], "threshold": 0.2, "severity": names[name]} for name in names],
    )
    sought = {
        name: {"wordings": wordings_hash(defect), "threshold": 0.5, "floor": 0.1}
        for name, defect in zip(names, used.defects, strict=True)
    }
    box, beside = [20.0, 80.0, 40.0, 100.0], [100.0, 80.0, 120.0, 100.0]
    weak = {"refused_for": "threshold", "box_xyxy_px": box}
    candidates = [
        {"defect": "stain", "score": 0.4, **weak},
        {"defect": "hole", "score": 0.35, **weak},
        {"defect": "stain", "score": 0.3, **weak, "box_xyxy_px": beside},
    ]
    one = line(0, 0.0, (20.0, 80.0, 40.0, 100.0), candidates=candidates, looked_for=sought)
    one["detections"][0]["score"] = 0.6
    summary = replay(video, used, tmp_path / "out", inspections=write_lines(tmp_path / "f.jsonl", [one]))
    (frame,) = read_lines(tmp_path / "out" / "frames.jsonl")
    assert [(each["defect"], each["score"]) for each in frame["detections"]] == [
        ("spot", 0.6),
        ("hole", 0.35),
        ("stain", 0.3),
    ]
    assert [(each["defect"], each["refused_for"]) for each in frame["candidates"]] == [("stain", "duplicate")]
    assert summary.recorded.candidates_counted == 2
