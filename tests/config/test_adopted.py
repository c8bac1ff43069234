"""What a run has adopted is kept without secrets, and a file that cannot be used costs no worker its start."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog.testing

from stream_inspect.config.adopted import Adopted
from stream_inspect.config.load import dump, load, parse_dump
from stream_inspect.config.models import Config
from tests.config.test_reload import TEXT


def config(folder: Path, text: str = TEXT) -> Config:
    (folder / "secret").write_text("hunter2")
    path = folder / "line.yaml"
    path.write_text(text)
    return parse_dump(dump(load(path)))


def test_what_is_kept_comes_back_and_nothing_else(tmp_path: Path) -> None:
    at_start = config(tmp_path)
    new = config(tmp_path, TEXT.replace("0.3}", "0.4, counter_prompts: [shadow]}").replace("press-3", "press-4"))
    adopted = Adopted(tmp_path / "adopted.json")
    adopted.keep(new)
    back = adopted.into(at_start)
    assert back.defects == new.defects
    assert (back.line, back.cameras) == ("press-3", at_start.cameras)


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    adopted = Adopted(tmp_path / "adopted.json")
    adopted.keep(config(tmp_path))
    text = (tmp_path / "adopted.json").read_text()
    assert "hole" in text
    assert "hunter2" not in text
    assert "secret" not in text
    assert [path.name for path in tmp_path.glob("adopted*")] == ["adopted.json"]


def test_nothing_adopted_leaves_the_configuration_as_it_is(tmp_path: Path) -> None:
    at_start = config(tmp_path)
    assert Adopted(tmp_path / "adopted.json").into(at_start) == at_start


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"defects": 3}', b"\xff"])
def test_a_file_that_cannot_be_read_is_logged_and_not_used(tmp_path: Path, content: bytes) -> None:
    at_start = config(tmp_path)
    (tmp_path / "adopted.json").write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        assert Adopted(tmp_path / "adopted.json").into(at_start) == at_start
    assert [entry["event"] for entry in logs] == ["cannot read the adopted configuration"]


def test_a_file_that_cannot_be_written_is_logged(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        Adopted(tmp_path / "missing" / "adopted.json").keep(config(tmp_path))
    assert [entry["event"] for entry in logs] == ["cannot keep the adopted configuration"]
