"""Parts on a belt: where they are, what frames show of them, and their verdicts.

Places are in line coordinates: s_mm of a point is the odometer's reading when the point passes the line's zero, so that
a camera or gate `offset_mm` below the zero meets it at odometer s + offset_mm. A part's leading edge is `along.low`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from stream_inspect.messages.base import Message
from stream_inspect.messages.detections import Box, PartSight
from stream_inspect.messages.frames import FrameHeader
from stream_inspect.messages.interval import Interval


class BeltSight(Message, frozen=True, kw_only=True):
    """What a captured frame shows of the belt, judged or not."""

    frame: FrameHeader
    way_mm: float | None
    """How far the belt has run since the first frame of the camera's session, so that a reader that missed frames
    continues from here. None where that is not known; ways of two sessions have nothing to do with each other."""
    way_noise_mm: float = 0.0
    """Bound of the error of this one way, as of a `belt.position.Position`."""
    way_drift_mm: float = 0.0
    """Bound of the errors that have added up in the session."""
    parts: list[PartSight]
    learning: bool
    """Whether the empty belt is not known yet (or no longer), so that parts may be missing in `parts`."""


class What(StrEnum):
    """What happened to the part."""

    ENTERED = "entered"
    UPDATED = "updated"  # its place or its length is known better
    LEFT = "left"  # its trailing edge is beyond the picture's downstream edge


class Doubt(StrEnum):
    """Why a part that was found is not one that was followed from its entry; it cannot pass."""

    AT_START = "already on the belt at the start"
    UNWATCHED = "came onto the belt while the camera did not watch"
    NOT_SEEN = "a stretch of belt that no look of the camera has shown"
    TWO_TRIGGERS = "two triggers for one part"
    UNREAD = "passed the photo-eye while that was not read"
    OUT_OF_STEP = "passed the photo-eye between two places of the pitch"
    STATIC = "does not move with the belt"


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part of one finder. `number` is never used twice by a finder; a cut side of `along` is not seen yet."""

    what: What
    number: int
    lane: int
    along: Interval
    mono_ns: int
    doubt: Doubt | None = None
    serial: str = ""


class PartsSeen(Message, frozen=True, kw_only=True):
    """What has become known of a line's parts by one captured frame of one of its cameras.

    Where the detector finds the parts a judged frame has another one, `by_result`, before its `Tracked` counts.
    """

    frame: FrameHeader
    odometer_mm: float | None
    """The line's odometer at the capture of the frame. None: not known, so that places do not continue from here."""
    origin_ns: int = 0
    """When the odometer's zero was set, in the time of the frames: places of two origins cannot be compared."""
    changes: list[PartChange]
    sights: list[PartSight]
    lot: str = ""
    """On the line at the capture of the frame, as the plant says; empty while it has said nothing."""
    by_result: bool = False


class Verdict(StrEnum):
    """What is decided of a part, or of a picture that stands alone."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"


class Reason(StrEnum):
    """Why a verdict is what it is; the sentence to it is `PartVerdict.why`."""

    ENOUGH_VIEWS = "enough_views"
    DEFECT = "defect"
    TOO_FEW_VIEWS = "too_few_views"
    NOT_JUDGED = "not_judged"
    AT_START = "at_start"
    UNWATCHED = "unwatched"
    NOT_SEEN = "not_seen"
    TWO_TRIGGERS = "two_triggers"
    UNREAD = "unread"
    OUT_OF_STEP = "out_of_step"
    STATIC = "static"
    ODOMETER_UNKNOWN = "odometer_unknown"
    RESTARTED = "restarted"
    TOO_LATE = "too_late"
    ENDED = "ended"


class PartDefect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One defect on a part: one track of one camera, with its best score."""

    camera: str
    track: int
    defect: str
    score: float
    confirmed: bool


class PartVerdict(Message, frozen=True, kw_only=True):
    """A part's verdict: as it is given, and once more when nothing more can become known of the part (`is_final`).

    The verdict and its reason are the same both times; by the end there may be more views and defects. `part` counts
    the parts of the line's run `run` from 1: together they are never used twice.
    """

    line: str
    run: int = 0
    part: int
    lane: int
    serial: str
    lot: str = ""
    along: Interval
    verdict: Verdict
    reason: Reason
    why: str
    views: int
    """Usable ones, of all cameras."""
    defects: list[PartDefect]
    is_first: bool = True
    is_final: bool
    decided_mono_ns: int = 0
    """Capture of the line's newest frame by then."""
    decided_utc_ns: int = 0
    trigger_utc_ns: int | None = None
    """When its centre passes `lines[].trigger_mm`: as it was captured, else as expected at the belt's last speed. None
    where that is not known."""
    gate_utc_ns: int | None = None
    """Likewise of `lines[].gate_mm`."""


class ShownPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part in a picture."""

    part: int
    """As in its `PartVerdict`."""
    box_xyxy_px: Box
    """May reach out of the picture."""
    views: int
    """Usable ones of this camera so far."""
    verdict: Verdict | None
    """None: not given yet."""
    defect: str = ""
    """What a FAIL is for."""


class PartsShown(Message, frozen=True, kw_only=True):
    """The parts in one captured frame, as the line knows them by then; `velocity_px_s` moves them to any frame near by.

    None where the odometer is not known, and no part is.
    """

    frame: FrameHeader
    odometer_mm: float | None
    velocity_px_s: tuple[float, float]
    parts: list[ShownPart]


class PartsStatus(Message, frozen=True, kw_only=True):
    """How one line's parts stand, repeated: entered = passed + failed + undecided + on_belt since the service started.

    `last` are the newest verdicts, newest last, each part once.
    """

    line: str
    entered: int
    passed: int
    failed: int
    undecided: int
    on_belt: int
    last: list[PartVerdict]

    @property
    def sums(self) -> dict[str, int]:
        """By the names that files and pages have for them."""
        return {
            "in": self.entered,
            "pass": self.passed,
            "fail": self.failed,
            "undecided": self.undecided,
            "on_belt": self.on_belt,
        }
