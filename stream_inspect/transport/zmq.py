"""The channels on ZeroMQ: unix sockets in the run's directory (mode 0700), no broker.

The topics of a process that outlives the run have their sockets in another directory, at a fixed place.

BROADCAST: each writer binds a PUB socket of its own, `<topic>.<writer>.pub`; a reader connects to all the writers that
the plan names, itself aside, whether they are there already or not. MAILBOX: the one reader binds a PULL socket,
`<topic>.box` or `<topic>.<key>.box`, and senders connect to it. A restarted process binds the same name again, and the
others reconnect by themselves within `RECONNECT_MS`.

A mailbox whose reader is away (restarting) is filled up to the topic's depth and delivered when it comes back; see
docs/decisions/0003-credit.md for why that holds for due frames too. The limits: `Topic.depth` messages wait at the
sender and as many at the reader, next to what the socket's buffer holds; `MAX_WIRE_BYTES` a message.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import zmq

from stream_inspect import metrics
from stream_inspect.messages import MAX_MESSAGE_BYTES, AnyMessage
from stream_inspect.topics import Delivery, Topic
from stream_inspect.transport.envelope import ENVELOPE, ChannelError, Packer, Unpacker, topic_of

RECONNECT_MS = 50
LINGER_MS = 200
"""How long `close` waits, at most, for what was sent to mailboxes right before it."""
MAX_PATH_BYTES = 107
"""Of a unix socket, by the kernel's `sockaddr_un`."""
RECEIVE_MAX = 1024
"""Messages returned by one `receive`: a fast writer must not keep a stage from its `tick`."""
MAX_WIRE_BYTES = 2 * MAX_MESSAGE_BYTES
"""libzmq ends the connection of a peer that sends more, before it takes the memory. It does so uncounted, hence the
room above `MAX_MESSAGE_BYTES`: a message that is only a little too large is received, counted and dropped."""


class ZmqChannels:
    """`channel.Channels` on ZeroMQ, for the stage `name`.

    `writers` names, for each BROADCAST topic, the stages that publish it. The sockets of those that this stage
    publishes are bound at once, so that readers find them before the first message. `directories` names, for each topic
    whose sockets do not lie in `run_dir`, the directory that holds them; it must exist.
    """

    def __init__(
        self,
        run_dir: Path,
        name: str,
        writers: Mapping[str, Sequence[str]],
        directories: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self._run_dir, self._name, self._directories = run_dir, name, directories
        self._writers = writers
        self._context = zmq.Context(io_threads=1)
        self._sockets: list[zmq.Socket[bytes]] = []
        self._inboxes: dict[zmq.Socket[bytes], Unpacker] = {}
        self._poller = zmq.Poller()
        self._wake_fd: int | None = None
        self._outboxes: dict[tuple[str, str], tuple[zmq.Socket[bytes], Packer]] = {}
        try:
            run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            for topic_name in (topic for topic, names in writers.items() if name in names):
                topic = topic_of(topic_name, "")
                if topic.delivery is not Delivery.BROADCAST:
                    raise ChannelError(f"topic {topic_name} is a mailbox: it has a reader, not a list of writers")
                publisher = self._socket(zmq.PUB, topic)
                publisher.bind(self._address(topic_name, f"{name}.pub"))
                self._outboxes[topic_name, ""] = publisher, Packer(topic)
        except BaseException:
            self.close()
            raise

    def subscribe(self, topic: str, key: str = "") -> None:
        """See `Channels.subscribe`. Raises `ChannelError` where the topic or the address cannot be."""
        row = topic_of(topic, key)
        if row.delivery is Delivery.BROADCAST:
            if not self._writers.get(topic):
                raise ChannelError(f"no stage publishes topic {topic}")
            socket = self._socket(zmq.SUB, row)
            socket.subscribe(b"")
            for writer in self._writers[topic]:
                if writer != self._name:
                    socket.connect(self._address(topic, f"{writer}.pub"))
        else:
            socket = self._socket(zmq.PULL, row)
            # libzmq removes a socket file that a killed reader has left.
            socket.bind(self._address(topic, _box(key)))
        self._inboxes[socket] = Unpacker(row)
        self._poller.register(socket, zmq.POLLIN)

    def send(self, topic: str, message: AnyMessage, key: str = "") -> bool:
        """See `Channels.send`."""
        socket, packer = self._outboxes.get((topic, key)) or self._connect(topic, key)
        try:
            socket.send(packer.pack(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        if socket.type == zmq.PUSH:
            metrics.MAILBOX_SENT.labels(topic).inc()
        return True

    def receive(self, timeout_s: float, wake_fd: int | None = None) -> Sequence[AnyMessage]:
        """See `Channels.receive`: in order of each sender, at most `RECEIVE_MAX`, fair over topics and senders."""
        for unpacker in self._inboxes.values():
            unpacker.worked_off()
        self._watch(wake_fd)
        ready = self._poller.poll(max(0, round(timeout_s * 1000)))
        inboxes = [(socket, self._inboxes[socket]) for socket, _ in ready if socket in self._inboxes]
        messages: list[AnyMessage] = []
        received = 0
        while inboxes and received < RECEIVE_MAX:
            # Asking costs a tenth of the exception that an empty socket raises.
            inboxes = [inbox for inbox in inboxes if inbox[0].get(zmq.EVENTS) & zmq.POLLIN]
            for socket, unpacker in inboxes:
                parts = socket.recv_multipart(zmq.NOBLOCK)
                received += 1
                message = unpacker.unpack(parts[0] if len(parts) == 1 else b"")
                if message is not None:
                    messages.append(message)
        return messages

    def close(self) -> None:
        """See `Channels.close`."""
        for socket in self._sockets:
            socket.close()
        self._context.destroy()

    def _watch(self, wake_fd: int | None) -> None:
        if wake_fd == self._wake_fd:
            return
        if self._wake_fd is not None:
            self._poller.unregister(self._wake_fd)
        if wake_fd is not None:
            self._poller.register(wake_fd, zmq.POLLIN)
        self._wake_fd = wake_fd

    def _connect(self, topic: str, key: str) -> tuple[zmq.Socket[bytes], Packer]:
        row = topic_of(topic, key)
        if row.delivery is Delivery.BROADCAST:
            raise ChannelError(f"this stage is not among the writers of topic {topic}")
        socket = self._socket(zmq.PUSH, row)
        socket.connect(self._address(topic, _box(key)))
        self._outboxes[topic, key] = outbox = socket, Packer(row)
        return outbox

    def _socket(self, kind: int, topic: Topic) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        self._sockets.append(socket)
        socket.sndhwm = socket.rcvhwm = topic.depth
        socket.maxmsgsize = MAX_WIRE_BYTES + ENVELOPE.size
        socket.linger = LINGER_MS if kind == zmq.PUSH else 0
        socket.reconnect_ivl = RECONNECT_MS
        return socket

    def _address(self, topic: str, name: str) -> str:
        path = os.fsencode(self._directories.get(topic, self._run_dir) / f"{topic}.{name}")
        if len(path) > MAX_PATH_BYTES:
            raise ChannelError(
                f"the socket path {os.fsdecode(path)} has {len(path)} bytes, a unix socket's has at most "
                f"{MAX_PATH_BYTES}: choose a shorter directory, or shorter names"
            )
        return f"ipc://{os.fsdecode(path)}"


def _box(key: str) -> str:
    return f"{key}.box" if key else "box"
