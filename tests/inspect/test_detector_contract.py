"""What every registered detector must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stream_inspect import registry
from stream_inspect.inspect.detect.detector import Detector, ModelError
from stream_inspect.inspect.prompts import PromptsError
from tests.inspect.random_models import spoil, write_small_owlv2
from tests.inspect.reference import picture_of

WRITE_MODEL: dict[str, Callable[[Path], Path]] = {"owlv2": write_small_owlv2}
"""How to make a small model for each registered detector. A new detector is added here."""

QUERIES = ["rust", "a screw hole"]


@pytest.fixture(scope="module", params=registry.names("detector"))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    assert request.param in WRITE_MODEL, f"add the detector {request.param!r} to WRITE_MODEL"
    return request.param, WRITE_MODEL[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def detector(made: tuple[str, Path]) -> Iterator[Detector]:
    name, folder = made
    detector = registry.load("detector", name)(folder, "cpu", "float32")
    detector.open()
    yield detector
    detector.close()


def test_one_result_a_picture_of_whatever_size_in_order(detector: Detector) -> None:
    pictures = [picture_of(320, 180), picture_of(90, 200, seed=1), picture_of(64, 64, seed=2)]
    prompts = detector.encode_prompts(QUERIES)
    together = detector.detect(pictures, prompts)
    assert len(together) == 3
    for picture, found in zip(pictures, together, strict=True):
        count = len(found.boxes_xyxy_px)
        assert found.boxes_xyxy_px.shape == (count, 4)
        assert found.scores.shape == (count, len(QUERIES))
        assert found.boxes_xyxy_px.dtype == found.scores.dtype == np.float32
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        (alone,) = detector.detect([picture], prompts)
        np.testing.assert_allclose(found.scores, alone.scores, atol=5e-5)
        np.testing.assert_allclose(found.boxes_xyxy_px, alone.boxes_xyxy_px, atol=5e-3)


def test_the_same_picture_gives_the_same_bits(detector: Detector) -> None:
    picture, prompts = picture_of(320, 180), detector.encode_prompts(QUERIES)
    (first,), (second,) = detector.detect([picture], prompts), detector.detect([picture], prompts)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.boxes_xyxy_px, second.boxes_xyxy_px)


def test_columns_are_the_queries(detector: Detector) -> None:
    picture = picture_of(320, 180)
    (forth,) = detector.detect([picture], detector.encode_prompts(QUERIES))
    (back,) = detector.detect([picture], detector.encode_prompts(QUERIES[::-1]))
    np.testing.assert_allclose(forth.scores, back.scores[:, ::-1], atol=1e-5)
    assert np.abs(forth.scores[:, 0] - forth.scores[:, 1]).max() > 1e-3


def test_pictures_are_left_as_they_were(detector: Detector) -> None:
    picture = picture_of(320, 180)
    before = picture.copy()
    detector.detect([picture], detector.encode_prompts(QUERIES))
    np.testing.assert_array_equal(picture, before)


def test_a_part_of_a_larger_array_is_a_picture_too(detector: Detector) -> None:
    picture, prompts = picture_of(320, 180), detector.encode_prompts(QUERIES)
    part = picture[20:100, 40:200]
    (of_view,), (of_copy,) = detector.detect([part], prompts), detector.detect([part.copy()], prompts)
    np.testing.assert_array_equal(of_view.scores, of_copy.scores)


def test_no_pictures_no_results(detector: Detector) -> None:
    assert detector.detect([], detector.encode_prompts(QUERIES)) == []


def test_a_text_it_cannot_read_whole_is_refused_by_name(detector: Detector) -> None:
    endless = "a very " + "long " * 200 + "scratch"
    with pytest.raises(PromptsError, match="a very long"):
        detector.encode_prompts(["rust", endless])


def test_a_batch_pays_off_up_to_a_known_size(detector: Detector) -> None:
    assert detector.useful_batch >= 1


def test_its_patches_are_measured_in_pixels_of_the_picture(detector: Detector) -> None:
    assert detector.patch_px(320, 180) == detector.patch_px(180, 320) == 2 * detector.patch_px(160, 90)
    assert 0 < detector.patch_px(320, 180) < 320


def test_it_can_be_closed_twice_and_opened_again(detector: Detector) -> None:
    picture = picture_of(64, 64)
    (before,) = detector.detect([picture], detector.encode_prompts(QUERIES))
    detector.close()
    detector.close()
    detector.open()
    (after,) = detector.detect([picture], detector.encode_prompts(QUERIES))
    np.testing.assert_array_equal(before.scores, after.scores)


def test_a_model_that_is_not_there_is_a_model_error(made: tuple[str, Path], tmp_path: Path) -> None:
    detector = registry.load("detector", made[0])(tmp_path / "absent", "cpu", "float32")
    with pytest.raises(ModelError):
        detector.open()


@pytest.mark.parametrize("weight", ["box_head.dense2.bias", "class_head.dense0.bias"])
def test_owlv2_whose_numbers_are_none_is_a_failed_model(tmp_path: Path, weight: str) -> None:
    """No box would reach a threshold, or lie in the picture: the line would pass everything, and nobody would know."""
    detector = registry.load("detector", "owlv2")(spoil(write_small_owlv2(tmp_path), weight), "cpu", "float32")
    detector.open()
    with pytest.raises(ModelError, match="not finite"):
        detector.detect([picture_of(64, 64)], detector.encode_prompts(QUERIES))


def test_any_number_of_prompts_is_encoded_each_as_by_itself(detector: Detector) -> None:
    picture = picture_of(64, 64)
    many = [f"rust {number}" for number in range(600)]
    (together,) = detector.detect([picture], detector.encode_prompts(many))
    (alone,) = detector.detect([picture], detector.encode_prompts(many[599:]))
    np.testing.assert_allclose(together.scores[:, 599:], alone.scores, atol=1e-5)
