"""Which stream of a container is the film: not the cover picture, and not the preview."""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from stream_inspect.capture.camera import CameraError

_NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails


def video_stream(container: InputContainer) -> VideoStream:
    """The video stream to read; of several that FFmpeg takes for the best one. Raises `CameraError`.

    A music file's cover, a film's poster and a list of thumbnails are video streams for FFmpeg too, often the first.
    """
    films = _films(container)
    if not films:
        covers = len(container.streams.video)
        raise CameraError("there is no video in it" + (", only a cover picture" if covers else ""))
    best = container.streams.best("video")
    return next((stream for stream in films if stream is best), films[0])


def chosen_of_several(container: InputContainer, chosen: VideoStream) -> tuple[str, ...]:
    """A sentence that names the stream that is read and those that are not; empty where it is the only one."""
    others = [stream for stream in _films(container) if stream is not chosen]
    if not others:
        return ()
    left_out = ", ".join(f"{stream.index} ({_described(stream)})" for stream in others)
    return (f"video stream {chosen.index} ({_described(chosen)}) is read; not read: {left_out}",)


def _films(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & _NOT_A_FILM]


def _described(stream: VideoStream) -> str:
    context = stream.codec_context
    size = f"{context.width}x{context.height}" if context.width else "size not reported"
    return f"{context.codec.name if context.codec else 'unknown codec'} {size}"
