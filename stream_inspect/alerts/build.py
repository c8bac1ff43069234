"""From an entry of `alerts:` in the configuration to its class, and to the object that sends."""

from __future__ import annotations

from contextlib import suppress
from typing import cast

from stream_inspect import registry
from stream_inspect.alerts.alert import Alert, AlertClass
from stream_inspect.config.base import Model, secrets_in
from stream_inspect.config.models import Config
from stream_inspect.config.outputs import AlertConfig
from stream_inspect.config.outputs.plugin import PluginAlertConfig


def build_alert(alert: AlertConfig, config: Config) -> Alert:
    """The output of this entry, not opened yet. Raises `registry.UnknownPluginError`."""
    make, own = alert_class(alert)
    return make(own, line=config.line, state_dir=config.state_dir)


def secrets_of(alert: AlertConfig) -> list[str]:
    """Every secret of this entry, of a plug-in's own options too, as far as they can be read."""
    parts: list[Model | None] = [alert]
    if isinstance(alert, PluginAlertConfig):
        with suppress(Exception):  # what is wrong with them is reported when the output is created
            parts.append(alert.parsed_options())
    return [secret.get_secret_value() for part in parts for _, secret in secrets_in(part)]


def alert_class(alert: AlertConfig) -> tuple[AlertClass, Model]:
    """The class of this entry, and the config that it takes.

    Raises `registry.UnknownPluginError` when a plug-in is not there or does not keep the contract (`alerts/alert.py`),
    and whatever its import raises.
    """
    if not isinstance(alert, PluginAlertConfig):
        return cast(AlertClass, registry.load("alert", alert.kind)), alert
    found = registry.load("alert", alert.plugin)
    options = alert.parsed_options()
    missing = [name for name in ("acknowledges", "probe") if not hasattr(found, name)]
    if options is None:
        missing.append("options_model")
    if options is None or missing:
        raise registry.UnknownPluginError(f"its class {found.__qualname__} does not state {', '.join(missing)}")
    return cast(AlertClass, found), options
