"""How a login is written, wherever one is needed: at a camera, a server, a broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from stream_inspect.config.base import ConfigFinding, Host, Model
from stream_inspect.config.secret import Secret


class Login(Model):
    """Base of what has a user and a password."""

    username: str | None = Field(None, description="User name; anonymous if absent.")
    password: Secret | None = Field(None, description="Password of that user.")

    @property
    def login(self) -> tuple[str, str | None] | None:
        """User and password, if there is one; None for an anonymous login."""
        if self.username is None:
            return None
        return self.username, self.password.get_secret_value() if self.password else None

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """A password without a user."""
        yield from super().crosscheck()
        if self.password and not self.username:
            yield ConfigFinding(("password",), "needs a username next to it")


class BrokerLogin(Login):
    """Base of what connects to an MQTT broker."""

    host: Host = Field(description="Host name or address of the broker.")
    port: int = Field(1883, ge=1, le=65535, description="1883 is usual, 8883 with TLS.")
    tls: bool = Field(False, description="Encrypt, and check the broker's certificate.")
    ca_file: Path | None = Field(None, description="Certificate authority of the broker (PEM); the system's if absent.")
    protocol: Literal["mqtt5", "mqtt311"] = Field(
        "mqtt5", description="mqtt311 for old brokers, which cannot say why they reject something."
    )

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """As every login; and an authority without encryption."""
        yield from super().crosscheck()
        if self.ca_file and not self.tls:
            yield ConfigFinding(("ca_file",), "has no effect unless tls: true")
