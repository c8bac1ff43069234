"""What the builders tell their stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_inspect.capture.session import SessionCounter
from stream_inspect.config.models import Config
from stream_inspect.messages import Tracked
from stream_inspect.service.build import ProcessContext, track
from stream_inspect.service.plan import plan
from stream_inspect.service.run_dir import ledger_path
from stream_inspect.store.files import part_counts
from stream_inspect.transport.ledger import Ledger
from tests.alerts.receivers import wait_until
from tests.track.test_track_stage import box_at, inspection


@pytest.mark.parametrize("workers", [1, 2])
def test_frames_that_overtook_each_other_are_tracked_in_order(tmp_path: Path, workers: int) -> None:
    """One worker may overtake itself: of two frames of a camera in one batch it judges the fresher one first."""
    config = Config.model_validate(
        {
            "version": 1,
            "state_dir": str(tmp_path),
            "cameras": [{"name": "cam1", "source": {"kind": "synthetic"}}],
            "defects": [{"name": "hole", "prompts": ["hole"]}],
            "inspect": {"workers": [{}] * workers},
        }
    )
    Ledger.create(ledger_path(tmp_path), ["cam1"])
    site = ProcessContext(config=config, config_path=None, overrides=(), run_dir=tmp_path, owner=1)
    stage = track(site, next(row for row in plan(config).rows if row.stage == "track"))
    stage.open()
    try:
        outputs = [*stage.process([inspection(1, box_at(1))]), *stage.process([inspection(0, box_at(0))])]
    finally:
        stage.close()
    tracked = [output.message for output in outputs if isinstance(output.message, Tracked)]
    assert [message.frame.id.seq for message in tracked] == [0, 1]


def test_each_run_of_a_line_whose_parts_are_counted_has_a_number_of_its_own_and_keeps_its_counts(
    tmp_path: Path,
) -> None:
    belt = {"direction": "left_to_right", "speed_mm_s": 300.0, "mm_per_px": 0.5}
    config = Config.model_validate(
        {
            "version": 1,
            "state_dir": str(tmp_path),
            "cameras": [{"name": "cam1", "source": {"kind": "synthetic"}, "belt": belt}],
            "defects": [{"name": "hole", "prompts": ["hole"]}],
            "lines": [{"name": "line1", "parts": {"kind": "background"}}],
        }
    )
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        Ledger.create(ledger_path(tmp_path / run), ["cam1"])
        site = ProcessContext(config=config, config_path=None, overrides=(), run_dir=tmp_path / run, owner=1)
        stage = track(site, next(row for row in plan(config).rows if row.stage == "track"))
        stage.open()
        stage.close()
    assert SessionCounter.of_parts(tmp_path, "line1").next() == 3
    assert wait_until(part_counts(tmp_path).exists, 5)
