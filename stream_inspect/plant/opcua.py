"""A server of OPC UA: one subscription, in an event loop of the reader's thread.

The server's clock (SourceTimestamp) is another one: it may be wrong by hours, and may be set while it runs. So the time
of a value is its arrival here. But what waited for one publishing interval arrives at one moment, and how far apart it
was the server knows better: within one message, a value that is older than the newest one by the server's clock is as
much older here, up to one publishing interval.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeNotif, Subscription
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from stream_inspect.config.inputs.opcua import OpcUaInputConfig
from stream_inspect.messages import CounterBits
from stream_inspect.network_errors import error_text
from stream_inspect.plant.input import EncoderCount, Level, PlantInputError, Reading, Sink
from stream_inspect.plant.last_seen import LastSeen
from stream_inspect.plant.values import count_of, level_of, text_of

SESSION_S = 15.0
"""The server forgets our session this long after we vanished, and with it all that it queues for us."""
KEEPALIVE_S = 0.2
"""A subscription that has nothing to send says so this often: then the encoder's count still stands."""
SLOWEST_KEEPALIVE_S = 0.5
"""A server that does so more seldom leaves it open whether the belt stands."""
GOODBYE_S = 0.5
"""How long a stop waits for the server to close the session."""
RETRY_S = 2.0
"""A node that was not there is tried again after this: a PLC makes its nodes when its program starts."""
STOP_CHECK_S = 0.05

# It logs each failing connection with its traceback: what failed is in our error.
logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)

_OVERFLOW = 0x480  # InfoType DataValue and its bit Overflow: the server's queue was full and something was dropped
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _Variable:
    """A node and what it means; the encoder has no name of its own."""

    node: str
    kind: Literal["encoder", "level", "text"]
    name: str
    bits: CounterBits = 32


def _variables(config: OpcUaInputConfig) -> list[_Variable]:
    found = []
    if config.encoder is not None:
        found.append(_Variable(config.encoder.node, "encoder", "encoder", config.encoder.bits))
    found += [_Variable(one.node, "level", one.name) for one in (*config.photo_eyes, *config.levels)]
    return [*found, *(_Variable(one.node, "text", one.name) for one in config.texts)]


class OpcUaInput:
    """One connection at a time, with one session and one subscription."""

    def __init__(self, config: OpcUaInputConfig) -> None:
        self._config = config
        self._where = f"OPC UA server {config.url.removeprefix('opc.tcp://')}"
        self._last_seen = LastSeen()

    def read(self, sink: Sink) -> None:
        """Subscribe, and hand over what comes until `sink.is_stopping()`. Raises `PlantInputError`."""
        self._last_seen.connected()
        asyncio.run(self._read(sink))

    async def _read(self, sink: Sink) -> None:
        config = self._config
        # The client's own watch asks the server how it is as often as this, and waits as long for the answer.
        client = Client(config.url, timeout=config.timeout_s, watchdog_intervall=config.timeout_s)
        client.session_timeout = round(SESSION_S * 1000)
        if config.login is not None:
            user, password = config.login
            client.set_user(user)
            client.set_password(password or "")
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def on_lost(error: Exception) -> None:
            if not lost.done():
                is_silent = isinstance(error, TimeoutError)
                lost.set_result(f"no answer within {config.timeout_s:g} s" if is_silent else "connection lost")

        client.connection_lost_callback = on_lost
        try:
            await self._answered(client.connect(), "connect")
            subscription, arrivals = await self._subscribe(client, sink, lost)
            sink.connected()
            missing = await self._watch(subscription, arrivals, _variables(config), sink)
            again_s = time.monotonic() + RETRY_S
            while not sink.is_stopping():
                await asyncio.wait({lost}, timeout=STOP_CHECK_S)
                if lost.done():
                    raise PlantInputError(f"{self._where}: {lost.result()}")
                if missing and time.monotonic() >= again_s:
                    missing = await self._watch(subscription, arrivals, missing, sink)
                    again_s = time.monotonic() + RETRY_S
            with suppress(Exception):  # a server that does not answer forgets us by itself
                await asyncio.wait_for(client.disconnect(), GOODBYE_S)
        finally:
            client.disconnect_socket()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn, and ends with this one

    async def _answered(self, call: Awaitable[_Answer], doing: str) -> _Answer:
        """The answer to a call. Raises `PlantInputError`."""
        timeout_s = self._config.timeout_s
        try:
            return await asyncio.wait_for(call, timeout_s)
        except TimeoutError as error:
            raise PlantInputError(f"{self._where}: cannot {doing}: no answer within {timeout_s:g} s") from error
        except UaStatusCodeError as error:
            name = ua.StatusCode(ua.UInt32(error.code)).name
            raise PlantInputError(f"{self._where}: cannot {doing}: {name}") from error
        except (OSError, UaError) as error:
            raise PlantInputError(f"{self._where}: cannot {doing}: {error_text(error)}") from error

    async def _subscribe(self, client: Client, sink: Sink, lost: asyncio.Future[str]) -> tuple[Subscription, _Arrivals]:
        interval_ms = self._config.publishing_interval_s * 1000
        keepalives = max(1, round(KEEPALIVE_S * 1000 / interval_ms))
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval_ms,
            RequestedLifetimeCount=max(3 * keepalives, round(SESSION_S * 1000 / interval_ms)),
            RequestedMaxKeepAliveCount=keepalives,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        arrivals = _Arrivals(self._where, self._last_seen, sink, lost, self._config.publishing_interval_s)
        # Made here, as the client's own way answers a server that revised the interval with keep-alives 11 s apart.
        subscription = _Watched(client.uaclient.session, parameters, arrivals)
        revised = await self._answered(subscription.init(), "subscribe")
        every_s = revised.RevisedPublishingInterval / 1000 * revised.RevisedMaxKeepAliveCount
        if self._config.encoder is not None and every_s > SLOWEST_KEEPALIVE_S:
            text = f"sends keep-alives every {every_s:g} s, needed are {SLOWEST_KEEPALIVE_S:g}: whether the belt stands"
            sink.fault("keep-alive", f"{self._where} {text} is not known in between")
        return subscription, arrivals

    async def _watch(
        self, subscription: Subscription, arrivals: _Arrivals, variables: Sequence[_Variable], sink: Sink
    ) -> list[_Variable]:
        """Have each variable watched; returns those that the server rejected."""
        arrivals.add(variables)
        nodes = [Node(subscription.server, one.node) for one in variables]
        answers = await self._answered(
            subscription.subscribe_data_change(
                nodes,
                queuesize=self._config.queue_size,
                sampling_interval=ua.Double(self._config.publishing_interval_s * 1000),
            ),
            "subscribe",
        )
        missing = []
        for one, answer in zip(variables, answers, strict=True):
            if isinstance(answer, ua.StatusCode):
                missing.append(one)
                sink.fault(one.name, f"{self._where}: {one.name} (node {one.node}): {answer.name}")
        return missing


