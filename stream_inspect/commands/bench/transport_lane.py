"""One way to pass frames from one process to another: run as a script, by our interpreter or by the peers'.

    python transport_lane.py send LANE DIRECTORY      starts the receiving process itself

Requests arrive as JSON lines on stdin: {"width_px", "height_px", "frames"}; answers go to stdout: {"ms": [...],
"cpu_ms"}: for each frame the time from an array in the sender until the receiver has read every page and acknowledged
it, and the mean processor time per frame of both processes. Frames are sent one at a time: this measures delay, not how
much fits into buffers.
"""

# The peers are not installed in our environment.
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

PAGE = 4096
SOURCES = 4

Planes = NDArray[np.uint8]


class Sender(Protocol):
    def __init__(self, directory: Path) -> None: ...

    def prepare(self, width_px: int, height_px: int) -> None:
        """Frames of this size follow."""

    def send(self, planes: Planes) -> int | None:
        """Return when the receiver has the frame: its first byte as received, where the lane can return it."""


class Receiver(Protocol):
    def __init__(self, directory: Path) -> None: ...

    def run(self) -> None:
        """Receive, `look`, answer, until killed."""


def look(planes: Planes) -> int:
    """Read every page, as any use of the picture would, and return the frame's first byte."""
    flat = planes.reshape(-1)
    total = int(flat[::PAGE].sum(dtype=np.int64))
    first = int(flat[0])
    if total != first * len(flat[::PAGE]):
        raise SystemExit(f"a frame arrived torn: pages of {first} add up to {total}")
    return first


# --- ours --------------------------------------------------------------------------------------------------------


class RingSender:
    def __init__(self, directory: Path) -> None:
        from stream_inspect.transport.ring import RingWriter
        from stream_inspect.transport.zmq import ZmqChannels

        self.directory, self.number = directory, 0
        self.writer: RingWriter | None = None
        self.channels = ZmqChannels(directory, "capture.bench", {})
        self.channels.subscribe("credit", "bench")

    def prepare(self, width_px: int, height_px: int) -> None:
        from stream_inspect.transport.ring import RingWriter

        if self.writer is not None:
            self.writer.close()
        self.number += 1
        self.size = width_px, height_px
        self.writer = RingWriter(self.directory / f"bench.{self.number}.ring", 8, width_px, height_px)

    def send(self, planes: Planes) -> int:
        from stream_inspect.messages import Clock, Credit, DueFrame, FrameHeader, FrameId

        assert self.writer is not None
        self.writer.begin()[:] = planes
        header = FrameHeader(
            id=FrameId(camera="bench", session=1, seq=self.number, pts=0, time_base_num=1, time_base_den=25),
            width_px=self.size[0],
            height_px=self.size[1],
            color_matrix="bt601",
            full_range=False,
            capture_mono_ns=0,
            capture_utc_ns=0,
            clock=Clock.ARRIVAL,
            ledger_index=0,
            slot=self.writer.commit(),
        )
        self.channels.send("due", DueFrame(header=header, owner=1, ticket=1), key="bench")
        while True:
            for answer in self.channels.receive(1.0):
                if isinstance(answer, Credit):
                    return answer.ticket


class RingReceiver:
    copies = True

    def __init__(self, directory: Path) -> None:
        from stream_inspect.transport.ring import RingReader
        from stream_inspect.transport.zmq import ZmqChannels

        self.reader = RingReader(directory)
        self.channels = ZmqChannels(directory, "inspect.bench", {})
        self.channels.subscribe("due", "bench")

    def run(self) -> None:
        from stream_inspect.messages import Credit, DueFrame

        while True:
            for message in self.channels.receive(1.0):
                assert isinstance(message, DueFrame)
                if self.copies:
                    first = look(self.reader.read(message.header).i420)
                else:
                    with self.reader.view(message.header) as picture:
                        first = look(picture.i420)
                self.channels.send("credit", Credit(worker="bench", owner=1, ticket=first), key="bench")


class RingViewReceiver(RingReceiver):
    copies = False


# --- peers -------------------------------------------------------------------------------------------------------


class PyzmqSender:
    copy = True

    def __init__(self, directory: Path) -> None:
        import zmq

        self.socket: Any = zmq.Context.instance().socket(zmq.REQ)
        self.socket.connect(f"ipc://{directory}/pyzmq")

    def prepare(self, width_px: int, height_px: int) -> None:
        pass

    def send(self, planes: Planes) -> int:
        header = json.dumps({"shape": planes.shape}).encode()
        self.socket.send_multipart([header, planes], copy=self.copy)
        return int(self.socket.recv()[0])


