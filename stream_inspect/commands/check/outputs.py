"""Whether the outputs can be reached: each class tries its own. Nothing is sent."""

from __future__ import annotations

from dataclasses import replace

from stream_inspect.alerts.build import alert_class
from stream_inspect.config.outputs import AlertConfig
from stream_inspect.config.outputs.plugin import PluginAlertConfig
from stream_inspect.findings import Finding, fail, ok

_AT_MOST_ONCE = "its receiver acknowledges nothing: an event that is lost on the way is not sent again (at most once)"


def check_alert(config: AlertConfig) -> list[Finding]:
    """What an output's class finds out, and whether its events are acknowledged."""
    item = f"alert {config.name}"
    try:
        found, own = alert_class(config)
    except Exception as error:  # whatever goes wrong in another package when it is imported
        named = config.plugin if isinstance(config, PluginAlertConfig) else config.kind
        return [fail(item, f"the plug-in {named} cannot be loaded: {error}")]
    findings = [replace(finding, item=item) for finding in found.probe(own)]
    if not found.acknowledges:
        findings.append(ok(item, _AT_MOST_ONCE))
    return findings
