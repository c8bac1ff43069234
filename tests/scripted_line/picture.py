"""What the camera of a scripted line sees, and what can be read in it: each part's number, and its defect."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stream_inspect.picture import UInt8Array, i420_shape
from tests.scripted_line.script import HEIGHT_PX, MM_PER_PX, WIDTH_PX, Script, ScriptedPart

_BELT_PX = 2048
"""The belt is as long, and comes round again: far longer than a picture."""
BELT_MM = _BELT_PX * MM_PER_PX
_LIGHT, _DARK, _TINT = 200, 90, (108, 128)
"""Luma of a plate and of the cells on it, and the plate's U and V."""
_ROWS, _COLUMNS, _CELL_PX, _RIM_PX = 6, 3, 8, (3, 4)
"""The cells of a plate: three columns along the belt, six rows across it; 14 bits of number and 4 that check them."""
_BITS, _CHECK = 14, 11
_MARK_PX, _MARK_V = 8, 208


@dataclass(frozen=True, slots=True)
class Plate:
    """A part that a picture shows whole; the box is (left, top, right, bottom)."""

    number: int
    box_px: tuple[int, int, int, int]
    marks_px: tuple[tuple[int, int, int, int], ...]


class Drawing:
    """Draws the line of a script. The same time gives the same picture, except for the sensor's noise."""

    def __init__(self, script: Script) -> None:
        self._script = script
        rng = np.random.default_rng(script.seed)
        shape = HEIGHT_PX, _BELT_PX
        fine = cv2.GaussianBlur(rng.normal(0, 8, shape).astype(np.float32), (0, 0), 1.2)
        coarse = cv2.GaussianBlur(rng.normal(0, 60, shape).astype(np.float32), (0, 0), 7)
        self._belt = np.clip(90 + fine + coarse, 20, 235)
        self._noise = rng.normal(0, 2, (4, HEIGHT_PX, WIDTH_PX)).astype(np.float32)
        self._plates: dict[int, UInt8Array] = {}

    def draw(self, mm: float, into: UInt8Array, noise: int = 0) -> None:
        """The picture when the belt is there, into (H * 3 / 2, W) uint8 planes."""
        moved_px = round(mm / MM_PER_PX)
        columns = np.arange(WIDTH_PX) - moved_px
        luma = np.take(self._belt, columns, axis=1, mode="wrap") + self._noise[noise % len(self._noise)]
        into[:HEIGHT_PX] = luma.astype(np.uint8)
        chroma = into[HEIGHT_PX:].reshape(2, HEIGHT_PX // 2, WIDTH_PX // 2)
        chroma[:] = 128
        for part in self._script.shown(mm):
            self._draw_part(part, moved_px, into[:HEIGHT_PX], chroma)

    def picture(self, mm: float, noise: int = 0) -> UInt8Array:
        """The same in an array of its own."""
        planes: UInt8Array = np.empty(i420_shape(WIDTH_PX, HEIGHT_PX), np.uint8)
        self.draw(mm, planes, noise)
        return planes

    def _draw_part(self, part: ScriptedPart, moved_px: int, luma: UInt8Array, chroma: UInt8Array) -> None:
        plate = self._plates.get(part.number)
        if plate is None:
            plate = self._plates[part.number] = _plate(part.number)
        height, width = plate.shape
        left = moved_px - round(part.low / MM_PER_PX) - width
        top = 2 * round(part.near_mm / MM_PER_PX / 2)
        first, last = max(0, -left), min(width, WIDTH_PX - left)
        if first >= last:
            return
        luma[top : top + height, left + first : left + last] = plate[:, first:last]
        half = np.s_[top // 2 : (top + height) // 2, max(0, left) // 2 : (min(WIDTH_PX, left + width) + 1) // 2]
        chroma[0][half], chroma[1][half] = _TINT
        if part.defective:
            x, y = left + 4 + part.number % 11, top + 4 + part.number % 37
            columns = np.s_[max(0, x) // 2 : max(0, min(WIDTH_PX, x + _MARK_PX)) // 2]
            chroma[1][y // 2 : (y + _MARK_PX) // 2, columns] = _MARK_V


def _plate(number: int) -> UInt8Array:
    """Luma of the plate with this number, (height, width) uint8."""
    code = (number << 4) | number % _CHECK
    cells = np.array([(code >> bit) & 1 for bit in range(_BITS + 4)], np.uint8).reshape(-1, _ROWS).T
    luma = np.where(cells, _DARK, _LIGHT).astype(np.uint8).repeat(_CELL_PX, axis=0).repeat(_CELL_PX, axis=1)
    return np.asarray(np.pad(luma, ((_RIM_PX[1],) * 2, (_RIM_PX[0],) * 2), constant_values=_LIGHT), np.uint8)


_HEIGHT_PX, _WIDTH_PX = _plate(0).shape


def read(rgb: UInt8Array) -> list[Plate]:
    """The parts that a (H, W, 3) uint8 RGB picture shows whole, with their numbers. Nothing but the picture is used."""
    light = rgb.max(axis=2).astype(np.int16)
    blue_less = light - rgb[..., 2]
    plates = (blue_less > 18).astype(np.uint8)
    plates = cv2.morphologyEx(plates, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    found, _, stats, _ = cv2.connectedComponentsWithStats(plates)
    marked = marks(rgb)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    whole = []
    for left, top, width, height, _ in stats[1:found]:
        if width < _WIDTH_PX - 1 or height < _HEIGHT_PX - 1:
            continue
        # The tint has half the resolution: it may begin a column before the plate and end one after it.
        x, y = int(left + (width - _WIDTH_PX) // 2), int(top)
        number = _number(luma, x, y)
        if number is None:
            continue
        box = x, y, x + _WIDTH_PX, y + _HEIGHT_PX
        inside = tuple(m for m in marked if box[0] <= (m[0] + m[2]) / 2 <= box[2] and box[1] <= m[1] <= box[3])
        whole.append(Plate(number, box, inside))
    return whole


def _number(luma: UInt8Array, x: int, y: int) -> int | None:
    """The number on the plate whose corner is here; None where its check fails."""
    cells = luma[y + _RIM_PX[1] :, x + _RIM_PX[0] :][: _ROWS * _CELL_PX, : _COLUMNS * _CELL_PX]
    if cells.shape != (_ROWS * _CELL_PX, _COLUMNS * _CELL_PX):
        return None
    middles = cells.reshape(_ROWS, _CELL_PX, _COLUMNS, _CELL_PX)[:, 2:-2, :, 2:-2].mean(axis=(1, 3))
    bits = middles.T.ravel() < (_LIGHT + _DARK) / 2
    code = sum(int(bit) << place for place, bit in enumerate(bits))
    number = code >> 4
    return number if code & 15 == number % _CHECK else None


def marks(rgb: UInt8Array) -> list[tuple[int, int, int, int]]:
    """The boxes of the defects in a picture, whole or cut by its edge."""
    red = (rgb[..., 0].astype(np.int16) - rgb[..., 1] > 60).astype(np.uint8)
    found, _, stats, _ = cv2.connectedComponentsWithStats(red)
    return [
        (int(left), int(top), int(left + width), int(top + height))
        for left, top, width, height, area in stats[1:found]
        if area >= 4
    ]
