"""A process that crashes in C says where, in one line of the log like any other."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from stream_inspect.config.builtin import builtin_config
from tests.e2e.service import running

pytestmark = [pytest.mark.alone, pytest.mark.timeout(180)]


def test_a_segmentation_fault_is_one_line_that_names_the_process_and_its_code(tmp_path: Path) -> None:
    settings = [f"state_dir={tmp_path}/state", "web.enabled=false"]
    with running(builtin_config("demo"), tmp_path / "log", *settings) as service:
        service.wait_for(lambda seen: seen["processes"]["recorder"]["running"], 90, "the recorder")
        service.children()["recorder"].send_signal(signal.SIGSEGV)
        service.wait_for(lambda _: "Fatal Python error" in service.log, 30, "the crash in the log")
        service.wait_for(lambda seen: seen["processes"]["recorder"]["restarts"] == 1, 60, "a restart")
        assert service.stop() == 0
        lines = [json.loads(line) for line in service.log.splitlines()]
    (crash,) = [line for line in lines if line["event"] == "output of a library"]
    assert crash["process"] == "recorder"
    assert "Fatal Python error: Segmentation fault" in crash["text"]
    assert "service/stage.py" in crash["text"], "where it was"
    assert any("process exited" in line["event"] and "SIGSEGV" in json.dumps(line) for line in lines)
