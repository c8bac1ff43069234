"""What a decision logs: with defect, severity and score, and at the level by which a person filters."""

from __future__ import annotations

import time
from pathlib import Path

from structlog.testing import capture_logs

from stream_inspect.decide.stage import DecideStage
from stream_inspect.messages import Condition, ConditionKind
from stream_inspect.store.event_writer import open_writer
from tests.decide.scenes import config


def test_a_condition_is_a_warning_and_its_end_is_information(tmp_path: Path) -> None:
    stage = DecideStage(config(), open_writer(tmp_path, memory_dir=tmp_path, max_age_ns=10**18))
    stage.open()
    with capture_logs() as logs:
        for active in (True, False):
            now_ns = time.monotonic_ns()
            list(
                stage.process(
                    [
                        Condition(
                            camera="top",
                            kind=ConditionKind.BLACK,
                            active=active,
                            source="capture.top",
                            detail="mean 2",
                            mono_ns=now_ns,
                            utc_ns=time.time_ns(),
                        )
                    ]
                )
            )
            deadline_s = time.monotonic() + 10
            while not any(active or "cleared" in line["event"] for line in logs if "condition" in line["event"]):
                list(stage.tick(time.monotonic_ns()))
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
    stage.close()
    raised, cleared = [line for line in logs if line["event"].startswith("condition")]
    assert (raised["event"], raised["log_level"], raised["name"], raised["camera"]) == (
        "condition raised",
        "warning",
        "black",
        "top",
    )
    assert (cleared["event"], cleared["log_level"]) == ("condition cleared", "info")
