"""Conditions on real pictures: the synthetic line, as an encoder leaves it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.capture.conditions import Change, ConditionWatch, Hysteresis, is_black, is_uniform, sample
from stream_inspect.config.models import ConditionsConfig
from stream_inspect.messages import ConditionKind
from stream_inspect.picture import UInt8Array
from stream_inspect.sim.line import SyntheticLine
from tests.capture.standing_line import StandingLine

FPS = 25
WIDTH, HEIGHT = 640, 360


class Replay:
    """Feeds a watch at 25 fps on a clock of its own and keeps (time, change)."""

    def __init__(self, *, belt_moves: bool = True, expect_frames: bool = True) -> None:
        self.watch = ConditionWatch(ConditionsConfig(), belt_moves=belt_moves, expect_frames=expect_frames, now_s=0.0)
        self.now_s = 0.0
        self.changes: list[tuple[float, Change]] = []

    def play(self, lumas: Sequence[UInt8Array | None], key_every: int = 1) -> Replay:
        """None stands for a damaged frame."""
        for index, luma in enumerate(lumas):
            self.now_s += 1 / FPS
            if luma is None:
                self.watch.damaged(self.now_s)
            else:
                self._keep(self.watch.frame(luma, self.now_s, key=index % key_every == 0))
            self._keep(self.watch.tick(self.now_s))
        return self

    def wait(self, seconds: float) -> Replay:
        for _ in range(round(seconds * FPS)):
            self.now_s += 1 / FPS
            self._keep(self.watch.tick(self.now_s))
        return self

    def begun(self) -> set[ConditionKind]:
        return {change.kind for _, change in self.changes if change.active}

    def of(self, kind: ConditionKind) -> list[tuple[float, bool]]:
        return [(time_s, change.active) for time_s, change in self.changes if change.kind is kind]

    def _keep(self, changes: list[Change]) -> None:
        self.changes += [(self.now_s, change) for change in changes]


@pytest.fixture(scope="module")
def moving() -> list[UInt8Array]:
    """Three seconds of the belt with parts."""
    line = SyntheticLine(3, WIDTH, HEIGHT, FPS, speed_px_s=200)
    return [line.i420(index)[:HEIGHT] for index in range(40, 40 + 3 * FPS)]


def encoded(lumas: Sequence[UInt8Array], crf: int | None, **rate_control: str) -> list[UInt8Array]:
    """What a camera's encoder makes of it: a key frame each second, no delay."""
    file = io.BytesIO()
    gray = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    with av.open(file, "w", format="matroska") as output:
        options = {"preset": "ultrafast", "tune": "zerolatency", **rate_control}
        if crf is not None:
            options["crf"] = str(crf)
        stream = output.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", FPS
        for luma in lumas:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.vstack([luma, gray]), format="yuv420p")))
        output.mux(stream.encode())
    file.seek(0)
    with av.open(file) as source:
        return [frame.to_ndarray()[:HEIGHT] for frame in source.decode(video=0)]


def test_a_frozen_picture_is_noticed_within_two_seconds_and_ends(moving: list[UInt8Array]) -> None:
    replay = Replay().play([*moving[:FPS], *[moving[FPS]] * (4 * FPS), *moving[FPS:]])
    (_, false), (began_s, true), (ended_s, false_again) = replay.of(ConditionKind.FROZEN)
    assert (false, true, false_again) == (False, True, False)
    assert began_s - 1.0 < 2.0
    assert ended_s - 5.0 < 2.0
    assert replay.begun() == {ConditionKind.FROZEN}


@pytest.mark.parametrize("crf", [0, 20, 28, 35])
def test_a_frozen_picture_in_compressed_video_is_noticed_within_six_key_frames(
    moving: list[UInt8Array], crf: int
) -> None:
    frozen = encoded([*moving[:FPS], *[moving[FPS]] * (8 * FPS), *moving[FPS:]], crf)
    replay = Replay().play(frozen, key_every=FPS)
    *_, (began_s, true), (ended_s, false) = replay.of(ConditionKind.FROZEN)
    assert (true, false) == (True, False)
    assert began_s - 1.0 < 6.0
    assert ended_s - 9.0 < 2.0
    assert replay.begun() == {ConditionKind.FROZEN}


