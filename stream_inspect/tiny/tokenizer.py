"""A small tokenizer of the CLIP family, trained on the prompts' own words."""

from __future__ import annotations

import json

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

MAX_TOKENS = 16
PAD, BEGIN, END = "<|pad|>", "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"
_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_VOCABULARY_SIZE = 1600


def build_tokenizer(sentences: list[str]) -> CLIPTokenizer:
    """Learn byte pairs from the sentences.

    The order of ids carries meaning in OWLv2: padding is 0 (a query that starts with it is masked), and the end token
    has the highest id (the text's embedding is read where the id is largest).
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _learn_merges(sentences, alphabet)
    tokens = [PAD, *alphabet, *(letter + _END_OF_WORD for letter in alphabet)]
    tokens += ["".join(pair) for pair in merges]
    tokens = [*dict.fromkeys(tokens), BEGIN, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # pairs, so that a blank in a token does no harm
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        unk_token=END,
        model_max_length=MAX_TOKENS,
    )


def _learn_merges(sentences: list[str], alphabet: list[str]) -> list[tuple[str, str]]:
    learner = Tokenizer(BPE(end_of_word_suffix=_END_OF_WORD))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True)
    learner.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = BpeTrainer(
        vocab_size=_VOCABULARY_SIZE,
        initial_alphabet=alphabet,
        end_of_word_suffix=_END_OF_WORD,
        min_frequency=2,
        show_progress=False,
    )
    learner.train_from_iterator(sentences, trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    return [(str(left), str(right)) for left, right in learned]