class _Watched(Subscription):
    """A subscription that hands over keep-alives too."""

    def __init__(self, session: UaSession, parameters: ua.CreateSubscriptionParameters, arrivals: _Arrivals) -> None:
        super().__init__(session, parameters, arrivals)
        self._arrivals = arrivals

    async def publish_callback(self, publish_result: ua.PublishResult) -> None:
        await super().publish_callback(publish_result)
        if not publish_result.NotificationMessage.NotificationData:
            self._arrivals.nothing_new()


class _Arrivals:
    """What the client calls for each value; the values of one message are handed over together."""

    def __init__(
        self, where: str, last_seen: LastSeen, sink: Sink, lost: asyncio.Future[str], interval_s: float
    ) -> None:
        self._where = where
        self._last_seen = last_seen
        self._sink = sink
        self._lost = lost
        self._interval_ns = round(interval_s * 1e9)
        self._last_ns = 0
        self._variables: dict[ua.NodeId, list[_Variable]] = {}
        self._arrived: list[tuple[int, ua.NodeId, ua.DataValue]] = []
        self._count: EncoderCount | None = None

    def add(self, variables: Sequence[_Variable]) -> None:
        """These may come."""
        for one in variables:
            same = self._variables.setdefault(ua.NodeId.from_string(one.node), [])
            if one not in same:
                same.append(one)

    def datachange_notification(self, node: Node, _value: Any, data: DataChangeNotif) -> None:
        """Each value of a message, one call after the other within one turn of the loop."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._arrived.append((time.monotonic_ns(), node.nodeid, data.monitored_item.Value))

    def nothing_new(self) -> None:
        """The server has no change to send: what it sent last still stands."""
        now_ns = time.monotonic_ns()
        self._last_seen.alive(now_ns)
        if self._count is not None:
            self._sink.put([replace(self._count, mono_ns=now_ns)])

    def status_change_notification(self, notification: ua.StatusChangeNotification) -> None:
        """The server ended the subscription."""
        if not self._lost.done():
            self._lost.set_result(f"subscription ended: {notification.Status.name}")

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        stamps = [value.SourceTimestamp for _, _, value in arrived if value.SourceTimestamp is not None]
        newest = max(stamps, default=None)
        readings: list[Reading] = []
        for arrived_ns, node_id, value in arrived:
            age_ns = 0
            if newest is not None and value.SourceTimestamp is not None:
                age_ns = round((newest - value.SourceTimestamp).total_seconds() * 1e9)
            # Later than what came before it, whatever the server's clock did between two of its messages.
            mono_ns = self._last_ns = max(self._last_ns, arrived_ns - min(age_ns, self._interval_ns))
            for one in self._variables[node_id]:
                try:
                    readings.append(self._reading(one, value, mono_ns))
                except ValueError as error:
                    self._sink.fault(one.name, f"{self._where}: {one.name} (node {one.node}): {error}")
                else:
                    self._sink.fault(one.name, "")
        self._last_seen.alive(time.monotonic_ns())
        self._sink.put(sorted(readings, key=lambda reading: isinstance(reading, Level)))

    def _reading(self, one: _Variable, value: ua.DataValue, mono_ns: int) -> Reading:
        """Raises ValueError."""
        if one.kind == "encoder":
            self._count = None
        status = value.StatusCode
        if status is not None and status.value & _OVERFLOW == _OVERFLOW:
            self._sink.lost(1)
        if status is not None and (status.is_bad() or status.is_uncertain()):
            raise ValueError(status.name)
        raw = None if value.Value is None else value.Value.Value
        if one.kind == "encoder":
            self._count = EncoderCount(count_of(raw, one.bits), one.bits, mono_ns)
            return self._count
        found = level_of(raw) if one.kind == "level" else text_of(raw)
        if self._last_seen.is_first(one.name):
            return self._last_seen.stands(one.name, found, mono_ns)
        # Sampled at most an interval after it changed, and sent at most an interval after that.
        return self._last_seen.changed(one.name, found, mono_ns, mono_ns - 2 * self._interval_ns)
