"""What the training writes is a folder as it is shipped."""

from __future__ import annotations

from pathlib import Path

from transformers import SamModel

from stream_inspect.inspect.models import find_folder, resolve, verify_contents
from stream_inspect.tiny.export import export_segmenter


def test_an_exported_model_is_whole_and_has_the_sums_of_all_its_files(tmp_path: Path) -> None:
    embedded = find_folder("segmenter", "tiny")
    export_segmenter(SamModel.from_pretrained(embedded), tmp_path)
    written = tmp_path / "sam"
    assert resolve("segmenter", str(written)).config["stream_inspect"]["wants_crops"]
    assert {path.name for path in written.iterdir()} == {path.name for path in embedded.iterdir()}
    assert verify_contents(written) == len(list(written.iterdir())) - 1
    assert (written / "model.safetensors").read_bytes() == (embedded / "model.safetensors").read_bytes()
