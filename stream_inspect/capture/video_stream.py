"""Which stream of a container is the film: not the cover picture, not a still, and not the preview."""

from __future__ import annotations

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from stream_inspect.capture.camera import CameraError
from stream_inspect.capture.stated_end import container_kind, tagged_duration_s

_NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails
_ONE_FRAME = 1.5
"""Frames that a stream of one picture lasts at most: its container rounds."""


def video_stream(container: InputContainer) -> VideoStream:
    """The video stream to read; of several that move the one with the most pixels. Raises `CameraError`.

    A music file's cover, a film's poster and a list of thumbnails are video streams for FFmpeg too, often the first. So
    are a recorder's preview and a camera's sub stream: FFmpeg's own choice goes by the flag `default`, and takes them.
    """
    films = _moving(container) or _films(container)
    if not films:
        covers = len(container.streams.video)
        raise CameraError("there is no video in it" + (", only a cover picture" if covers else ""))
    chosen = max(films, key=lambda stream: stream.width * stream.height if stream.codec_context else 0)
    if chosen.codec_context is None:
        raise CameraError(
            "its video is encrypted, or in a codec without a decoder here (`ffprobe` names it): convert it to H.264"
        )
    return chosen


def sizes_known(container: InputContainer) -> bool:
    """Whether the container was probed long enough for a choice between its video streams."""
    films = _films(container)
    return len(films) < 2 or all(not film.codec_context or film.width for film in films)


def chosen_of_several(container: InputContainer, chosen: VideoStream) -> tuple[str, ...]:
    """A sentence that names the stream that is read and those that are not; empty where it is the only one."""
    others = [stream for stream in _films(container) if stream is not chosen]
    if not others:
        return ()
    moving = _moving(container)
    stills = [stream for stream in others if moving and stream not in moving]
    left_out = ", ".join(
        f"{stream.index} ({_described(stream)}{', one picture' if stream in stills else ''})" for stream in others
    )
    return (f"video stream {chosen.index} ({_described(chosen)}) is read; not read: {left_out}",)


def _films(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & _NOT_A_FILM]


def _moving(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in _films(container) if not _is_still(container, stream)]


def _is_still(container: InputContainer, stream: VideoStream) -> bool:
    """Whether this stream holds one picture, as a poster does that is not marked as a cover."""
    if stream.disposition & Disposition.still_image:
        return True
    kind = container_kind(container)
    if kind == "mov":
        return stream.frames == 1
    if kind == "avi":
        return len(stream.index_entries) == 1
    seconds, rate = tagged_duration_s(stream), stream.guessed_rate
    return bool(seconds is not None and rate and seconds * rate <= _ONE_FRAME)


def _described(stream: VideoStream) -> str:
    codec = getattr(stream.codec_context, "codec", None)  # no context where there is no decoder
    if codec is None:
        return "encrypted, or without a decoder here"
    return f"{codec.name} {stream.width}x{stream.height}" if stream.width else f"{codec.name}, size not reported"
