"""Replay: a recording is judged as the line would have judged it, and twice the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from stream_inspect.capture.camera import CameraError
from stream_inspect.commands.replay import run as replay_module
from stream_inspect.commands.replay.recorded import FramesError
from stream_inspect.commands.replay.results import PARTS, RESULTS, ReplayError
from stream_inspect.commands.replay.run import ReplayProgress, replay
from stream_inspect.commands.replay.view import ReplayView
from stream_inspect.errors import StreamInspectError
from tests.commands.replays import (
    HEIGHT_PX,
    SAME,
    WIDTH_PX,
    config,
    confirmed,
    line,
    make_video,
    pictures_of,
    read_lines,
    spot,
    times_of,
    turn_video,
    write_lines,
)

EVEN_MS = range(0, 3000, 40)
UNEVEN_MS = [0, 33, 40, 150, 151, 300, 420, 425, 430, 900, 1000, 1033, 1066, 1700, 1750, 1760, 2000, 2500, 2501, 2900]


@pytest.fixture
def video(tmp_path) -> Path:
    return make_video(tmp_path / "line.mp4", EVEN_MS)


@pytest.fixture
def found(tmp_path) -> Path:
    """The spot, in every fifth frame."""
    return write_lines(tmp_path / "found.jsonl", [line(seq, seq * 0.04, spot(seq * 0.04)) for seq in range(0, 75, 5)])


def test_recorded_detections_are_decided_on_again(video, found, tmp_path):
    out = tmp_path / "out"
    summary = replay(video, config(), out, inspections=found)
    assert sorted(path.name for path in out.iterdir()) == sorted({*RESULTS} - {PARTS})
    assert (summary.frames.captured, summary.frames.judged, summary.frames.not_due) == (75, 15, 60)
    assert (summary.frames.residual, summary.frames.in_flight, summary.frames.dropped) == (0, 0, {})
    assert json.loads((out / "summary.json").read_text())["events"] == {
        "defects": 1,
        "conditions": 0,
        "by_name": {"spot": 1},
    }
    events = read_lines(out / "events.jsonl")
    assert [(event["id"], event["state"]) for event in events] == [
        ("top-0-spot-1", "confirmed"),
        ("top-0-spot-1", "cleared"),
    ]
    event = events[0]
    assert (event["severity"], event["picture"], event["clip"]) == ("minor", None, None)
    assert (event["frame"]["seq"], event["frame"]["clock"], event["frame"]["session"]) == (5, "media", 0)
    assert event["frame"]["capture_utc_ns"] == event["last_seen_utc_ns"] == 200_000_000
    assert event["first_seen_utc_ns"] == 0
    assert event["box_xyxy_px"] == list(spot(0.2))
    assert event["extent"] == {
        "area_px": 400,
        "length_px": 20,
        "width_px": 20,
        "area_mm2": 400,
        "length_mm": 20,
        "width_mm": 20,
    }


def test_the_annotated_video_has_every_frame_at_its_time_with_its_mark(video, found, tmp_path):
    replay(video, config(), tmp_path / "out", inspections=found)
    assert times_of(tmp_path / "out" / "annotated.mp4") == pytest.approx([ms / 1000 for ms in EVEN_MS])
    for seq, (plain, drawn) in enumerate(
        zip(pictures_of(video), pictures_of(tmp_path / "out/annotated.mp4"), strict=True)
    ):
        changed = np.abs(plain.astype(int) - drawn).max(axis=2) > 60
        rows, columns = np.nonzero(changed[82:110])  # below the label
        left, _, right, _ = spot(seq * 0.04)
        assert abs(columns.min() - left) <= 3, f"frame {seq}: the mark is not on the spot"
        assert abs(rows.max() - 17) <= 3
        assert columns.max() >= min(right, WIDTH_PX) - 3


@pytest.mark.parametrize("times_ms", [EVEN_MS, UNEVEN_MS], ids=["even", "variable frame rate"])
def test_twice_the_same_byte_for_byte(times_ms, tmp_path):
    video = make_video(tmp_path / "line.mp4", times_ms)
    looks = [line(seq, ms / 1000, spot(ms / 1000)) for seq, ms in enumerate(times_ms) if seq % 2 == 0]
    found = write_lines(tmp_path / "found.jsonl", looks)
    for name in ("one", "two"):
        replay(video, config(), tmp_path / name, inspections=found)
    for name in SAME:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert times_of(tmp_path / "one" / "annotated.mp4") == pytest.approx([ms / 1000 for ms in times_ms], abs=1e-3)
    assert len(confirmed(tmp_path / "one")) == 1


@pytest.mark.slow
def test_the_annotated_video_does_not_depend_on_what_memory_held(found, tmp_path):
    """x264 reads memory that it never wrote, unless it is told otherwise; 270 lines is where it showed."""
    video = make_video(tmp_path / "line.mp4", EVEN_MS, (480, 270))
    write_lines(found, [line(0, 0.0, spot(0.0), width_px=480, height_px=270)])
    program = (
        "import sys; from pathlib import Path; from stream_inspect.commands.replay.run import replay; "
        "from tests.commands.replays import config; "
        "replay(Path(sys.argv[1]), config(), Path(sys.argv[3]), inspections=Path(sys.argv[2]))"
    )
    for fill in ("1", "85", "254"):
        command = [sys.executable, "-c", program, str(video), str(found), str(tmp_path / fill)]
        subprocess.run(command, check=True, env={**os.environ, "MALLOC_PERTURB_": fill}, stdout=subprocess.DEVNULL)
    first = (tmp_path / "1" / "annotated.mp4").read_bytes()
    assert (tmp_path / "85" / "annotated.mp4").read_bytes() == first
    assert (tmp_path / "254" / "annotated.mp4").read_bytes() == first


def test_its_own_frames_give_its_own_events_again(video, found, tmp_path):
    replay(video, config(), tmp_path / "one", inspections=found)
    again = tmp_path / "one" / "frames.jsonl"
    replay(video, config(), tmp_path / "two", inspections=again)
    for name in ("events.jsonl", "frames.jsonl", "annotated.mp4"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_what_makes_two_replays_differ_is_named(video, found, tmp_path):
    first = replay(video, config(), tmp_path / "1", inspections=found).hashes
    other_rule = replay(video, config(decide={"confirm_hits": 3}), tmp_path / "2", inspections=found).hashes
    other_video = make_video(tmp_path / "other.mp4", range(0, 3000, 40), (WIDTH_PX, HEIGHT_PX + 2))
    write_lines(found, [line(0, 0.0, height_px=HEIGHT_PX + 2)])
    second = replay(other_video, config(), tmp_path / "3", inspections=found).hashes
    assert (first.config != other_rule.config, first.video == other_rule.video) == (True, True)
    assert first.inspections == other_rule.inspections
    assert (first.config == second.config, first.video != second.video) == (True, True)
    assert first.inspections != second.inspections


def test_recorded_detections_need_no_model(video, found, tmp_path):
    program = (
        "import sys; from pathlib import Path; from stream_inspect.commands.replay.run import replay; "
        "from tests.commands.replays import config; "
        f"replay(Path({str(video)!r}), config(), Path({str(tmp_path / 'out')!r}), inspections=Path({str(found)!r})); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "out" / "summary.json").exists()


def test_a_black_picture_is_a_condition(tmp_path):
    video = make_video(tmp_path / "line.mp4", range(0, 400, 40))
    dark = make_dark(tmp_path / "dark.mp4")
    none = write_lines(tmp_path / "none.jsonl", [])
    assert replay(video, config(), tmp_path / "light", inspections=none).events.conditions == 0
    summary = replay(dark, config(), tmp_path / "out", inspections=none)
    assert summary.events.by_name == {"black": 1}
    begun, ended = read_lines(tmp_path / "out" / "events.jsonl")
    assert (begun["kind"], begun["first_seen_utc_ns"], ended["state"]) == ("condition", 0, "cleared")


def test_a_condition_ends_with_the_recording_also_when_no_picture_is_held_any_more(tmp_path, monkeypatch):
    none = write_lines(tmp_path / "none.jsonl", [])
    monkeypatch.setattr(replay_module, "_PICTURES_BYTES", 0)
    replay(make_dark(tmp_path / "dark.mp4"), config(), tmp_path / "out", inspections=none)
    assert [event["state"] for event in read_lines(tmp_path / "out" / "events.jsonl")] == ["confirmed", "cleared"]


def test_silence_in_the_recording_ends_what_was_tracked_as_on_the_line(tmp_path):
    times_ms = [*range(0, 1000, 40), *range(7000, 8000, 40)]
    video = make_video(tmp_path / "line.mp4", times_ms)
    looks = [line(seq, ms / 1000, (50 + ms / 50, 80, 70 + ms / 50, 100)) for seq, ms in enumerate(times_ms)]
    found = write_lines(tmp_path / "found.jsonl", looks)
    slow = {
        "direction": "left_to_right",
        "speed_mm_s": 20.0,
        "mm_per_px": 1.0,
    }  # it would be in the picture all the time
    replay(video, config(camera={"belt": slow}), tmp_path / "out", inspections=found)
    events = read_lines(tmp_path / "out" / "events.jsonl")
    assert [(event["id"], event["state"], event["frame"]["seq"]) for event in events] == [
        # At frame 10 it has moved by more than a box may be misplaced: then it is known to lie on the belt.
        ("top-0-spot-1", "confirmed", 10),
        ("top-0-spot-1", "cleared", 10),
        ("top-0-spot-2", "confirmed", 35),
        ("top-0-spot-2", "cleared", 35),
    ]


@pytest.mark.parametrize("rotate_deg", [90, 180, 270])
def test_a_turned_recording_is_judged_and_drawn_as_the_upright_one(video, found, rotate_deg, tmp_path):
    replay(turn_video(video, tmp_path / "upright.mkv", 0), config(), tmp_path / "upright", inspections=found)
    lying = turn_video(video, tmp_path / "lying.mkv", rotate_deg)
    turned = config(camera={"rotate_deg": rotate_deg})
    summary = replay(lying, turned, tmp_path / "turned", inspections=found)
    for name in SAME[:2]:
        assert (tmp_path / "upright" / name).read_bytes() == (tmp_path / "turned" / name).read_bytes(), name
    assert_same_pictures(tmp_path / "upright" / "annotated.mp4", tmp_path / "turned" / "annotated.mp4")
    assert (summary.video.width_px, summary.video.height_px) == (WIDTH_PX, HEIGHT_PX)


def test_a_replay_of_its_own_annotated_video_does_not_turn_it_twice(video, found, tmp_path):
    turned = config(camera={"rotate_deg": 90}, recorder={"height_px": HEIGHT_PX})
    replay(turn_video(video, tmp_path / "lying.mkv", 90), turned, tmp_path / "one", inspections=found)
    annotated = tmp_path / "one" / "annotated.mp4"
    replay(annotated, turned, tmp_path / "two", inspections=found)
    upright = config(recorder={"height_px": HEIGHT_PX})
    replay(turn_video(annotated, tmp_path / "untagged.mkv", 0), upright, tmp_path / "three", inspections=found)
    assert_same_pictures(tmp_path / "two" / "annotated.mp4", tmp_path / "three" / "annotated.mp4")


def assert_same_pictures(one: Path, other: Path) -> None:
    assert all(np.array_equal(*pair) for pair in zip(pictures_of(one), pictures_of(other), strict=True))


def test_detections_of_another_rotation_are_refused(video, found, tmp_path):
    with pytest.raises(FramesError, match=r"is 320x180 px, but that frame .* is 180x320: .* with another rotate_deg"):
        replay(video, config(camera={"rotate_deg": 90}), tmp_path / "out", inspections=found)


@pytest.mark.slow
def test_models_see_the_judged_picture_of_a_recording(video, tmp_path):
    lying = turn_video(video, tmp_path / "lying.mkv", 270)
    dark = [{"name": "spot", "prompts": ["hole"], "threshold": 0.05}]
    region = {"region_px": [[0, 40], [WIDTH_PX, 40], [WIDTH_PX, 140], [0, 140]], "sampling": {"rate_hz": 4}}
    for name, source, rotate_deg in (
        ("upright", turn_video(video, tmp_path / "upright.mkv", 0), 0),
        ("turned", lying, 270),
    ):
        summary = replay(source, config(defects=dark, camera={"rotate_deg": rotate_deg, **region}), tmp_path / name)
    assert summary.detections > 0
    for name in SAME[:2]:
        assert (tmp_path / "upright" / name).read_bytes() == (tmp_path / "turned" / name).read_bytes(), name
    assert_same_pictures(tmp_path / "upright" / "annotated.mp4", tmp_path / "turned" / "annotated.mp4")


def test_how_many_workers_the_line_has_makes_no_difference(video, found, tmp_path):
    replay(video, config(), tmp_path / "one", inspections=found)
    replay(video, config(inspect={"workers": [{}, {}]}), tmp_path / "two", inspections=found)
    for name in SAME:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def make_dark(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        black = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
        for _ in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def test_progress_is_told_up_to_the_end(video, found, tmp_path):
    told: list[ReplayProgress] = []
    replay(video, config(), tmp_path / "out", inspections=found, progress=told.append)
    assert (told[-1].frames, told[-1].frame_count, told[-1].judged, told[-1].events) == (75, 75, 15, 1)
    assert told[-1].media_s == pytest.approx(2.96)


def test_the_folder_of_the_results_is_printed_as_it_is_called(video, found, tmp_path):
    out = tmp_path / "[bold]with a name that is longer than the line of a narrow terminal"
    printed = StringIO()
    summary = replay(video, config(), out, inspections=found)
    ReplayView(Console(file=printed, width=40)).finished(summary, out)
    assert f"results: {out}/ (" in printed.getvalue()


def test_wall_time_is_in_timing_json_alone(video, found, tmp_path):
    replay(video, config(), tmp_path / "out", inspections=found)
    timing = json.loads((tmp_path / "out" / "timing.json").read_text())
    assert timing["total_s"] > 0
    assert timing["judged_fps"] == pytest.approx(15 / timing["total_s"], rel=0.05)
    assert str(tmp_path) not in (tmp_path / "out" / "summary.json").read_text()


# --- what is refused ---------------------------------------------------------------------------------------------


def test_a_folder_with_something_in_it_is_left_alone(video, found, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "summary.json").write_text("precious")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ReplayError, match=r"out is not empty: .*--force"):
        replay(video, config(), out, inspections=found)
    assert (out / "summary.json").read_text() == "precious"
    replay(video, config(), out, inspections=found, force=True)
    assert json.loads((out / "summary.json").read_text())["frames"]["judged"] == 15
    assert (out / "notes.txt").read_text() == "mine"


def test_a_replay_does_not_overwrite_what_it_reads(video, found, tmp_path):
    replay(video, config(), tmp_path / "out", inspections=found)
    frames = tmp_path / "out" / "frames.jsonl"
    before = frames.read_bytes()
    with pytest.raises(ReplayError, match="would be overwritten by its own replay"):
        replay(video, config(), tmp_path / "out", inspections=frames, force=True)
    assert frames.read_bytes() == before


def test_what_stands_in_the_way_of_a_result_is_named(video, found, tmp_path):
    (tmp_path / "out" / "events.jsonl").mkdir(parents=True)
    (tmp_path / "out" / "summary.json").write_text("precious")
    with pytest.raises(ReplayError, match=r"out/events\.jsonl is a folder: nothing .* has been replaced"):
        replay(video, config(), tmp_path / "out", inspections=found, force=True)
    assert (tmp_path / "out" / "summary.json").read_text() == "precious"


def test_a_model_that_does_not_load_costs_no_earlier_results(video, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("precious")
    detector = tmp_path / "owlv2"
    shutil.copytree(files("stream_inspect") / "tiny" / "owlv2", detector)
    (detector / "tokenizer.json").write_text("{")
    with pytest.raises(StreamInspectError, match="tokenizer"):
        replay(video, config(inspect={"detector": {"model": str(detector)}}), tmp_path / "out", force=True)
    assert (tmp_path / "out" / "summary.json").read_text() == "precious"


@pytest.mark.parametrize("room_bytes", [2_000, pytest.param(15_000, marks=pytest.mark.slow)])
def test_a_full_disk_is_said_plainly(room_bytes, video, found, tmp_path):
    """Stood in for by a limit on the size of a file."""
    program = (
        "import resource, sys; from pathlib import Path; from stream_inspect.commands.replay.run import replay; "
        "from stream_inspect.commands.replay.results import ResultsError; from tests.commands.replays import config\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))\n"
        "try: replay(Path(sys.argv[1]), config(), Path(sys.argv[3]), inspections=Path(sys.argv[2]))\n"
        "except ResultsError as error: print(error, file=sys.stderr)"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", program, str(video), str(found), str(out), str(room_bytes)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == f"the results cannot be written to {out}: File too large\n"
    assert not (out / "summary.json").exists()


def test_what_is_no_video_is_refused_and_leaves_nothing(found, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    for path, said in ((text, "cannot be opened as a video"), (tmp_path / "absent.mp4", "no such file")):
        with pytest.raises(CameraError, match=said):
            replay(path, config(), tmp_path / "out", inspections=found)
    assert not (tmp_path / "out").exists()


def test_a_wrong_line_is_refused_before_anything_is_written(video, found, tmp_path):
    found.write_text(found.read_text() + '{"camera": "top"}\n')
    with pytest.raises(FramesError, match=r"found\.jsonl, line 16: .*missing required field `seq`"):
        replay(video, config(), tmp_path / "out", inspections=found)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_replay_has_no_summary(video, found, tmp_path):
    write_lines(found, [line(0, 0.0), line(60, 2.4), line(75, 3.0)])
    with pytest.raises(FramesError, match=r"line 3: seq 75, but only 75 frames were read \(0 to 74\)"):
        replay(video, config(), tmp_path / "out", inspections=found)
    assert not (tmp_path / "out" / "summary.json").exists()
    assert len(times_of(tmp_path / "out" / "annotated.mp4")) == 60  # what was made until then can be played


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (line(5, 0.2, width_px=640), r"line 1: seq 5 is 640x180 px, but that frame of the video is 320x180"),
        (line(5, 1.2), r"line 1: seq 5 is at 1.200 s, but that frame of the video is at 0.200 s"),
    ],
)
def test_detections_of_another_video_are_refused(video, found, wrong, said, tmp_path):
    write_lines(found, [wrong])
    with pytest.raises(FramesError, match=said):
        replay(video, config(), tmp_path / "out", inspections=found)


def test_defects_without_a_configuration_are_named(video, found, tmp_path):
    lines = read_lines(found)
    for one in lines:
        one["detections"][0]["defect"] = "speck"
    summary = replay(video, config(), tmp_path / "out", inspections=write_lines(found, lines))
    assert summary.defects_not_configured == ["speck"]
    assert [event["severity"] for event in confirmed(tmp_path / "out")] == ["major"]
