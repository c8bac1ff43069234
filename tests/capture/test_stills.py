"""A folder of pictures as a camera of the service: every picture is due, none is dropped, each names its file."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import structlog
from PIL import Image

from stream_inspect.commands.check.cameras import check_camera, check_fit
from stream_inspect.config.models import CameraConfig, Config
from stream_inspect.findings import Level
from stream_inspect.messages import ConditionKind
from tests.capture.harness import StageHarness
from tests.conftest import MakeDisk


def stage_on(folder: Path, tmp_path: Path, **source: object) -> StageHarness:
    config = {
        "name": "c1",
        "source": {"kind": "images", "path": folder, **source},
        "sampling": {"rate_hz": 0.1},
    }
    return StageHarness(CameraConfig.model_validate(config), tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(10):
        noise = np.random.default_rng(number).integers(60, 160, (48, 64, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), noise)
    return folder


@pytest.mark.parametrize("source", [{"pace": "fast"}, {"pace": "real_time", "fps": 200.0}], ids=["fast", "real time"])
def test_every_picture_is_due_and_a_slow_worker_is_waited_for(folder: Path, tmp_path: Path, source: dict) -> None:
    with stage_on(folder, tmp_path, **source) as harness:
        harness.judging = True
        harness.on_frame = lambda header: time.sleep(0.02)
        harness.run(lambda: harness.stage.ended)
        assert [header.file for header in harness.frames] == [f"{number}.png" for number in range(10)]
        assert [due.header.file for due in harness.due] == [header.file for header in harness.frames]
        assert harness.missed == []
        totals = harness.totals()
        assert (totals.captured, totals.judged, totals.not_due, totals.dropped) == (10, 10, 0, {})


def test_a_picture_that_cannot_be_read_is_counted_and_named_in_the_log(folder: Path, tmp_path: Path) -> None:
    (folder / "3.png").write_bytes(b"no picture")
    with structlog.testing.capture_logs() as logged, stage_on(folder, tmp_path, pace="fast") as harness:
        harness.judging = True
        harness.run(lambda: harness.stage.ended)
        assert len(harness.due) == 9
        assert harness.totals().dropped == {("capture", "bad_frame"): 1}
        assert harness.missed == []
    named = [line["file"] for line in logged if line["event"] == "picture cannot be read"]
    assert named == ["3.png"]


def test_a_black_picture_is_a_condition_alone_and_silence_is_none(folder: Path, tmp_path: Path) -> None:
    for name in ("4.png", "5.png"):
        cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))
    with stage_on(folder, tmp_path, pace="fast") as harness:
        harness.judging = True
        harness.run(lambda: harness.stage.ended)
    active = [one for one in harness.conditions if one.active]
    assert {one.kind for one in active} == {ConditionKind.BLACK}
    raised = [
        (one.active, one.frame.file) for one in harness.conditions if one.kind is ConditionKind.BLACK and one.frame
    ]
    assert raised == [(True, "4.png"), (False, "4.png"), (True, "5.png"), (False, "5.png")]


@pytest.mark.parametrize("disk_kb", [None, 3072], ids=["room", "hardly any room"])
def test_pictures_of_any_size_are_still_there_when_their_turn_comes(
    folder: Path, tmp_path: Path, make_disk: MakeDisk, disk_kb: int | None
) -> None:
    """A worker that takes its time, pictures each of another size, and perhaps a disk that holds two or three rings."""
    for number in range(12):
        noise = np.random.default_rng(number).integers(60, 160, (96 + 2 * number, 128, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), noise)
    for number in range(10):
        (folder / f"{number}.png").unlink()
    rings = make_disk(disk_kb) if disk_kb else tmp_path
    with stage_on(folder, rings, pace="fast") as harness:
        for number in range(12):
            harness.credit()
            harness.run(lambda seen=number: len(harness.due) > seen)
            for _ in range(5):
                harness.turn(0.01)  # the reader is far ahead
            header = harness.due[number].header
            assert harness.ring.read(header).luma.shape == (header.height_px, 128)
            assert harness.account.judged(header.ledger_index)
        harness.run(lambda: harness.stage.ended)
        totals = harness.totals()
    assert (totals.captured, totals.judged, totals.dropped) == (12, 12, {})


def checked(folder: Path, **camera: object) -> list[tuple[Level, str]]:
    source = {"kind": "images", "path": folder}
    found, _ = check_camera(CameraConfig.model_validate({"name": "c1", "source": source, **camera}), busy=False)
    return [(one.level, one.text) for one in found]


def test_check_counts_the_pictures_and_asks_for_no_rate_or_views(folder: Path, tmp_path: Path) -> None:
    (folder / "3.png").write_bytes(b"")
    source = {"kind": "images", "path": folder, "pace": "fast"}
    belt = {"direction": "left_to_right", "speed_mm_s": 5000.0, "mm_per_px": 1.0}
    config = Config.model_validate(
        {
            "version": 1,
            "cameras": [{"name": "c1", "source": source, "belt": belt, "sampling": {"rate_hz": 100}}],
            "defects": [{"name": "hole", "prompts": ["hole"]}],
        }
    )
    found, seen = check_camera(config.cameras[0], busy=False)
    assert [(one.level, one.text) for one in found] == [
        (Level.OK, "10 pictures, the first 64x48 px; each is judged"),
        (Level.WARN, "1 of 10 pictures cannot be read: 3.png (the file is empty)"),
    ]
    assert check_fit(config, [seen]) == []


def test_check_tries_all_pictures_and_says_so_where_time_does_not_allow_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the pace of the line it had two seconds for them: ten of these."""
    for number in range(10, 40):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 8), number, np.uint8))
    (folder / "39.png").write_bytes(b"")
    counted = (Level.OK, "40 pictures, the first 64x48 px; each is judged")
    assert checked(folder) == [
        counted,
        (Level.WARN, "1 of 40 pictures cannot be read: 39.png (the file is empty)"),
    ]
    monkeypatch.setattr("stream_inspect.commands.check.folder.TRY_S", -1.0)
    assert checked(folder) == [counted, (Level.OK, "the first 1 of 40 pictures were tried, within -1 s")]
    (folder / "0.png").write_bytes(b"")
    assert checked(folder) == [
        (Level.FAIL, "none of the first 1 of 40 pictures can be read: 0.png (the file is empty)")
    ]


def test_check_names_what_is_left_out_and_how_values_are_taken(folder: Path) -> None:
    cv2.imwrite(str(folder / "9.png"), np.full((48, 64), 4000, np.uint16))
    (folder / "notes.txt").write_text("not a picture", encoding="utf-8")
    (folder / "more").mkdir()
    page = Image.new("L", (8, 8), 90)
    page.save(folder / "10.tif", save_all=True, append_images=[page, page])
    left_out = (Level.WARN, "left out of the folder: more/, notes.txt, 10.tif: pages 2 to 3")
    counted, *others = checked(folder, rotate_deg=90)
    assert counted == (Level.OK, "11 pictures, the first 48x64 px; each is judged")
    assert others[0] == left_out
    assert (others[1][0], "with 12 bits of content" in others[1][1]) == (Level.WARN, True)
    assert checked(folder, bit_depth=12)[1:] == [
        left_out,
        (Level.OK, "16-bit pictures are taken as 12 bits, as bit_depth says"),
    ]
