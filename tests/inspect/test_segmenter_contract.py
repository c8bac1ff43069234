"""What every registered segmenter must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stream_inspect import registry
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.segment.segmenter import CropPreference, Segmenter
from tests.inspect.random_models import spoil, write_small_sam
from tests.inspect.reference import picture_of

WRITE_MODEL: dict[str, Callable[[Path], Path]] = {"sam": write_small_sam}
"""How to make a small model for each registered segmenter. A new segmenter is added here."""

BOXES = np.array([(20, 30, 120, 100), (0, 0, 320, 180), (200, 100, 260, 170)], dtype=np.float32)


@pytest.fixture(scope="module", params=registry.names("segmenter"))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    assert request.param in WRITE_MODEL, f"add the segmenter {request.param!r} to WRITE_MODEL"
    return request.param, WRITE_MODEL[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def segmenter(made: tuple[str, Path]) -> Iterator[Segmenter]:
    name, folder = made
    segmenter = registry.load("segmenter", name)(folder, "cpu", "float32")
    segmenter.open()
    yield segmenter
    segmenter.close()


def test_a_mask_of_the_pictures_size_for_each_box(segmenter: Segmenter) -> None:
    masks, quality = segmenter.segment(segmenter.embed(picture_of(320, 180)), BOXES)
    assert [mask.shape for mask in masks] == [(180, 320)] * 3
    assert all(mask.dtype == np.bool_ for mask in masks)
    assert quality.shape == (3,)


def test_one_embedding_serves_boxes_asked_together_or_one_by_one(segmenter: Segmenter) -> None:
    embedding = segmenter.embed(picture_of(320, 180))
    together, _ = segmenter.segment(embedding, BOXES)
    for index in range(len(BOXES)):
        (alone,), _ = segmenter.segment(embedding, BOXES[index : index + 1])
        assert (alone != together[index]).mean() < 1e-3


def test_many_boxes(segmenter: Segmenter) -> None:
    masks, quality = segmenter.segment(segmenter.embed(picture_of(320, 180)), np.tile(BOXES, (14, 1)))
    assert len(masks) == len(quality) == 42
    np.testing.assert_array_equal(masks[0], masks[39])


def test_no_boxes_no_masks(segmenter: Segmenter) -> None:
    masks, quality = segmenter.segment(segmenter.embed(picture_of(320, 180)), BOXES[:0])
    assert masks == []
    assert quality.shape == (0,)


def test_the_same_box_gives_the_same_mask(segmenter: Segmenter) -> None:
    picture = picture_of(320, 180)
    first, _ = segmenter.segment(segmenter.embed(picture), BOXES)
    second, _ = segmenter.segment(segmenter.embed(picture), BOXES)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 1), (24, 24)])
def test_pictures_of_odd_shapes(segmenter: Segmenter, size: tuple[int, int]) -> None:
    boxes = np.array([(0, 0, *size)], dtype=np.float32)
    (mask,), _ = segmenter.segment(segmenter.embed(picture_of(*size)), boxes)
    assert mask.shape == size[::-1]


def test_an_embedding_of_another_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(TypeError, match="another segmenter"):
        segmenter.segment("no embedding", BOXES)


def test_a_model_that_is_not_there_is_a_model_error(made: tuple[str, Path], tmp_path: Path) -> None:
    segmenter = registry.load("segmenter", made[0])(tmp_path / "absent", "cpu", "float32")
    with pytest.raises(ModelError):
        segmenter.open()


@pytest.mark.parametrize("weight", ["vision_encoder.pos_embed", "mask_decoder.upscale_conv2.bias"])
def test_sam_whose_numbers_are_none_is_a_failed_model(weight: str, tmp_path: Path) -> None:
    """Its masks would be empty, and the hits would be reported as boxes as if the segmenter had found nothing."""
    folder = spoil(write_small_sam(tmp_path), weight)
    segmenter = registry.load("segmenter", "sam")(folder, "cpu", "float32")
    segmenter.open()
    with pytest.raises(ModelError, match="not finite"):
        segmenter.segment(segmenter.embed(picture_of(320, 180)), BOXES)


def test_sam_says_from_its_config_that_it_wants_crops(tmp_path: Path) -> None:
    folder = write_small_sam(tmp_path, ours={"wants_crops": True, "crop_context": 1.5, "crop_min_side_px": 32})
    segmenter = registry.load("segmenter", "sam")(folder, "cpu", "float32")
    segmenter.open()
    assert segmenter.crops == CropPreference(context=1.5, min_side_px=32)


def test_sam_wants_whole_pictures_unless_told(made: tuple[str, Path], segmenter: Segmenter) -> None:
    assert segmenter.crops is None
