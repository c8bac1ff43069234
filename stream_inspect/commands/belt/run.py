"""Measures a belt from a few seconds of a camera's frames, shows what it found, puts it into the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from stream_inspect.belt.geometry import BeltView
from stream_inspect.belt.rectified import Rectifier
from stream_inspect.commands.belt.frames import BeltError, Frames, read_frames
from stream_inspect.commands.belt.measure import Motion, Value, measure
from stream_inspect.commands.belt.picture import draw_found
from stream_inspect.commands.belt.scale import Scale, find_target, scale_of_pitch, scale_of_points
from stream_inspect.commands.config_file import replace_text
from stream_inspect.config import edit
from stream_inspect.config.models import BeltConfig, CameraConfig, Config
from stream_inspect.errors import UsageError

_TARGET_FRAMES = 5
"""Frames in which a checkerboard is looked for."""
_PITCH_FRAMES = 20
_UNSCALED = 1.0


@dataclass(frozen=True, slots=True)
class Ruler:
    """What the scale is to be taken from; at most one of them."""

    pitch_mm: float | None = None
    target_mm: float | None = None
    points_px: tuple[float, float, float, float] | None = None
    points_mm: float | None = None

    def check(self) -> None:
        """Raises `UsageError` where more than one is given, or half of one."""
        given = [self.pitch_mm, self.target_mm, self.points_px]
        if sum(one is not None for one in given) > 1:
            raise UsageError("--pitch-mm, --target-mm and --two-points all give the scale: choose one")
        if (self.points_px is None) is not (self.points_mm is None):
            raise UsageError("--two-points X1,Y1,X2,Y2 and --mm, the distance between them, need each other")


@dataclass(frozen=True, slots=True)
class BeltFound:
    """What was measured."""

    camera: CameraConfig
    frames: Frames
    motion: Motion
    scale: Scale | None
    picture: Path

    @property
    def block(self) -> dict[str, Any] | None:
        """`belt` of the camera; None where its scale is not known."""
        return None if self.scale is None else _block(self.motion.belt)

    def to_text(self) -> str:
        """For a person, and to be copied into the configuration."""
        first, belt = self.frames.pictures[0], self.motion.belt
        view = BeltView(belt, first.width_px, first.height_px)
        px_per_mm = sum(side**2 for side in view.velocity_px_s(1.0)) ** 0.5
        size = f"{len(self.frames.pictures)} frames of {first.width_px}x{first.height_px} px"
        named = f" ({belt.direction})" if belt.direction else " (clockwise; 0 is to the right)"
        where = "" if belt.corners_px is None else ", in the middle of the picture"
        lines = [
            f"camera {self.camera.name}: {size} in {self.frames.seconds:.1f} s",
            f"direction  {self.motion.direction_deg.text('degrees')}{named}",
            f"speed      {self.motion.speed_mm_s.scaled(px_per_mm).text('px/s')}{where}",
        ]
        if self.scale is not None:
            speed = self.motion.speed_mm_s.scaled(1.0, self.scale.sigma)
            scale = Value(self.scale.mm_per_px, self.scale.mm_per_px * self.scale.sigma)
            lines += [f"           {speed.text('mm/s')}", f"scale      {scale.text('mm per px')}, by {self.scale.by}"]
        else:
            lines.append("scale      not known: give --pitch-mm, --target-mm or --two-points")
        lines.append(f"picture    {self.picture}")
        return "\n".join([*lines, *(["", yaml_text(self.block)] if self.block else [])])


def measure_belt(
    config: Config,
    *,
    clip: Path | None,
    seconds: float,
    ruler: Ruler,
    picture: Path,
    show: Callable[[str], None] = lambda _: None,
) -> BeltFound:
    """Measure the belt of the configuration's only camera and draw it.

    Raises `UsageError`, and `BeltError` where nothing moves, nothing can be seen moving, or the motion is not even.
    """
    ruler.check()
    if len(config.cameras) > 1:
        raise UsageError(f"choose one with --camera: {', '.join(camera.name for camera in config.cameras)}")
    camera = config.cameras[0]
    frames = read_frames(camera, clip, seconds, show)
    plane, scale = _plane(camera, frames, ruler, show)
    motion = measure(frames, plane, show)
    if ruler.pitch_mm is not None:
        scale = _by_pitch(frames, motion.belt, ruler.pitch_mm)
        motion = _scaled(motion, scale)
    found = BeltFound(camera, frames, motion, scale, picture)
    line = next((line for line in config.lines if line.name == config.line_of(camera.name)), None)
    drawn = draw_found(
        frames.pictures[len(frames.pictures) // 2], motion.belt, motion.places, line, has_scale=scale is not None
    )
    if not cv2.imwrite(str(picture), drawn):
        raise BeltError(f"cannot write {picture}: check the folder, and that the name ends with .png or .jpg")
    return found


def write_belt(path: Path, config: Config, found: BeltFound) -> None:
    """Put the belt into the configuration file, comments kept. Raises `UsageError`, `ConfigFileError`, `EditError`."""
    if found.block is None:
        raise UsageError("the scale is not known, so nothing is written: give --pitch-mm, --target-mm or --two-points")
    index = next(number for number, camera in enumerate(config.cameras) if camera.name == found.camera.name)
    where = ("cameras", index, "belt")
    block = found.block

    def changed(text: str) -> str:
        if found.camera.belt is None:
            return edit.set_value(text, where, block)
        for key in ("direction", "direction_deg", "corners_px", "corners_mm", "mm_per_px"):
            if key not in block and getattr(found.camera.belt, key) is not None:
                text = edit.remove_key(text, (*where, key))
        for key, value in block.items():
            text = edit.set_value(text, (*where, key), value)
        return text

    replace_text(path, changed)


def yaml_text(block: dict[str, Any]) -> str:
    """`belt:` as in a configuration file."""
    text = f"belt:\n  {next(iter(block))}: 0\n"
    for key, value in block.items():
        text = edit.set_value(text, ("belt", key), value)
    return text.strip()


def _plane(
    camera: CameraConfig, frames: Frames, ruler: Ruler, show: Callable[[str], None]
) -> tuple[BeltConfig, Scale | None]:
    """The plane in which the motion is measured, and the scale where that is known already."""
    belt, scale = camera.belt, None
    if ruler.target_mm is not None:
        show("looking for the checkerboard …")
        step = max(1, len(frames.pictures) // _TARGET_FRAMES)
        target = find_target(frames.pictures[::step], ruler.target_mm)
        if target.is_slanted:
            plane = BeltConfig(corners_px=target.corners_px, corners_mm=target.corners_mm, speed_mm_s=1)
            return plane, target.scale
        scale = target.scale
    elif ruler.points_px is not None and ruler.points_mm is not None:
        x1, y1, x2, y2 = ruler.points_px
        scale = scale_of_points((x1, y1), (x2, y2), ruler.points_mm)
    elif ruler.pitch_mm is None and belt is not None:
        scale = Scale(belt.scale_mm_per_px, 0.0, "the configuration")
        if belt.corners_px is not None:
            return belt, scale
    mm_per_px = _UNSCALED if scale is None else scale.mm_per_px
    return BeltConfig(direction="left_to_right", speed_mm_s=1, mm_per_px=mm_per_px), scale


def _by_pitch(frames: Frames, belt: BeltConfig, pitch_mm: float) -> Scale:
    rectifier = Rectifier(belt)
    step = max(1, len(frames.pictures) // _PITCH_FRAMES)
    return scale_of_pitch((rectifier.see(picture) for picture in frames.pictures[::step]), pitch_mm)


def _scaled(motion: Motion, scale: Scale) -> Motion:
    """A motion that was measured in pixels."""
    speed = motion.speed_mm_s.scaled(scale.mm_per_px)
    belt = motion.belt.model_copy(update={"mm_per_px": scale.mm_per_px, "speed_mm_s": speed.value})
    return Motion(belt, motion.direction_deg, speed, motion.places, motion.fps)


def _block(belt: BeltConfig) -> dict[str, Any]:
    """The keys of `belt` that were measured, rounded as far as they are known at best."""
    block: dict[str, Any] = {}
    if belt.corners_px is not None and belt.corners_mm is not None:
        block["corners_px"] = [[round(x, 1), round(y, 1)] for x, y in belt.corners_px]
        block["corners_mm"] = [float(f"{size:.5g}") for size in belt.corners_mm]
    elif belt.direction is not None:
        block["direction"] = belt.direction
    else:
        block["direction_deg"] = belt.direction_deg
    block["speed_mm_s"] = float(f"{belt.speed_mm_s:.4g}")
    if belt.mm_per_px is not None:
        block["mm_per_px"] = float(f"{belt.mm_per_px:.4g}")
    return block
