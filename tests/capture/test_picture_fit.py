"""The camera's first picture decides whether the configuration fits it; where it does not, a condition says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_inspect.capture.picture_fit import PictureFit
from stream_inspect.config.models import CameraConfig, DecideConfig
from stream_inspect.messages import Condition, ConditionKind
from tests.capture.harness import StageHarness
from tests.capture.videos import write_video

LEFT_HALF = [(0, 0), (80, 0), (80, 120), (0, 120)]
OF_1080P = [(960, 0), (1900, 0), (1900, 1070), (960, 1070)]
TOO_FAST = {"direction": "left_to_right", "speed_mm_s": 800, "mm_per_px": 0.5}


def _camera(path: Path, **more: Any) -> CameraConfig:
    return CameraConfig.model_validate(
        {"name": "top", "source": {"kind": "file", "path": path, "pace": "fast"}, **more}
    )


def _reported(folder: Path, **more: Any) -> Condition:
    write_video(folder / "a.mp4", count=10, fps=25)  # 160x120
    with StageHarness(_camera(folder / "a.mp4", **more), folder) as line:
        line.judging = True
        line.credit()
        line.run(lambda: any(one.kind is ConditionKind.CONFIG_MISFIT for one in line.conditions))
        return next(one for one in line.conditions if one.kind is ConditionKind.CONFIG_MISFIT)


@pytest.mark.parametrize(
    ("camera", "reason"),
    [
        (
            {"region_px": OF_1080P},
            "corner [960, 0] of region_px is outside the picture of 160x120 px: draw it on a pic",
        ),
        ({"region": [(0.5, 0.5), (0.51, 0.5), (0.51, 0.51)]}, "region encloses only 0.96 px² of the picture of 160x1"),
        ({"belt": TOO_FAST}, "a defect is in at most 1 of them, and decide.confirm_hits is 2, so none is confirmed"),
    ],
)
def test_a_camera_whose_picture_does_not_fit_has_a_condition_with_the_reason(
    tmp_path: Path, camera: dict[str, Any], reason: str
) -> None:
    reported = _reported(tmp_path, **camera)
    assert (reported.camera, reported.source, reported.active) == ("top", "capture.top", True)
    assert reason in reported.detail


def test_one_whose_picture_fits_is_known_to_fit(tmp_path: Path) -> None:
    assert not _reported(tmp_path, region_px=LEFT_HALF).active


def test_a_camera_that_sends_another_size_is_measured_again() -> None:
    camera = _camera(Path("a.mp4"), region_px=OF_1080P)
    fit = PictureFit(camera, DecideConfig())
    sizes = [(1920, 1080), (1920, 1080), (640, 360), (640, 360), (1920, 1080)]
    reasons = [fit.reason(size, 25.0) for size in sizes]
    assert [reason if reason is None else bool(reason) for reason in reasons] == [False, None, True, None, False]
