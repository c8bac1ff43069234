"""The watcher: sees every way of saving a file, refuses a wrong one once, and costs next to nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from stream_inspect.config import watch
from stream_inspect.config.load import load
from stream_inspect.config.models import Config
from stream_inspect.config.problems import ConfigError
from stream_inspect.config.watch import ConfigWatcher

TEXT = """\
version: 1
cameras: [{name: top, source: {kind: synthetic}}]
defects: [{name: hole, prompts: [hole], threshold: 0.3}]
"""
CHANGED = TEXT.replace("0.3", "0.4")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "line.yaml"
    path.write_text(TEXT)
    return path


def replaced(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def polled(watcher: ConfigWatcher, for_s: float = 2.0) -> Config | None:
    """What the watcher comes up with in the time that a file written in place needs to settle."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        if (config := watcher.poll()) is not None:
            return config
        time.sleep(0.01)
    return None


def test_nothing_is_reported_while_nothing_changes(file: Path) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    assert polled(watcher, 0.3) is None
    file.touch()
    assert polled(watcher, 0.3) is None
    file.write_text(TEXT + "# a comment\n")
    assert polled(watcher, 0.3) is None


def test_what_changed_before_the_watch_began_is_not_missed(file: Path) -> None:
    before = load(file)
    replaced(file, CHANGED)
    config = ConfigWatcher(file, current=before).poll()
    assert config is not None
    assert config.defects[0].threshold == 0.4


def test_a_replaced_file_is_taken_at_once_with_the_overrides(file: Path) -> None:
    watcher = ConfigWatcher(file, ["web.port=0"], current=load(file, ["web.port=0"]))
    assert watcher.poll() is None
    replaced(file, CHANGED)
    config = watcher.poll()
    assert config is not None
    assert (config.defects[0].threshold, config.web.port) == (0.4, 0)
    assert watcher.poll() is None


def test_a_file_written_in_place_is_taken_when_it_has_settled(file: Path) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    assert watcher.poll() is None
    with file.open("w") as half_written:
        half_written.write(CHANGED[:60])
        half_written.flush()
        assert watcher.poll() is None
        half_written.write(CHANGED[60:])
    config = polled(watcher)
    assert config is not None
    assert config.defects[0].threshold == 0.4


def test_a_wrong_file_is_refused_once_and_taken_when_it_is_mended(file: Path) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    for wrong in (CHANGED.replace("threshold", "treshold"), "a: ["):
        replaced(file, wrong)
        with pytest.raises(ConfigError):
            polled(watcher)
        assert watcher.wrong
        assert polled(watcher, 0.3) is None
    replaced(file, CHANGED)
    config = watcher.poll()
    assert config is not None
    assert config.defects[0].threshold == 0.4
    assert not watcher.wrong


def test_a_wrong_file_put_back_is_no_change(file: Path) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    file.write_text("a: [")
    with pytest.raises(ConfigError):
        polled(watcher)
    file.write_text(TEXT)
    assert polled(watcher, 0.3) is None
    assert not watcher.wrong


def test_an_editor_may_take_the_file_away_for_a_moment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    file.unlink()
    assert polled(watcher, 0.2) is None
    file.write_text(CHANGED)
    assert polled(watcher) is not None
    monkeypatch.setattr(watch, "_GONE_S", 0.1)
    file.unlink()
    with pytest.raises(ConfigError, match="the configuration file is missing; keeping the current configuration"):
        polled(watcher)
    assert polled(watcher, 0.3) is None
    file.write_text(TEXT)
    assert polled(watcher) is not None


def test_a_change_that_keeps_size_and_time_is_seen(file: Path) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    watcher.poll()
    times = file.stat()
    file.write_text(CHANGED)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert polled(watcher) is not None


def test_a_poll_without_a_change_costs_a_stat(file: Path) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    watcher.poll()
    started_s = time.process_time()
    for _ in range(1000):
        watcher.poll()
    assert (time.process_time() - started_s) / 1000 < 100e-6
