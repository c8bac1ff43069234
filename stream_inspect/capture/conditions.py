"""Camera conditions: when a picture, or the lack of one, counts as wrong, and when it is right again.

- NO_SIGNAL: no frames come, or the picture is one even colour (the blue screen of a converter without input).
- BLACK: nearly all of the picture is black: a lamp or lens cap.
- FROZEN: the source repeats one picture. Noise changes the picture of a belt that stands.
- BAD_FRAMES: a notable share of frames arrives damaged.

Each begins only after it has lasted, and ends only after it has been gone for a while. Until the first decision a
condition is unknown; that a camera was found well is a change too.

Of a picture that stands alone, nothing can last: it is black or it is not (`StillWatch`).

The functions are pure; `Hysteresis`, `FreezeDetector` and `ConditionWatch` remember what came before, and take the time
as an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from stream_inspect.config.models import CameraConfig, ConditionsConfig
from stream_inspect.messages import ConditionKind
from stream_inspect.picture import UInt8Array

BLACK = "the picture is black"
_LOOK_EVERY_S = 0.1
_EQUAL_LOOKS = 5
"""A picture is frozen when most of this many looks in a row were equal."""
_END_AFTER_S = _EQUAL_LOOKS * _LOOK_EVERY_S
"""A condition ends when its sign has been gone for as long as the longest memory of one: that of FROZEN."""
_SAMPLE_ROWS = 135
"""About this many rows of the luma plane are looked at: enough to see a part, and 50 microseconds of work."""
_BLACK_SHARE = 0.99
_UNIFORM_SHARE = 0.97
_UNIFORM_LEVELS = 2
_MOVED_LEVELS, _MOVED_SHARE = 20, 0.001
_NOISE_LEVELS, _NOISE_SHARE = 6, 0.2
_EQUAL_LEVELS, _EQUAL_SHARE = 1, 0.002
_BAD_WINDOW_S = 2.0
_BAD_WINDOW_INTERVALS = 10
"""Of a slow camera, the shares of damaged frames are those of as many frames."""
_BAD_SHARE_BEGIN = 0.1
_BAD_SHARE_END = 0.05
_BAD_MIN = 3
_SILENT_INTERVALS = 3
"""A camera slower than `no_signal_after_s` is silent after this many of its frame intervals."""


@dataclass(frozen=True, slots=True)
class Change:
    """A condition began or ended; `since_s` is when its sign first showed or was last seen gone."""

    kind: ConditionKind
    active: bool
    since_s: float
    detail: str = ""


class Hysteresis:
    """Turns a flickering sign into a steady condition."""

    def __init__(self, begin_after_s: float, end_after_s: float = _END_AFTER_S) -> None:
        self._after_s = {True: begin_after_s, False: end_after_s}
        self.sign: bool | None = None
        self.since_s = 0.0
        self.active: bool | None = None

    def update(self, sign: bool, now_s: float, since_s: float | None = None) -> bool:
        """Add the sign (present since `since_s`, or since it changed). True: the condition has changed."""
        if sign is not self.sign:
            self.sign, self.since_s = sign, now_s if since_s is None else since_s
        if self.active is sign or now_s - self.since_s < self._after_s[sign]:
            return False
        self.active = sign
        return True

    def forget_sign(self) -> None:
        """The sign could not be seen for a while: its time starts again."""
        self.sign = None


def sample(luma: UInt8Array) -> UInt8Array:
    """A thinned-out copy of a luma plane (H, W) uint8: every n-th row and column."""
    step = max(1, luma.shape[0] // _SAMPLE_ROWS)
    return luma[step // 2 :: step, step // 2 :: step].copy()


def is_black(luma: UInt8Array, luma_max: int) -> bool:
    """Whether nearly all of the picture is at or below `luma_max`."""
    return bool(np.count_nonzero(luma <= luma_max) >= _BLACK_SHARE * luma.size)


def _black(taken_as: str) -> str:
    return f"{BLACK} ({taken_as})" if taken_as else BLACK


def is_uniform(luma: UInt8Array) -> bool:
    """Whether nearly all of the picture has one luma: no lens and no lamp makes such a picture of a real thing."""
    histogram = np.bincount(luma.ravel(), minlength=256)
    window = np.convolve(histogram, np.ones(2 * _UNIFORM_LEVELS + 1, dtype=np.int64))
    return bool(window.max() >= _UNIFORM_SHARE * luma.size)


def _share_changed(luma: UInt8Array, before: UInt8Array, levels: int) -> float:
    difference = np.maximum(luma, before) - np.minimum(luma, before)
    return int(np.count_nonzero(difference > levels)) / luma.size


def _equal(luma: UInt8Array, before: UInt8Array) -> bool:
    return _share_changed(luma, before, _EQUAL_LEVELS) <= _EQUAL_SHARE


class FreezeDetector:
    """Whether a picture has stopped changing, but for what an encoder does to a picture that does not change.

    Measured on the synthetic line with x264 at CRF 20 to 40: a passing part changes 0.7 % of the picture and more by
    20 levels, sensor noise a quarter of it by 6 levels; a key frame that repeats a frozen picture at most 0.06 % and
    16 %. In between the frozen picture is exactly equal.

    So is that of a belt that stands, from about CRF 28 on: the encoder leaves the noise out. But each key frame is made
    from the noise of its own moment. So what the encoder has made of one key frame's interval and of the next is
    compared: of a standing belt at least 7 % differ by more than a level (sensor noise of 0.5 to 4.5 levels), of a
    frozen picture nothing, once its rate control has settled, after three to five intervals. Where every frame is a
    key frame, as in raw video and MJPEG, that is at once.
    """

    def __init__(self) -> None:
        self._reference: UInt8Array | None = None
        self._before: UInt8Array | None = None
        self._equal: deque[bool] = deque(maxlen=_EQUAL_LOOKS)
        self._settled: UInt8Array | None = None
        """The last look before the last key frame."""
        self._repeats: bool | None = None
        """Whether that was equal to the one of the interval before; None where there was none before."""
        self.since_s = 0.0
        """Since when nothing has moved."""

    def update(self, luma: UInt8Array, now_s: float, *, key: bool) -> bool | None:
        """Add a sample of the picture now; `key`: there was a key frame since the last one.

        True: it is frozen. None: not known, as nothing has moved and fewer than two intervals could be compared.
        """
        before, self._before = self._before, luma
        reference = self._reference
        if before is None or reference is None or before.shape != luma.shape:
            self._start(luma, now_s)
            return None
        if self._moved(luma, reference):
            self._start(luma, now_s)
            return False
        self._equal.append(_equal(luma, before))
        if key:
            self._repeats = None if self._settled is None else _equal(before, self._settled)
            self._settled = before
        return self._repeats and 2 * sum(self._equal) > len(self._equal)

    def _start(self, luma: UInt8Array, now_s: float) -> None:
        self._reference, self.since_s = luma, now_s
        self._equal.clear()
        self._settled = self._repeats = None

    def forget(self) -> None:
        """Nothing was seen for a while."""
        self._reference = self._before = self._settled = self._repeats = None

    @staticmethod
    def _moved(luma: UInt8Array, reference: UInt8Array) -> bool:
        return (
            _share_changed(luma, reference, _MOVED_LEVELS) > _MOVED_SHARE
            or _share_changed(luma, reference, _NOISE_LEVELS) > _NOISE_SHARE
        )


class ConditionWatch:
    """Watches one camera. All times in seconds of one monotonic clock.

    `belt_moves` says that the belt is known to move; `expect_frames` that silence of the source is wrong.
    """

    def __init__(self, config: ConditionsConfig, *, belt_moves: bool, expect_frames: bool, now_s: float) -> None:
        self._config = config
        self._expect_frames = expect_frames
        self._states = {
            ConditionKind.NO_SIGNAL: Hysteresis(config.no_signal_after_s),
            ConditionKind.BLACK: Hysteresis(config.black_after_s),
            ConditionKind.BAD_FRAMES: Hysteresis(0.0),
        }
        if belt_moves:
            self._states[ConditionKind.FROZEN] = Hysteresis(config.frozen_after_s)
        self._last_frame_s = now_s
        self._last_look_s = float("-inf")
        self._freeze = FreezeDetector()
        self._key = False
        """Whether there was a key frame since the last look."""
        self._window: deque[tuple[float, bool]] = deque()
        self.fps: float | None = None
        """Of the source, where it reports one: a slow camera is not silent between two frames."""

    def frame(self, luma: UInt8Array, now_s: float, *, key: bool = True, taken_as: str = "") -> list[Change]:
        """A good frame came: its luma plane, (H, W) uint8, and whether it is a key frame.

        `taken_as` is how its values were understood: where it is black, the reason says so.
        """
        self._last_frame_s = now_s
        self._key |= key
        self._count(bad=False, now_s=now_s)
        changes: list[Change] = []
        if now_s - self._last_look_s >= _LOOK_EVERY_S:
            self._last_look_s = now_s
            self._look(sample(luma), now_s, taken_as, changes)
        return changes

    def damaged(self, now_s: float) -> None:
        """A frame came damaged."""
        self._count(bad=True, now_s=now_s)

    def tick(self, now_s: float, reason: str = "") -> list[Change]:
        """Time went by. Call often. `reason` is why no frames come, where that is known."""
        changes: list[Change] = []
        silent_after_s = self._config.no_signal_after_s
        if self.fps:
            silent_after_s = max(silent_after_s, _SILENT_INTERVALS / self.fps)
        if self._expect_frames and now_s - self._last_frame_s >= silent_after_s:
            if self._states[ConditionKind.NO_SIGNAL].active is not True:
                self._forget_pictures()
            self._note(ConditionKind.NO_SIGNAL, True, now_s, reason or "no frames", changes, since_s=self._last_frame_s)
        self._judge_bad(now_s, changes)
        return changes

    def finish(self) -> list[Change]:
        """The source has ended, and what lasted with it."""
        return [
            Change(kind, False, self._last_frame_s, "end of the recording")
            for kind, state in self._states.items()
            if state.active
        ]

    def _look(self, luma: UInt8Array, now_s: float, taken_as: str, changes: list[Change]) -> None:
        black = is_black(luma, self._config.black_luma_max)
        uniform = not black and is_uniform(luma)
        self._note(ConditionKind.BLACK, black, now_s, _black(taken_as), changes)
        self._note(ConditionKind.NO_SIGNAL, uniform, now_s, "the picture is one even colour", changes)
        if ConditionKind.FROZEN in self._states:
            frozen = self._freeze.update(luma, now_s, key=self._key)
            if black or uniform:
                frozen = False
            self._key = False
            since_s = self._freeze.since_s if frozen else None
            self._note(ConditionKind.FROZEN, frozen, now_s, "the source repeats one picture", changes, since_s)

    def _judge_bad(self, now_s: float, changes: list[Change]) -> None:
        window_s = max(_BAD_WINDOW_S, _BAD_WINDOW_INTERVALS / self.fps) if self.fps else _BAD_WINDOW_S
        while self._window and self._window[0][0] < now_s - window_s:
            self._window.popleft()
        if not self._window:
            return
        bad = sum(was_bad for _, was_bad in self._window)
        limit = _BAD_SHARE_END if self._states[ConditionKind.BAD_FRAMES].active else _BAD_SHARE_BEGIN
        many = bad >= _BAD_MIN and bad > limit * len(self._window)
        detail = f"{bad} of {len(self._window)} frames damaged within {window_s:.3g} s"
        self._note(ConditionKind.BAD_FRAMES, many, now_s, detail, changes)

    def _count(self, *, bad: bool, now_s: float) -> None:
        self._window.append((now_s, bad))

    def _forget_pictures(self) -> None:
        """Nothing is known of the picture while none come."""
        self._freeze.forget()
        for kind in (ConditionKind.BLACK, ConditionKind.FROZEN):
            if kind in self._states:
                self._states[kind].forget_sign()

    def _note(
        self,
        kind: ConditionKind,
        sign: bool | None,
        now_s: float,
        detail: str,
        changes: list[Change],
        since_s: float | None = None,
    ) -> None:
        """`sign` is None where it is not known: it stays what it was, and so does a condition without any."""
        state = self._states[kind]
        sign = state.sign if sign is None else sign
        if sign is None:
            return
        if state.update(sign, now_s, since_s):
            changes.append(Change(kind, sign, state.since_s, detail if sign else ""))


class StillWatch:
    """Watches pictures that stand alone, where a `ConditionWatch` watches frames: a black one begins and ends it."""

    fps: float | None = None

    def __init__(self, config: ConditionsConfig) -> None:
        self._config = config

    def frame(self, luma: UInt8Array, now_s: float, *, key: bool = True, taken_as: str = "") -> list[Change]:
        """A picture: its luma plane, (H, W) uint8, and how its values were understood."""
        if not is_black(sample(luma), self._config.black_luma_max):
            return []
        return [Change(ConditionKind.BLACK, True, now_s, _black(taken_as)), Change(ConditionKind.BLACK, False, now_s)]

    def damaged(self, now_s: float) -> None:
        """A picture cannot be read: its camera has named it."""

    def tick(self, now_s: float, reason: str = "") -> list[Change]:
        return []

    def finish(self) -> list[Change]:
        return []


def watch_for(camera: CameraConfig, *, expect_frames: bool, now_s: float) -> ConditionWatch | StillWatch:
    """What watches this camera's frames; see `ConditionWatch`."""
    if camera.stills:
        return StillWatch(camera.conditions)
    return ConditionWatch(
        camera.conditions, belt_moves=camera.belt is not None, expect_frames=expect_frames, now_s=now_s
    )
