"""The shape of the house: every package stands in a layer, no file and no function grows out of sight."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stream_inspect"
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_a_package_that_stands_in_no_layer_is_refused(tmp_path: Path) -> None:
    """It imports two stages at once, which no layer may do."""
    if shutil.which("lint-imports", path=os.path.dirname(sys.executable)) is None:
        pytest.skip("import-linter is not installed (it comes with the dev extra)")
    shutil.copytree(
        PACKAGE,
        tmp_path / "stream_inspect",
        ignore=lambda folder, names: [n for n in names if Path(folder, n).is_file() and not n.endswith(".py")],
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    rogue = tmp_path / "stream_inspect" / "rogue"
    rogue.mkdir()
    (rogue / "__init__.py").write_text("import stream_inspect.capture.stage\nimport stream_inspect.web.stage\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    assert "rogue" in done.stdout, done.stdout + done.stderr


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_seventy_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in sources()
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == {}
