"""Whether the outputs can be reached. Nothing is sent: the broker is logged in to, the receiver connected to."""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

from stream_inspect import registry
from stream_inspect.commands.check.host import unwritable
from stream_inspect.config.outputs import AlertConfig
from stream_inspect.config.outputs.file import FileAlertConfig
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.config.outputs.plugin import PluginAlertConfig
from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from stream_inspect.findings import Finding, fail, ok, warn


def check_alert(config: AlertConfig) -> list[Finding]:
    """One output."""
    item = f"alert {config.name}"
    match config:
        case MqttAlertConfig():
            return _mqtt(item, config)
        case WebhookAlertConfig():
            return _webhook(item, config)
        case FileAlertConfig():
            return _file(item, config.path)
        case PluginAlertConfig():
            try:
                registry.load("alert", config.plugin)
            except (registry.UnknownPluginError, ImportError, AttributeError) as error:
                return [fail(item, f"the plug-in {config.plugin} cannot be loaded: {error}")]
            return [ok(item, f"plug-in {config.plugin}; it was not asked to connect")]


def _mqtt(item: str, config: MqttAlertConfig) -> list[Finding]:
    """Log in as the alert will, under another client id: the same one would throw a running service out."""
    from paho.mqtt.client import Client, MQTTv5, MQTTv311
    from paho.mqtt.enums import CallbackAPIVersion

    where = f"MQTT broker {config.host}:{config.port}"
    try:
        _reach(config.host, config.port, config.timeout_s, config.tls, config.ca_file)
    except OSError as error:
        return [fail(item, f"{where}: cannot connect: {_said(error)}", _connect_advice(config.tls, config.ca_file))]
    answered = threading.Event()
    answer: list[object] = []

    def connected(client: object, userdata: object, flags: object, reason: object, properties: object) -> None:
        answer.append(reason)
        answered.set()

    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"stream_inspect-check-{secrets.token_hex(4)}",
        protocol=MQTTv5 if config.protocol == "mqtt5" else MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = config.timeout_s
    client.on_connect = connected
    if config.username is not None:
        client.username_pw_set(config.username, config.password.get_secret_value() if config.password else None)
    try:
        if config.tls:
            client.tls_set(ca_certs=str(config.ca_file) if config.ca_file else None)
        client.connect(config.host, config.port)
        client.loop_start()
        answered.wait(config.timeout_s)
    except (OSError, ValueError) as error:
        return [fail(item, f"{where}: cannot connect: {_said(error)}", _connect_advice(config.tls, config.ca_file))]
    finally:
        client.disconnect()
        client.loop_stop()
    if not answer:
        return [
            fail(item, f"{where}: no answer within {config.timeout_s:g} s", "is it a broker, and with TLS or without?")
        ]
    if getattr(answer[0], "is_failure", False):
        return [fail(item, f"{where} refused us: {answer[0]}", "look at username, password and protocol")]
    found = [ok(item, f"{where} lets us in{' over TLS' if config.tls else ''}")]
    if config.password and not config.tls:
        found.append(warn(item, "the password goes over the network in the clear", "set tls: true if the broker can"))
    return found


def _webhook(item: str, config: WebhookAlertConfig) -> list[Finding]:
    parts = urlsplit(config.url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    where = f"{parts.scheme}://{host}:{port}"  # its path may hold a token
    try:
        _reach(host, port, config.timeout_s, secure, config.ca_file)
    except OSError as error:
        return [fail(item, f"{where}: cannot connect: {_said(error)}", _connect_advice(secure, config.ca_file))]
    found = [ok(item, f"{where} can be reached; nothing was posted")]
    if config.secret is None:
        found.append(warn(item, "events are not signed", "set secret, so that the receiver knows who sent them"))
    return found


def _reach(host: str, port: int, timeout_s: float, tls: bool, ca_file: Path | None) -> None:
    """Connect, shake hands where it is TLS, and hang up. Raises OSError (ssl's errors are such)."""
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        if tls:
            with ssl.create_default_context(cafile=ca_file).wrap_socket(connection, server_hostname=host):
                pass


def _file(item: str, path: Path) -> list[Finding]:
    reason = "is a folder" if path.is_dir() else unwritable(path.parent)
    if reason:
        return [fail(item, f"{path}: {reason}")]
    return [ok(item, f"{path} can be written")]


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _connect_advice(secure: bool, ca_file: Path | None) -> str:
    if secure and ca_file is None:
        return "look at host and port; for a plant's own certificate authority set ca_file"
    return f"look at host and port{' and at ca_file' if secure else ''}"
