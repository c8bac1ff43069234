"""From an entry of `inputs:` in the configuration to the object that reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from stream_inspect import registry
from stream_inspect.config.inputs import InputConfig
from stream_inspect.plant.input import PlantInput
from stream_inspect.plant.reader import PlantReader


def make_reader(config: InputConfig, wake: Callable[[], None] = lambda: None) -> PlantReader:
    """The reader of this entry, not opened yet; `wake` as for `PlantReader`."""
    make = cast(Callable[[InputConfig], PlantInput], registry.load("input", config.kind))
    return PlantReader(make(config), name=config.name, wake=wake)
