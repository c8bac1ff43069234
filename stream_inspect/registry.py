"""(kind, name) -> "module:Class", imported only when configured, so that an unused plug-in costs nothing.

Outsiders join by an entry point in the group `stream_inspect.<kind>`; built-ins use the same door.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Literal

from stream_inspect.errors import StreamInspectError

Kind = Literal["camera", "detector", "segmenter", "tracker", "alert", "input"]

BUILT_IN: dict[Kind, dict[str, str]] = {
    "camera": {
        "rtsp": "stream_inspect.capture.rtsp:RtspCamera",
        "usb": "stream_inspect.capture.usb:UsbCamera",
        "gige": "stream_inspect.capture.gige:GigeCamera",
        "file": "stream_inspect.capture.files:FileCamera",
        "images": "stream_inspect.capture.pictures:PicturesCamera",
        "synthetic": "stream_inspect.capture.synthetic:SyntheticCamera",
    },
    "detector": {"owlv2": "stream_inspect.inspect.detect.owlv2:Owlv2Detector"},
    "segmenter": {"sam": "stream_inspect.inspect.segment.sam:SamSegmenter"},
    "tracker": {
        "belt": "stream_inspect.track.belt_tracker:BeltTracker",
        "iou": "stream_inspect.track.iou_tracker:IouTracker",
    },
    "alert": {
        "mqtt": "stream_inspect.alerts.mqtt:MqttAlert",
        "webhook": "stream_inspect.alerts.webhook:WebhookAlert",
        "file": "stream_inspect.alerts.file:FileAlert",
        "syslog": "stream_inspect.alerts.syslog:SyslogAlert",
    },
    "input": {
        "modbus": "stream_inspect.plant.modbus_tcp:ModbusInput",
        "opcua": "stream_inspect.plant.opcua:OpcUaInput",
        "mqtt": "stream_inspect.plant.mqtt:MqttInput",
    },
}


class UnknownPluginError(StreamInspectError):
    """No plug-in of this name; the message lists the available ones."""


def names(kind: Kind) -> list[str]:
    """All known plug-ins of a kind, built in and installed."""
    installed = {point.name for point in entry_points(group=f"stream_inspect.{kind}")}
    return sorted(BUILT_IN[kind].keys() | installed)


def load(kind: Kind, name: str) -> type:
    """Import and return the class registered as `name`. Raises `UnknownPluginError`."""
    target = BUILT_IN[kind].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return _as_class(getattr(import_module(module), attribute), target)
    for point in entry_points(group=f"stream_inspect.{kind}", name=name):
        return _as_class(point.load(), point.value)
    raise UnknownPluginError(f"no {kind} named {name!r}; available: {', '.join(names(kind))}")


def _as_class(found: object, target: str) -> type:
    if not isinstance(found, type):
        raise UnknownPluginError(f"{target} is not a class")
    return found
