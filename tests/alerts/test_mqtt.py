"""MQTT against a real mosquitto: acknowledgements, status, topics, TLS, passwords, and brokers that say no."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from paho.mqtt.properties import Properties
from structlog.testing import capture_logs

from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.mqtt import MqttAlert
from stream_inspect.alerts.status import StatusReport
from stream_inspect.config.outputs.mqtt import MqttAlertConfig
from stream_inspect.messages import ActiveCondition, ConditionKind, EventState
from tests.alerts.events import an_event
from tests.alerts.receivers import (
    BlackHole,
    Mosquitto,
    ScriptedBroker,
    Subscriber,
    Trickle,
    free_port,
    make_certificates,
    wait_until,
)

pytestmark = pytest.mark.slow


def make_alert(port: int, *, state_dir: Path = Path(), **more: object) -> MqttAlert:
    config = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "timeout_s": 1.0, **more}
    return MqttAlert(MqttAlertConfig.model_validate(config), line="line1", state_dir=state_dir)


def is_lost(alert: MqttAlert) -> bool:
    try:
        alert.check()
    except AlertError:
        return True
    return False


@pytest.fixture
def start(tmp_path):
    """Starts brokers, and ends them with the test."""
    brokers: list[Mosquitto] = []

    def one(**options: object) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path / f"broker{len(brokers)}", **options))
        brokers[-1].start()
        return brokers[-1]

    yield one
    for broker in brokers:
        broker.close()


@pytest.fixture
def listen():
    """Subscribes, and ends the subscriptions with the test."""
    subscribers: list[Subscriber] = []

    def one(broker: Mosquitto, topic: str, **options: str) -> Subscriber:
        subscribers.append(Subscriber(broker.port, topic, client_id=f"subscriber{len(subscribers)}", **options))
        return subscribers[-1]

    yield one
    for subscriber in subscribers:
        subscriber.close()


@pytest.fixture
def scripted():
    """Starts brokers that say what they are told to, and ends them with the test."""
    brokers: list[ScriptedBroker] = []

    def one(**answers: object) -> ScriptedBroker:
        brokers.append(ScriptedBroker(**answers))
        return brokers[-1]

    yield one
    for broker in brokers:
        broker.close()


def states(subscriber: Subscriber) -> list[str]:
    return [json.loads(payload)["state"] for _, payload, _ in subscriber.messages]


def a_report(state: str, *kinds: str) -> StatusReport:
    conditions = [
        ActiveCondition(kind=ConditionKind(kind), camera="top", source="supervisor", detail="why", since_utc_ns=7)
        for kind in kinds
    ]
    return StatusReport(state=state, line="line1", host=socket.gethostname(), conditions=conditions)


class TestStatus:
    TOPIC = f"stream_inspect/line1/status/{socket.gethostname()}"

    def test_it_is_what_was_shown_last_and_offline_at_the_end_and_retained(self, start, listen):
        broker = start()
        alert = make_alert(broker.port)
        alert.show_status(a_report("ok"))
        alert.open()
        early = listen(broker, self.TOPIC)
        assert wait_until(lambda: states(early) == ["ok"])
        assert early.messages[0][2], "retained: who comes later knows too"
        alert.show_status(a_report("degraded", "not_judged"))
        assert wait_until(lambda: states(early) == ["ok", "degraded"], 1)
        alert.close()
        assert wait_until(lambda: states(early) == ["ok", "degraded", "offline"])
        late = listen(broker, self.TOPIC)
        assert wait_until(lambda: states(late) == ["offline"])

    def test_it_is_the_documented_json(self, start, listen):
        broker = start()
        subscriber = listen(broker, self.TOPIC)
        alert = make_alert(broker.port)
        alert.open()
        alert.show_status(a_report("degraded", "not_judged"))
        assert wait_until(lambda: states(subscriber) == ["unknown", "degraded"])
        alert.close()
        assert json.loads(subscriber.messages[1][1]) == {
            "version": 1,
            "state": "degraded",
            "line": "line1",
            "host": socket.gethostname(),
            "conditions": [
                {"kind": "not_judged", "camera": "top", "source": "supervisor", "detail": "why", "since_utc_ns": 7}
            ],
        }

    def test_it_survives_an_outage_of_the_broker(self, start, listen):
        broker = start()
        alert = make_alert(broker.port)
        alert.open()
        broker.kill()
        assert wait_until(lambda: is_lost(alert), 5)
        alert.close()
        alert.show_status(a_report("degraded", "not_judged"))
        broker.start()
        alert.open()
        subscriber = listen(broker, self.TOPIC)
        assert wait_until(lambda: states(subscriber) == ["degraded"])
        alert.close()

    def test_it_does_not_wait_for_an_event_that_is_not_answered(self, scripted):
        broker = scripted(silent="/events")
        alert = make_alert(broker.port, timeout_s=5)
        alert.open()

        def send() -> None:
            with pytest.raises(AlertError):
                alert.send(an_event(1))

        sending = threading.Thread(target=send)
        sending.start()
        assert wait_until(lambda: any("/events" in topic for topic, _ in broker.published))
        start_s = time.monotonic()
        alert.show_status(a_report("degraded", "not_judged"))
        assert wait_until(lambda: any(b"degraded" in payload for _, payload in broker.published), 2)
        assert time.monotonic() - start_s < 2
        broker.hang_up()
        sending.join()
        alert.close()

    @pytest.mark.parametrize("protocol", ["mqtt5", "mqtt311"])
    def test_the_last_will_speaks_when_the_process_is_killed(self, start, listen, protocol):
        broker = start()
        subscriber = listen(broker, self.TOPIC)
        script = (
            "import sys, time; from tests.alerts.test_mqtt import make_alert\n"
            "alert = make_alert(int(sys.argv[1]), protocol=sys.argv[2]); alert.open(); time.sleep(60)\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(broker.port), protocol], cwd=Path(__file__).parents[2]
        )
        try:
            assert wait_until(lambda: states(subscriber) == ["unknown"])
        finally:
            child.kill()
            child.wait()
        assert wait_until(lambda: states(subscriber) == ["unknown", "offline"])


class TestTwoServices:
    def test_two_services_of_one_line_do_not_disconnect_each_other(self, start, tmp_path):
        """Two hosts differ by their names, two services on one host by their state folders."""
        broker = start()
        one, two = (make_alert(broker.port, state_dir=tmp_path / name) for name in ("one", "two"))
        one.open()
        two.open()
        two.send(an_event(1))
        time.sleep(0.2)  # a broker that drops the older connection does so at once
        one.check()
        one.send(an_event(1))
        one.close()
        two.close()

    def test_a_state_folder_whose_name_is_not_utf_8_has_a_client_id_too(self, tmp_path):
        ids = [make_alert(1883, state_dir=tmp_path / os.fsdecode(name))._client_id for name in (b"a\xfc", b"a\xe4")]
        assert len(set(ids)) == 2
        assert all(one.isascii() for one in ids)

    def test_two_hosts_have_statuses_and_client_ids_of_their_own(self, start, listen, monkeypatch):
        broker = start()
        subscriber = listen(broker, "stream_inspect/line1/status/+")
        alerts = []
        for host in ("press-1", "press-2"):
            monkeypatch.setattr("socket.gethostname", lambda host=host: host)
            alerts.append(make_alert(broker.port))
            alerts[-1].open()
        alerts[0].check()
        alerts[0].close()

        def last() -> dict[str, str]:
            shown = zip(subscriber.messages, states(subscriber), strict=False)
            return {topic.rpartition("/")[2]: state for (topic, _, _), state in shown}

        assert wait_until(lambda: last() == {"press-1": "offline", "press-2": "unknown"})
        alerts[1].close()

    def test_a_session_taken_over_is_reported_as_that(self, scripted):
        alert = make_alert(scripted(disconnects={"/events": 0x8E}).port, client_id="same")
        alert.open()
        with pytest.raises(AlertError, match="session taken over: another client uses the client id 'same'"):
            alert.send(an_event(1))
        alert.close()


class TestTopics:
    def test_line_and_camera_are_filled_in(self, start, listen):
        broker = start()
        subscriber = listen(broker, "#")
        alert = make_alert(broker.port, topic="plant/{line}/x/{camera}")
        alert.open()
        alert.send(an_event(1, camera="cam7", line="bottling"))
        alert.close()
        assert wait_until(lambda: len(subscriber.messages) >= 2)
        assert "plant/bottling/x/cam7" in [topic for topic, _, _ in subscriber.messages]

    def test_what_mqtt_reserves_is_replaced(self, start, listen):
        broker = start()
        subscriber = listen(broker, "p/#")
        alert = make_alert(broker.port, topic="p/{line}/{camera}")
        alert.open()
        alert.send(an_event(1, camera="a/b+c#", line=""))
        alert.close()
        assert wait_until(lambda: [topic for topic, _, _ in subscriber.messages] == ["p/_/a_b_c_"])

    def test_the_key_travels_as_a_property_too(self, start, listen):
        broker = start()
        subscriber = listen(broker, "stream_inspect/+/+/events")
        alert = make_alert(broker.port)
        alert.open()
        alert.send(an_event(1))
        alert.close()
        assert wait_until(lambda: len(subscriber.properties) == 1)
        assert subscriber.properties[0].UserProperty == [("idempotency-key", an_event(1).key)]
        assert subscriber.properties[0].ContentType == "application/json"


class TestExpiry:
    """The broker keeps events for a subscriber that is away, and passes on none that is too old for the output."""

    def received(self, start, listen, event, **config) -> list[Properties]:
        broker = start()
        subscriber = listen(broker, "stream_inspect/+/+/events")
        alert = make_alert(broker.port, **config)
        alert.open()
        alert.send(event)
        alert.close()
        assert wait_until(lambda: len(subscriber.properties) == 1)
        return subscriber.properties

    def test_an_event_expires_with_what_remains_of_its_age(self, start, listen):
        late = msgspec.structs.replace(an_event(1), late_s=20.3)
        (properties,) = self.received(start, listen, late, max_age_s=60)
        assert 37 <= properties.MessageExpiryInterval <= 39

    def test_no_event_expires_where_no_age_is_asked_for(self, start, listen):
        (properties,) = self.received(start, listen, an_event(1))
        assert not hasattr(properties, "MessageExpiryInterval")

    def test_a_dead_letter_that_is_sent_again_does_not_expire_at_once(self, start, listen):
        """A person wants it sent, however old it is; a subscriber that is away gets it later."""
        late = msgspec.structs.replace(an_event(1), late_s=3600.0)
        (properties,) = self.received(start, listen, late, max_age_s=60)
        assert not hasattr(properties, "MessageExpiryInterval")

    def test_an_event_that_became_too_old_on_its_way_does(self, start, listen):
        late = msgspec.structs.replace(an_event(1), late_s=60.2)
        (properties,) = self.received(start, listen, late, max_age_s=60)
        assert properties.MessageExpiryInterval <= 1

    def test_the_end_of_an_event_never_expires(self, start, listen):
        (properties,) = self.received(start, listen, an_event(1, state=EventState.CLEARED), max_age_s=60)
        assert not hasattr(properties, "MessageExpiryInterval")


class TestLettingIn:
    def test_a_wrong_password(self, start):
        broker = start(password="right-one")
        alert = make_alert(broker.port, username="inspector", password="wr0ng-one")
        with pytest.raises(
            AlertError, match=r"rejected the connection: (Not authorized|Bad user name or password)"
        ) as found:
            alert.open()
        assert "wr0ng-one" not in str(found.value)

    def test_an_unknown_authority(self, start, tmp_path):
        broker = start(tls=True)
        alert = make_alert(broker.port, tls=True, ca_file=make_certificates(tmp_path).ca)
        with pytest.raises(AlertError, match="its certificate is not trusted"):
            alert.open()

    def test_a_missing_authority_file(self, tmp_path):
        alert = make_alert(1, tls=True, ca_file=tmp_path / "none.pem")
        with pytest.raises(AlertError, match="No such file"):
            alert.open()

    def test_plain_talk_to_a_tls_port(self, start):
        broker = start(tls=True)
        with pytest.raises(AlertError, match=r"connection lost|no answer"):
            make_alert(broker.port).open()

    @pytest.mark.parametrize("protocol", ["mqtt5", "mqtt311"])
    def test_both_protocols(self, start, listen, protocol):
        broker = start(password="right-one")
        subscriber = listen(broker, "stream_inspect/+/+/events", password="right-one")
        alert = make_alert(broker.port, username="inspector", password="right-one", protocol=protocol)
        alert.open()
        alert.send(an_event(1))
        alert.close()
        assert wait_until(lambda: len(subscriber.messages) == 1)


class TestNotTaken:
    def test_a_topic_we_may_not_write_to_is_noticed_and_may_be_mended(self, start, listen, tmp_path):
        """Some versions of mosquitto say "not authorized", some break the connection: either way the event waits."""
        acl = tmp_path / "acl"
        acl.write_text("topic write stream_inspect/line1/status/#\n")
        broker = start(extra=f"acl_file {acl}")
        alert = make_alert(broker.port)
        alert.open()
        with pytest.raises(AlertError):
            alert.send(an_event(1))
        acl.write_text("topic readwrite stream_inspect/#\n")
        broker.signal(signal.SIGHUP)  # mosquitto reads its lists again
        time.sleep(0.2)
        subscriber = listen(broker, "stream_inspect/+/+/events")
        alert.close()
        alert.open()
        alert.send(an_event(1))
        alert.close()
        assert wait_until(lambda: len(subscriber.messages) == 1)

    @pytest.mark.parametrize("code", [0x87, 0x99])
    def test_the_error_names_the_topic_and_the_reason(self, scripted, code):
        """`test_refusals.py` has what each of them means."""
        alert = make_alert(scripted(pubacks={"/events": code}).port)
        alert.open()
        with pytest.raises((AlertError, AlertRejectedError), match="rejected stream_inspect/line1/cam1/events: "):
            alert.send(an_event(1))
        alert.close()

    def test_a_status_we_may_not_write_does_not_stop_the_events(self, scripted):
        with capture_logs() as logs:
            alert = make_alert(scripted(pubacks={f"/status/{socket.gethostname()}": 0x87}).port)
            alert.open()
            alert.send(an_event(1))
            alert.close()
        assert [(line["event"], line["error"]) for line in logs] == [
            ("broker rejected the status message", "Not authorized")
        ]

    def test_a_broker_of_another_protocol_version_says_what_to_set(self, scripted):
        with pytest.raises(AlertError, match="set protocol: mqtt311"):
            make_alert(scripted(connack=0x84).port).open()

    def test_an_event_larger_than_the_broker_accepts_is_rejected_and_the_next_goes(self, start, listen):
        broker = start(extra="max_packet_size 3000")
        subscriber = listen(broker, "stream_inspect/+/+/events")
        large = an_event(1)
        large = type(large)(**{name: getattr(large, name) for name in large.__struct_fields__} | {"reason": "x" * 4000})
        alert = make_alert(broker.port)
        alert.open()
        with pytest.raises(AlertRejectedError, match="packets of up to 3000 bytes"):
            alert.send(large)
        alert.send(an_event(2))
        alert.close()
        assert wait_until(lambda: len(subscriber.messages) == 1)

    def test_nobody_listening_is_said_once(self, start):
        broker = start()
        with capture_logs() as logs:
            alert = make_alert(broker.port)
            alert.open()
            for n in range(1, 4):
                alert.send(an_event(n))
            alert.close()
        assert [line["event"] for line in logs] == ["no subscriber for this topic (events are delivered to the broker)"]


class TestNetwork:
    def test_nobody_there(self):
        with pytest.raises(AlertError, match="refused"):
            make_alert(free_port()).open()

    @pytest.mark.parametrize("tls", [False, True])
    def test_a_black_hole_costs_one_timeout(self, tls):
        hole = BlackHole()
        start_s = time.monotonic()
        with pytest.raises(AlertError):
            make_alert(hole.port, tls=tls).open()
        assert 0.9 < time.monotonic() - start_s < 3
        hole.close()

    @pytest.mark.parametrize(
        ("tls", "first", "then"),
        [(False, b"\x20\x7f", b"\x00"), (True, b"\x16\x03\x03\x40\x00", b"\x02")],
        ids=["login", "handshake"],
    )
    def test_a_broker_that_trickles_its_answer_costs_one_timeout(self, tls, first, then):
        server = Trickle(first, then)
        threading.Timer(4, server.close).start()
        start_s = time.monotonic()
        with pytest.raises(AlertError):
            make_alert(server.port, tls=tls).open()
        assert time.monotonic() - start_s < 3

    def test_a_broker_that_stops_answering(self, start):
        broker = start()
        alert = make_alert(broker.port)
        alert.open()
        broker.signal(signal.SIGSTOP)
        start_s = time.monotonic()
        with pytest.raises(AlertError, match="no acknowledgement within 1 s"):
            alert.send(an_event(1))
        alert.close()
        assert 0.9 < time.monotonic() - start_s < 3
        broker.signal(signal.SIGCONT)

    def test_a_lost_connection_is_noticed_while_idle(self, start):
        broker = start()
        alert = make_alert(broker.port)
        alert.open()
        alert.check()
        broker.kill()
        assert wait_until(lambda: is_lost(alert), 2)
        alert.close()

    def test_a_late_copy_never_overtakes(self, start, listen):
        """The broker hangs with event 1 unanswered; the next connection must be the only one that sends."""
        broker = start()
        subscriber = listen(broker, "stream_inspect/+/+/events")
        alert = make_alert(broker.port)
        alert.open()
        broker.signal(signal.SIGSTOP)
        with pytest.raises(AlertError):
            alert.send(an_event(1))
        alert.close()
        broker.signal(signal.SIGCONT)
        alert.open()
        for n in (1, 2, 3):
            alert.send(an_event(n))
        time.sleep(0.3)
        alert.close()
        ns = [int(payload.split(b'"track":')[1].split(b",")[0]) for _, payload, _ in subscriber.messages]
        assert sorted(set(ns)) == [1, 2, 3]
        assert ns == sorted(ns)

    def test_failed_tries_leave_nothing_behind(self, start):
        broker = start()
        refusing = free_port()
        me = psutil.Process()

        def cycle() -> None:
            alert = make_alert(broker.port)
            alert.open()
            alert.close()
            with pytest.raises(AlertError):
                make_alert(refusing).open()

        for _ in range(3):
            cycle()
        threads, handles = threading.active_count(), me.num_fds()
        for _ in range(30):
            cycle()
        assert threading.active_count() == threads
        assert me.num_fds() == handles
