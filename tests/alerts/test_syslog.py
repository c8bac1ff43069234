"""Syslog: its format to the byte, its limit, and what is noticed although nothing acknowledges."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.syslog import SyslogAlert, syslog_message
from stream_inspect.commands.check.outputs import check_alert
from stream_inspect.config.load import ConfigError, load_text
from stream_inspect.config.outputs.syslog import SyslogAlertConfig
from stream_inspect.findings import Finding, Level
from stream_inspect.messages import Event, EventState, FrameRef, Verdict
from tests.alerts.events import a_config, a_part, an_event
from tests.alerts.receivers import BlackHole, Trickle, free_port, make_certificates, wait_until
from tests.alerts.rigs.syslog import (
    ALWAYS,
    DatagramReceiver,
    Rsyslog,
    StreamReceiver,
    expected_fields,
    parse,
    parse_element,
)

TIMEOUT_S = 1.0


def config_of(port: int = 514, **more: object) -> SyslogAlertConfig:
    return SyslogAlertConfig.model_validate(
        {"kind": "syslog", "host": "127.0.0.1", "port": port, "timeout_s": TIMEOUT_S, **more}
    )


def alert_of(port: int, **more: object) -> SyslogAlert:
    return SyslogAlert(config_of(port, **more), line="line1", state_dir=Path())


def with_changes(event: Event, **changes: object) -> Event:
    return msgspec.structs.replace(event, **changes)


def failure_of(call: Callable[..., None], *arguments: object) -> str:
    try:
        call(*arguments)
    except AlertError as error:
        return str(error)
    return ""


# --- the format --------------------------------------------------------------------------------------------------


def test_a_message_is_what_the_rfc_says() -> None:
    event = with_changes(
        an_event(3, name="hole", camera="top"),
        first_seen_utc_ns=1_790_000_000_000_000_000,
        last_seen_utc_ns=1_790_000_000_123_456_789,
        frame=None,
        outline_px=[],
        reason='seen in 2 of 4, "left" [b]\nC:\\x',
    )
    message = syslog_message(event, config_of(facility="local3", sd_id="vision@4711"), "press-3")
    procid = message.split(b" ")[4].decode()
    assert message.decode() == (
        f"<155>1 2026-09-21T14:13:20.123456Z press-3 stream_inspect {procid} defect-confirmed "
        '[vision@4711 id="top-1-hole-3" key="top-1-hole-3:confirmed" kind="defect" state="confirmed" line="line1" '
        'camera="top" name="hole" severity="major" version="1" first_seen_utc_ns="1790000000000000000" '
        'last_seen_utc_ns="1790000000123456789" score="0.75" box_xyxy_px="[10.0,20.0,30.0,45.5\\]" track="3" '
        'views="2" picture="pictures/top-1-hole-3.jpg" clip="clips/top-1-hole-3.mp4" '
        'reason="seen in 2 of 4, \\"left\\" [b\\]\nC:\\\\x"] '
        'defect hole confirmed: camera top, line line1, major; seen in 2 of 4, "left" [b] C:\\x'
    )


def test_a_text_that_is_not_ascii_says_so_by_a_byte_order_mark() -> None:
    assert b"] \xef\xbb\xbfdefect" in syslog_message(an_event(1), config_of(), "h")
    assert b"] defect" in syslog_message(with_changes(an_event(1), reason="plain"), config_of(), "h")


@pytest.mark.parametrize(
    ("severity", "state", "number"),
    [
        ("critical", EventState.CONFIRMED, 2),
        ("major", EventState.CONFIRMED, 3),
        ("minor", EventState.CONFIRMED, 4),
        ("of-a-plug-in", EventState.CONFIRMED, 3),
        ("critical", EventState.CLEARED, 5),
        ("minor", EventState.CLEARED, 5),
    ],
)
def test_severity_follows_the_event_and_what_has_cleared_is_a_notice(
    severity: str, state: EventState, number: int
) -> None:
    event = with_changes(an_event(1, state=state), severity=severity)
    found = parse(syslog_message(event, config_of(facility="daemon"), "h"))
    assert (found.facility, found.severity) == (3, number)
    assert found.msgid == f"defect-{state}"


def test_a_condition_of_the_whole_line_names_no_camera() -> None:
    event = with_changes(an_event(1, camera=""), kind="condition", name="model_failed", reason="no memory")
    found = parse(syslog_message(event, config_of(), "h"))
    assert found.text == "condition model_failed confirmed: line line1, major; no memory"
    assert found.fields["camera"] == ""


@pytest.mark.parametrize(
    ("verdict", "severity", "text"),
    [
        (Verdict.FAIL, 3, "part FAIL decided: part 2 P-0002, lane 0, line line1, major; hole 0.80"),
        (Verdict.PASS, 5, "part PASS decided: part 2 P-0002, lane 0, line line1, minor; 3 usable views, 3 needed"),
    ],
)
def test_a_verdict_says_which_part_it_is_of_and_one_that_passed_is_a_notice(
    verdict: Verdict, severity: int, text: str
) -> None:
    found = parse(syslog_message(a_part(2, verdict), config_of(), "h"))
    assert (found.severity, found.text, found.msgid) == (severity, text, "part-decided")
    assert (found.fields["name"], found.fields["part.serial"], found.fields["part.run"]) == (verdict, "P-0002", "1")


ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
NUMBERS = st.integers(0, 2**62)
FRAMES = st.builds(
    FrameRef,
    **dict.fromkeys(("session", "seq", "pts", "width_px", "height_px", "capture_mono_ns", "capture_utc_ns"), NUMBERS),
    pts_s=st.floats(0, 1e6),
)


@given(
    texts=st.fixed_dictionaries(dict.fromkeys(("line", "camera", "name", "severity", "reason", "clip"), ANY_TEXT)),
    state=st.sampled_from(EventState),
    utc_ns=st.integers(0, 4_000_000_000 * 10**9),
    frame=st.none() | FRAMES,
    score=st.none() | st.floats(0, 1),
)
def test_any_text_comes_out_as_it_went_in(
    texts: dict[str, str], state: EventState, utc_ns: int, frame: FrameRef | None, score: float | None
) -> None:
    event = with_changes(
        an_event(1, state=state), **texts, last_seen_utc_ns=utc_ns, frame=frame, score=score, outline_px=[]
    )
    found = parse(syslog_message(event, config_of(max_bytes=65000), "h"))
    assert found.fields == expected_fields(event)
    seconds, ns = divmod(utc_ns, 10**9)
    assert found.time == datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ns // 1000:06d}Z"
    assert re.search(r"[\x00-\x1f\x7f]", found.text) is None


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,39}", fullmatch=True)
LONG = st.text(st.characters(codec="utf-8"), max_size=3000)


@settings(max_examples=300)
@given(
    names=st.fixed_dictionaries(dict.fromkeys(("line", "camera", "name"), NAMES)),
    long=st.fixed_dictionaries(dict.fromkeys(("reason", "picture", "clip"), LONG)),
    numbers=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
    hostname=st.integers(1, 100).map("h".__mul__),
    max_bytes=st.integers(1024, 4000),
)
def test_a_message_is_never_longer_than_its_limit_and_says_what_it_leaves_out(
    names: dict[str, str], long: dict[str, str], numbers: tuple[int, int], hostname: str, max_bytes: int
) -> None:
    event_id = f"{names['camera']}-{numbers[0]}-{names['name']}-{numbers[1]}"
    whole = with_changes(
        an_event(1),
        **names,
        **long,
        id=event_id,
        key=f"{'0' * 16}:{event_id}:confirmed",
        model_hash="f" * 64,
        prompts_hash="e" * 64,
    )
    config = config_of(max_bytes=max_bytes, app_name="a" * 48, sd_id=f"{'s' * 20}@{'1' * 11}")
    message = syslog_message(whole, config, hostname)
    assert len(message) <= max_bytes
    found, expected = parse(message), expected_fields(whole)
    omitted = found.fields.pop("omitted").split(" ")
    assert omitted[0] == "outline_px"
    assert set(found.fields) >= ALWAYS
    missing = {name.partition(".")[0] for name in expected.keys() - found.fields.keys() - {"omitted"}}
    assert missing == set(omitted[1:])
    assert found.fields.items() <= expected.items()
    assert found.text.removeprefix("\ufeff").startswith(f"defect {names['name']} confirmed: camera {names['camera']}")


def test_an_event_that_cannot_be_short_enough_is_rejected() -> None:
    with pytest.raises(AlertRejectedError, match="bytes at least; max_bytes is 1024"):
        syslog_message(an_event(1, camera="x" * 2000), config_of(max_bytes=1024), "h")


# --- over UDP ----------------------------------------------------------------------------------------------------


def test_a_datagram_is_one_message_without_its_length() -> None:
    receiver = DatagramReceiver()
    alert = alert_of(receiver.port, transport="udp", hostname="press-3")
    alert.open()
    event = an_event(1)
    alert.send(event)
    alert.send(with_changes(an_event(2), reason="x" * 50_000))
    alert.check()
    first, second = receiver.take(), receiver.take()
    assert (parse(first).hostname, parse(first).fields) == ("press-3", expected_fields(event))
    assert len(second) <= 2048
    assert "reason" in parse(second).fields["omitted"]
    alert.close()
    receiver.close()


def test_a_port_that_nothing_listens_on_is_noticed_after_the_first_datagram() -> None:
    alert = alert_of(free_port(), transport="udp")
    alert.open()
    alert.send(an_event(1))  # lost, and nobody can know yet
    assert wait_until(lambda: "Connection refused" in failure_of(alert.check), 2)
    alert.close()


def test_a_host_that_is_not_known_is_an_error() -> None:
    for transport in ("udp", "tcp"):
        alert = alert_of(514, host="no-such-host.invalid", transport=transport)
        with pytest.raises(AlertError, match=r"^syslog no-such-host.invalid:514: cannot connect: "):
            alert.open()
        with pytest.raises(AlertError, match="not connected"):
            alert.send(an_event(1))


# --- over TCP ----------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[StreamReceiver]:
    receiver = StreamReceiver()
    yield receiver
    receiver.close()


def test_messages_on_one_connection_are_counted(receiver: StreamReceiver) -> None:
    alert = alert_of(receiver.port)
    alert.open()
    events = [with_changes(an_event(n), reason="zwei\nZeilen, 3 µm") for n in range(1, 21)]
    for event in events:
        alert.send(event)
    assert wait_until(lambda: len(receiver.messages) == 20)
    assert [parse(message).fields for message in receiver.messages] == [expected_fields(event) for event in events]
    alert.close()


def test_a_connection_that_was_closed_is_noticed_before_an_event_counts_as_sent(receiver: StreamReceiver) -> None:
    """Writing to it would succeed: the kernel takes the bytes, and the answer that nobody wants them comes later."""
    alert = alert_of(receiver.port)
    alert.open()
    alert.send(an_event(1))
    alert.check()
    assert wait_until(lambda: len(receiver.messages) == 1)
    receiver.hang_up()
    with pytest.raises(AlertError, match=r"connection (closed by the receiver|lost)"):
        alert.send(an_event(2))
    with pytest.raises(AlertError):
        alert.check()
    alert.close()
    alert.open()
    alert.send(an_event(2))
    assert wait_until(lambda: len(receiver.messages) == 2)
    assert [parse(message).fields["id"] for message in receiver.messages] == [an_event(n).id for n in (1, 2)]
    alert.close()


def test_a_connection_that_breaks_while_an_event_is_under_way_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        alert = alert_of(listener.getsockname()[1], max_bytes=65000)
        alert.open()
        connection, _ = listener.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        closes = threading.Timer(0.2, connection.close)
        closes.start()
        with pytest.raises(AlertError, match=r"Connection reset by peer|Broken pipe"):
            alert.send(with_changes(an_event(1), reason="x" * 50_000))
        closes.join()
        alert.close()


def test_a_receiver_that_takes_no_more_bytes_is_an_error_within_the_timeout() -> None:
    """As one whose computer lost its power: this computer's kernel would take events for a quarter of an hour."""
    receiver = StreamReceiver(reads=False)
    alert = alert_of(receiver.port)
    alert.open()
    for n in range(1, 100):  # its kernel's buffer of 4 KB takes a few of them, ours would take thousands
        start_s = time.monotonic()
        if failure := failure_of(alert.send, an_event(n)):
            break
    assert failure.endswith("cannot send: no answer")
    assert TIMEOUT_S - 0.1 < time.monotonic() - start_s < TIMEOUT_S + 1
    alert.close()
    receiver.close()


