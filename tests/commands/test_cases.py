"""Inputs of other people's bug reports, replayed with the embedded models: what matters is what is found in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stream_inspect.capture.camera import CameraError
from stream_inspect.commands.replay.run import replay
from stream_inspect.config.models import Config
from tests.commands.replays import confirmed

CONFIG = {
    "version": 1,
    "cameras": [{"name": "top", "source": {"kind": "synthetic"}}],
    "defects": [{"name": name, "prompts": [name], "threshold": 0.5} for name in ("scratch", "crack")],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("control_clip.mp4", 75),
        ("cover_picture_before_film.mp4", 75),
        ("pixels_2_to_1_half_width.mkv", 75),
        ("interlaced_tff.mp4", 37),
    ],
)
def test_the_two_defects_are_found_however_the_film_is_stored(
    tmp_path: Path, case: Callable[[str], Path], name: str, frames: int
) -> None:
    summary = replay(case(name), Config.model_validate(CONFIG), tmp_path / "out")
    assert summary.frames.captured == frames
    assert len(confirmed(tmp_path / "out")) == 2
    assert (summary.video.width_px, summary.video.height_px) == (640, 360)


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("sound_with_cover_picture.m4a", "there is no video in it, only a cover picture"),
        ("recording_cut_before_moov.mp4", r"the file was cut: .* before its index \(moov\)"),
    ],
)
def test_what_cannot_be_replayed_says_why(
    tmp_path: Path, case: Callable[[str], Path], name: str, reported: str
) -> None:
    with pytest.raises(CameraError, match=reported):
        replay(case(name), Config.model_validate(CONFIG), tmp_path / "out")
