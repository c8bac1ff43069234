"""Whether the built-in detector reads every prompt whole, known from the model's files before a model is loaded.

`check`, `run`, `replay` and `prompts` ask here; the detector itself asks once more. No torch: the tokenizer alone is
read, in a twentieth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stream_inspect.config.models import DefectConfig, DetectorConfig, PromptParts
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.models import BUILT_IN, find_folder, read_json
from stream_inspect.inspect.prompts import PromptsError

if TYPE_CHECKING:  # the supervisor does without, unless a prompt is long
    from tokenizers import Tokenizer

_CLIP_TOKENS = 16
"""What the family reads where its config.json does not say."""
_BEGIN_AND_END = 2
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def refuse_long_prompts(
    detector: DetectorConfig, defects: Sequence[DefectConfig], parts: Sequence[PromptParts] = ()
) -> None:
    """Raises `PromptsError` that names every prompt the detector cannot read whole, `ModelError` without a model.

    Of a plug-in's prompts nothing is known here.
    """
    if detector.kind != BUILT_IN["detector"]:
        return
    folder = find_folder("detector", detector.model, detector.revision)
    limit = _limit(folder)
    texts = {text: "" for sought in parts for text in sought.prompts}
    texts |= {text: defect.name for defect in defects for text in (*defect.prompts, *defect.counter_prompts)}
    # A token is a byte at least: most short prompts need no tokenizer.
    doubtful = [text for text in texts if len(text.encode()) + _BEGIN_AND_END > limit]
    if not doubtful:
        return
    count = _counter(folder)
    found = [too_long(text, tokens, limit, texts[text]) for text in doubtful if (tokens := count(text)) > limit]
    if found:
        raise PromptsError("; ".join(found))


def too_long(prompt: str, tokens: int, limit: int, defect: str = "") -> str:
    """The same words wherever a prompt is refused for its length."""
    of = f" of defect {defect}" if defect else ""
    return f"the prompt {prompt!r}{of} has {tokens} tokens, this detector reads {limit}: shorten it"


def _limit(folder: Path) -> int:
    text = read_json(folder / "config.json", str(folder)).get("text_config")
    return int(text.get("max_position_embeddings", _CLIP_TOKENS)) if isinstance(text, dict) else _CLIP_TOKENS


def _counter(folder: Path) -> Callable[[str], int]:
    """Counts the tokens of a text, as the model's own tokenizer does."""
    from tokenizers import Tokenizer

    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return lambda text: len(tokenizer.encode(text).ids)
        plain = _clip_tokenizer(folder)
    except Exception as error:  # the library raises whatever its parsers raise; the file is at fault all the same
        raise ModelError(f"the tokenizer in {folder} cannot be read: {error}") from error
    return lambda text: len(plain.encode(text).ids) + _BEGIN_AND_END


def _clip_tokenizer(folder: Path) -> Tokenizer:
    """CLIP's tokenizer from the two files of an older repository, as transformers makes it; without begin and end."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.normalizers import NFC, Lowercase, Replace
    from tokenizers.normalizers import Sequence as Normalizers
    from tokenizers.pre_tokenizers import ByteLevel, Split
    from tokenizers.pre_tokenizers import Sequence as PreTokenizers

    words = BPE.from_file(
        str(folder / "vocab.json"), str(folder / "merges.txt"), unk_token="<|endoftext|>", end_of_word_suffix="</w>"
    )
    tokenizer = Tokenizer(words)
    tokenizer.normalizer = Normalizers([NFC(), Replace(Regex(r"\s+"), " "), Lowercase()])
    split = Split(Regex(_CLIP_WORDS), "removed", invert=True)
    tokenizer.pre_tokenizer = PreTokenizers([split, ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    return tokenizer
