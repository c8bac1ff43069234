"""A synthetic production line with exact truth: `SyntheticLine(seed).frame(n)`."""

from stream_inspect.sim.line import PassedObject, SyntheticFrame, SyntheticLine
from stream_inspect.sim.truth import DefectTruth, FrameTruth, PartTruth
from stream_inspect.sim.world import DEFECT_KINDS, NARROW, PART_KINDS, STANDARD, World

__all__ = [
    "DEFECT_KINDS",
    "NARROW",
    "PART_KINDS",
    "STANDARD",
    "DefectTruth",
    "FrameTruth",
    "PartTruth",
    "PassedObject",
    "SyntheticFrame",
    "SyntheticLine",
    "World",
]