class PyzmqReceiver:
    copy = True

    def __init__(self, directory: Path) -> None:
        import zmq

        self.socket: Any = zmq.Context.instance().socket(zmq.REP)
        self.socket.bind(f"ipc://{directory}/pyzmq")

    def run(self) -> None:
        while True:
            header, planes = self.socket.recv_multipart(copy=self.copy)
            shape = json.loads(bytes(header))["shape"]
            array = np.frombuffer(planes if self.copy else planes.buffer, dtype=np.uint8).reshape(shape)
            self.socket.send(bytes([look(array)]))


class PyzmqNoCopySender(PyzmqSender):
    copy = False


class PyzmqNoCopyReceiver(PyzmqReceiver):
    copy = False


class ImagezmqSender:
    def __init__(self, directory: Path) -> None:
        import imagezmq

        self.sender = imagezmq.ImageSender(connect_to=f"ipc://{directory}/imagezmq")

    def prepare(self, width_px: int, height_px: int) -> None:
        pass

    def send(self, planes: Planes) -> int:
        return int(self.sender.send_image("bench", planes)[0])


class ImagezmqReceiver:
    def __init__(self, directory: Path) -> None:
        import imagezmq

        self.hub = imagezmq.ImageHub(open_port=f"ipc://{directory}/imagezmq")

    def run(self) -> None:
        while True:
            _, planes = self.hub.recv_image()
            self.hub.send_reply(bytes([look(planes)]))


def netgear(directory: Path, receive: bool) -> Any:
    from vidgear.gears import NetGear

    # Request and reply, as imagezmq: its receiving thread answers, so reading the pages is not part of its time.
    return NetGear(
        address=f"{directory}/netgear",
        port="1",
        protocol="ipc",
        pattern=1,
        receive_mode=receive,
        jpeg_compression=False,
    )


class NetgearSender:
    def __init__(self, directory: Path) -> None:
        self.gear = netgear(directory, receive=False)

    def prepare(self, width_px: int, height_px: int) -> None:
        pass

    def send(self, planes: Planes) -> None:
        self.gear.send(planes)


class NetgearReceiver:
    def __init__(self, directory: Path) -> None:
        self.gear = netgear(directory, receive=True)

    def run(self) -> None:
        while (planes := self.gear.recv()) is not None:
            look(planes)


LANES: dict[str, tuple[type[Sender], type[Receiver]]] = {
    "ring": (RingSender, RingReceiver),
    "ring-view": (RingSender, RingViewReceiver),
    "pyzmq": (PyzmqSender, PyzmqReceiver),
    "pyzmq-nocopy": (PyzmqNoCopySender, PyzmqNoCopyReceiver),
    "imagezmq": (ImagezmqSender, ImagezmqReceiver),
    "netgear": (NetgearSender, NetgearReceiver),
}


def cpu_ms(*processes: int) -> float:
    """Processor time of all the threads of these processes."""
    threads = [thread for process in processes for thread in Path(f"/proc/{process}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6


def answer_requests(sender: Sender, answers: IO[str], receiver: int) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        width_px, height_px = request["width_px"], request["height_px"]
        sender.prepare(width_px, height_px)
        frames = [np.full((height_px * 3 // 2, width_px), 10 + n, dtype=np.uint8) for n in range(SOURCES)]
        times_ms = []
        cpu_before_ms = cpu_ms(os.getpid(), receiver)
        for number in range(request["frames"]):
            planes = frames[number % SOURCES]
            began = time.perf_counter()
            seen = sender.send(planes)
            times_ms.append((time.perf_counter() - began) * 1000)
            if seen is not None and seen != 10 + number % SOURCES:
                raise SystemExit(f"sent frame {10 + number % SOURCES}, the receiver saw {seen}")
        used_ms = (cpu_ms(os.getpid(), receiver) - cpu_before_ms) / request["frames"]
        answers.write(json.dumps({"ms": times_ms, "cpu_ms": used_ms}) + "\n")
        answers.flush()


def main() -> None:
    role, lane, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    make_sender, make_receiver = LANES[lane]
    if role == "receive":
        make_receiver(directory).run()
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what peers print must not mix with the answers
    receiver = subprocess.Popen([sys.executable, "-I", __file__, "receive", lane, directory], stdin=subprocess.DEVNULL)
    try:
        answer_requests(make_sender(directory), answers, receiver.pid)
    finally:
        receiver.send_signal(signal.SIGKILL)
        receiver.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
    os._exit(0)  # sockets and threads of peers may linger
