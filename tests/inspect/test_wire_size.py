"""Results stay small enough to be sent, with masks as bad as they can be."""

from __future__ import annotations

import functools

import numpy as np

from stream_inspect.inspect import masks
from stream_inspect.inspect.wire_size import SHAPES_MAX_BYTES, within_limit
from stream_inspect.messages import MAX_MESSAGE_BYTES, Detection, Inspection, encode
from tests.inspect.frames import header

WIDTH_PX, HEIGHT_PX = 1920, 1080


def detection(mask: np.ndarray) -> Detection:
    placed = masks.crop_to_content(mask)
    assert placed is not None
    return Detection(
        defect="noise",
        score=0.5,
        box_xyxy_px=placed.box_xyxy_px,
        mask_rle=masks.to_rle(placed, WIDTH_PX, HEIGHT_PX),
        outline_px=masks.outline(placed),
        extent=masks.extent_of_mask(placed, None),
    )


@functools.cache
def speckled() -> Detection:
    return detection(np.random.default_rng(1).random((HEIGHT_PX, WIDTH_PX)) < 0.5)


def noise(count: int) -> list[Detection]:
    """Detections with masks of a 1080p picture whose every other pixel or so is set."""
    return [speckled()] * count


def spot(side_px: int) -> Detection:
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    mask[100 : 100 + side_px, 200 : 200 + side_px] = True
    return detection(mask)


def size(detections: list[Detection]) -> int:
    inspection = Inspection(
        frame=header("a"), detections=detections, model_hash="m" * 64, prompts_hash="p" * 64, judged_mono_ns=0
    )
    return len(encode(inspection))


def test_masks_of_noise_would_be_too_large_and_are_left_out() -> None:
    assert size(noise(10)) > MAX_MESSAGE_BYTES
    fitting = within_limit(noise(1000))
    assert len(fitting) == 1000
    assert size(fitting) < MAX_MESSAGE_BYTES // 2
    assert all(found.extent == speckled().extent and found.box_xyxy_px == speckled().box_xyxy_px for found in fitting)
    assert sum(bool(found.outline_px) for found in fitting) >= 8


def test_what_fits_is_left_as_it_is() -> None:
    found = [spot(40), spot(20), spot(60)]
    assert within_limit(found) == found
    assert within_limit([]) == []


def test_the_smallest_go_first_and_the_order_stays() -> None:
    small, large = spot(5), spot(500)
    (polygon,) = large.outline_px
    count = SHAPES_MAX_BYTES // (3 + 19 * len(polygon))
    fitting = within_limit([small, *[large] * count])
    assert (fitting[0].mask_rle, fitting[0].outline_px) == (None, [])
    assert [found.outline_px for found in fitting[1:]] == [large.outline_px] * count
    assert fitting[0].extent == small.extent


def test_a_real_defect_keeps_its_mask_beside_noise() -> None:
    *_, real = within_limit([*noise(3), spot(40)])
    assert real == spot(40)
