"""Finding models, and what is said of those that are missing, corrupt or of another kind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stream_inspect.config import models as config
from stream_inspect.inspect import models
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.detect.owlv2 import Owlv2Detector
from stream_inspect.inspect.inspector import build_inspector
from stream_inspect.inspect.models import ModelKind, resolve
from tests.inspect.random_models import write_small_owlv2, write_small_sam


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[ModelKind, Path]:
    return {
        "detector": write_small_owlv2(tmp_path_factory.mktemp("owlv2")),
        "segmenter": write_small_sam(tmp_path_factory.mktemp("sam")),
    }


@pytest.fixture
def folder(whole: dict[ModelKind, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole["detector"], tmp_path / "model"))


def test_a_local_folder_is_found_and_hashed(whole: dict[ModelKind, Path]) -> None:
    for kind, path in whole.items():
        found = resolve(kind, str(path))
        assert found.folder == path
        assert len(found.model_hash) == 64
        assert found.size_bytes > (path / "model.safetensors").stat().st_size


def test_the_hash_is_of_the_contents_not_of_the_place(folder: Path, whole: dict[ModelKind, Path]) -> None:
    assert resolve("detector", str(folder)).model_hash == resolve("detector", str(whole["detector"])).model_hash
    config_file = folder / "config.json"
    config_file.write_text(config_file.read_text().replace("}", " }", 1))
    assert resolve("detector", str(folder)).model_hash != resolve("detector", str(whole["detector"])).model_hash


def test_notes_beside_a_model_do_not_change_its_hash(folder: Path) -> None:
    before = resolve("detector", str(folder)).model_hash
    (folder / "MODEL_CARD.md").write_text("a note")
    assert resolve("detector", str(folder)).model_hash == before


def _cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _scramble_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[8:40] = b"x" * 32
    weights.write_bytes(data)


def _html_instead(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"<html>please log in</html>")


def _only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def _shard_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-00001.safetensors"}}))


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_cut_short, "the copy is incomplete"),
        (_scramble_header, "its header cannot be read"),
        (_html_instead, "its header does not fit"),
        (_only_pickle, "pickled weights, which are never loaded"),
        (_shard_missing, "lacks model-00001.safetensors"),
        (_remove("model.safetensors"), "has no model.safetensors"),
        (_remove("config.json"), "has no config.json"),
        (_remove("processor_config.json"), "neither preprocessor_config.json nor processor_config.json"),
        (_remove("tokenizer.json"), "has no tokenizer.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'), "of type 'bert'"),
    ],
)
def test_a_damaged_model_says_what_is_wrong_and_what_to_do(
    folder: Path, damage: Callable[[Path], None], problem: str
) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=problem) as caught:
        resolve("detector", str(folder))
    if "of type" not in problem:
        assert "copy the whole folder again" in str(caught.value)


def test_weights_of_another_model_are_noticed_when_loading(folder: Path, tmp_path: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    settings["vision_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="do not belong together"):
        Owlv2Detector(folder).open()


def test_a_segmenter_is_no_detector(whole: dict[ModelKind, Path]) -> None:
    with pytest.raises(ModelError, match="of type 'sam'; the detector needs one of type 'owlv2'"):
        resolve("detector", str(whole["segmenter"]))


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_anything_is_loaded(
    whole: dict[ModelKind, Path], tmp_path: Path
) -> None:
    """The reader of safetensors takes no other name: `check` said that all was well, and `run` could not load it."""
    folder = tmp_path / os.fsdecode(b"mod\xe8le") / "owl"
    shutil.copytree(whole["detector"], folder)
    with pytest.raises(ModelError, match=r"mod\\xe8le/owl is not UTF-8: rename it"):
        resolve("detector", str(folder))
    shutil.copytree(whole["detector"], tmp_path / "modèle:1")
    named = resolve("detector", str(tmp_path / "modèle:1"))
    assert named.model_hash == resolve("detector", str(whole["detector"])).model_hash


def test_an_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        resolve("detector", str(tmp_path / "nowhere"))


def test_an_absent_hub_model_names_the_command_with_and_without_a_network() -> None:
    with pytest.raises(ModelError) as caught:
        resolve("detector", "google/owlv2-base-patch16-ensemble", "v1.0")
    text = str(caught.value)
    assert "`stream-inspect models pull google/owlv2-base-patch16-ensemble --revision v1.0`" in text
    assert "--to FOLDER" in text


def test_a_name_that_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="owlv2"):
        resolve("detector", "tinny")


def test_a_files_contents_are_compared_with_their_sums(folder: Path) -> None:
    assert models.verify_contents(folder) == 0
    models.write_sums(folder)
    assert models.verify_contents(folder) >= 4
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1  # the header is as sound as before
    weights.write_bytes(data)
    resolve("detector", str(folder))
    with pytest.raises(ModelError, match=r"model\.safetensors is corrupt"):
        models.verify_contents(folder)


@pytest.mark.parametrize("kind", models.TINY_FOLDERS)
def test_the_embedded_models_have_the_sums_of_all_their_files(kind: ModelKind) -> None:
    folder = models.find_folder(kind, "tiny")
    assert models.verify_contents(folder) == len(list(folder.iterdir())) - 1, (
        "the weights are new? `python -m stream_inspect.tiny.export` writes their sums"
    )


def test_the_model_hash_names_models_and_precision(whole: dict[ModelKind, Path]) -> None:
    def hash_of(**changes: object) -> str:
        inspect = config.InspectConfig(
            detector=config.DetectorConfig(model=str(whole["detector"])),
            segmenter=config.SegmenterConfig(model=str(whole["segmenter"])),
        )
        return build_inspector(inspect.model_copy(update=changes), config.WorkerConfig()).model_hash

    detector = config.DetectorConfig(model=str(whole["detector"]), precision="bfloat16")
    assert hash_of() == hash_of(fuse_overlap=0.9)
    assert len({hash_of(), hash_of(detector=detector), hash_of(segmenter=None)}) == 3


def test_a_device_that_is_not_there_says_so(whole: dict[ModelKind, Path]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this computer has a CUDA device")
    inspect = config.InspectConfig(detector=config.DetectorConfig(model=str(whole["detector"])), segmenter=None)
    with pytest.raises(ModelError, match="finds no CUDA device"):
        build_inspector(inspect, config.WorkerConfig(device="cuda"))
