"""A recording is replayed whatever its name, and the names in the results and on the terminal are text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.replays import line, make_video, spot, write_lines

CONFIG = """
version: 1
cameras: [{name: top, source: {kind: synthetic}}]
defects: [{name: spot, prompts: [a dark spot]}]
"""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"10:22:33.mp4", "10:22:33.mp4"),
        (b"2026-11-28T10:22:33+01:00.mp4", "2026-11-28T10:22:33+01:00.mp4"),
        (b"Pr\xfcfung.mp4", r"Pr\xfcfung.mp4"),
        ("Prüfung.mp4".encode(), "Prüfung.mp4"),
        (b"line 3 (top) #2 100%.mp4", "line 3 (top) #2 100%.mp4"),
    ],
)
def test_a_recording_of_any_name_is_replayed_into_a_folder_of_any_name(tmp_path: Path, name: bytes, shown: str) -> None:
    make_video(tmp_path / "clip.mp4", range(0, 1000, 40)).rename(tmp_path / os.fsdecode(name))
    write_lines(tmp_path / "frames.jsonl", [line(seq, seq * 0.04, spot(seq * 0.04)) for seq in range(0, 25, 3)])
    (tmp_path / "c.yaml").write_text(CONFIG)
    out = os.fsdecode(b"results: " + name)
    command = [sys.executable, "-m", "stream_inspect", "replay", os.fsdecode(name), "--config", "c.yaml", "--out", out]
    ran = subprocess.run(
        [*command, "--inspections", "frames.jsonl"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    ran.stdout.decode()
    summary = json.loads((tmp_path / out / "summary.json").read_bytes())
    assert summary["video"]["name"] == shown
    assert (tmp_path / out / "annotated.mp4").stat().st_size > 1000
