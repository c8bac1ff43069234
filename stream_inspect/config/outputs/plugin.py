"""An output of another package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from stream_inspect.config.base import ConfigFinding, Model, Name, OptionValue
from stream_inspect.config.plugin import unknown_plugin


class PluginAlertConfig(Model):
    """An alert from another package (entry point group `stream_inspect.alert`)."""

    kind: Literal["plugin"]
    name: Name = Field(description="Names this output in logs, metrics and the outbox.")
    plugin: str = Field(min_length=1, description="Name of the entry point.")
    options: dict[str, OptionValue] = Field({}, description="Given to the plug-in as they are; secrets are allowed.")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """A plug-in that is not installed."""
        if message := unknown_plugin("alert", self.plugin):
            yield ConfigFinding(("plugin",), message)
