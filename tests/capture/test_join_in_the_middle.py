"""A live stream joined in the middle, whose next whole picture is far away: it is waited for while packets come."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from io import BytesIO

import av
import pytest

from stream_inspect.capture.av_reader import AvReader
from stream_inspect.capture.camera import CameraError
from stream_inspect.messages import Clock
from tests.capture.harness import ArraySink
from tests.capture.videos import picture

pytestmark = pytest.mark.slow

FPS = 25
READ_TIMEOUT_S = 2.0
Serve = Callable[[list[bytes]], str]


def encoded(seconds: float, gop: int, **x264: str) -> list[bytes]:
    """One MPEG-TS chunk a frame of a moving picture."""
    buffer, chunks = BytesIO(), []
    with av.open(buffer, "w", format="mpegts", options={"flush_packets": "1", "pat_period": "0.1"}) as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency", **x264}
        )
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", gop
        stream.codec_context.time_base = Fraction(1, FPS)
        for index in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(picture(index, 320, 240), format="bgr24")
            frame.pts = index
            for packet in stream.encode(frame):
                container.mux(packet)
            chunks.append(buffer.getvalue())
            buffer.seek(0)
            buffer.truncate()
    return chunks


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that sends such chunks at their times to the first who connects."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    stop = threading.Event()

    def send(chunks: list[bytes]) -> None:
        connection, _ = listener.accept()
        with connection:
            for chunk in chunks:
                try:
                    connection.sendall(chunk)
                except OSError:
                    return
                if stop.wait(1 / FPS):
                    return

    def start(chunks: list[bytes]) -> str:
        threads.append(threading.Thread(target=send, args=(chunks,)))
        threads[-1].start()
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stop.set()
    for thread in threads:
        thread.join(5)
    listener.close()


def joined(url: str) -> tuple[AvReader, float]:
    """The reader with its first frame, and how long that took from the first packet's coming."""
    container = av.open(
        url,
        format="mpegts",
        options={"probesize": "20000", "analyzeduration": "0", "fpsprobesize": "0"},
        timeout=(10.0, READ_TIMEOUT_S),
    )
    reader = AvReader(container, silent_limit_s=READ_TIMEOUT_S)
    began_s = time.monotonic()
    reader.open(Clock.ARRIVAL)
    return reader, time.monotonic() - began_s


def test_the_first_whole_picture_may_be_far_away(serve: Serve) -> None:
    """Periodic intra refresh: one key frame at the very beginning, then a column of each picture at a time."""
    chunks = encoded(14, gop=5 * FPS, **{"x264-params": "intra-refresh=1"})
    reader, waited_s = joined(serve(chunks[FPS:]))
    try:
        frames = [reader.read(ArraySink()) for _ in range(FPS)]
    finally:
        reader.close()
    assert 1.5 < waited_s < 12
    assert all(frame is not None for frame in frames)


def test_packets_without_any_picture_are_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_inspect.capture.av_reader._FIRST_FRAME_S", 1.0)
    chunks = encoded(14, gop=1000)
    with pytest.raises(CameraError, match="no intact picture within 1 s"):
        joined(serve(chunks[FPS:]))
