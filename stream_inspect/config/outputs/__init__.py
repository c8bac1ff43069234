"""The entries of `alerts:`, one file a kind: its model, what contradicts itself in it, its example.

A new kind joins the union here and has a row in `registry.py`.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from stream_inspect.config.base import Model
from stream_inspect.config.outputs.file import FileAlertConfig
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.config.outputs.plugin import PluginAlertConfig
from stream_inspect.config.outputs.syslog import SyslogAlertConfig
from stream_inspect.config.outputs.webhook import WebhookAlertConfig

AlertConfig = Annotated[
    MqttAlertConfig | WebhookAlertConfig | FileAlertConfig | SyslogAlertConfig | PluginAlertConfig,
    Field(discriminator="kind"),
]


def alert_models() -> dict[str, type[Model]]:
    """kind -> model, in the order of the union."""
    members: tuple[type[Model], ...] = get_args(get_args(AlertConfig)[0])
    return {get_args(member.model_fields["kind"].annotation)[0]: member for member in members}
