"""Words and sentences that the text tower is trained on."""

from __future__ import annotations

import numpy as np

from stream_inspect.tiny.defaults import (
    ANY_DEFECT_PROMPTS,
    ANY_PART_PROMPTS,
    DEFECT_PROMPTS,
    MARKING_PROMPTS,
    PART_PROMPTS,
)

CONCEPTS: dict[str, tuple[str, ...]] = {**DEFECT_PROMPTS, **PART_PROMPTS, **MARKING_PROMPTS}
"""Everything the detector can find by name, in the order of its class numbers."""

CLASS_NAMES: tuple[str, ...] = tuple(CONCEPTS)
DEFECT_CLASSES: tuple[int, ...] = tuple(CLASS_NAMES.index(name) for name in DEFECT_PROMPTS)
PART_CLASSES: tuple[int, ...] = tuple(CLASS_NAMES.index(name) for name in PART_PROMPTS)

TEMPLATES: tuple[str, ...] = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of the {}",
    "a picture showing a {}",
    "find the {}",
    "{} on the surface",
    "an image with a {}",
    "a {} on a part",
)
"""Wordings used while the detector learns to see; `text.py` teaches many more."""

_FILLER_TEXT = """
a an the of on in at with this that there is are any every all some photo picture image view scene surface
find show detect locate inspect look see check mark search here visible small large big thin deep long dark
bright clear close up showing present please for and it product part object line belt camera metal plastic
area spot region kind type typical one single example no
"""
FILLERS = tuple(_FILLER_TEXT.split())
"""Words that change nothing: a prompt may hold any of them around the word that matters."""

_OFF_DOMAIN_TEXT = """
cat dog person bicycle elephant car bus train truck boat bird horse sheep cow bear zebra giraffe backpack
umbrella handbag tie suitcase frisbee skis kite baseball bat skateboard surfboard tennis racket wine glass cup
fork knife spoon bowl banana apple sandwich orange broccoli carrot pizza donut cake chair couch bed table
toilet television laptop mouse remote keyboard phone microwave oven toaster sink refrigerator book clock vase
scissors toothbrush guitar piano violin drum tree flower grass river mountain cloud sun moon star house door
window roof bridge road street child woman man hand face eye ear nose hair shoe shirt hat coat glove sock fish
shark whale snake frog spider ant bee butterfly egg milk cheese bread rice soup tea coffee beer pencil paper
envelope box bag rope ladder hammer saw drill nail screw bolt nut gear spring wheel tyre engine pipe valve
pump wire cable plug socket battery lamp candle mirror curtain carpet pillow blanket towel bubble wrinkle tear
burr weld seam fabric leather thread knot feather bone shell leaf root seed stone sand snow ice fire smoke
water oil honey sugar salt pepper lemon grape cherry tomato potato onion garlic
"""
OFF_DOMAIN = tuple(_OFF_DOMAIN_TEXT.split())
"""Words for things that the line never shows, absent kinds of defect included; all must stay silent."""


class TrainingPrompts:
    """The prompts of one training step, each with the classes it means."""

    def __init__(self, texts: list[str], meanings: list[frozenset[int]]) -> None:
        self.texts = texts
        self.meanings = meanings


def draw_prompts(rng: np.random.Generator) -> TrainingPrompts:
    """Two wordings of each concept, the general words, and words that must find nothing."""
    texts: list[str] = []
    meanings: list[frozenset[int]] = []
    for number, words in enumerate(CONCEPTS.values()):
        for word in rng.choice(words, 2):
            texts.append(_worded(str(word), rng))
            meanings.append(frozenset([number]))
    for words, classes in ((ANY_DEFECT_PROMPTS, DEFECT_CLASSES), (ANY_PART_PROMPTS, PART_CLASSES)):
        texts.append(_worded(str(rng.choice(words)), rng))
        meanings.append(frozenset(classes))
    for word in rng.choice(OFF_DOMAIN, 5, replace=False):
        texts.append(_worded(str(word), rng))
        meanings.append(frozenset())
    texts.append(junk(rng))
    meanings.append(frozenset())
    return TrainingPrompts(texts, meanings)


def junk(rng: np.random.Generator) -> str:
    """A word of random letters."""
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), int(rng.integers(4, 9)))
    return "".join(str(letter) for letter in letters)


def corpus() -> list[str]:
    """Sentences for the tokenizer: every word that prompts are expected to hold."""
    general = (*ANY_DEFECT_PROMPTS, *ANY_PART_PROMPTS)
    words = [word for row in CONCEPTS.values() for word in row] + list(general)
    sentences = [template.format(word) for word in words for template in TEMPLATES]
    return sentences + [*FILLERS, *OFF_DOMAIN] * 3


def _worded(word: str, rng: np.random.Generator) -> str:
    return str(rng.choice(TEMPLATES)).format(word)
