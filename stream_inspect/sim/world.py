"""What a synthetic line can look like: the kinds it shows and the ranges its numbers are drawn from.

All lengths are millimetres on the belt. A world is a description only; `scene.py` draws one line from it.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]

FIELD_OF_VIEW_MM = (640.0, 360.0)
"""Length along the belt and width across it that the camera sees, rails included."""

RAIL_MM = 13.0
"""Width of the aluminium rail at either edge of the belt."""

PART_KINDS = ("metal plate", "washer", "bottle cap", "circuit board")
DEFECT_KINDS = ("scratch", "crack", "hole", "rust", "stain", "dent")
BELT_KINDS = ("rubber", "weave", "modular", "ribbed")


@dataclass(frozen=True, slots=True)
class World:
    """The ranges one line is drawn from. Every field is a fact about the plant, not about drawing."""

    belts: tuple[str, ...] = BELT_KINDS
    parts: tuple[str, ...] = PART_KINDS
    defects: tuple[str, ...] = DEFECT_KINDS
    pitch_mm: float = 300.0
    """Mean distance of part centres along the belt."""
    pitch_jitter_mm: float = 12.0
    lane_jitter_mm: float = 26.0
    """How far a part's centre lies from the middle of the belt at most."""
    rotation_deg: float = 180.0
    """Parts are turned by up to this angle either way."""
    defect_share: float = 0.5
    """Share of parts with at least one defect."""
    further_defect_share: float = 0.25
    """Chance of one more defect on a part that has one, or two, or three."""
    thin_scratch_share: float = 0.35
    """Share of scratches that are one fine stroke instead of several broad ones."""
    contrast: Range = (0.82, 1.0)
    """Strength of a defect; 1 is as drawn."""
    gain: Range = (0.88, 1.12)
    """Brightness of the lamp."""
    gradient: Range = (0.0, 0.22)
    """Brightness lost from one side of the picture to the other."""
    warmth: Range = (-0.05, 0.05)
    """Colour cast of the lamp; positive is warm."""
    glare: Range = (0.0, 0.16)
    """Strength of the lamp's reflection, a soft band that stands still in the picture."""
    noise: Range = (1.5, 4.5)
    """Standard deviation of the sensor's noise, in grey levels of the full picture."""
    lens_blur_px: Range = (0.4, 1.1)
    """Standard deviation of the lens's blur, in pixels of a 1280 px wide picture."""


STANDARD = World()
"""The line of the demonstration."""

NARROW = World(
    belts=("rubber",),
    parts=("metal plate", "washer", "bottle cap"),
    defects=("scratch", "hole", "rust", "stain"),
    rotation_deg=10.0,
    thin_scratch_share=0.0,
    contrast=(0.9, 1.0),
    gain=(0.95, 1.05),
    gradient=(0.0, 0.1),
    warmth=(0.0, 0.0),
    glare=(0.0, 0.08),
)
"""One belt, three kinds of part, four of defect: the easiest line that still needs a detector."""
