"""`stream-inspect belt`: what a few seconds of pictures say of a belt, and when they say nothing."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from stream_inspect.belt.rectified import Rectifier
from stream_inspect.cli import app
from stream_inspect.commands.belt.frames import BeltError, Frames
from stream_inspect.commands.belt.measure import measure
from stream_inspect.commands.belt.scale import find_target, scale_of_pitch, scale_of_points
from stream_inspect.config.load import load
from stream_inspect.config.models import BeltConfig
from stream_inspect.picture import Picture
from tests.belt.pictures import CLIP_PX, CLIPS, FPS, MOUNTINGS, Mounting, belt, clip, grey, texture, views

SPEED_MM_S = CLIP_PX * FPS
UNKNOWN = BeltConfig(direction="left_to_right", speed_mm_s=1, mm_per_px=1)


def film(pictures: list[Picture]) -> Frames:
    return Frames(pictures, [number / FPS for number in range(len(pictures))])


def quiet(_: str) -> None:
    """Nothing is shown."""


@pytest.mark.parametrize(("name", "first"), [(CLIPS[0], 0), (CLIPS[1], 70)], ids=["empty at first", "with parts"])
def test_a_straight_belt_is_measured(sample_data: Path, name: str, first: int) -> None:
    motion = measure(film(list(clip(sample_data, name, first, 36))), UNKNOWN, quiet)
    assert motion.belt.direction == "left_to_right"
    assert motion.speed_mm_s.value == pytest.approx(SPEED_MM_S, rel=0.005)
    assert abs(motion.speed_mm_s.value - SPEED_MM_S) < 5 * motion.speed_mm_s.sigma
    assert len(motion.places) == 12, "it moves everywhere"


@pytest.mark.parametrize("mounting", MOUNTINGS, ids=lambda mounting: mounting.name)
def test_a_belt_at_an_angle_and_one_at_a_slant_are_measured(sample_data: Path, mounting: Mounting) -> None:
    """The rectangle at a slant is where it was configured: it lies along the belt already."""
    pictures = [mounting.picture(picture) for picture in clip(sample_data, CLIPS[0], 40, 36)]
    plane = UNKNOWN if mounting.belt.corners_px is None else mounting.belt
    motion = measure(film(pictures), plane, quiet)
    assert motion.speed_mm_s.value == pytest.approx(SPEED_MM_S, rel=0.005)
    assert motion.direction_deg.value == pytest.approx(mounting.belt.angle_deg, abs=1)
    if motion.belt.corners_px is not None:
        assert np.array(motion.belt.corners_px) == pytest.approx(np.array(mounting.belt.corners_px), abs=3)
        with pytest.raises(BeltError, match=r"the camera sees the belt at a slant\. Lay a checkerboard on it and give"):
            measure(film(pictures), UNKNOWN, quiet)


def test_a_belt_that_stands_and_one_without_texture_are_refused() -> None:
    with pytest.raises(
        BeltError, match=r"nothing moves evenly through the picture in 0\.9 s: film the belt while it ru"
    ):
        measure(film(list(views(texture("rubber"), [100] * 24))), UNKNOWN, quiet)
    flat = [grey(np.full((360, 640), 90.0), seed=number) for number in range(24)]
    with pytest.raises(BeltError, match="the picture shows no texture that could move: check light, focus and expos"):
        measure(film(flat), UNKNOWN, quiet)


def test_a_belt_that_does_not_run_evenly_is_refused() -> None:
    there_and_back = [*range(0, 160, 8), *range(160, 0, -8), *range(0, 160, 8)]
    with pytest.raises(BeltError, match=r"the motion contradicts itself \(0\.0 to 0\.8 s: 0 degrees, 8\.0 px a frame"):
        measure(film(list(views(texture("rubber"), there_and_back))), UNKNOWN, quiet)


@pytest.mark.parametrize(("kind", "period_px"), [("ribbed", 24), ("modular", 44), ("weave", 9)])
def test_the_pitch_of_the_belts_pattern_gives_the_scale(kind: str, period_px: int) -> None:
    rectifier = Rectifier(belt())
    shown = (rectifier.see(picture) for picture in views(texture(kind), range(0, 400, 57)))
    scale = scale_of_pitch(shown, pitch_mm=12.7)
    assert scale.mm_per_px == pytest.approx(12.7 / period_px, rel=0.005)
    with pytest.raises(BeltError, match="no pattern repeats along the belt"):
        scale_of_pitch(
            (rectifier.see(picture) for picture in views(texture("rubber"), range(0, 400, 57))), pitch_mm=12.7
        )


def checkerboard(to_px: np.ndarray, square_mm: float = 25.0) -> Picture:
    """9 by 6 squares on a bright sheet; `to_px` maps its millimetres."""
    squares = np.indices((6, 9)).sum(axis=0) % 2 * 200 + 30
    sheet = np.full((8, 11), 230, np.uint8)
    sheet[1:7, 1:10] = squares
    fine = cv2.resize(sheet, None, fx=40, fy=40, interpolation=cv2.INTER_NEAREST)
    to_mm = np.diag([square_mm / 40, square_mm / 40, 1])
    seen = cv2.warpPerspective(fine, to_px @ to_mm, (1280, 720), flags=cv2.INTER_AREA, borderValue=90)
    return grey(seen)


def test_a_checkerboard_gives_the_scale() -> None:
    turned = np.vstack([cv2.getRotationMatrix2D((0, 0), 20, 2.0), [0, 0, 1]])
    turned[:2, 2] = (300, 300)
    target = find_target([grey(np.full((720, 1280), 90.0)), checkerboard(turned)], square_mm=25.0)
    assert target.scale.mm_per_px == pytest.approx(0.5, rel=0.002)
    assert not target.is_slanted
    with pytest.raises(BeltError, match="no checkerboard is seen: lay one of at least 4 by 4 squares flat on the belt"):
        find_target([grey(np.full((720, 1280), 90.0))], square_mm=25.0)


def test_a_checkerboard_at_a_slant_gives_the_plane_of_the_belt() -> None:
    """A rectangle of the belt elsewhere has its true size in that plane."""
    ends = np.array([[300, 200], [900, 230], [1010, 600], [210, 560]], np.float32)
    to_px = cv2.getPerspectiveTransform(np.array([[0, 0], [275, 0], [275, 200], [0, 200]], np.float32), ends)
    target = find_target([checkerboard(to_px)], square_mm=25.0)
    assert target.is_slanted
    assert sorted(target.corners_mm) == [100.0, 175.0]
    to_mm = cv2.getPerspectiveTransform(
        np.array(target.corners_px, np.float32),
        np.array([[0, 0], [target.corners_mm[0], 0], target.corners_mm, [0, target.corners_mm[1]]], np.float32),
    )
    sheet = cv2.perspectiveTransform(ends[None].astype(np.float64), to_mm)[0]
    assert np.linalg.norm(np.diff(sheet, axis=0), axis=1) == pytest.approx([275, 200, 275], rel=0.005)


def test_two_points_give_the_scale() -> None:
    assert scale_of_points((100, 100), (400, 500), 250).mm_per_px == 0.5
    with pytest.raises(BeltError, match=r"the two points are 1\.4 px apart: choose points that are farther apart"):
        scale_of_points((100, 100), (101, 101), 250)


CONFIG = """\
version: 1
cameras:
  - name: top
    source: {kind: usb}   # above the oven
    belt:
      direction: top_to_bottom
      speed_mm_s: 100   # by the drive
      mm_per_px: 2
