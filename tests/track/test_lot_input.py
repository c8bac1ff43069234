"""The lot on the line, by the plant's text and the time of each frame."""

from __future__ import annotations

from stream_inspect.config.sections.lines import LotConfig
from stream_inspect.messages import PlantReadings, PlantValue
from stream_inspect.track.line_belt import LineBelt
from stream_inspect.track.lot_input import LotInput
from tests.track.plant_line import config, sight

TENTH_NS = 100_000_000


def says(lot: str, at: int, name: str = "lot") -> PlantValue:
    return PlantValue(line="line1", input="plc", name=name, value=lot, mono_ns=at * TENTH_NS)


def test_a_frame_is_of_the_lot_that_stood_when_it_was_captured() -> None:
    lots = LotInput(LotConfig(input="plc", text="lot"))
    assert lots.at(0) == ""
    for message in (says("A", 1), says("S-1", 1, name="serial"), says("B", 3), says("C", 4)):
        lots.read(message)
    assert [lots.at(at * TENTH_NS) for at in range(6)] == ["", "A", "A", "B", "C", "C"]


def test_what_the_belt_says_of_each_frame_names_the_lot() -> None:
    whole = config()
    line = whole.lines[0].model_copy(update={"lot": LotConfig(input="plc", text="lot")})
    belt = LineBelt(line, whole.cameras, whole.inputs)
    belt.read(PlantReadings(readings=[says("A", 1), says("B", 3)]))
    for number in range(5):
        belt.see(sight(number, number * TENTH_NS))
    assert [seen.lot for seen in belt.take(5 * TENTH_NS, everything=True)] == ["", "A", "A", "B", "B"]
