"""An MQTT broker as an output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from stream_inspect.config.base import ConfigFinding, Host, Name
from stream_inspect.config.outputs.base import OutputModel
from stream_inspect.config.problems import did_you_mean
from stream_inspect.config.secret import Secret

Topic = Annotated[
    str,
    Field(pattern=r"^[^#+]+$", json_schema_extra={"x-rule": "a topic without the wildcards # and +"}),
]


class MqttAlertConfig(OutputModel):
    """Events to an MQTT broker, QoS 1, with retained status and last will."""

    kind: Literal["mqtt"]
    name: Name = Field("mqtt", description="Names this output in logs, metrics and the outbox.")
    host: Host = Field(description="Host name or address of the broker.")
    port: int = Field(1883, ge=1, le=65535, description="1883 is usual, 8883 with TLS.")
    tls: bool = Field(False, description="Encrypt, and check the broker's certificate.")
    ca_file: Path | None = Field(None, description="Certificate authority of the broker (PEM); the system's if absent.")
    username: str | None = Field(None, description="User name at the broker.")
    password: Secret | None = Field(None, description="Password of that user.")
    client_id: str | None = Field(
        None, description="Client id at the broker; made from line, name, host and state_dir if absent."
    )
    protocol: Literal["mqtt5", "mqtt311"] = Field(
        "mqtt5", description="mqtt311 for old brokers, which cannot say that they rejected an event."
    )
    topic: Topic = Field("stream_inspect/{line}/{camera}/events", description="{line} and {camera} are filled in.")
    parts_topic: Topic = Field(
        "stream_inspect/{line}/parts",
        description="Of the verdicts of parts (`verdicts`); {line}, {lane} and {verdict} are filled in.",
    )
    status_topic: Topic = Field(
        "stream_inspect/{line}/status/{host}",
        description="Retained: how the line stands, as JSON (docs/status.schema.json); the last will says offline. "
        "{line} and {host} (computer's name) are filled in.",
    )
    timeout_s: float = Field(5.0, gt=0, le=120, description="Retry after this long without an answer.")

    example: ClassVar[str] = """\
alerts:
  - kind: mqtt
    host: broker.plant.local
    port: 8883
    tls: true
    username: inspect
    password: {file: secrets/mqtt}
"""

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """Keys that need another one, and topics with names that are not filled in."""
        if self.password and not self.username:
            yield ConfigFinding(("password",), "needs a username next to it")
        if self.ca_file and not self.tls:
            yield ConfigFinding(("ca_file",), "has no effect unless tls: true")
        yield from _placeholders("topic", self.topic, ("line", "camera"))
        yield from _placeholders("parts_topic", self.parts_topic, ("line", "lane", "verdict"))
        yield from _placeholders("status_topic", self.status_topic, ("line", "host"))


def _placeholders(key: str, topic: str, known: tuple[str, ...]) -> Iterator[ConfigFinding]:
    try:
        names = [name for _, name, _, _ in Formatter().parse(topic) if name is not None]
    except ValueError:
        yield ConfigFinding((key,), "has unbalanced braces")
        return
    for name in names:
        if name not in known:
            listed = " and ".join(f"{{{word}}}" for word in known)
            yield ConfigFinding((key,), f"{{{name}}} is not filled in here, only {listed}.{did_you_mean(name, known)}")
