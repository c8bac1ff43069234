"""The JSON lines file: on disk before it counts, whole after a crash, there after a rotation."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from stream_inspect.alerts.alert import AlertError
from stream_inspect.alerts.file import FileAlert
from stream_inspect.config.outputs.file import FileAlertConfig
from stream_inspect.messages import event_json
from tests.alerts.events import an_event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "events.jsonl"


@pytest.fixture
def alert(path: Path):
    alert = FileAlert(FileAlertConfig(kind="file", path=Path("events.jsonl")), line="line1", state_dir=path.parent)
    yield alert
    alert.close()


def ids(path: Path) -> list[str]:
    """Of all lines of the file; fails on one that is not whole."""
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line)["id"] for line in text.splitlines()]


def id_(n: int) -> str:
    return an_event(n).id


def test_each_event_is_on_disk_before_send_returns(alert, path, monkeypatch):
    synced: list[tuple[int, int]] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append((handle, os.fstat(handle).st_size)), real(handle)))
    alert.open()
    synced.clear()
    for n in (1, 2):
        alert.send(an_event(n))
        assert synced[-1][1] == path.stat().st_size
    assert len(synced) == 2


@pytest.mark.parametrize("length", [1, 20, 100_000])
def test_a_torn_last_line_is_cut_off(alert, path, length):
    path.parent.mkdir()
    whole = event_json(an_event(1)) + b"\n"
    path.write_bytes(whole + b'{"type":"Event","reason":"' + b"x" * length)
    alert.open()
    alert.send(an_event(2))
    assert ids(path) == [id_(1), id_(2)]
    assert path.read_bytes().startswith(whole)


def test_a_file_of_one_torn_line_becomes_empty(alert, path):
    path.parent.mkdir()
    path.write_bytes(b'{"type":"Ev')
    alert.open()
    alert.send(an_event(1))
    assert ids(path) == [id_(1)]


def test_a_whole_line_that_lacks_its_newline_is_kept(alert, path):
    path.parent.mkdir()
    path.write_bytes(event_json(an_event(1)))
    alert.open()
    alert.send(an_event(2))
    assert ids(path) == [id_(1), id_(2)]


def test_a_rotated_file_is_left_and_a_new_one_begun(alert, path):
    alert.open()
    alert.send(an_event(1))
    path.rename(path.with_suffix(".1"))
    alert.send(an_event(2))
    assert ids(path.with_suffix(".1")) == [id_(1)]
    assert ids(path) == [id_(2)]


def test_a_deleted_file_is_made_again(alert, path):
    alert.open()
    alert.send(an_event(1))
    path.unlink()
    alert.send(an_event(2))
    path.unlink()
    path.parent.rmdir()
    alert.send(an_event(3))
    assert ids(path) == [id_(3)]


def test_a_file_truncated_underneath_goes_on_at_its_end(alert, path):
    alert.open()
    alert.send(an_event(1))
    os.truncate(path, 0)
    alert.send(an_event(2))
    assert ids(path) == [id_(2)]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    alert = FileAlert(FileAlertConfig(kind="file", path=Path("/dev/full")), line="line1", state_dir=tmp_path)
    alert.open()
    with pytest.raises(AlertError, match="cannot write /dev/full: No space left on device"):
        alert.send(an_event(1))
    alert.close()


def test_a_line_that_went_only_half_is_written_again_whole(alert, path):
    alert.open()
    alert.send(an_event(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, before[1]))
    try:
        with pytest.raises(AlertError, match="only 100 of"):
            alert.send(an_event(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes().count(b"\n") == 1
    alert.close()
    alert.open()
    alert.send(an_event(2))
    assert ids(path) == [id_(1), id_(2)]


def test_a_path_that_is_a_folder(tmp_path):
    alert = FileAlert(FileAlertConfig(kind="file", path=tmp_path), line="line1", state_dir=tmp_path)
    with pytest.raises(AlertError, match="Is a directory"):
        alert.open()
