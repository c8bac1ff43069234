"""A frames.jsonl read back, checked whole before anything is decided.

One wrong line refuses the file. A frame of a video is found by its seq, a picture by its name where the file has it:
so the file of a folder serves for some of its pictures too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from stream_inspect.commands.replay.frames import FoundDefect, JudgedFrame
from stream_inspect.errors import StreamInspectError
from stream_inspect.inspect.candidate import Candidate
from stream_inspect.messages import Box, FrameHeader

_MOST_MASK_PX = 32768 * 32768
_SAME_TIME_S = 0.1
"""A recorded pts may differ by this from the video's: others round, or count from the first frame."""
Line = tuple[int, JudgedFrame]
"""Its number in the file, from 1, and what it says."""


class FramesError(StreamInspectError):
    """A frames.jsonl cannot be used. The text says which line, what is wrong with it, and what is expected."""


class RecordedFrames:
    """A checked frames.jsonl. `take` gives what it says of the frames that `is_due` has named, in their order."""

    def __init__(self, path: Path, camera: str) -> None:
        self._path = path
        self._frames = _of_camera(path, list(_read(path)), camera)
        self._by_file = all(record.file for _, record in self._frames)
        self._unused = self._by_key()
        self._due: deque[JudgedFrame] = deque()
        self._first_pts_s: float | None = None
        self._not_held = ""
        """The first picture that was read and is not in the file."""

    @property
    def model_hash(self) -> str:
        """The models' hash if all frames agree on it, else "mixed"; empty if they state none."""
        return common(record.model_hash for _, record in self._frames)

    @property
    def lines(self) -> Sequence[Line]:
        """The lines of the camera's frames, in order."""
        return self._frames

    def is_due(self, header: FrameHeader) -> bool:
        """Whether the file has this frame. Raises `FramesError` where it has it with another size or time."""
        if self._first_pts_s is None:
            self._first_pts_s = header.id.pts_s
        line = self._unused.pop(header.file if self._by_file else header.id.seq, None)
        if line is None:
            self._not_held = self._not_held or header.file
            return False
        number, record = line
        what = f"that frame of the {'video' if not header.file else 'pictures'}"
        where = f"{self._path}, line {number}: {record.file or f'seq {record.seq}'}"
        if (record.width_px, record.height_px) != (header.width_px, header.height_px):
            raise FramesError(
                f"{where} is {record.width_px}x{record.height_px} px, but {what} is "
                f"{header.width_px}x{header.height_px}: the file was made from another one, from a scaled one, or "
                "with another rotate_deg"
            )
        pts_s = header.id.pts_s
        apart_s = min(abs(record.pts_s - pts_s), abs(record.pts_s - (pts_s - self._first_pts_s)))
        if not header.file and apart_s > _SAME_TIME_S:
            raise FramesError(
                f"{where} is at {record.pts_s:.3f} s, but {what} is at {pts_s:.3f} s: "
                "the file was made from another video, or seq does not count from 0 in decode order"
            )
        self._due.append(record)
        return True

    def take(self) -> JudgedFrame:
        """The oldest frame that `is_due` has named and that was not taken yet."""
        return self._due.popleft()

    def end(self, frame_count: int) -> None:
        """The material is over. Raises `FramesError` if the file was made from another one.

        That is one which lacks frames of the file; of pictures, one which also has some that the file does not hold.
        """
        for number, record in self._unused.values():
            where = f"{self._path}, line {number}"
            if self._by_file:
                if not self._not_held:
                    return
                raise FramesError(
                    f"{where}: {record.file} is not among the {frame_count} pictures that were read, and the file does "
                    f"not hold {self._not_held}: it was made from others"
                )
            raise FramesError(
                f"{where}: seq {record.seq}, but only {frame_count} frames were read (0 to {frame_count - 1})"
            )

    def _by_key(self) -> dict[str | int, Line]:
        lines: dict[str | int, Line] = {}
        for number, record in self._frames:
            key = record.file if record.file and self._by_file else record.seq
            if key in lines:
                raise FramesError(f"{self._path}, line {number}: {key} is already in line {lines[key][0]}")
            lines[key] = number, record
        return lines


