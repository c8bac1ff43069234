"""From an entry of `alerts:` in the configuration to the object that sends."""

from __future__ import annotations

from typing import cast

from stream_inspect import registry
from stream_inspect.alerts.alert import Alert, AlertClass
from stream_inspect.config.models import Config
from stream_inspect.config.outputs import AlertConfig
from stream_inspect.config.outputs.plugin import PluginAlertConfig


def build_alert(alert: AlertConfig, config: Config) -> Alert:
    """The output of this entry, not opened yet. Raises `registry.UnknownPluginError`."""
    name = alert.plugin if isinstance(alert, PluginAlertConfig) else alert.kind
    make = cast(AlertClass, registry.load("alert", name))
    return make(alert, line=config.line, state_dir=config.state_dir)
