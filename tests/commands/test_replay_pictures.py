"""A replay of pictures: each is judged alone, listed with its verdict, and named by its events."""

from __future__ import annotations

import csv
import json
import os
import shutil
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from stream_inspect.capture.build import make_camera
from stream_inspect.capture.camera import CameraError
from stream_inspect.commands.replay.recorded import FramesError
from stream_inspect.commands.replay.results import ReplayError
from stream_inspect.commands.replay.run import ReplayProgress, replay
from stream_inspect.commands.replay.view import ReplayView
from stream_inspect.config.models import CameraConfig
from stream_inspect.errors import UsageError
from stream_inspect.picture import Picture
from stream_inspect.sim import SyntheticLine
from tests.commands.replays import config, confirmed, line, make_video, read_lines, write_lines

BOX = [40.0, 30.0, 60.0, 50.0]
SAME = ("events.jsonl", "frames.jsonl", "verdicts.csv", "summary.json")


def make_picture(path: Path, size: tuple[int, int] = (160, 120), *, luma: int = 120, seed: int = 1) -> Path:
    """A noisy picture of (width, height), with a dark spot at `BOX`."""
    width, height = size
    noise = np.random.default_rng(seed).integers(-20, 20, (height, width, 3))
    picture = np.clip(noise + luma, 0, 255).astype(np.uint8)
    cv2.rectangle(picture, (40, 30), (59, 49), (10, 10, 10), cv2.FILLED)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


def spotted(seq: int, file: str, *scores: float, size: tuple[int, int] = (160, 120)) -> dict:
    """A line of frames.jsonl: a picture with so many spots."""
    found = [{"defect": "spot", "score": score, "box_xyxy_px": BOX} for score in scores]
    where = {"width_px": size[0], "height_px": size[1]}
    return {"camera": "top", "seq": seq, "pts_s": 0.0, **where, "detections": found, "file": file}