RATE_CONTROLS = {
    "constant bit rate": (None, {"b": "500k", "maxrate": "500k", "bufsize": "500k"}),
    "constant bit rate, more of it": (None, {"b": "1M", "maxrate": "1M", "bufsize": "500k"}),
    "quality up to a bit rate": (28, {"maxrate": "500k", "bufsize": "500k"}),
}


@pytest.mark.parametrize(("crf", "rate_control"), RATE_CONTROLS.values(), ids=RATE_CONTROLS)
def test_a_frozen_picture_that_is_encoded_differently_all_the_time_is_noticed_too(
    moving: list[UInt8Array], crf: int | None, rate_control: dict[str, str]
) -> None:
    """The encoder spends its bits on refining what stands still: no interval is like the one before."""
    frozen = encoded([*moving[:FPS], *[moving[FPS]] * (12 * FPS), *moving[FPS:]], crf, **rate_control)
    *_, (began_s, true), (ended_s, false) = Replay().play(frozen, key_every=FPS).of(ConditionKind.FROZEN)
    assert (true, false) == (True, False)
    assert began_s - 1.0 < 7.0
    assert ended_s - 13.0 < 2.0


@pytest.mark.parametrize(("crf", "rate_control"), RATE_CONTROLS.values(), ids=RATE_CONTROLS)
def test_a_standing_belt_is_not_frozen_whatever_its_encoder_spends_bits_on(
    crf: int | None, rate_control: dict[str, str]
) -> None:
    line = StandingLine(3, WIDTH, HEIGHT, FPS, speed_px_s=200, stops_at_s=1.0, noise=0.5)
    lumas = encoded([line.i420(index)[:HEIGHT] for index in range(9 * FPS)], crf, **rate_control)
    assert Replay().play(lumas, key_every=FPS).begun() == set()


@pytest.mark.parametrize("crf", [24, 32])
def test_a_camera_that_comes_back_frozen_is_not_well_for_its_encoder_to_settle(
    moving: list[UInt8Array], crf: int
) -> None:
    frozen = encoded([*moving[:FPS], *[moving[FPS]] * (8 * FPS)], crf)
    returned = encoded([moving[FPS]] * (8 * FPS), crf)
    replay = Replay().play(frozen, key_every=FPS).wait(3.0).play(returned, key_every=FPS)
    assert [active for _, active in replay.of(ConditionKind.FROZEN)] == [False, True]


def test_without_key_frames_a_picture_that_does_not_change_is_said_to_be_not_known(moving: list[UInt8Array]) -> None:
    """Periodic intra refresh, or one key frame at the start of the connection."""
    never = 10**6
    replay = Replay().play(moving[:FPS], key_every=never).play([moving[FPS]] * (40 * FPS), key_every=never)
    assert replay.begun() == {ConditionKind.UNCHANGED}
    (_, false), (began_s, true) = replay.of(ConditionKind.UNCHANGED)
    assert (false, true) == (False, True)
    assert began_s - 1.0 == pytest.approx(30.0, abs=0.2)
    replay.play(moving, key_every=never)
    assert replay.of(ConditionKind.UNCHANGED)[-1][1] is False


def test_a_camera_that_recovers_under_a_standing_belt_is_not_frozen_any_more() -> None:
    """Nothing moves before or after: only that its key frames do not repeat themselves says so."""
    line = StandingLine(3, WIDTH, HEIGHT, FPS, speed_px_s=200, stops_at_s=0.0, noise=0.5)
    standing = [line.i420(index)[:HEIGHT] for index in range(5 * FPS)]
    replay = Replay().play([standing[0]] * (4 * FPS)).play(standing)
    (began_s, true), (ended_s, false) = replay.of(ConditionKind.FROZEN)
    assert (true, false) == (True, False)
    assert began_s < 2.0
    assert ended_s - 4.0 < 4.0


