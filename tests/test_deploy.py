"""The systemd unit is one that systemd takes, and it keeps its things where its own instructions put them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "deploy" / "stream-inspect.service"


def complaints(text: str, folder: Path) -> list[str]:
    """What systemd says against a unit of this text."""
    path = folder / UNIT.name
    path.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    return [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze (apt install systemd)")
    text = re.sub(r"/opt/\S+/bin/stream-inspect run", "/bin/true run", UNIT.read_text())
    assert complaints(text, tmp_path) == []
    assert complaints(text.replace("KillMode=mixed", "KillMode=gently"), tmp_path) != []


def test_the_state_folder_is_the_same_everywhere() -> None:
    text = UNIT.read_text()
    (state,) = re.findall(r"^StateDirectory=(\S+)$", text, re.MULTILINE)
    named = re.findall(r"/(?:var/lib|etc|opt)/([^\s/]+)", text)
    assert len(named) > 6
    assert set(named) - {"systemd"} == {state}
