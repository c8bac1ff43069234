"""A run's folder is locked while it lives, and what a killed run left behind is removed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stream_inspect.service.run_dir import RunDir, RunDirError, records_path, remove_abandoned
from stream_inspect.store.files import LOCK


def test_the_folder_is_private_and_gone_at_the_end(tmp_path: Path):
    with RunDir(tmp_path, tmp_path / "state") as run:
        assert run.path.parent == tmp_path
        assert run.path.stat().st_mode & 0o077 == 0
        (run.path / "top.0.ring").write_bytes(b"frame")
    assert not run.path.exists()


def test_two_services_may_not_share_a_state_folder(tmp_path: Path):
    with RunDir(tmp_path, tmp_path / "state"), pytest.raises(RunDirError, match="another stream-inspect"):
        RunDir(tmp_path, tmp_path / "state")
    with RunDir(tmp_path, tmp_path / "state"):  # free again
        pass


def test_an_unusable_state_folder_is_named(tmp_path: Path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(RunDirError, match=str(tmp_path / "state")):
        RunDir(tmp_path, tmp_path / "state")


def test_a_killed_runs_folder_is_removed_at_the_next_start(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from stream_inspect.service.run_dir import RunDir\n"
        "run = RunDir(Path(sys.argv[1]), Path(sys.argv[1]) / 'state'); print(run.path, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False)
    left_behind = Path(killed.stdout.strip())
    assert left_behind.is_dir()
    with RunDir(tmp_path, tmp_path / "state") as run:
        assert not left_behind.exists()
        assert run.path.is_dir()


def test_the_next_run_takes_over_the_records_of_a_killed_one_with_the_same_state_folder(tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; from stream_inspect.service.run_dir import RunDir, records_path\n"
        "run = RunDir(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "(records_path(run.path) / 'parts.line1').write_text(sys.argv[2]); os.kill(os.getpid(), 9)"
    )
    for state in ("ours", "theirs"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path), str(tmp_path / state)], check=False)
        with RunDir(tmp_path, tmp_path / "ours") as run:
            taken_over = [path.read_text() for path in records_path(run.path).iterdir()]
        assert taken_over == ([str(tmp_path / state)] if state == "ours" else [])


def test_several_starts_at_once_remove_what_was_left_behind(tmp_path: Path):
    for number in range(400):
        folder = tmp_path / f"stream_inspect-{number}"
        folder.mkdir()
        (folder / LOCK).touch()
    with ThreadPoolExecutor(4) as pool:
        removed = [folder for each in pool.map(remove_abandoned, [tmp_path] * 4) for folder in each]
    assert len(removed) >= 400
    assert list(tmp_path.iterdir()) == []


def test_a_living_runs_folder_is_left_alone(tmp_path: Path):
    with RunDir(tmp_path, tmp_path / "one") as one:
        assert remove_abandoned(tmp_path) == []
        assert one.path.is_dir()


def test_a_folder_in_the_making_and_links_are_left_alone(tmp_path: Path):
    (tmp_path / "stream_inspect-making").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, tmp_path / "stream_inspect-link")
    assert remove_abandoned(tmp_path) == []
    assert outside.is_dir()
