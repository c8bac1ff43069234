"""The drawn belt: its pixels, its parts, and masks that are exactly what was blended."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from stream_inspect.sim import DEFECT_KINDS, PART_KINDS, STANDARD
from stream_inspect.sim.belt import belt_tile
from stream_inspect.sim.defects import ALLOWED, DefectStyle, draw_defect
from stream_inspect.sim.parts import draw_part
from stream_inspect.sim.scene import Scene
from stream_inspect.sim.world import BELT_KINDS, FIELD_OF_VIEW_MM

SCALE = 0.8
SHARP = replace(STANDARD, lens_blur_px=(0.0, 0.0), gain=(1.0, 1.0), warmth=(0.0, 0.0), defect_share=1.0)


def defects_of(scene: Scene, parts: int) -> list[tuple[int, str, np.ndarray]]:
    """(part, name, mask over the first `parts` parts' belt) of every defect."""
    width = round(parts * scene.world.pitch_mm * SCALE)
    found = []
    for index in range(1, parts - 1):
        for defect in scene.part(index).defects:
            mask = np.zeros((scene.height_px, width), bool)
            stamp = defect.stamp
            rows = slice(stamp.top_px, stamp.top_px + stamp.mask.shape[0])
            mask[rows, stamp.left_px : stamp.right_px] = stamp.mask
            found.append((index, defect.name, mask))
    return found


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_masks_are_the_pixels_that_were_blended(seed: int) -> None:
    with_defects, without = Scene(seed, SHARP, SCALE), Scene(seed, SHARP, SCALE, draw_defects=False)
    parts = 8
    width = round(parts * SHARP.pitch_mm * SCALE)
    change = np.abs(with_defects.render(0, width).astype(int) - without.render(0, width)).max(axis=2)
    defects = defects_of(with_defects, parts)
    assert len(defects) >= 5
    everything = np.any([mask for _, _, mask in defects], axis=0)
    for index, name, mask in defects:
        # Where the part happens to have the defect's own colour, blending shows no change.
        assert (change[mask] > 0).mean() > 0.9, f"the mask of {name} on part {index} holds pixels that did not change"
    inner = np.s_[:, round(1.0 * SHARP.pitch_mm * SCALE) : round((parts - 2) * SHARP.pitch_mm * SCALE)]
    outside = change[inner][~everything[inner]]
    # Outside is only what was blended more weakly than the mask's 20 %: the soft edge of a few pixels.
    assert (outside > 0).sum() < 0.6 * everything[inner].sum()
    assert outside.max() <= 0.2 * 255 + 2


def test_pieces_fit_together_whatever_the_order() -> None:
    whole = Scene(7, STANDARD, SCALE).render(0, 900)
    pieces = Scene(7, STANDARD, SCALE)
    backwards = [pieces.render(start, start + 100) for start in range(800, -100, -100)]
    assert np.array_equal(np.hstack(backwards[::-1]), whole)


def test_another_seed_is_another_line() -> None:
    assert not np.array_equal(Scene(1, STANDARD, SCALE).render(0, 300), Scene(2, STANDARD, SCALE).render(0, 300))


def test_parts_neither_touch_nor_leave_the_belt() -> None:
    scene = Scene(11, STANDARD, SCALE)
    stamps = [scene.part(index).stamp for index in range(12)]
    for earlier, later in pairwise(stamps):
        assert earlier.right_px <= later.left_px
    for stamp in stamps:
        assert stamp.top_px > 0
        assert stamp.top_px + stamp.mask.shape[0] < scene.height_px


def test_all_kinds_appear_and_only_where_they_belong() -> None:
    kinds, names = set(), set()
    world = replace(STANDARD, defect_share=1.0, further_defect_share=0.8)
    for seed in range(12):
        scene = Scene(seed, world, 0.4)
        for index in range(8):
            part = scene.part(index)
            kinds.add(part.kind)
            for defect in part.defects:
                names.add(defect.name)
                assert defect.name in ALLOWED[part.kind]
    assert kinds == set(PART_KINDS)
    assert names == set(DEFECT_KINDS)


def test_a_share_of_parts_is_good() -> None:
    defective = sum(bool(Scene(seed, STANDARD, 0.4).part(n).defects) for seed in range(25) for n in range(4))
    assert 30 <= defective <= 70, "half of the standard line's parts are defective"


def test_a_washer_lets_the_belt_show_through_its_bore() -> None:
    washer = draw_part("washer", np.random.default_rng(0), SCALE)
    height, width = washer.alpha.shape
    assert washer.alpha[height // 2, width // 2] == 0
    assert washer.alpha[height // 2, round(width * 0.2)] == 255


@pytest.mark.parametrize("name", DEFECT_KINDS)
def test_a_defect_is_one_thing_of_a_sensible_size(name: str) -> None:
    style = DefectStyle("metal plate", (130.0, 130.0, 130.0), contrast=1.0, thin_scratch=True)
    for seed in range(5):
        paint = draw_defect(name, np.random.default_rng(seed), SCALE, style)
        rows, columns = np.nonzero(paint.alpha >= 0.2)
        longer_mm = max(np.ptp(rows), np.ptp(columns)) / SCALE
        assert 20 < longer_mm < 130
        assert paint.bgr.shape == (*paint.alpha.shape, 3)
        assert 0 <= paint.alpha.min() <= paint.alpha.max() <= 1


@pytest.mark.parametrize("kind", BELT_KINDS)
def test_the_belt_repeats_without_a_seam(kind: str) -> None:
    tile = belt_tile(kind, np.random.default_rng(1), SCALE).astype(int)
    assert tile.shape[0] == round(FIELD_OF_VIEW_MM[1] * SCALE)
    steps = np.abs(np.diff(tile, axis=1)).mean(axis=(0, 2))
    seam = np.abs(tile[:, 0] - tile[:, -1]).mean()
    assert seam <= np.percentile(steps, 99) * 1.5 + 1