defects: [{name: hole, prompts: [hole]}]
lines:
  - {name: line1, odometer: {kind: picture}, parts: {kind: background}, lanes: [{from_mm: 50, to_mm: 179}]}
"""


def test_the_belt_is_shown_and_written_and_comments_stay(sample_data: Path, tmp_path: Path) -> None:
    config, picture = tmp_path / "line.yaml", tmp_path / "found.png"
    config.write_text(CONFIG)
    film = str(sample_data / CLIPS[0] / "clip.mp4")
    command = ["belt", str(config), "--clip", film, "--seconds", "1.2", "--picture", str(picture)]
    done = CliRunner().invoke(app, [*command, "--two-points", "0,0,1280,0", "--mm", "640", "--write"])
    assert done.exit_code == 0, done.output
    assert "direction  0.0 ± 0.2 degrees (left_to_right)" in done.output
    found = re.search(
        r"belt:\n  direction: left_to_right\n  speed_mm_s: (1[45][\d.]+)\n  mm_per_px: 0\.5\n", done.output
    )
    assert found is not None, done.output
    assert float(found[1]) == pytest.approx(150, rel=0.005)
    changed = (
        CONFIG.replace("top_to_bottom", "left_to_right").replace("100 ", f"{found[1]} ").replace("px: 2", "px: 0.5")
    )
    assert config.read_text() == changed
    drawn = cv2.imread(str(picture))
    assert (np.abs(drawn.astype(int) - (80, 220, 80)).max(axis=2) < 12).sum() > 500, "arrows"
    assert (np.abs(drawn[100].astype(int) - (250, 200, 60)).max(axis=1) < 12).mean() > 0.8, "the lane's side"


def test_a_belt_that_is_not_configured_is_added(sample_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "line.yaml"
    config.write_text(CONFIG.partition("    belt:")[0] + "defects: [{name: hole, prompts: [hole]}]\n")
    film = str(sample_data / CLIPS[0] / "clip.mp4")
    command = ["belt", str(config), "--clip", film, "--seconds", "1", "--picture", str(tmp_path / "found.png")]
    done = CliRunner().invoke(app, [*command, "--write"])
    assert done.exit_code == 2
    assert "the scale is not known, so nothing is written: give --pitch-mm, --target-mm or --two-points" in done.output
    done = CliRunner().invoke(app, [*command, "--two-points", "0,0,1280,0", "--mm", "640", "--write"])
    assert done.exit_code == 0, done.output
    written = load(config).cameras[0].belt
    assert written is not None
    assert (written.direction, written.mm_per_px) == ("left_to_right", 0.5)
    assert written.speed_mm_s == pytest.approx(150, rel=0.005)


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (["--pitch-mm", "9", "--target-mm", "9"], "--pitch-mm, --target-mm and --two-points all give the scale"),
        (["--two-points", "1,2,3"], "--two-points expects X1,Y1,X2,Y2 in px, such as 120,300,840,310, got '1,2,3'"),
        (["--two-points", "1,2,3,4"], "--two-points X1,Y1,X2,Y2 and --mm, the distance between them, need each other"),
        (["--clip", "none.mp4"], "--clip none.mp4 is not a file"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, options: list[str], reported: str) -> None:
    (tmp_path / "line.yaml").write_text(CONFIG)
    done = CliRunner().invoke(app, ["belt", str(tmp_path / "line.yaml"), *options])
    assert done.exit_code == 2
    assert reported in done.output
