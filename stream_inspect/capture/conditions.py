"""Camera conditions: when a picture, or the lack of one, counts as wrong, and when it is right again.

- NO_SIGNAL: no frames come, or the picture is one even colour (the blue screen of a converter without input).
- BLACK: nearly all of the picture is black: a lamp or lens cap.
- FROZEN: the source repeats one picture. Noise changes the picture of a belt that stands.
- UNCHANGED: nothing moves, and which of the two it is cannot be known.
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
FROZEN = "the source repeats one picture"
UNCHANGED = (
    "nothing moves in the picture: whether the belt stands or the source repeats one picture is not known; a key frame "
    "every 5 s or more often would show it"
)
_LOOK_EVERY_S = 0.1
_END_AFTER_S = 0.5
_KEY_EVERY_S = 0.5
"""A source of a few pictures a second may be sent at 25, each picture several times: those are not compared."""
_KEYS = 16
"""Key frames of a picture that does not move that are remembered: more than a rate control goes through."""
_REPEATED, _OF_KEYS = 2, 3
"""A picture is frozen when so many of its latest key frames were there before; one that an encoder makes differently is
an exception."""
_SURE_KEYS = 5
"""It is not when none of so many was."""
_UNKNOWN_AFTER_S = 30.0
"""Known by then with a key frame every 5 s. Belts stand for a moment all the time."""
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
    """Whether the source repeats one picture, also one that an encoder has made different each time.

    A key frame is made from its moment's picture alone. So that of a frozen picture is exactly one of those before it
    as soon as the encoder's rate control uses the same quantizer again: within three to seven key frames of x264 and
    x265, at a constant quality and at a constant bit rate. The noise of a belt that stands never repeats itself: two of
    its key frames differ by more than a level in at least 5 % of the picture (sensor noise of 0.5 to 4.5 levels, CRF 20
    to 44, 100 to 1000 kbit/s; 2 % at CRF 51). What lies between the key frames says nothing: it is equal where an
    encoder leaves the noise out, and different where one refines a frozen picture. Raw video and MJPEG are key frames
    only.

    Something moves when more of the picture changes than encoders change of a frozen one: a passing part changes 0.7 %
    of it and more by 20 levels, sensor noise a quarter of it by 6 levels; a key frame at most 0.06 % and 16 %.
    """

    def __init__(self) -> None:
        self._reference: UInt8Array | None = None
        self._keys: deque[UInt8Array] = deque(maxlen=_KEYS)
        self._repeated: deque[bool] = deque(maxlen=_SURE_KEYS)
        """Of the latest key frames whether they were there before."""
        self.since_s = 0.0
        """Since when nothing has moved."""

    def update(self, luma: UInt8Array, now_s: float, *, key: bool) -> bool | None:
        """Add a sample of the picture now; `key`: it is a key frame.

        True: it is frozen. None: not known, as nothing has moved and its key frames do not say more yet.
        """
        is_first = self._reference is None
        moves = self._reference is None or luma.shape != self._reference.shape or self._moved(luma, self._reference)
        if moves:
            self.forget()
            self._reference, self.since_s = luma, now_s
        if key:
            if self._keys:
                self._repeated.append(any(_equal(luma, before) for before in self._keys))
            self._keys.append(luma)
        if moves:
            return None if is_first else False
        if sum(list(self._repeated)[-_OF_KEYS:]) >= _REPEATED:
            return True
        return False if len(self._repeated) == _SURE_KEYS and not any(self._repeated) else None

    def forget(self) -> None:
        """Nothing was seen for a while."""
        self._reference = None
        self._keys.clear()
        self._repeated.clear()

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
            self._states[ConditionKind.UNCHANGED] = Hysteresis(_UNKNOWN_AFTER_S)
        self._last_frame_s = now_s
        self._last_look_s = self._last_key_s = float("-inf")
        self._freeze = FreezeDetector()
        self._window: deque[tuple[float, bool]] = deque()
        self.fps: float | None = None
        """Of the source, where it reports one: a slow camera is not silent between two frames."""

    def frame(self, luma: UInt8Array, now_s: float, *, key: bool = True, taken_as: str = "") -> list[Change]:
        """A good frame came: its luma plane, (H, W) uint8, and whether it is a key frame.

        `taken_as` is how its values were understood: where it is black, the reason says so.
        """
        self._last_frame_s = now_s
        self._count(bad=False, now_s=now_s)
        changes: list[Change] = []
        key = key and now_s - self._last_key_s >= _KEY_EVERY_S
        if key or now_s - self._last_look_s >= _LOOK_EVERY_S:
            self._last_look_s = now_s
            self._last_key_s = now_s if key else self._last_key_s
            self._look(sample(luma), now_s, taken_as, changes, key=key)
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

    def _look(self, luma: UInt8Array, now_s: float, taken_as: str, changes: list[Change], *, key: bool) -> None:
        black = is_black(luma, self._config.black_luma_max)
        uniform = not black and is_uniform(luma)
        self._note(ConditionKind.BLACK, black, now_s, _black(taken_as), changes)
        self._note(ConditionKind.NO_SIGNAL, uniform, now_s, "the picture is one even colour", changes)
        if ConditionKind.FROZEN in self._states:
            frozen = self._freeze.update(luma, now_s, key=key)
            if black or uniform:
                frozen = False
            since_s = self._freeze.since_s
            self._note(ConditionKind.FROZEN, frozen, now_s, FROZEN, changes, since_s if frozen else None)
            unknown = frozen is None and not self._states[ConditionKind.FROZEN].active
            self._note(ConditionKind.UNCHANGED, unknown, now_s, UNCHANGED, changes, since_s if unknown else None)

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
        for kind in (ConditionKind.BLACK, ConditionKind.FROZEN, ConditionKind.UNCHANGED):
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
