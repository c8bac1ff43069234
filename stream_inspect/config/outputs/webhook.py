"""An HTTP(S) address as an output."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from stream_inspect.config.address import plain_url
from stream_inspect.config.base import ConfigFinding, Name
from stream_inspect.config.outputs.base import OutputModel
from stream_inspect.config.secret import Secret

_RULE = "a URL: https://host/path"


def _url(text: str) -> str:
    return plain_url(text, ("http", "https"), _RULE, "remove them; a `secret` signs each event instead")


WebhookUrl = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://", "x-rule": _RULE}),
    AfterValidator(_url),
]


class WebhookAlertConfig(OutputModel):
    """Events to an HTTP(S) address, signed as Standard Webhooks specifies, retried until accepted."""

    kind: Literal["webhook"]
    name: Name = Field("webhook", description="Names this output in logs, metrics and the outbox.")
    url: WebhookUrl = Field(
        description="URL that events are posted to, without user and password.",
        repr=False,  # paths of webhooks often hold a token
    )
    secret: Secret | None = Field(None, description="whsec_... (base64): signs each message; unsigned if absent.")
    timeout_s: float = Field(5.0, gt=0, le=120, description="Retry when an event is not answered within this time.")
    ca_file: Path | None = Field(
        None, description="Certificate authority of the receiver (PEM); the system's if absent."
    )

    example: ClassVar[str] = """\
alerts:
  - kind: webhook
    url: https://mes.plant.local/hooks/defects
    secret: {env: WEBHOOK_SECRET}
"""

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """A secret that cannot sign. One that was not fetched is not judged."""
        if self.secret is None or not self.secret.fetched:
            return
        try:
            key = base64.b64decode(self.secret.get_secret_value().removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not key:
            yield ConfigFinding(
                ("secret",), "is not a signing secret; expected whsec_ and base64, as the receiver shows it"
            )
