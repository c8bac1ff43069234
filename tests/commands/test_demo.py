"""What the demo runs with; that it runs is tested end to end."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stream_inspect.commands.demo.run import demo_config
from stream_inspect.config.builtin import builtin_config
from stream_inspect.config.load import load

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