def _read(path: Path) -> Iterator[Line]:
    """(line number, frame) of each line. Raises `FramesError` at the first wrong one."""
    decoder = msgspec.json.Decoder(JudgedFrame)
    last_seq: dict[str, int] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise FramesError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FramesError(f"{where}: {error}") from None
        previous = last_seq.get(record.camera, -1)
        if record.seq <= previous:
            raise FramesError(f"{where}: seq {record.seq} comes after {previous}: frames must be in decode order")
        last_seq[record.camera] = record.seq
        if not math.isfinite(record.pts_s):
            raise FramesError(f"{where}: pts_s must be a finite number")
        for index, found in enumerate(record.detections):
            _check(found, record, f"{where}, detections[{index}]")
        for index, refused in enumerate(record.candidates or ()):
            _check_place(refused, record, f"{where}, candidates[{index}]")
        for index, part in enumerate(record.parts.found if record.parts else ()):
            _check_box(part.box_xyxy_px, record, f"{where}, parts.found[{index}]")
        yield number, record


def _check_place(found: FoundDefect | Candidate, record: JudgedFrame, where: str) -> None:
    if found.defect.endswith("\n"):  # Python's `$` matches before it
        raise FramesError(f"{where}: defect {found.defect!r} ends with a line feed")
    _check_box(found.box_xyxy_px, record, where)
    if found.extent is not None and min(value or 0 for value in msgspec.structs.astuple(found.extent)) < 0:
        raise FramesError(f"{where}: extent must hold no negative size")


def _check_box(box: Box, record: JudgedFrame, where: str) -> None:
    left, top, right, bottom = box
    if not all(math.isfinite(value) for value in box) or right <= left or bottom <= top:
        raise FramesError(
            f"{where}: box_xyxy_px must be left < right and top < bottom, right and bottom exclusive, not {list(box)}"
        )
    corners = [(left, top), (right, bottom)]
    apart = right <= 0 or bottom <= 0 or left >= record.width_px or top >= record.height_px
    if apart or not _are_near(corners, record):
        raise FramesError(
            f"{where}: box_xyxy_px {list(box)} lies outside of the picture of "
            f"{record.width_px}x{record.height_px} px: give pixels of the judged picture"
        )


def _check(found: FoundDefect, record: JudgedFrame, where: str) -> None:
    _check_place(found, record, where)
    for polygon in found.outline_px or ():
        if not polygon or not _are_near(polygon, record):
            raise FramesError(
                f"{where}: outline_px must be polygons of points in pixels of the picture of "
                f"{record.width_px}x{record.height_px} px"
            )
    if found.mask_rle is not None:
        size = (record.height_px, record.width_px)
        if found.mask_rle.size != size:
            raise FramesError(f"{where}: mask_rle.size must be [height, width] {list(size)}")
        if _covered_px(found.mask_rle.counts) != record.width_px * record.height_px:
            raise FramesError(f"{where}: mask_rle.counts is not a COCO run-length mask of {size[1]}x{size[0]} px")


def _are_near(points: Sequence[tuple[float, float]], record: JudgedFrame) -> bool:
    """Whether all lie in the picture or within its own width and height of it: detectors guess what is cut off."""
    width, height = record.width_px, record.height_px
    return all(-width <= x <= 2 * width and -height <= y <= 2 * height for x, y in points)


def _covered_px(counts: str) -> int:
    """Sum of the runs of a compressed COCO mask, or -1 where it is invalid: the C decoder does not validate its input.

    Each run is a number in groups of five bits, lowest first, in characters from "0" on; the sixth bit says that the
    number continues, the fifth of the last group is its sign. From the third run on it is the difference to the run two
    before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 30:
            return -1
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if not 0 <= value <= _MOST_MASK_PX:
            return -1
        runs.append(value)
        value = shift = 0
    return sum(runs) if shift == 0 else -1


def _of_camera(path: Path, frames: list[Line], camera: str) -> list[Line]:
    """The frames of one camera. A file with a single camera serves whatever its name is here."""
    names = {record.camera for _, record in frames}
    if len(names) <= 1:
        return frames
    if camera not in names:
        raise FramesError(
            f"{path} holds frames of the cameras {', '.join(sorted(names))}, none of {camera!r}: choose with --camera"
        )
    return [(number, record) for number, record in frames if record.camera == camera]


def common(values: Iterable[str]) -> str:
    """The value that all agree on, else "mixed"; empty where there is none."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ("mixed" if distinct else "")
