"""A PLC or server that is read over OPC UA."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from stream_inspect.config.address import plain_url
from stream_inspect.config.base import Model, Name
from stream_inspect.config.inputs.base import ENCODER_HZ, InputModel, Named
from stream_inspect.config.login import Login

_RULE = "a URL: opc.tcp://host:4840"


def _url(text: str) -> str:
    return plain_url(text, ("opc.tcp",), _RULE, "write `username` and `password` next to it")


OpcUaUrl = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[Oo][Pp][Cc]\\.[Tt][Cc][Pp]://", "x-rule": _RULE}),
    AfterValidator(_url),
]
NodeId = Annotated[
    str,
    Field(
        pattern=r"^(ns=\d{1,5};)?(i=\d{1,10}|g=[0-9A-Fa-f-]{36}|[sb]=.{1,4000})$",
        json_schema_extra={"x-rule": "a node id, such as ns=2;s=Line.Encoder or ns=4;i=6001"},
    ),
]


class OpcUaEncoder(Model):
    """The encoder's counter."""

    node: NodeId = Field(description="Node id of the variable.")
    bits: Literal[16, 32, 64] = Field(32, description="Width after which the counter wraps around.")


class OpcUaValue(Named):
    """A variable: a photo-eye, a counter of its edges, a signal, a text."""

    node: NodeId = Field(description="Node id of the variable.")


class OpcUaInputConfig(InputModel, Login):
    """A server of OPC UA, which sends each change. The connection is neither signed nor encrypted."""

    kind: Literal["opcua"]
    name: Name = Field("opcua", description="Names this input in logs, metrics and readings.")
    url: OpcUaUrl = Field(description="URL of the server, without user and password.")
    publishing_interval_s: float = Field(
        0.01, ge=0.001, le=10, description="How often the server sends what changed: the delay of a value."
    )
    queue_size: int = Field(
        100, ge=1, le=10_000, description="Changes of one variable that the server keeps until it sends them."
    )
    timeout_s: float = Field(1.0, ge=0.2, le=30, description="Connect again after this long without an answer.")
    encoder: OpcUaEncoder | None = Field(None, description="The encoder's counter.")
    photo_eyes: list[OpcUaValue] = Field([], max_length=64, description="Photo-eyes: each edge is a trigger.")
    levels: list[OpcUaValue] = Field([], max_length=64, description="Other signals, such as line running.")
    texts: list[OpcUaValue] = Field([], max_length=64, description="Texts: recipe, lot, serial number.")

    example: ClassVar[str] = """\
inputs:
  - kind: opcua
    url: opc.tcp://192.168.0.20:4840
    username: inspect
    password: {env: PLC_PASSWORD}
    encoder: {node: "ns=2;s=Line.Encoder", bits: 32}
    photo_eyes: [{name: photo_eye, node: "ns=2;s=Line.PhotoEye"}]
    texts: [{name: lot, node: "ns=2;s=Line.Lot"}]
"""

    def encoder_too_seldom(self) -> str:
        """A server that has nothing to send says so as often (`plant/opcua.py`): then the count still stands."""
        if self.publishing_interval_s <= 1 / ENCODER_HZ:
            return ""
        return f"{self.name} is sent every {self.publishing_interval_s:g} s, needed are {1 / ENCODER_HZ:g}"
