"""The channels on queues in one process, for tests: the same contract and the same limits as `zmq.py`."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

from stream_inspect import metrics
from stream_inspect.messages import AnyMessage, Delivery
from stream_inspect.transport.envelope import ChannelError, Packer, Unpacker, topic_of


class _Inbox:
    def __init__(self, depth: int) -> None:
        self.queue: deque[bytes] = deque()
        self.depth = depth
        self.wake_fds: set[int] = set()

    def put(self, data: bytes) -> bool:
        if len(self.queue) >= self.depth:
            return False
        self.queue.append(data)
        for descriptor in self.wake_fds:
            os.eventfd_write(descriptor, 1)
        return True


class MemoryHub:
    """What the channels of one process have in common: the run's directory, so to speak."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.boxes: dict[tuple[str, str], _Inbox] = {}
        self.listeners: dict[str, list[_Inbox]] = {}

    def box(self, topic: str, key: str, depth: int) -> _Inbox:
        """The mailbox of this address: it is there before its reader, and stays when that goes."""
        return self.boxes.setdefault((topic, key), _Inbox(depth))


class MemoryChannels:
    """`channel.Channels` on a `MemoryHub`, for the stage `name`; stages may run in threads of their own."""

    def __init__(self, hub: MemoryHub, name: str, writers: Mapping[str, Sequence[str]]) -> None:
        self._hub = hub
        self._writers = writers
        self._published = {topic for topic, names in writers.items() if name in names}
        self._inboxes: list[tuple[_Inbox, Unpacker]] = []
        self._packers: dict[tuple[str, str], Packer] = {}
        self._arrived = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = False

    def subscribe(self, topic: str, key: str = "") -> None:
        """See `Channels.subscribe`."""
        row = topic_of(topic, key)
        with self._hub.lock:
            if row.delivery is Delivery.BROADCAST:
                if not self._writers.get(topic):
                    raise ChannelError(f"nobody publishes topic {topic}")
                inbox = _Inbox(row.depth)
                self._hub.listeners.setdefault(topic, []).append(inbox)
            else:
                inbox = self._hub.box(topic, key, row.depth)
            inbox.wake_fds.add(self._arrived)
            os.eventfd_write(self._arrived, 1)
        self._inboxes.append((inbox, Unpacker(row)))

    def send(self, topic: str, message: AnyMessage, key: str = "") -> bool:
        """See `Channels.send`."""
        packer = self._packers.get((topic, key)) or self._packer(topic, key)
        data = packer.pack(message)
        with self._hub.lock:
            row = topic_of(topic, key)
            if row.delivery is Delivery.MAILBOX:
                taken = self._hub.box(topic, key, row.depth).put(data)
                if taken:
                    metrics.MAILBOX_SENT.labels(topic).inc()
                return taken
            for inbox in self._hub.listeners.get(topic, ()):
                inbox.put(data)
        return True

    def receive(self, timeout_s: float, wake_fd: int | None = None) -> Sequence[AnyMessage]:
        """See `Channels.receive`."""
        for _, unpacker in self._inboxes:
            unpacker.worked_off()
        descriptors = [self._arrived] if wake_fd is None else [self._arrived, wake_fd]
        deadline = time.monotonic() + timeout_s
        while True:
            messages = self._drain()
            left_s = deadline - time.monotonic()
            if messages or left_s <= 0:
                return messages
            if wake_fd in select.select(descriptors, [], [], left_s)[0]:
                return self._drain()

    def close(self) -> None:
        """See `Channels.close`."""
        if self._closed:
            return
        self._closed = True
        with self._hub.lock:
            for inbox, _ in self._inboxes:
                inbox.wake_fds.discard(self._arrived)
                for listeners in self._hub.listeners.values():
                    if inbox in listeners:
                        listeners.remove(inbox)
        os.close(self._arrived)

    def _packer(self, topic: str, key: str) -> Packer:
        row = topic_of(topic, key)
        if row.delivery is Delivery.BROADCAST and topic not in self._published:
            raise ChannelError(f"this stage is not among the writers of topic {topic}")
        return self._packers.setdefault((topic, key), Packer(row))

    def _drain(self) -> list[AnyMessage]:
        with self._hub.lock:
            if select.select([self._arrived], [], [], 0)[0]:
                os.eventfd_read(self._arrived)
            taken = [(unpacker, list(inbox.queue)) for inbox, unpacker in self._inboxes]
            for inbox, _ in self._inboxes:
                inbox.queue.clear()
        unpacked = [unpacker.unpack(data) for unpacker, batch in taken for data in batch]
        return [message for message in unpacked if message is not None]
