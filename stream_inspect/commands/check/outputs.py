"""Whether the outputs can be made and reached: each class tries its own. Nothing is sent."""

from __future__ import annotations

from dataclasses import replace

from stream_inspect.alerts.build import alert_class
from stream_inspect.config.models import Config
from stream_inspect.config.outputs import AlertConfig
from stream_inspect.config.outputs.plugin import PluginAlertConfig
from stream_inspect.findings import Finding, fail, ok

_AT_MOST_ONCE = "its receiver acknowledges nothing: an event that is lost on the way is not sent again (at most once)"


def check_alert(alert: AlertConfig, config: Config) -> list[Finding]:
    """What an output's class finds out, and whether its events are acknowledged."""
    item = f"alert {alert.name}"
    named = f"the plug-in {alert.plugin}" if isinstance(alert, PluginAlertConfig) else alert.kind
    try:
        found, own = alert_class(alert)
    except Exception as error:  # whatever goes wrong in another package when it is imported
        return [fail(item, f"{named} cannot be loaded: {error}")]
    try:
        found(own, line=config.line, state_dir=config.state_dir).close()
    except Exception as error:  # the service would run without this output
        return [fail(item, f"{named} cannot be created: {type(error).__name__}: {error}")]
    findings = [replace(finding, item=item) for finding in found.probe(own)]
    if not found.acknowledges:
        findings.append(ok(item, _AT_MOST_ONCE))
    return findings
