"""An output of another package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, ValidationError

from stream_inspect import registry
from stream_inspect.config.base import ConfigFinding, Name, OptionValue
from stream_inspect.config.outputs.base import OutputModel
from stream_inspect.config.plugin import PluginOptions, options_model, unknown_plugin


class PluginAlertConfig(OutputModel):
    """An alert from another package (entry point group `stream_inspect.alert`)."""

    kind: Literal["plugin"]
    name: Name = Field(description="Names this output in logs, metrics and the outbox.")
    plugin: str = Field(min_length=1, description="Name of the entry point.")
    options: dict[str, OptionValue | list[OptionValue]] = Field(
        {}, description="Keys of the plug-in's own; secrets are allowed.", json_schema_extra={"x-plugin": "alert"}
    )

    def parsed_options(self) -> PluginOptions | None:
        """The options in the plug-in's own model; None where it states none. Raises pydantic's `ValidationError`."""
        model = options_model("alert", self.plugin)
        return model.model_validate({**self.options, "name": self.name}) if model else None

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """A plug-in that is not there, and what its own model finds wrong between its options."""
        if self.plugin in registry.BUILT_IN["alert"]:
            yield ConfigFinding(("plugin",), f"{self.plugin} is built in: write kind: {self.plugin}")
        elif message := unknown_plugin("alert", self.plugin):
            yield ConfigFinding(("plugin",), message)
        if "name" in self.options:
            yield ConfigFinding(("options", "name"), "belongs one level up, next to `plugin`")
        try:
            parsed = self.parsed_options()
        except ValidationError:
            return  # each option that is wrong is reported with its place
        for finding in parsed.crosscheck() if parsed else ():
            yield ConfigFinding(("options", *finding.path), finding.message)