# --- over TLS ----------------------------------------------------------------------------------------------------


def test_over_tls_the_certificate_is_checked_and_a_closed_connection_noticed(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    receiver = StreamReceiver(certificates)
    untrusting = alert_of(receiver.port, tls=True)
    with pytest.raises(AlertError, match="its certificate is not trusted"):
        untrusting.open()
    alert = alert_of(receiver.port, tls=True, ca_file=certificates.ca)
    alert.open()
    for n in (1, 2, 3):
        alert.check()
        alert.send(an_event(n))
    assert wait_until(lambda: len(receiver.messages) == 3)
    receiver.hang_up()
    with pytest.raises(AlertError):
        alert.send(an_event(4))
    alert.close()
    receiver.close()


def test_a_receiver_that_reads_slowly_over_tls_costs_one_timeout(tmp_path: Path) -> None:
    """4 KB every 0.2 s: each part of the message is taken within the time-out of 1 s, the whole of it is not."""
    certificates = make_certificates(tmp_path)
    receiver = StreamReceiver(certificates, reads=False)
    alert = alert_of(receiver.port, tls=True, ca_file=certificates.ca, max_bytes=65_000)
    alert.open()
    stop = threading.Event()

    def read_slowly() -> None:
        assert wait_until(lambda: bool(receiver.connections))
        while not stop.wait(0.2):
            receiver.connections[0].recv(4096)

    reading = threading.Thread(target=read_slowly)
    reading.start()
    start_s = time.monotonic()
    try:
        failure = failure_of(alert.send, with_changes(an_event(1), reason="x" * 60_000))
        assert failure.endswith("cannot send: no answer")
        assert time.monotonic() - start_s < 2 * TIMEOUT_S
    finally:
        stop.set()
        reading.join()
        alert.close()
        receiver.close()


def test_a_handshake_that_trickles_costs_one_timeout() -> None:
    server = Trickle(b"\x16\x03\x03\x40\x00", b"\x02")
    threading.Timer(4, server.close).start()
    start_s = time.monotonic()
    with pytest.raises(AlertError):
        alert_of(server.port, tls=True).open()
    assert time.monotonic() - start_s < 2 * TIMEOUT_S


def test_a_server_that_never_shakes_hands_costs_one_timeout() -> None:
    hole = BlackHole()
    start_s = time.monotonic()
    with pytest.raises(AlertError, match="no answer"):
        alert_of(hole.port, tls=True).open()
    assert TIMEOUT_S - 0.1 < time.monotonic() - start_s < TIMEOUT_S + 1
    hole.close()


# --- with a real receiver ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rsyslog_reads_every_part_of_it(transport: str, tmp_path: Path) -> None:
    receiver = Rsyslog(tmp_path, transport)
    receiver.start()
    alert = alert_of(receiver.port, transport=transport, facility="local5", hostname="press-3", app_name="vision")
    alert.open()
    event = with_changes(an_event(1, line="línea"), reason='a "b" [c] \\d\\ e]')
    alert.send(event)
    assert wait_until(lambda: len(receiver.messages()) == 1)
    alert.close()
    receiver.kill()
    (got,) = receiver.messages()
    assert (got["syslogfacility"], got["syslogseverity"]) == ("21", "3"), "local5, error"
    assert (got["hostname"], got["app-name"], got["msgid"]) == ("press-3", "vision", "defect-confirmed")
    assert parse_element(got["structured-data"]) == (("stream_inspect@32473", expected_fields(event)), "")
    assert got["msg"].removeprefix("\ufeff").startswith("defect scratch confirmed: camera cam1, line línea, major; a ")
    told = datetime.fromisoformat(got["timereported"])
    assert abs(told.timestamp() - event.last_seen_utc_ns / 1e9) < 1e-5


# --- its configuration and its check -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("transport: udp, tls: true", "alerts[0].tls: needs transport: tcp"),
        ("ca_file: ca.pem", "alerts[0].ca_file: has no effect unless tls: true"),
        ("facility: local8", "alerts[0].facility: must be user, daemon, local0, "),
        ("sd_id: vision", "alerts[0].sd_id: must be name@number, such as stream_inspect@32473"),
        ("app_name: 'a b'", "alerts[0].app_name: must be 1 to 48 printable ASCII characters without spaces"),
        ("max_bytes: 480", "alerts[0].max_bytes: must be a whole number from 1024 to 65000, not 480"),
    ],
)
def test_each_mistake_is_told_with_its_place(keys: str, told: str) -> None:
    text = (
        "version: 1\ncameras: [{name: top, source: {kind: synthetic}}]\ndefects: [{name: hole, prompts: [hole]}]\n"
        f"alerts: [{{kind: syslog, host: logs, {keys}}}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_text(text, Path("/nowhere/line.yaml"))
    (problem,) = caught.value.problems
    assert (problem.line, told in str(problem)) == (4, True), problem


def test_check_says_that_nothing_acknowledges(receiver: StreamReceiver, tmp_path: Path) -> None:
    def checked(port: int, **more: object) -> list[Finding]:
        alert = {"kind": "syslog", "host": "127.0.0.1", "port": port, "timeout_s": TIMEOUT_S, **more}
        config = a_config(tmp_path, alert)
        return check_alert(config.alerts[0], config)

    for more, told in (
        ({}, "can be reached; nothing was sent"),
        ({"transport": "udp"}, "address found; whether anything receives datagrams there cannot be known"),
    ):
        reached, promise = checked(receiver.port, **more)
        assert (reached.level, reached.text) == (Level.OK, f"syslog 127.0.0.1:{receiver.port}: {told}")
        assert (promise.item, promise.level) == ("alert syslog", Level.OK)
        assert promise.text.endswith("(at most once)")
    (gone,) = [f for f in checked(free_port()) if f.level is Level.FAIL]
    assert gone.text.endswith("cannot connect: Connection refused")
