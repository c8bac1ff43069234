"""The wheel installs in a clean environment and runs the demo there, away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def registry_away(*attempts: subprocess.CompletedProcess[str]) -> bool:
    """Whether pip failed because a package registry could not be reached: it warns so of each try it makes again."""
    return any(one.returncode and "connection broken by" in one.stdout + one.stderr for one in attempts)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not in a checkout")
    out = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT, cwd=out)
    if registry_away(built):
        pytest.skip("no package registry can be reached for what builds the wheel")
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = out.glob("*.whl")
    return found


def test_a_registry_that_is_away_is_told_from_a_package_that_is_not_there(tmp_path: Path):
    asked = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "no-such-package==1.0"]
    away = run(*asked, "--retries", "1", "--index-url", "http://127.0.0.1:1/simple", cwd=tmp_path)
    missing = run(*asked, "--no-index", cwd=tmp_path)
    assert away.returncode != 0
    assert missing.returncode != 0
    assert registry_away(away)
    assert not registry_away(missing)


def test_it_holds_what_the_demo_needs(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "stream_inspect/configs/demo.yaml",
        "stream_inspect/tiny/owlv2/model.safetensors",
        "stream_inspect/tiny/sam/model.safetensors",
        "stream_inspect/web/static/index.html",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith("tests/")]


def test_the_embedded_models_are_small(wheel: Path):
    members = [one for one in zipfile.ZipFile(wheel).infolist() if one.filename.startswith("stream_inspect/tiny/")]
    assert sum(one.compress_size for one in members) < 12_000_000


def test_it_runs_the_demo_in_a_clean_environment(wheel: Path, tmp_path: Path):
    if shutil.disk_usage(tmp_path).free < 4e9:
        pytest.skip("less than 4 GB of disk for a second environment")
    environment = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", environment, cwd=tmp_path).returncode == 0
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-compile", "-c", ROOT / "deploy" / "constraints.txt"]
    wanted = f"torch=={version('torch')}"
    index = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"] if "+cpu" in wanted else []
    attempts = [run(*install, wanted, cwd=tmp_path)]
    if attempts[0].returncode:
        attempts.append(run(*install, *index, wanted, cwd=tmp_path))
    if attempts[-1].returncode and registry_away(*attempts):
        pytest.skip(f"no registry can be reached for {wanted}: {attempts[-1].stderr[-200:]}")
    assert attempts[-1].returncode == 0, "".join(attempt.stderr for attempt in attempts)
    installed = run(*install, wheel, cwd=tmp_path)
    if registry_away(installed):
        pytest.skip(f"no registry can be reached for the wheel's dependencies: {installed.stderr[-200:]}")
    assert installed.returncode == 0, installed.stderr

    out = tmp_path / "out"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [environment / "bin" / "stream-inspect", "demo", "--seconds", "8", "--out", out, "--no-browser"],
        cwd=tmp_path,
        env=clean | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    frames = json.loads((out / "summary.json").read_text())["frames"]
    assert frames["residual"] == 0
    assert frames["judged"] > 0
