"""Prompts longer than the detector reads are refused before a model is loaded, by the detector's own count."""

from __future__ import annotations

import random
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from stream_inspect.config.models import DefectConfig, DetectorConfig, PromptParts
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.prompt_length import _counter, refuse_long_prompts
from stream_inspect.inspect.prompts import PromptsError
from stream_inspect.inspect.transformers_model import load_tokenizer

TINY = Path(str(files("stream_inspect"))) / "tiny" / "owlv2"
LONG = "a long thin bright line on the top of the grey metal box next to a small hole"
TEXTS = [
    LONG,
    "Kratzer, 3 mm tief",
    "划痕 на 金属",
    "a\u00adb  c",
    "😀 scratch's edge",
    "x" * 100,
    "1234567890",
    "<|endoftext|>",
]


@pytest.fixture(params=["tiny", "tokenizer.json", "vocab.json and merges.txt"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, sample_data: Path) -> Path:
    """The embedded model, and the files of the full-size one's tokenizer in both forms."""
    if request.param == "tiny":
        return TINY
    names = ["tokenizer_config.json", *(["tokenizer.json"] if request.param[-4:] == "json" else [])]
    if request.param.startswith("vocab"):
        names = ["tokenizer_config.json", "vocab.json", "merges.txt"]
    for name in names:
        shutil.copy(sample_data / "owlv2-processor" / name, tmp_path)
    return tmp_path


def test_tokens_are_counted_as_the_detectors_tokenizer_counts_them(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    rng = random.Random(1)
    letters = "abcdefghij ABC 0123456789 ,.;'-ßüé中\t\u200b"
    texts = TEXTS + ["".join(rng.choice(letters) for _ in range(rng.randint(1, 100))) for _ in range(200)]
    count = _counter(folder)
    expected = [len(tokenizer([text], truncation=False)["input_ids"][0]) for text in texts]
    assert [count(text) for text in texts] == expected


def test_every_prompt_that_is_too_long_is_named_with_its_defect() -> None:
    hole = DefectConfig(name="hole", prompts=["a hole"], counter_prompts=[LONG])
    crack = DefectConfig(name="crack", prompts=["x" * 90, "a fine crack in metal"])
    with pytest.raises(PromptsError) as caught:
        refuse_long_prompts(DetectorConfig(model="tiny"), [hole, crack])
    long, letters = str(caught.value).split("; ")
    assert long == f"the prompt '{LONG}' of defect hole has 25 tokens, this detector reads 16: shorten it"
    assert letters.startswith(f"the prompt '{'x' * 90}' of defect crack has ")
    short = [DefectConfig(name="hole", prompts=["a hole in the metal"])]
    refuse_long_prompts(DetectorConfig(model="tiny"), short)
    with pytest.raises(PromptsError, match="has 25 tokens"):
        refuse_long_prompts(DetectorConfig(model="tiny"), short, [PromptParts(kind="prompt", prompts=[LONG])])


def test_of_another_packages_detector_nothing_is_assumed() -> None:
    refuse_long_prompts(DetectorConfig(kind="other", model="/nowhere"), [DefectConfig(name="hole", prompts=[LONG])])


def test_a_model_that_is_not_there_or_broken_is_an_error_of_the_model(tmp_path: Path) -> None:
    defects = [DefectConfig(name="hole", prompts=[LONG])]
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    for model in ("/nowhere", str(tmp_path)):
        with pytest.raises(ModelError, match=r"does not exist|cannot be read"):
            refuse_long_prompts(DetectorConfig(model=model), defects)
