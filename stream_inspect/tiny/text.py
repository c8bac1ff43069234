"""Teaches the text tower more wordings, without pictures, in half a minute.

The detector learns with a few templates. Afterwards everything but the text tower is frozen, and the tower learns to
give any sentence around a known word the embedding that the word has in the templates. Words that mean nothing to the
line get the common embedding of such words, which nothing on the belt matches.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor
from transformers import CLIPTokenizer, Owlv2ForObjectDetection

from stream_inspect.tiny.defaults import ANY_DEFECT_PROMPTS, ANY_PART_PROMPTS, PART_PROMPTS
from stream_inspect.tiny.detector_model import encode_text
from stream_inspect.tiny.vocabulary import CONCEPTS, FILLERS, OFF_DOMAIN, TEMPLATES, junk

_WORDS: tuple[tuple[str, ...], ...] = (*CONCEPTS.values(), ANY_DEFECT_PROMPTS, ANY_PART_PROMPTS, OFF_DOMAIN)
"""Everything a sentence can mean, one row a meaning; the last row means nothing."""
_NOTHING = len(_WORDS) - 1
_ANY_PART = len(_WORDS) - 2
_BATCH = 96
_PART_WORDS = tuple(word for row in PART_PROMPTS.values() for word in row)


def teach_wordings(
    model: Owlv2ForObjectDetection, tokenizer: CLIPTokenizer, steps: int = 700, seed: int = 0
) -> Iterator[float]:
    """Train the text tower in place; yields the loss now and then."""
    teachers = _teachers(model, tokenizer)
    tower = [*model.owlv2.text_model.parameters(), *model.owlv2.text_projection.parameters()]
    optimiser = torch.optim.AdamW(tower, lr=1e-3, weight_decay=0.01)
    rng = np.random.default_rng([seed, 77])
    model.train()
    for step in range(1, steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        meanings = rng.integers(len(_WORDS), size=_BATCH)
        meanings[: _BATCH // 6] = _NOTHING
        texts = [sentence(int(meaning), rng) for meaning in meanings]
        embedded = functional.normalize(encode_text(model, tokenizer, texts), dim=-1)
        # Nearness to the right teacher, and farness from all others: the second is what keeps classes apart.
        likeness = embedded @ teachers.T
        target = torch.from_numpy(meanings)
        near = (1 - likeness[torch.arange(_BATCH), target]).mean()
        loss = 4 * near + functional.cross_entropy(likeness * 12, target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 100 == 0:
            yield near.item()
    model.train(False)


@torch.no_grad()
def _teachers(model: Owlv2ForObjectDetection, tokenizer: CLIPTokenizer) -> Tensor:
    """(meanings, d) unit mean embeddings over the templates the detector was trained with."""
    rows = []
    for words in _WORDS:
        texts = [template.format(word) for word in words for template in TEMPLATES]
        embedded = functional.normalize(encode_text(model, tokenizer, texts), dim=-1)
        rows.append(functional.normalize(embedded.mean(dim=0), dim=-1))
    return torch.stack(rows)


def sentence(meaning: int, rng: np.random.Generator) -> str:
    """A random sentence around a word of this meaning: fillers, punctuation, capitals, perhaps the part it lies on."""
    word = junk(rng) if meaning == _NOTHING and rng.random() < 0.25 else str(rng.choice(_WORDS[meaning]))
    if rng.random() < 0.3:
        text = str(rng.choice(TEMPLATES)).format(word)
    else:
        fillers = [filler for filler in FILLERS if meaning != _ANY_PART or filler != "object"]
        before = [str(w) for w in rng.choice(fillers, int(rng.integers(0, 6)))]
        after = [str(w) for w in rng.choice(fillers, int(rng.integers(0, 5)))]
        if rng.random() < 0.15 and meaning < len(CONCEPTS):
            after = ["on", "the", str(rng.choice(_PART_WORDS))]
        if rng.random() < 0.12:
            after.append(junk(rng))
        elif rng.random() < 0.12:
            before.append(junk(rng))
        text = " ".join([*before, word, *after])
    case = rng.random()
    text = text.upper() if case < 0.12 else text.capitalize() if case < 0.3 else text
    return text + str(rng.choice(["", "", "", ".", "!", "?", ", please"]))
