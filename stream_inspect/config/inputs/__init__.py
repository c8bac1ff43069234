"""The entries of `inputs:`, one file a kind: its model, what contradicts itself in it, its example.

A new kind joins the union here and has a row in `registry.py`.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from stream_inspect.config.base import Model
from stream_inspect.config.inputs.modbus import ModbusInputConfig
from stream_inspect.config.inputs.mqtt import MqttInputConfig
from stream_inspect.config.inputs.opcua import OpcUaInputConfig

InputConfig = Annotated[ModbusInputConfig | OpcUaInputConfig | MqttInputConfig, Field(discriminator="kind")]


def input_models() -> dict[str, type[Model]]:
    """kind -> model, in the order of the union."""
    members: tuple[type[Model], ...] = get_args(get_args(InputConfig)[0])
    return {get_args(member.model_fields["kind"].annotation)[0]: member for member in members}
