"""What the demo runs with; that it runs is tested end to end."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from stream_inspect.commands.demo.run import PREVIOUS, _prepare_output_folder, demo_config
from stream_inspect.commands.demo.view import DemoView
from stream_inspect.config.builtin import builtin_config
from stream_inspect.config.load import load
from stream_inspect.errors import UsageError

PATH = builtin_config("demo")


@pytest.mark.parametrize("asked", [(), ("web.port=0",)], ids=["none asked for", "any"])
def test_the_port_of_the_live_page_is_known_and_free_before_it_listens(asked: tuple[str, ...], tmp_path: Path):
    config, overrides = demo_config(PATH, tmp_path / "out", None, asked)
    with socket.create_server(("127.0.0.1", config.web.port)) as server:
        assert server.getsockname()[1] == config.web.port
    assert load(PATH, overrides) == config, "a process that reads the file again must find the same"


def test_a_port_that_was_asked_for_is_taken(tmp_path: Path):
    assert demo_config(PATH, tmp_path / "out", None, ("web.port=1234",))[0].web.port == 1234


def test_the_seed_and_the_folder_are_the_demos(tmp_path: Path):
    config, _ = demo_config(PATH, tmp_path / "out", 7, ("cameras.belt.source.fps=5",))
    assert config.state_dir == tmp_path / "out"
    source = config.cameras[0].source
    assert (source.kind, source.seed, source.fps) == ("synthetic", 7, 5.0)


def test_a_second_demo_keeps_the_results_of_the_first_and_says_where(tmp_path: Path):
    out = tmp_path / "out"
    assert not _prepare_output_folder(out)
    for name in ("pictures/cam-1-crack-1.jpg", "clips/cam-1-crack-1.mp4", "events.sqlite", "summary.json"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("first")
    assert _prepare_output_folder(out)
    assert (out / PREVIOUS / "clips" / "cam-1-crack-1.mp4").read_text() == "first"
    assert not (out / "summary.json").exists()
    (out / "events.sqlite").write_text("of a demo that recorded nothing")
    assert not _prepare_output_folder(out), "nothing is worth keeping"
    assert (out / PREVIOUS / "summary.json").read_text() == "first", "and what is kept stays"
    printed = io.StringIO()
    DemoView(Console(file=printed, width=300)).moved(out / PREVIOUS)
    assert str(out / PREVIOUS) in printed.getvalue()


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="not a demo folder"):
        _prepare_output_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_stop_says_that_it_is_stopping():
    printed = io.StringIO()
    DemoView(Console(file=printed, width=300)).stopping()
    assert "stopping" in printed.getvalue()