def table(out: Path) -> dict[str, dict[str, str]]:
    """verdicts.csv, by file."""
    with (out / "verdicts.csv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of different sizes and kinds: two that are spotted, one that is not, two that cannot be read."""
    folder = tmp_path / "parts"
    make_picture(folder / "a.png")
    make_picture(folder / "b.jpg", (320, 200))
    make_picture(folder / "c.bmp", (81, 61))
    (folder / "d.jpg").write_bytes((folder / "b.jpg").read_bytes()[:2000])
    (folder / "e.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def found(tmp_path: Path) -> Path:
    lines = [
        spotted(0, "a.png", 0.4, 0.9),
        spotted(1, "b.jpg", 0.5, size=(320, 200)),
        spotted(2, "c.bmp", size=(81, 61)),
    ]
    return write_lines(tmp_path / "found.jsonl", lines)


def test_each_picture_is_judged_alone_and_its_events_name_it(folder, found, tmp_path):
    summary = replay(folder, config(), tmp_path / "out", inspections=found)
    events = read_lines(tmp_path / "out" / "events.jsonl")
    assert [(event["frame"]["file"], event["score"], event["state"]) for event in events] == [
        ("a.png", 0.9, "confirmed"),
        ("a.png", 0.4, "confirmed"),
        ("a.png", 0.9, "cleared"),
        ("a.png", 0.4, "cleared"),
        ("b.jpg", 0.5, "confirmed"),
        ("b.jpg", 0.5, "cleared"),
    ]
    assert len({event["track"] for event in events}) == 3, "the same place in two pictures is not the same defect"
    assert {event["reason"] for event in events if event["state"] == "confirmed"} == {"seen in this picture"}
    assert (summary.frames.captured, summary.frames.judged, summary.frames.not_due) == (5, 3, 0)
    assert (summary.frames.dropped, summary.frames.residual) == ({"capture.bad_frame": 2}, 0)


def test_the_table_lists_every_file_with_its_verdict_and_scores(folder, found, tmp_path):
    summary = replay(folder, config(), tmp_path / "out", inspections=found)
    rows = table(tmp_path / "out")
    assert list(rows) == ["a.png", "b.jpg", "c.bmp", "d.jpg", "e.png"]
    assert [tuple(rows["a.png"].values()), tuple(rows["b.jpg"].values()), tuple(rows["c.bmp"].values())] == [
        ("a.png", "FAIL", "2 spot", "2", "0.9000"),
        ("b.jpg", "FAIL", "1 spot", "1", "0.5000"),
        ("c.bmp", "PASS", "", "0", ""),
    ]
    assert (rows["d.jpg"]["verdict"], rows["e.png"]["verdict"]) == ("UNDECIDED", "UNDECIDED")
    assert "damaged, cut short" in rows["d.jpg"]["reason"]
    assert rows["e.png"]["reason"] == "the file is empty"
    written = json.loads((tmp_path / "out" / "summary.json").read_text())["pictures"]
    assert (written["name"], written["count"]) == ("parts", 5)
    assert written["verdicts"] == {"PASS": 1, "FAIL": 2, "UNDECIDED": 2}
    assert (written["found_in"], list(written["unreadable"])) == ({"spot": 2}, ["d.jpg", "e.png"])
    assert written["left_out"] == ["notes.txt"]
    assert "video" not in json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary.events.defects == 3


def test_each_picture_is_drawn_at_its_own_size_under_its_own_name(folder, found, tmp_path):
    replay(folder, config(), tmp_path / "out", inspections=found)
    drawn = tmp_path / "out" / "annotated"
    assert sorted(path.name for path in drawn.iterdir()) == ["a.png", "b.jpg", "c.bmp.png"]
    assert not (tmp_path / "out" / "annotated.mp4").exists()
    for name, size, marked in (
        ("a.png", (120, 160), True),
        ("b.jpg", (200, 320), True),
        ("c.bmp.png", (61, 81), False),
    ):
        before, after = cv2.imread(str(folder / name.replace(".bmp.png", ".bmp"))), cv2.imread(str(drawn / name))
        assert after.shape[:2] == size
        changed = np.abs(before.astype(int) - after).max(axis=2) > 100
        assert bool(changed[28:52, 38:62].any()) == marked


def test_all_pictures_are_judged_however_many_there_are_and_however_rarely_frames_are_due(tmp_path):
    names = [f"{number:02}.png" for number in range(26)]
    for name in names:
        make_picture(tmp_path / "parts" / name)
    lines = [spotted(seq, name, 0.4) for seq, name in enumerate(names)]
    rare = config(camera={"sampling": {"rate_hz": 0.1}}, decide={"confirm_hits": 3})
    summary = replay(tmp_path / "parts", rare, tmp_path / "out", inspections=write_lines(tmp_path / "f.jsonl", lines))
    assert (summary.frames.captured, summary.frames.judged, summary.events.defects) == (26, 26, 26)
    assert [event["frame"]["file"] for event in confirmed(tmp_path / "out")] == names


def test_twice_the_same_byte_for_byte_and_again_from_its_own_frames(folder, found, tmp_path):
    for name in ("one", "two"):
        replay(folder, config(), tmp_path / name, inspections=found)
    replay(folder, config(), tmp_path / "again", inspections=tmp_path / "one" / "frames.jsonl")
    for name in (*SAME, "annotated/a.png", "annotated/b.jpg", "annotated/c.bmp.png"):
        one = (tmp_path / "one" / name).read_bytes()
        assert one == (tmp_path / "two" / name).read_bytes(), name
        if name != "summary.json":  # it names the hash of what was recorded
            assert one == (tmp_path / "again" / name).read_bytes(), name


def test_the_models_judge_every_picture_as_the_inspector_does(tmp_path):
    belt = SyntheticLine(3, width_px=640, height_px=360, speed_px_s=200.0)
    (tmp_path / "parts").mkdir()
    for index in range(6):
        drawn = Picture(belt.frame(60 + 30 * index).i420, 640, 360)
        cv2.imwrite(str(tmp_path / "parts" / f"{index}.png"), drawn.to_bgr())
    defects = [{"name": name, "prompts": [name], "threshold": 0.4} for name in ("scratch", "crack", "hole", "stain")]
    used = config(belt=False, defects=defects, camera={"sampling": {"rate_hz": 0.1}})
    for name in ("one", "two"):
        summary = replay(tmp_path / "parts", used, tmp_path / name)
    assert summary.frames.judged == 6
    assert summary.detections > 0, "nothing was found: there is nothing to compare"
    assert summary.events.defects == summary.detections
    for name in SAME:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    replay(tmp_path / "parts" / "4.png", used, tmp_path / "alone")
    row = table(tmp_path / "alone")["4.png"]
    assert row == table(tmp_path / "one")["4.png"], "a picture's verdict does not depend on the others"


def test_one_picture_a_list_and_several_folders_are_judged(folder, found, tmp_path):
    alone = write_lines(tmp_path / "alone.jsonl", [spotted(0, "b.jpg", 0.5, size=(320, 200))])
    replay(folder / "b.jpg", config(), tmp_path / "one", inspections=alone)
    assert list(table(tmp_path / "one")) == ["b.jpg"]

    chosen = write_lines(
        tmp_path / "chosen.jsonl", [spotted(0, "b.jpg", 0.5, size=(320, 200)), spotted(1, "a.png", 0.4)]
    )
    replay([folder / "b.jpg", folder / "a.png", folder / "b.jpg"], config(), tmp_path / "list", inspections=chosen)
    assert list(table(tmp_path / "list")) == ["b.jpg", "a.png"], "in the order given, each once"

    for name in ("good", "bad"):
        make_picture(tmp_path / "lot" / name / "1.png")
    lines = [spotted(0, "good/1.png"), spotted(1, "bad/1.png", 0.4)]
    both = [tmp_path / "lot" / "good", tmp_path / "lot" / "bad"]
    replay(both, config(), tmp_path / "two", inspections=write_lines(tmp_path / "both.jsonl", lines))
    rows = table(tmp_path / "two")
    assert {name: row["verdict"] for name, row in rows.items()} == {"good/1.png": "PASS", "bad/1.png": "FAIL"}
    assert (tmp_path / "two" / "annotated" / "bad" / "1.png").exists()


def test_a_black_picture_is_undecided_and_a_condition_of_its_own(tmp_path):
    make_picture(tmp_path / "parts" / "1.png")
    for name in ("2.png", "3.png"):
        cv2.imwrite(str(tmp_path / "parts" / name), np.zeros((120, 160, 3), np.uint8))
    lines = [spotted(seq, f"{seq + 1}.png") for seq in range(3)]
    replay(tmp_path / "parts", config(), tmp_path / "out", inspections=write_lines(tmp_path / "f.jsonl", lines))
    verdicts = {name: (row["verdict"], row["reason"]) for name, row in table(tmp_path / "out").items()}
    black = ("UNDECIDED", "the picture is black")
    assert verdicts == {"1.png": ("PASS", ""), "2.png": black, "3.png": black}
    events = read_lines(tmp_path / "out" / "events.jsonl")
    assert [(event["name"], event["frame"]["file"], event["state"]) for event in events] == [
        ("black", "2.png", "confirmed"),
        ("black", "2.png", "cleared"),
        ("black", "3.png", "confirmed"),
        ("black", "3.png", "cleared"),
    ]


def test_a_picture_that_the_region_does_not_fit_is_undecided_and_not_passed(folder, found, tmp_path):
    region = {"region_px": [[80, 0], [150, 0], [150, 110], [80, 110]]}
    replay(folder, config(camera=region), tmp_path / "out", inspections=found)
    rows = table(tmp_path / "out")
    assert [rows[name]["verdict"] for name in ("a.png", "b.jpg", "c.bmp")] == ["PASS", "PASS", "UNDECIDED"]
    assert rows["c.bmp"]["reason"].startswith("corner [150, 0] of region_px is outside the picture of 81x61 px")


def test_recorded_inspections_are_found_by_name_whatever_was_added(folder, found, tmp_path):
    make_picture(folder / "0.png")
    summary = replay(folder, config(), tmp_path / "out", inspections=found)
    rows = table(tmp_path / "out")
    assert (rows["0.png"]["verdict"], rows["0.png"]["reason"]) == (
        "UNDECIDED",
        "the recorded inspections do not hold it",
    )
    assert (rows["a.png"]["verdict"], rows["c.bmp"]["verdict"]) == ("FAIL", "PASS")
    assert (summary.frames.judged, summary.frames.not_due, summary.frames.residual) == (3, 1, 0)


def test_the_inspections_of_a_folder_serve_for_some_of_its_pictures(folder, found, tmp_path):
    replay(folder, config(), tmp_path / "all", inspections=found)
    recorded = tmp_path / "all" / "frames.jsonl"
    for name in ("b.jpg", "c.bmp"):
        replay(folder / name, config(), tmp_path / name, inspections=recorded)
        assert table(tmp_path / name) == {name: table(tmp_path / "all")[name]}
    (folder / "b.jpg").unlink()
    summary = replay(folder, config(), tmp_path / "fewer", inspections=recorded)
    assert summary.pictures.verdicts == {"PASS": 1, "FAIL": 1, "UNDECIDED": 2}


def test_the_inspections_of_other_pictures_are_refused(folder, found, tmp_path):
    (folder / "c.bmp").rename(folder / "renamed.bmp")
    with pytest.raises(
        FramesError,
        match=r"line 3: c\.bmp is not among the 3 pictures that were read, and the file does not hold renamed\.bmp",
    ):
        replay(folder, config(), tmp_path / "out", inspections=found)
    write_lines(found, [spotted(0, "a.png"), spotted(1, "a.png")])
    with pytest.raises(FramesError, match=r"line 2: a\.png is already in line 1"):
        replay(folder, config(), tmp_path / "other", inspections=found)


def test_a_name_that_is_not_utf8_is_listed_and_judged(tmp_path):
    make_picture(tmp_path / "parts" / "0.png")
    strange = os.fsencode(tmp_path / "parts") + b"/m\xfcll: 1.png"
    shutil.copy(tmp_path / "parts" / "0.png", strange)
    lines = [spotted(0, "0.png"), spotted(1, "m\\xfcll: 1.png", 0.4)]
    replay(tmp_path / "parts", config(), tmp_path / "out", inspections=write_lines(tmp_path / "f.jsonl", lines))
    assert list(table(tmp_path / "out")) == ["0.png", "m\\xfcll: 1.png"]
    assert (tmp_path / "out" / "annotated" / "m\\xfcll: 1.png").exists()


def test_pictures_are_turned_as_the_camera_is(tmp_path):
    make_picture(tmp_path / "1.png", (160, 120))
    lines = [spotted(0, "1.png", 0.4, size=(120, 160))]
    turned = config(camera={"rotate_deg": 90})
    replay(tmp_path / "1.png", turned, tmp_path / "out", inspections=write_lines(tmp_path / "f.jsonl", lines))
    assert cv2.imread(str(tmp_path / "out" / "annotated" / "1.png")).shape[:2] == (160, 120)


def test_pages_after_the_first_are_named_and_not_judged(tmp_path):
    make_picture(tmp_path / "parts" / "0.png")
    first = Image.fromarray(np.full((120, 160, 3), 90, np.uint8))
    first.save(tmp_path / "parts" / "1.tif", save_all=True, append_images=[first] * 3)
    lines = [spotted(0, "0.png"), spotted(1, "1.tif", 0.4)]
    summary = replay(
        tmp_path / "parts", config(), tmp_path / "out", inspections=write_lines(tmp_path / "f.jsonl", lines)
    )
    assert summary.pictures.left_out == ["1.tif: pages 2 to 4"]


def test_a_guessed_bit_depth_is_a_warning_and_a_stated_one_gives_the_same_verdict_alone(tmp_path):
    """A dark picture of 12 bits, judged as one of 10 where it is alone."""
    belt = SyntheticLine(3, width_px=640, height_px=360, speed_px_s=200.0)
    luma = Picture(belt.frame(60).i420, 640, 360).luma.astype(np.uint16)
    (tmp_path / "parts").mkdir()
    cv2.imwrite(str(tmp_path / "parts" / "bright.png"), luma << 4)
    cv2.imwrite(str(tmp_path / "parts" / "dark.png"), luma << 2)
    defects = [{"name": name, "prompts": [name], "threshold": 0.4} for name in ("scratch", "crack", "hole", "stain")]
    rows, warnings = {}, {}
    for bits in (None, 12):
        used = config(belt=False, defects=defects, camera={"bit_depth": bits})
        for name, chosen in (("among", tmp_path / "parts"), ("alone", tmp_path / "parts" / "dark.png")):
            out = tmp_path / f"{name}-{bits}"
            summary = replay(chosen, used, out)
            warnings[name, bits] = [one for one in summary.warnings if "bit_depth" in one]
            rows[name, bits] = table(out)["dark.png"]
    assert rows["alone", None] != rows["among", None]
    assert rows["alone", 12] == rows["among", 12] == rows["among", None]
    assert [len(warnings[name, None]) for name in ("alone", "among")] == [1, 2]
    assert "dark.png (10)" in warnings["among", None][1]
    assert warnings["alone", 12] == warnings["among", 12] == []


def test_a_gif_is_a_picture_unless_it_moves(tmp_path):
    make_picture(tmp_path / "0.png")
    still, other = Image.open(tmp_path / "0.png"), Image.new("RGB", (160, 120), (90, 90, 90))
    (tmp_path / "parts").mkdir()
    still.save(tmp_path / "parts" / "1.gif")
    still.save(tmp_path / "parts" / "film.gif", save_all=True, append_images=[other] * 3)
    lines = write_lines(tmp_path / "f.jsonl", [spotted(0, "1.gif", 0.4)])
    for name, chosen in (("folder", tmp_path / "parts"), ("alone", tmp_path / "parts" / "1.gif")):
        summary = replay(chosen, config(), tmp_path / name, inspections=lines)
        assert [(row["file"], row["verdict"]) for row in table(tmp_path / name).values()] == [("1.gif", "FAIL")]
        assert summary.pictures.left_out == (["film.gif"] if name == "folder" else [])
    film = write_lines(tmp_path / "film.jsonl", [line(0, 0.0, width_px=160, height_px=120)])
    assert replay(tmp_path / "parts" / "film.gif", config(), tmp_path / "film", inspections=film).video.codec == "gif"
    source = {"kind": "file", "path": tmp_path / "parts" / "1.gif"}
    with pytest.raises(CameraError, match="is a picture, not a video"):
        make_camera(CameraConfig.model_validate({"name": "c", "source": source})).open()


@pytest.mark.parametrize("suffix", [".jp2", ".avif", ".pnm", ".tiff", ".webp", ".JPG"])
def test_every_kind_of_picture_is_judged(tmp_path, suffix):
    make_picture(tmp_path / f"1{suffix}")
    lines = write_lines(tmp_path / "f.jsonl", [spotted(0, f"1{suffix}", 0.4)])
    replay(tmp_path / f"1{suffix}", config(), tmp_path / "out", inspections=lines)
    assert table(tmp_path / "out")[f"1{suffix}"]["verdict"] == "FAIL"
    assert len(list((tmp_path / "out" / "annotated").iterdir())) == 1


# --- what is refused ---------------------------------------------------------------------------------------------


def test_what_holds_no_picture_is_refused_with_what_to_do(tmp_path, found):
    (tmp_path / "lot" / "good").mkdir(parents=True)
    (tmp_path / "lot" / "film.mp4").write_bytes(b"no film")
    make_picture(tmp_path / "lot" / "good" / "1.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "phone.HEIC").write_bytes(b"no picture either")
    for path, error, said in (
        (tmp_path / "lot", UsageError, r"lot contains no picture \(.*\.png.*\); name the folders in it.*lot/good"),
        (
            [tmp_path / "lot" / "good", tmp_path / "lot" / "film.mp4"],
            UsageError,
            "pictures together, a video by itself",
        ),
        (tmp_path / "broken.png", CameraError, r"none of the 1 pictures can be read; broken\.png: cannot be decoded"),
        (tmp_path / "phone.HEIC", UsageError, r"pictures of the kind \.HEIC are not read: save it as PNG"),
        (tmp_path / "absent.png", CameraError, r"absent\.png: cannot be read: No such file"),
    ):
        with pytest.raises(error, match=said):
            replay(path, config(), tmp_path / "out", inspections=found)
    assert not (tmp_path / "out").exists()


def test_a_picture_is_not_taken_for_a_film_of_one_frame_nor_a_film_for_a_folder(tmp_path):
    make_picture(tmp_path / "1.png")
    for kind, said in (
        ("file", "is a picture, not a video: write kind: images"),
        ("images", "is a file, not a folder"),
    ):
        camera = CameraConfig.model_validate({"name": "c", "source": {"kind": kind, "path": tmp_path / "1.png"}})
        with pytest.raises(CameraError, match=said):
            make_camera(camera).open()


def test_a_recording_too_short_to_confirm_anything_says_so(tmp_path):
    video = make_video(tmp_path / "short.mp4", [0])
    recorded = write_lines(tmp_path / "f.jsonl", [line(0, 0.0, (20.0, 80.0, 40.0, 100.0))])
    summary = replay(video, config(belt=False), tmp_path / "out", inspections=recorded)
    assert summary.events.defects == 0
    assert [
        one for one in summary.warnings if one.startswith("1 judged frame, and decide.confirm_hits is 2: no defect")
    ]


def test_earlier_results_are_replaced_whole_but_never_what_is_read(folder, found, tmp_path):
    out = tmp_path / "out"
    replay(folder, config(), out, inspections=found)
    (out / "notes.txt").write_text("mine")
    alone = write_lines(tmp_path / "alone.jsonl", [spotted(0, "a.png", 0.4)])
    with pytest.raises(ReplayError, match="would be overwritten by its own replay"):
        replay(out / "annotated" / "a.png", config(), out, inspections=alone, force=True)
    assert (out / "annotated" / "b.jpg").exists()
    replay(folder / "a.png", config(), out, inspections=alone, force=True)
    assert [path.name for path in (out / "annotated").iterdir()] == ["a.png"]
    assert (out / "notes.txt").read_text() == "mine"


# --- what it prints ----------------------------------------------------------------------------------------------


def test_the_end_names_what_was_not_read_and_counts_the_verdicts(folder, found, tmp_path):
    printed = StringIO()
    view = ReplayView(Console(file=printed, width=40))
    seen: list[ReplayProgress] = []
    summary = replay(folder, config(), tmp_path / "[out]", inspections=found, progress=seen.append)
    view.finished(summary, tmp_path / "[out]")
    assert printed.getvalue().splitlines() == [
        "left out: notes.txt",
        "not read: d.jpg: cannot be decoded: damaged, cut short, or not a picture",
        "not read: e.png: the file is empty",
        "5 pictures: 1 PASS, 2 FAIL, 2 UNDECIDED",
        "3 detections (spot in 2)",
        "prompts and counter-prompts have no effect on these recorded detections",
        f"results: {tmp_path}/[out]/ (verdicts.csv, annotated/, events.jsonl, frames.jsonl, summary.json)",
    ]
    assert (seen[-1].frames, seen[-1].frame_count, seen[-1].judged, seen[-1].failed) == (5, 5, 3, 2)
