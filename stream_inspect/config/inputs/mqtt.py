"""A broker whose topics say how the plant stands."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from stream_inspect.config.base import Model, Name
from stream_inspect.config.inputs.base import InputModel, Named
from stream_inspect.config.login import BrokerLogin
from stream_inspect.config.outputs.mqtt import Topic

Pointer = Annotated[
    str,
    Field(
        pattern=r"^(/([^~/]|~[01])*)+$",
        json_schema_extra={"x-rule": "a JSON pointer (RFC 6901), such as /count or /line/2/serial"},
    ),
]


class MqttEncoder(Model):
    """The encoder's counter."""

    topic: Topic = Field(description="Topic of the count.")
    pointer: Pointer | None = Field(None, description="Place of the value in a payload of JSON; absent: all of it.")
    bits: Literal[16, 32, 64] = Field(32, description="Width after which the counter wraps around.")
    every_s: float | None = Field(
        None, gt=0, le=0.5, description="The sender repeats the count at least this often, changed or not."
    )
    alive_topic: Topic | None = Field(
        None,
        description="A heartbeat of the same sender, at least twice a second: the last count still stands. Its payload "
        "does not matter.",
    )


class MqttValue(Named):
    """A photo-eye, a counter of its edges, a signal, a text."""

    topic: Topic = Field(description="Topic of the value.")
    pointer: Pointer | None = Field(None, description="Place of the value in a payload of JSON; absent: all of it.")


class MqttInputConfig(InputModel, BrokerLogin):
    """An MQTT broker. Values are received at QoS 0: one that waited for us somewhere would come with a wrong time."""

    kind: Literal["mqtt"]
    name: Name = Field("mqtt", description="Names this input in logs, metrics and readings.")
    timeout_s: float = Field(1.0, ge=0.2, le=30, description="Connect again after this long without an answer.")
    encoder: MqttEncoder | None = Field(None, description="The encoder's counter.")
    photo_eyes: list[MqttValue] = Field([], max_length=64, description="Photo-eyes: each message is a trigger.")
    levels: list[MqttValue] = Field([], max_length=64, description="Other signals, such as line running.")
    texts: list[MqttValue] = Field([], max_length=64, description="Texts: recipe, lot, serial number.")

    example: ClassVar[str] = """\
inputs:
  - kind: mqtt
    host: broker.plant.local
    encoder: {topic: plant/line-a/encoder, pointer: /count, every_s: 0.1}
    photo_eyes: [{name: photo_eye, topic: plant/line-a/infeed, pointer: /covered}]
    texts:
      - {name: serial, topic: plant/line-a/infeed, pointer: /serial}
      - {name: recipe, topic: plant/line-a/recipe}
"""

    def encoder_too_seldom(self) -> str:
        if self.encoder is None or self.encoder.every_s or self.encoder.alive_topic:
            return ""
        return (
            f"{self.name} hands over changes only, so that a belt that stands looks like one that is not read: give "
            f"inputs.{self.name}.encoder.every_s if the count is repeated, or alive_topic"
        )
