"""A file of JSON lines as an output."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from stream_inspect.config.base import Name, StatePath
from stream_inspect.config.outputs.base import OutputModel


class FileAlertConfig(OutputModel):
    """Events as JSON lines, fsynced one by one."""

    kind: Literal["file"]
    name: Name = Field("file", description="Names this output in logs, metrics and the outbox.")
    path: StatePath = Field(Path("events.jsonl"), description="The file; a relative path lies in `state_dir`.")

    example: ClassVar[str] = "alerts: [{kind: file, path: /var/log/line-a/events.jsonl}]\n"