def standing_without_noise(seconds: int, key_every: int) -> list[UInt8Array]:
    """A belt that stands, as an encoder leaves it that spends no bits on noise but in key frames."""
    line = StandingLine(3, WIDTH, HEIGHT, FPS, speed_px_s=200, stops_at_s=0.0, noise=0.5)
    keys = [line.i420(index)[:HEIGHT] for index in range(0, seconds * FPS, key_every)]
    return [keys[index // key_every] for index in range(seconds * FPS)]


def test_a_belt_that_stands_for_long_is_known_to_stand_by_a_key_frame_every_five_seconds() -> None:
    assert Replay().play(standing_without_noise(60, 5 * FPS), key_every=5 * FPS).begun() == set()


def test_with_fewer_key_frames_it_is_not_known_for_a_while_whether_a_belt_stands() -> None:
    replay = Replay().play(standing_without_noise(80, 10 * FPS), key_every=10 * FPS)
    assert replay.begun() == {ConditionKind.UNCHANGED}
    assert [active for _, active in replay.of(ConditionKind.UNCHANGED)] == [True, False]


@pytest.mark.parametrize("key_every", [1, FPS, 4 * FPS])
def test_a_picture_that_is_frozen_before_and_after_an_outage_was_frozen_all_the_time(
    moving: list[UInt8Array], key_every: int
) -> None:
    """Nothing is known of it until it moves or is compared with itself: a camera that reconnects is not well for it."""
    frozen = [moving[FPS]] * (10 * FPS)
    replay = Replay().play([*moving[:FPS], *frozen], key_every=key_every).wait(3.0).play(frozen, key_every=key_every)
    assert [active for _, active in replay.of(ConditionKind.FROZEN)][-1] is True
    assert sum(active for _, active in replay.of(ConditionKind.FROZEN)) == 1
    replay.play(moving, key_every=key_every)
    assert [active for _, active in replay.of(ConditionKind.FROZEN)][-2:] == [True, False]


@pytest.mark.parametrize("crf", [None, 20, 28, 32, 36, 40])
@pytest.mark.parametrize("noise", [0.5, 1.5, 4.5])
def test_a_standing_belt_is_never_frozen(crf: int | None, noise: float) -> None:
    """From about CRF 28 on an encoder leaves the noise out, and the picture is equal from one key frame to the next."""
    line = StandingLine(3, WIDTH, HEIGHT, FPS, speed_px_s=200, stops_at_s=1.0, noise=noise)
    lumas = [line.i420(index)[:HEIGHT] for index in range(8 * FPS)]
    replay = Replay()
    if crf is None:
        replay.play(lumas)
    else:
        replay.play(encoded(lumas, crf), key_every=FPS)
    assert replay.begun() == set()


@pytest.mark.parametrize("crf", [0, 20, 28, 35])
def test_a_moving_belt_is_never_frozen(moving: list[UInt8Array], crf: int) -> None:
    assert Replay().play(encoded(moving, crf), key_every=FPS).begun() == set()


@pytest.mark.parametrize("crf", [0, 20, 28, 35, 40])
def test_an_empty_belt_is_not_frozen_either(crf: int) -> None:
    line = SyntheticLine(3, WIDTH, HEIGHT, FPS, speed_px_s=40)
    empty = [line.i420(index)[:HEIGHT] for index in range(3 * FPS)]
    assert Replay().play(encoded(empty, crf), key_every=FPS).begun() == set()


def test_without_a_moving_belt_nothing_is_frozen(moving: list[UInt8Array]) -> None:
    assert Replay(belt_moves=False).play([moving[0]] * 100).begun() == set()


def test_a_black_picture_begins_and_ends_within_two_seconds(moving: list[UInt8Array]) -> None:
    dark = np.clip(np.random.default_rng(1).normal(16, 2, (HEIGHT, WIDTH)), 0, 255).astype(np.uint8)
    replay = Replay().play(moving[:FPS]).play(encoded([dark] * 75, 28)).play(moving)
    (_, _), (began_s, true), (ended_s, false) = replay.of(ConditionKind.BLACK)
    assert (true, false) == (True, False)
    assert began_s - 1.0 < 2.0
    assert ended_s - 4.0 < 2.0
    assert replay.begun() == {ConditionKind.BLACK}


def test_a_blue_screen_is_no_signal(moving: list[UInt8Array]) -> None:
    blue = np.full((HEIGHT, WIDTH), 41, np.uint8)
    blue[100:120, 200:300] = 235  # the words "no signal"
    replay = Replay().play(moving[:FPS]).play(encoded([blue] * 75, 28)).play(moving)
    (_, _), (began_s, true), (ended_s, false) = replay.of(ConditionKind.NO_SIGNAL)
    assert (true, false) == (True, False)
    assert began_s - 1.0 < 2.0
    assert ended_s - 4.0 < 2.0
    assert replay.begun() == {ConditionKind.NO_SIGNAL}


def test_silence_is_no_signal_since_the_last_frame(moving: list[UInt8Array]) -> None:
    replay = Replay().play(moving[:FPS]).wait(3.0).play(moving)
    (_, _), (began_s, true), (ended_s, false) = replay.of(ConditionKind.NO_SIGNAL)
    assert (true, false) == (True, False)
    assert began_s - 1.0 < 2.0
    assert ended_s - 4.0 < 2.0
    change = next(change for _, change in replay.changes if change.active)
    assert change.since_s == pytest.approx(1.0)
    assert replay.begun() == {ConditionKind.NO_SIGNAL}


def test_the_same_picture_before_and_after_silence_was_not_frozen_meanwhile(moving: list[UInt8Array]) -> None:
    replay = Replay().play(moving[:FPS]).wait(3.0).play([moving[FPS - 1]] * 5).play(moving)
    assert replay.begun() == {ConditionKind.NO_SIGNAL}


def test_a_slow_camera_is_not_silent(moving: list[UInt8Array]) -> None:
    replay = Replay()
    replay.watch.fps = 0.5
    for luma in moving[:5]:
        replay.play([luma]).wait(2.0)
    assert replay.begun() == set()


def test_a_source_that_is_read_on_demand_is_never_silent(moving: list[UInt8Array]) -> None:
    assert Replay(expect_frames=False).play(moving[:5]).wait(10).begun() == set()


def test_many_bad_frames_begin_and_end(moving: list[UInt8Array]) -> None:
    bad: list[UInt8Array | None] = [None if index % 5 == 0 else luma for index, luma in enumerate(moving)]
    replay = Replay().play(moving).play(bad).play(moving).play(moving)
    assert [active for _, active in replay.of(ConditionKind.BAD_FRAMES)] == [False, True, False]
    began_s, ended_s = (time_s for time_s, _ in replay.of(ConditionKind.BAD_FRAMES)[1:])
    assert began_s - 3.0 < 2.0
    assert ended_s - 6.0 < 3.0
    assert replay.begun() == {ConditionKind.BAD_FRAMES}


def test_damaged_frames_of_a_slow_camera_begin_a_condition_too(moving: list[UInt8Array]) -> None:
    """A triggered station with a frame a second: half of the parts pass without inspection."""
    replay = Replay()
    replay.watch.fps = 1.0
    for index, luma in enumerate(moving[:20]):
        replay.play([luma if index % 2 else None]).wait(1.0)
    assert replay.begun() == {ConditionKind.BAD_FRAMES}


def test_one_bad_frame_is_no_condition(moving: list[UInt8Array]) -> None:
    assert Replay().play([*moving, None, *moving]).begun() == set()


def test_a_camera_found_well_says_so_once(moving: list[UInt8Array]) -> None:
    """So that an event ends which an earlier life of the process left open."""
    replay = Replay().play(moving).play(moving)
    assert sorted(change.kind for _, change in replay.changes) == [
        "bad_frames",
        "black",
        "frozen",
        "no_signal",
        "unchanged",
    ]
    assert not any(change.active for _, change in replay.changes)


def test_at_the_end_of_a_recording_what_lasted_is_over() -> None:
    replay = Replay().play([np.full((HEIGHT, WIDTH), 16, np.uint8)] * 50)
    assert [(change.kind, change.active) for change in replay.watch.finish()] == [(ConditionKind.BLACK, False)]


def test_real_pictures_are_neither_black_nor_even(moving: list[UInt8Array]) -> None:
    assert not is_black(sample(moving[0]), 24)
    assert not is_uniform(sample(moving[0]))


@given(
    signs=st.lists(st.tuples(st.booleans(), st.floats(0.01, 3.0)), max_size=60),
    begin_s=st.floats(0.1, 3.0),
    end_s=st.floats(0.1, 3.0),
)
def test_a_steady_condition_follows_its_sign_but_not_its_flicker(
    signs: list[tuple[bool, float]], begin_s: float, end_s: float
) -> None:
    state = Hysteresis(begin_s, end_s)
    now_s, since_s, last = 0.0, 0.0, None
    active: bool | None = None
    for sign, step_s in signs:
        now_s += step_s
        if sign is not last:
            since_s, last = now_s, sign
        changed = state.update(sign, now_s)
        long_enough = now_s - since_s >= (begin_s if sign else end_s)
        assert changed == (long_enough and active is not sign)
        active = state.active
        assert not long_enough or active is sign
