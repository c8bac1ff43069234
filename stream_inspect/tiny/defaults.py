"""The vocabulary of the embedded models. Prompts that are not built from these words mean nothing to them."""

from __future__ import annotations

DEFECT_PROMPTS: dict[str, tuple[str, ...]] = {
    "scratch": ("scratch", "scratches", "scrape", "scuff", "score mark", "abrasion", "graze"),
    "crack": ("crack", "cracks", "fracture", "fissure", "split", "hairline crack"),
    "hole": ("hole", "holes", "puncture", "perforation", "cavity", "pit"),
    "rust": ("rust", "rust spot", "corrosion", "oxidation", "corroded area", "rusty patch"),
    "stain": ("stain", "stains", "blot", "discoloration", "paint spill", "ink mark", "smear"),
    "dent": ("dent", "dents", "dimple", "depression", "indentation", "ding"),
}
"""Name of the defect -> its prompts, the plainest first. All words of a row mean the same to the detector."""

PART_PROMPTS: dict[str, tuple[str, ...]] = {
    "metal plate": ("metal plate", "steel plate", "sheet metal", "plate"),
    "washer": ("washer", "metal ring", "steel washer", "ring"),
    "bottle cap": ("bottle cap", "plastic cap", "lid", "cap"),
    "circuit board": ("circuit board", "pcb", "printed circuit board", "electronics board"),
}
"""Kind of part -> its prompts."""

COUNTER_PROMPTS: tuple[str, ...] = ("label", "sticker", "barcode label")
"""Counter-prompts for every defect: where the detector prefers "label", there is no defect."""

MARKING_PROMPTS: dict[str, tuple[str, ...]] = {"label": ("label", "sticker", "barcode label", "tag")}
"""Things on parts that are not defects; useful as counter-prompts."""

ANY_DEFECT_PROMPTS: tuple[str, ...] = ("defect", "damage", "flaw", "anomaly", "fault", "blemish")
ANY_PART_PROMPTS: tuple[str, ...] = ("part", "workpiece", "product", "component")

THRESHOLDS: dict[str, float] = dict.fromkeys(DEFECT_PROMPTS, 0.5)
"""Minimum scores, a little above the middle of the plateau on validation seeds (MODEL_CARD.md): for a demonstration, a
missed faint defect is better than a false one."""

PART_THRESHOLD = 0.45
"""The same for parts named in words."""
