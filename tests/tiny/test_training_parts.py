"""The pieces of the training recipe: tokenizer, prompts, windows, targets, losses, crops, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from stream_inspect.sim import STANDARD
from stream_inspect.tiny.crops import SpecimenBank, cut_crop
from stream_inspect.tiny.detector_loss import Targets, assign, detector_loss
from stream_inspect.tiny.detector_model import build_detector, detect, encode_text, normalise
from stream_inspect.tiny.detector_training import DetectorTraining, Phase, token_places
from stream_inspect.tiny.geometry import CROP_PX, GRID, PATCH_PX
from stream_inspect.tiny.segmenter_training import segmenter_loss
from stream_inspect.tiny.strips import Strip, draw_strip
from stream_inspect.tiny.text import sentence
from stream_inspect.tiny.tokenizer import MAX_TOKENS, build_tokenizer
from stream_inspect.tiny.vocabulary import (
    CLASS_NAMES,
    CONCEPTS,
    DEFECT_CLASSES,
    OFF_DOMAIN,
    TrainingPrompts,
    corpus,
    draw_prompts,
)
from stream_inspect.tiny.windows import MILD, WIDE, Window, WindowCutter, WindowObject


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return build_tokenizer(corpus())


@pytest.fixture(scope="module")
def strips() -> list[Strip]:
    return [draw_strip(seed, STANDARD) for seed in range(4)]


def empty_window(*objects: WindowObject, tokens: int = 8) -> Window:
    side = tokens * PATCH_PX
    pixels, cells = np.zeros((side, side, 3), np.uint8), np.zeros((tokens * 4, tokens * 4), np.uint8)
    return Window(pixels, 0, 0, objects, cells)


def test_the_tokenizer_keeps_the_order_of_ids_that_owlv2_reads(tokenizer: CLIPTokenizer) -> None:
    ids = tokenizer("a photo of a Scratch", padding="max_length", max_length=MAX_TOKENS)["input_ids"]
    assert tokenizer.pad_token_id == 0
    assert ids[0] == tokenizer.bos_token_id > 0
    assert max(ids) == tokenizer.eos_token_id == len(tokenizer) - 1
    assert ids[ids.index(tokenizer.eos_token_id) + 1 :] == [0] * (MAX_TOKENS - 7)


def test_known_words_are_one_token_and_unknown_ones_are_still_read(tokenizer: CLIPTokenizer) -> None:
    for words in CONCEPTS.values():
        for word in words:
            assert len(tokenizer.tokenize(word)) == len(word.split())
    strange = tokenizer("Übergrößenträger 漢字", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in strange


def test_a_step_asks_for_every_concept_and_for_things_that_are_not_there() -> None:
    prompts = draw_prompts(np.random.default_rng(0))
    asked = {number for meaning in prompts.meanings if len(meaning) == 1 for number in meaning}
    assert asked == set(range(len(CLASS_NAMES)))
    assert frozenset(DEFECT_CLASSES) in prompts.meanings
    assert sum(not meaning for meaning in prompts.meanings) >= 5


def test_no_word_means_two_things() -> None:
    words = [word for row in CONCEPTS.values() for word in row]
    assert len(words) == len(set(words))
    assert not {part for word in words for part in word.split()} & set(OFF_DOMAIN)


def test_sentences_keep_the_word_that_matters() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        text = sentence(0, rng).lower()
        assert any(word in text for word in CONCEPTS["scratch"])


@pytest.mark.parametrize("tokens", [8, 16])
def test_windows_show_what_their_truth_says(strips: list[Strip], tokens: int) -> None:
    cutter, rng = WindowCutter(STANDARD, WIDE, 0), np.random.default_rng(tokens)
    seen = 0
    for n in range(40):
        window = cutter.cut(strips[n % 4], rng, tokens)
        left, top = window.token_x * PATCH_PX, window.token_y * PATCH_PX
        assert 0 <= window.token_x <= GRID - tokens
        assert 0 <= window.token_y <= GRID - tokens
        for item in window.objects:
            x0, y0, x1, y1 = item.box_xyxy_px
            assert left - 1e-6 <= x0 < x1 <= left + tokens * PATCH_PX + 1e-6
            assert top - 1e-6 <= y0 < y1 <= top + tokens * PATCH_PX + 1e-6
            if item.class_number in DEFECT_CLASSES and item.visible_fraction == 1.0:
                rows = slice(int((y0 - top) // 4), int((y1 - top) // 4) + 1)
                columns = slice(int((x0 - left) // 4), int((x1 - left) // 4) + 1)
                seen += item.class_number + 1 in window.cells[rows, columns]
    assert seen >= 10


def test_below_the_picture_there_is_black(strips: list[Strip]) -> None:
    cutter, rng = WindowCutter(STANDARD, MILD, 0), np.random.default_rng(5)
    plain = [cutter.cut(strips[0], rng, GRID).bgr for _ in range(20)]
    assert sum(not picture[160:].any() for picture in plain) >= 15


def test_one_token_an_object_and_its_neighbours_are_ignored() -> None:
    defect = WindowObject(0, (20.0, 20.0, 44.0, 44.0), 1.0)
    targets = assign([empty_window(defect)], 8)
    assert (targets.positive[0] >= 0).sum() == 1
    token = int(targets.positive[0].argmax())
    assert token in {9, 10, 17, 18}, "the middle (32, 32) touches four tokens"
    assert targets.boxes[0, token].tolist() == pytest.approx([32 / 256, 32 / 256, 24 / 256, 24 / 256])
    assert targets.ignored[0, :, 0].sum() == 4
    assert not targets.ignored[0, :, 1:].any()


def test_a_part_gives_way_to_a_defect_at_its_middle() -> None:
    part = WindowObject(CLASS_NAMES.index("washer"), (0.0, 0.0, 80.0, 80.0), 1.0)
    defect = WindowObject(0, (30.0, 30.0, 50.0, 50.0), 1.0)
    targets = assign([empty_window(part, defect)], 8)
    assert sorted(targets.positive[0][targets.positive[0] >= 0].tolist()) == [0, CLASS_NAMES.index("washer")]


def test_what_is_half_hidden_is_ignored_and_a_sliver_is_nothing() -> None:
    half = assign([empty_window(WindowObject(2, (0.0, 0.0, 20.0, 20.0), 0.3))], 8)
    assert (half.positive < 0).all()
    assert half.ignored[0, 0, 2]
    sliver = assign([empty_window(WindowObject(2, (0.0, 0.0, 20.0, 20.0), 0.02))], 8)
    assert not sliver.ignored.any()


def test_the_loss_is_small_for_the_right_answer_and_large_for_a_wrong_one() -> None:
    class Answer:
        def __init__(self, targets: Targets, right: bool) -> None:
            boxes = targets.boxes.clamp(1e-4, 1 - 1e-4)
            self.box_bias = torch.zeros_like(boxes)
            self.box_raw = torch.logit(boxes if right else (boxes + 0.2).clamp(max=0.9))
            self.boxes = torch.sigmoid(self.box_raw)
            wanted = (targets.positive >= 0).float()
            self.objectness = (wanted * 2 - 1) * (9 if right else -9)
            self.logits = self.objectness[..., None].repeat(1, 1, 2) - torch.tensor([0.0, 18.0 if right else 0.0])

    targets = assign([empty_window(WindowObject(0, (20.0, 20.0, 44.0, 44.0), 1.0))], 8)
    prompts = TrainingPrompts(["scratch", "cat"], [frozenset([0]), frozenset()])
    cells = torch.zeros(1, 64, 16, len(CLASS_NAMES) + 1)
    good = detector_loss(Answer(targets, True), cells, targets, prompts)  # type: ignore[arg-type]
    bad = detector_loss(Answer(targets, False), cells, targets, prompts)  # type: ignore[arg-type]
    for name in ("class", "object", "l1", "giou", "raw"):
        assert good[name] < 0.05 < bad[name], name


def test_a_window_is_seen_as_the_same_place_of_the_whole_picture(tokenizer: CLIPTokenizer) -> None:
    patches = np.random.default_rng(0).standard_normal((400, 768)).astype(np.float32)
    model = build_detector(len(tokenizer), patches, seed=0).eval()
    pixels = normalise(torch.randint(0, 255, (1, 256, 256, 3), dtype=torch.uint8))
    places = torch.arange(GRID * GRID)[None]
    with torch.no_grad():
        text = encode_text(model, tokenizer, ["scratch", "a photo of a hole"])
        ours = detect(model, pixels, places, text)
        tokens = tokenizer(["scratch", "a photo of a hole"], padding="max_length", max_length=16, return_tensors="pt")
        theirs = model(pixel_values=pixels, **tokens)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.boxes, theirs.pred_boxes, atol=1e-4, rtol=1e-4)
    window = token_places([Window(np.zeros((128, 128, 3), np.uint8), 3, 5, (), np.zeros((32, 32), np.uint8))], 8)
    assert window[0, 0] == 5 * GRID + 3
    assert window[0, -1] == 12 * GRID + 10


def test_a_fresh_detector_starts_quiet(tokenizer: CLIPTokenizer) -> None:
    patches = np.random.default_rng(0).standard_normal((400, 768)).astype(np.float32)
    model = build_detector(len(tokenizer), patches, seed=0).eval()
    with torch.no_grad():
        text = encode_text(model, tokenizer, ["scratch"])
        outputs = detect(model, torch.randn(1, 3, 256, 256), torch.arange(256)[None], text)
    assert torch.sigmoid(outputs.logits).max() < 0.6
    assert outputs.box_raw.abs().mean() < 1.0


def test_crops_hold_their_object_and_its_mask() -> None:
    bank = SpecimenBank(STANDARD, 100)
    bank.grow(2)
    rng = np.random.default_rng(0)
    for specimen in bank.specimens:
        crop = cut_crop(specimen, rng, (1.4, 2.2), 0.05)
        assert crop.bgr.shape == (CROP_PX, CROP_PX, 3)
        inside = np.zeros((CROP_PX, CROP_PX), bool)
        x0, y0, x1, y1 = (round(v) for v in crop.box)
        inside[max(0, y0 - 14) : y1 + 14, max(0, x0 - 14) : x1 + 14] = True
        assert (crop.mask > 0.5)[inside].sum() > 0.8 * (crop.mask > 0.5).sum() > 0
        assert not crop.bgr[crop.size[1] :].any()
        assert not crop.bgr[:, crop.size[0] :].any()


def test_the_segmenters_loss_takes_the_best_of_several_masks() -> None:
    truth = torch.zeros(1, 16, 16)
    truth[:, 4:12, 4:12] = 1
    right, wrong = (truth * 2 - 1) * 8, -(truth * 2 - 1) * 8
    sure = segmenter_loss(torch.stack([right, wrong], 1), torch.tensor([[1.0, 0.0]]), truth)
    lost = segmenter_loss(wrong[:, None], torch.tensor([[0.0]]), truth)
    assert sure < 0.1 < lost


def test_training_goes_on_from_its_checkpoint(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    def ticking() -> Iterator[float]:
        yield from (5.0 * n for n in count())

    patches = np.random.default_rng(0).standard_normal((400, 768)).astype(np.float32)
    phase = Phase("test", minutes=0.3, photometry=MILD, window_batch=2, full_batch=1)

    def fresh() -> DetectorTraining:
        training = DetectorTraining(phase, build_detector(len(tokenizer), patches, 0), tokenizer, tmp_path)
        training.pool.strips = [draw_strip(0, STANDARD)]
        training.pool.grow = lambda count=1: None  # type: ignore[method-assign]
        return training

    first = fresh()
    clock = ticking()
    list(first.run(clock=lambda: next(clock)))
    assert first.progress.steps == 4, "each step takes 5 s by this clock, the phase 18 s"
    second = fresh()
    assert second.resume()
    assert second.progress == first.progress
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    assert second.done >= 1.0
    assert list(second.run()) == []
