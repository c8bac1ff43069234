"""Places of one camera's picture at which something stays while the belt runs: dirt, glare, a mark on the frame, a
stuck part. What appears there is not a part.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream_inspect.belt.geometry import BeltBox

_SAME = 0.7
"""Share of the larger of two boxes that both cover, from which on they are one thing."""


class StaticPlaces:
    """Boxes on the belt in; `upstream_mm` is where the picture's upstream edge is on it. A place is forgotten when the
    belt has run `forgotten_mm` without anything in it.
    """

    def __init__(self, forgotten_mm: float) -> None:
        self._forgotten_mm = forgotten_mm
        self._places: list[tuple[BeltBox, float]] = []
        """Each from the picture's upstream edge, and where that was when it was seen last."""

    @property
    def places(self) -> list[BeltBox]:
        """Along the belt from the picture's upstream edge, less than 0 downstream."""
        return [place for place, _ in self._places]

    def add(self, box: BeltBox, upstream_mm: float) -> None:
        """This box is static."""
        self._places.append((box.shifted(-upstream_mm), upstream_mm))

    def without(self, boxes: Sequence[BeltBox], upstream_mm: float) -> list[BeltBox]:
        """The boxes of the next look, without those that are static."""
        kept = []
        for box in boxes:
            here = box.shifted(-upstream_mm)
            same = [at for at, (place, _) in enumerate(self._places) if _is_same(place, here)]
            for at in same:
                self._places[at] = here, upstream_mm
            if not same:
                kept.append(box)
        self._places = [(place, seen) for place, seen in self._places if upstream_mm - seen < self._forgotten_mm]
        return kept

    def clear(self) -> None:
        """The odometer does not continue."""
        self._places.clear()


def _is_same(one: BeltBox, other: BeltBox) -> bool:
    return one.shared_mm2(other) >= _SAME * max(one.area_mm2, other.area_mm2)
