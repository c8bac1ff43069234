"""What is reported of a mask."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from stream_inspect.belt.geometry import BeltView
from stream_inspect.config.models import BeltConfig
from stream_inspect.inspect import masks


def _placed(picture_mask: np.ndarray) -> masks.CroppedMask:
    placed = masks.crop_to_content(picture_mask)
    assert placed is not None
    return placed


def test_the_box_is_tight_with_right_and_bottom_exclusive() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:13, 20] = True
    mask[30, 41] = True
    assert _placed(mask).box_xyxy_px == (20, 10, 42, 31)
    assert _placed(mask).area_px == 4


def test_a_mask_of_a_crop_lies_where_the_crop_lay() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:4, 3:6] = True
    placed = masks.crop_to_content(mask, left_px=100, top_px=50)
    assert placed is not None
    assert placed.box_xyxy_px == (103, 52, 106, 54)


def test_an_empty_mask_is_none() -> None:
    assert masks.crop_to_content(np.zeros((5, 5), dtype=bool)) is None


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**31))
def test_rle_is_what_pycocotools_makes_of_the_whole_picture(
    width: int, height: int, left: int, top: int, seed: int
) -> None:
    picture = np.zeros((14, 14), dtype=bool)
    picture[top : top + height, left : left + width] = np.random.default_rng(seed).random((height, width)) < 0.6
    placed = masks.crop_to_content(picture)
    if placed is None:
        return
    rle = masks.to_rle(placed, 14, 14)
    whole = coco_mask.encode(np.asfortranarray(picture.astype(np.uint8)))
    assert rle.counts == whole["counts"].decode()
    assert rle.size == (14, 14)
    np.testing.assert_array_equal(masks.from_rle(rle), picture)


def test_rle_of_a_mask_that_fills_the_picture() -> None:
    full = np.ones((4, 6), dtype=bool)
    rle = masks.to_rle(_placed(full), 6, 4)
    np.testing.assert_array_equal(masks.from_rle(rle), full)


def test_specks_away_from_the_hit_are_left_out() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[20:30, 20:30] = True
    mask[26:40, 29:31] = True  # joined to the first
    mask[50:52, 50:52] = True  # a speck
    kept = masks.keep_touching(_placed(mask), np.array((22.0, 22, 28, 28)))
    assert kept is not None
    assert kept.box_xyxy_px == (20, 20, 31, 40)


def test_a_mask_wholly_beside_the_hit_is_none() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[50:52, 50:52] = True
    assert masks.keep_touching(_placed(mask), np.array((2.0, 2, 8, 8))) is None


def test_extent_of_an_upright_rectangle_is_exact() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[10:14, 20:50] = True
    extent = masks.extent_of_mask(_placed(mask), 0.5)
    assert (extent.area_px, extent.length_px, extent.width_px) == (120, 30, 4)
    assert (extent.area_mm2, extent.length_mm, extent.width_mm) == (30, 15, 2)


def test_extent_of_a_turned_scratch_is_measured_along_it() -> None:
    yy, xx = np.mgrid[:200, :200] - 100.0
    along, across = 0.8 * xx + 0.6 * yy, 0.8 * yy - 0.6 * xx
    extent = masks.extent_of_mask(_placed((np.abs(along) <= 75) & (np.abs(across) <= 2.5)), None)
    assert extent.length_px == pytest.approx(150, abs=1.1)
    assert extent.width_px == pytest.approx(5, abs=1.1)
    assert extent.area_mm2 is None


def test_the_outline_encloses_the_mask() -> None:
    yy, xx = np.mgrid[:100, :120]
    disc = (xx - 70) ** 2 + (yy - 40) ** 2 < 25**2
    (outline,) = masks.outline(_placed(disc))
    assert 6 <= len(outline) <= 60
    painted = np.zeros(disc.shape, dtype=np.uint8)
    cv2.fillPoly(painted, [np.array([(x - 0.5, y - 0.5) for x, y in outline]).round().astype(int)], 1)
    assert (painted.astype(bool) & disc).sum() / (painted.astype(bool) | disc).sum() > 0.95


@given(st.integers(0, 2**31))
def test_shared_pixels_and_union_are_those_of_the_whole_pictures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(2):
        picture = np.zeros((12, 15), dtype=bool)
        top, left = rng.integers(0, 8), rng.integers(0, 10)
        picture[top : top + 5, left : left + 6] = rng.random((min(5, 12 - top), min(6, 15 - left))) < 0.7
        pictures.append(picture)
    one, other = (masks.crop_to_content(picture) for picture in pictures)
    if one is None or other is None:
        return
    assert masks.shared_px(one, other) == masks.shared_px(other, one) == (pictures[0] & pictures[1]).sum()
    either = masks.union(one, other)
    np.testing.assert_array_equal(masks.from_rle(masks.to_rle(either, 15, 12)), pictures[0] | pictures[1])
    assert either.box_xyxy_px == _placed(pictures[0] | pictures[1]).box_xyxy_px


def test_an_outline_is_bounded_however_ragged_the_mask() -> None:
    rng = np.random.default_rng(3)
    specks = rng.random((1080, 1920)) < 0.5
    angles = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    radii = np.where(np.arange(4000) % 2, 500, 250)
    star = np.stack((960 + radii * np.cos(angles), 540 + radii * np.sin(angles)), axis=1).round().astype(np.int32)
    ragged = cv2.fillPoly(np.zeros((1080, 1920), dtype=np.uint8), [star], 1).astype(bool)
    for mask in (specks, ragged, specks & ragged):
        polygons = masks.outline(_placed(mask))
        assert 1 <= len(polygons) <= masks.OUTLINE_MAX_POLYGONS
        assert all(len(polygon) <= masks.OUTLINE_MAX_POINTS for polygon in polygons)


def slanted() -> BeltView:
    """A belt 400 mm long in the picture, which is a fifth of its width away from the camera at the top."""
    corners = [(100.0, 440.0), (160.0, 60.0), (480.0, 60.0), (540.0, 440.0)]
    return BeltView(BeltConfig(corners_px=corners, corners_mm=(400, 250), speed_mm_s=1), 640, 480)


@pytest.mark.parametrize("turn_deg", [0, 45, 100])
@pytest.mark.parametrize("along_mm", [80, 320])
def test_a_scratch_on_a_belt_that_is_seen_at_a_slant_has_its_own_length(turn_deg: float, along_mm: float) -> None:
    """90 by 8 mm, near and far, whichever way it lies: in pixels each is another one."""
    view = slanted()
    origin = cv2.perspectiveTransform(np.array([[[100.0, 440.0], [540.0, 440.0]]]), view.to_mm)[0].min(axis=0)
    centre = origin + np.array([along_mm, 125])
    corners = cv2.boxPoints(((float(centre[0]), float(centre[1])), (90.0, 8.0), float(turn_deg)))
    placed = cv2.perspectiveTransform(corners[None].astype(np.float64), view.to_px)[0]
    mask = cv2.fillPoly(np.zeros((480, 640), np.uint8), [np.rint((placed - 0.5) * 16).astype(np.int32)], 1, shift=4)
    extent = masks.extent_of_mask(_placed(mask > 0), view)
    assert extent.length_mm == pytest.approx(90, abs=2)
    assert extent.width_mm == pytest.approx(8, abs=3)
    assert extent.area_mm2 == pytest.approx(720, rel=0.2)
    assert masks.scaled(extent, view, _placed(mask > 0).box_xyxy_px) is extent


def test_a_box_on_a_belt_that_is_seen_at_a_slant_is_measured_on_the_belt() -> None:
    near, far = (masks.extent_of_box((300, top, 340, top + 20), slanted()) for top in (400, 80))
    assert near.area_px == far.area_px
    assert far.length_mm is not None
    assert near.length_mm is not None
    assert far.length_mm > 1.2 * near.length_mm
