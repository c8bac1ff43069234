"""What is wrong with what one camera's pictures show of the belt, as conditions of its frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream_inspect.messages import BeltSight, Box, Condition, ConditionKind, FrameHeader

_LEARNING_NS = 2_000_000_000
"""A belt that is learned within this time is not reported: the light was switched, or a hand was in the picture."""


def level(frame: FrameHeader, kind: ConditionKind, detail: str) -> Condition:
    """How this condition stands since this frame: active where there is something to say of it."""
    return Condition(
        camera=frame.id.camera,
        kind=kind,
        active=bool(detail),
        source="track",
        detail=detail,
        mono_ns=frame.capture_mono_ns,
        utc_ns=frame.capture_utc_ns,
        frame=frame,
    )


def static_level(frame: FrameHeader, kind: ConditionKind, finds: Sequence[Box]) -> Condition:
    """Whether something in the picture does not move with the belt, where, and in which frame it was seen."""
    places = ", ".join(
        f"{right - left:.0f}x{bottom - top:.0f} at {left:.0f},{top:.0f}" for left, top, right, bottom in finds
    )
    detail = f"does not move with the belt: {places} px (dirt on the lens, glare, or a stuck part)" if finds else ""
    return level(frame, kind, detail)


class PartConditions:
    """One camera that finds parts in its pictures."""

    def __init__(self) -> None:
        self._learning_since_ns: int | None = None

    def see(self, sight: BeltSight, static: Sequence[Box]) -> Iterator[Condition]:
        """The next captured frame; `static` are the places at which something stays while the belt runs, in px."""
        now_ns = sight.frame.capture_mono_ns
        if not sight.learning:
            self._learning_since_ns = None
        elif self._learning_since_ns is None:
            self._learning_since_ns = now_ns
        since_ns = self._learning_since_ns
        detail = ""
        if since_ns is not None and now_ns - since_ns >= _LEARNING_NS:
            detail = "the empty belt is not known, so that parts are not seen: let it run empty"
        yield level(sight.frame, ConditionKind.BELT_NOT_LEARNED, detail)
        yield static_level(sight.frame, ConditionKind.STATIC_PART, static)
