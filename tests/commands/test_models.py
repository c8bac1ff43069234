"""`models list|pull|verify` against a hub on this computer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inspect.fake_hub import COMMIT, FakeHub, serving
from tests.inspect.random_models import write_small_owlv2, write_small_sam

DETECTOR, SEGMENTER = "acme/owlv2-small", "acme/sam-small"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        DETECTOR: write_small_owlv2(tmp_path_factory.mktemp("owlv2")),
        SEGMENTER: write_small_sam(tmp_path_factory.mktemp("sam")),
    }


@pytest.fixture
def hub(folders: dict[str, Path]) -> Iterator[FakeHub]:
    with serving(folders) as hub:
        yield hub


class Computer:
    """A computer with its own cache of models, where commands are run in processes of their own."""

    def __init__(self, home: Path, hub_url: str) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "HF_HOME": str(home),
            "HF_ENDPOINT": hub_url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "COLUMNS": "200",
        }

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "stream_inspect", "models", *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def computer(tmp_path: Path, hub: FakeHub) -> Computer:
    return Computer(tmp_path / "hf", hub.url)


@pytest.mark.slow
def test_pull_then_verify_and_list_offline(computer: Computer, hub: FakeHub) -> None:
    code, text = computer.run("pull", DETECTOR)
    assert code == 0, text
    assert f"inspect.detector.model: {DETECTOR}" in text
    assert any(request.endswith("model.safetensors") for request in hub.requests)

    hub.requests.clear()
    code, text = computer.run("verify", DETECTOR, HF_HUB_OFFLINE="1")
    assert code == 0, text
    assert "checksums match" in text
    code, text = computer.run("list", HF_HUB_OFFLINE="1")
    assert code == 0, text
    rows = [line.split() for line in text.splitlines() if line]
    assert [row[0] for row in rows[1:3]] == ["tiny", "tiny"]
    assert [row[1] for row in rows if row[0] == DETECTOR] == ["detector"]
    assert "stream-inspect models pull google/owlv2-base-patch16-ensemble" in text
    assert hub.requests == []


@pytest.mark.slow
def test_a_damaged_file_in_the_cache_is_found_by_its_sum(computer: Computer) -> None:
    assert computer.run("pull", SEGMENTER)[0] == 0
    (weights,) = computer.home.rglob("model.safetensors")
    blob = weights.resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    code, text = computer.run("verify", SEGMENTER)
    assert code == 1
    assert "model.safetensors is corrupt" in text


@pytest.mark.slow
def test_pulled_into_a_folder_it_can_be_carried_to_a_computer_without_a_network(
    computer: Computer, tmp_path: Path
) -> None:
    folder = tmp_path / "stick"
    code, text = computer.run("pull", DETECTOR, "--revision", COMMIT, "--to", str(folder))
    assert code == 0, text
    assert (folder / "SHA256SUMS").is_file()
    plant = Computer(tmp_path / "plant", "http://127.0.0.1:9")
    code, text = plant.run("verify", str(folder), HF_HUB_OFFLINE="1")
    assert code == 0, text
    assert "hash" in text


@pytest.mark.slow
def test_what_goes_wrong_is_said_in_words(computer: Computer, hub: FakeHub) -> None:
    code, text = computer.run("pull", "acme/nothing")
    assert code != 0
    assert "acme/nothing not found on the hub" in text
    assert "Traceback" not in text
    code, text = computer.run("pull", DETECTOR, HF_HUB_OFFLINE="1")
    assert code != 0
    assert "HF_HUB_OFFLINE is set" in text
    hub.cut_short = "model.safetensors"
    code, text = computer.run("pull", DETECTOR)
    assert code != 0
    assert "run the command again" in text
    assert "Traceback" not in text
    hub.cut_short = None
    assert computer.run("pull", DETECTOR)[0] == 0
    assert computer.run("verify", DETECTOR)[0] == 0
