"""Which stream of a container is the film: not the cover picture, and not the preview."""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from stream_inspect.capture.camera import CameraError

_NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails


def video_stream(container: InputContainer) -> VideoStream:
    """The video stream to read; of several the one with the most pixels. Raises `CameraError`.

    A music file's cover, a film's poster and a list of thumbnails are video streams for FFmpeg too, often the first. So
    are a recorder's preview and a camera's sub stream: FFmpeg's own choice goes by the flag `default`, and takes them.
    """
    films = [stream for stream in container.streams.video if not stream.disposition & _NOT_A_FILM]
    if not films:
        covers = len(container.streams.video)
        raise CameraError("there is no video in it" + (", only a cover picture" if covers else ""))
    chosen = max(films, key=lambda stream: stream.width * stream.height if stream.codec_context else 0)
    if chosen.codec_context is None:  # PyAV's type stubs do not know of it
        raise CameraError(
            "its video is encrypted, or in a codec without a decoder here (`ffprobe` names it): convert it to H.264"
        )
    return chosen
