"""A syslog receiver as an output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from stream_inspect.config.base import ConfigFinding, Host, Name
from stream_inspect.config.outputs.base import OutputModel

Facility = Literal[
    "user", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
]  # fmt: skip


class SyslogAlertConfig(OutputModel):
    """Events to a syslog receiver (RFC 5424): a line of text, and the event's fields, without its outline, as
    structured data. No receiver acknowledges: an event that is lost on the way is not sent again (at most once).
    """

    kind: Literal["syslog"]
    name: Name = Field("syslog", description="Names this output in logs, metrics and the outbox.")
    host: Host = Field(description="Host name or address of the receiver.")
    port: int = Field(514, ge=1, le=65535, description="514 is usual, 6514 with TLS.")
    transport: Literal["tcp", "udp"] = Field(
        "tcp", description="TCP (octet counting) notices when the receiver is gone; UDP does not."
    )
    tls: bool = Field(False, description="Encrypt, and check the receiver's certificate; over TCP.")
    ca_file: Path | None = Field(
        None, description="Certificate authority of the receiver (PEM); the system's if absent."
    )
    facility: Facility = Field("local0", description="Facility of every message.")
    app_name: str = Field(
        "stream_inspect",
        pattern=r"^[!-~]{1,48}$",
        description="APP-NAME of every message.",
        json_schema_extra={"x-rule": "1 to 48 printable ASCII characters without spaces"},
    )
    hostname: str | None = Field(
        None,
        pattern=r"^[!-~]{1,100}$",
        description="HOSTNAME of every message; this computer's name if absent.",
        json_schema_extra={"x-rule": "1 to 100 printable ASCII characters without spaces"},
    )
    sd_id: str = Field(
        "stream_inspect@32473",
        pattern=r"^[A-Za-z0-9_.-]{1,20}@[0-9.]{1,11}$",
        description="SD-ID of the structured data; 32473 is reserved for examples: use your own enterprise number.",
        json_schema_extra={"x-rule": "name@number, such as stream_inspect@32473"},
    )
    max_bytes: int = Field(
        2048,
        ge=1024,
        le=65000,
        description="Longest message. What does not fit is left out, and the field `omitted` names it.",
    )
    timeout_s: float = Field(5.0, gt=0, le=120, description="Retry after this long without progress.")

    example: ClassVar[str] = """\
alerts:
  - kind: syslog
    host: logs.plant.local
    port: 6514
    tls: true
    facility: local3
"""

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """TLS needs TCP, and a certificate authority needs TLS."""
        if self.tls and self.transport == "udp":
            yield ConfigFinding(("tls",), "needs transport: tcp")
        if self.ca_file and not self.tls:
            yield ConfigFinding(("ca_file",), "has no effect unless tls: true")
