"""From a camera's configuration to the object that reads it, for everything that reads cameras."""

from __future__ import annotations

from stream_inspect import registry
from stream_inspect.capture.camera import Camera
from stream_inspect.capture.rotated import RotatedCamera
from stream_inspect.config.models import CameraConfig, PluginSource


def make_camera(config: CameraConfig) -> Camera:
    """The camera object for this configuration, not yet open. Raises `registry.UnknownPluginError`."""
    source = config.source
    name = source.plugin if isinstance(source, PluginSource) else source.kind
    return turned(registry.load("camera", name)(config), config)


def turned(camera: Camera, config: CameraConfig) -> Camera:
    """The camera, its pictures turned as configured."""
    return RotatedCamera(camera, config.rotate_deg) if config.rotate_deg else camera
