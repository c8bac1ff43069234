"""The webhook: signed, retried where that may help, rejected where it never will, and quiet about its secrets."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from stream_inspect.alerts.alert import AlertError, AlertRejectedError
from stream_inspect.alerts.webhook import WebhookAlert
from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from tests.alerts.events import an_event
from tests.alerts.receivers import BlackHole, HttpReceiver, Trickle, free_port, make_certificates

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="


def make_alert(url: str, **more: object) -> WebhookAlert:
    config = WebhookAlertConfig.model_validate({"kind": "webhook", "url": url, "timeout_s": 1.0, **more})
    return WebhookAlert(config, line="line1", state_dir=Path())


@pytest.fixture
def alert(receiver):
    alert = make_alert(f"http://127.0.0.1:{receiver.port}/hook/tok3n?key=s3cret", secret=SECRET)
    alert.open()
    yield alert
    alert.close()


@pytest.mark.slow
class TestSignature:
    def test_is_what_the_standard_says(self, alert, receiver):
        alert.send(an_event(1))
        (request,) = receiver.requests
        assert Webhook(SECRET).verify(request.body, request.headers)["id"] == an_event(1).id
        assert request.headers["webhook-id"] == an_event(1).key
        assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 5
        assert request.headers["content-type"] == "application/json"
        with pytest.raises(WebhookVerificationError):
            Webhook("whsec_b3RoZXI=").verify(request.body, request.headers)

    def test_a_second_try_has_the_same_id(self, alert, receiver):
        receiver.answer = lambda _: (503, {})
        with pytest.raises(AlertError):
            alert.send(an_event(1))
        receiver.answer = lambda _: (200, {})
        alert.send(an_event(1))
        assert [request.headers["webhook-id"] for request in receiver.requests] == [an_event(1).key] * 2

    def test_without_a_secret_there_is_none(self, receiver):
        alert = make_alert(f"http://127.0.0.1:{receiver.port}/")
        alert.open()
        alert.send(an_event(1))
        alert.close()
        assert "webhook-signature" not in receiver.requests[0].headers

    @pytest.mark.parametrize("secret", ["whsec_", "whsec_?", "whsec_a"])
    def test_a_wrong_secret_says_so_without_showing_it(self, secret):
        with pytest.raises(AlertError, match="not whsec_ and base64"):
            make_alert("http://127.0.0.1:1/", secret=secret).open()


class TestTrickle:
    @pytest.mark.parametrize(
        ("scheme", "first", "then"),
        [
            ("http", b"HTTP/1.1 200 OK\r\nx-slow: ", b"."),
            ("http", b"HTT", b"P"),
            ("https", b"\x16\x03\x03\x40\x00", b"\x02"),
        ],
        ids=["headers", "status", "handshake"],
    )
    def test_an_answer_that_trickles_ends_with_the_timeout(self, scheme, first, then):
        """One byte every 0.3 s is within each read's time-out of 1 s."""
        server = Trickle(first, then)
        alert = make_alert(f"{scheme}://127.0.0.1:{server.port}/")
        alert.open()
        threading.Timer(4, server.close).start()
        start_s = time.monotonic()
        with pytest.raises(AlertError, match=r"no (complete )?answer"):
            alert.send(an_event(1))
        assert time.monotonic() - start_s < 2
        alert.close()

    def test_a_body_that_trickles_holds_up_no_event(self):
        server = Trickle(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", b".")
        alert = make_alert(f"http://127.0.0.1:{server.port}/")
        alert.open()
        start_s = time.monotonic()
        try:
            for n in (1, 2, 3):
                alert.send(an_event(n))
            assert time.monotonic() - start_s < 2
        finally:
            server.close()  # which ends a `send` that still reads
            alert.close()


@pytest.mark.slow
class TestAnswers:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_taken(self, alert, receiver, status):
        receiver.answer = lambda _: (status, {})
        alert.send(an_event(1))
        assert len(receiver.requests) == 1

    @pytest.mark.parametrize("status", [400, 401, 503])
    def test_no_other_answer_shows_the_token(self, alert, receiver, status):
        """`test_refusals.py` has what each of them means."""
        receiver.answer = lambda _: (status, {})
        with pytest.raises((AlertError, AlertRejectedError), match=f"HTTP {status}") as found:
            alert.send(an_event(1))
        assert "tok3n" not in str(found.value)
        assert "s3cret" not in str(found.value)

    @pytest.mark.parametrize("status", [429, 503])
    def test_patience_in_seconds(self, alert, receiver, status):
        receiver.answer = lambda _: (status, {"retry-after": "17"})
        with pytest.raises(AlertError) as found:
            alert.send(an_event(1))
        assert found.value.retry_after_s == 17

    def test_patience_until_a_date(self, alert, receiver):
        then = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        receiver.answer = lambda _: (503, {"retry-after": then})
        with pytest.raises(AlertError) as found:
            alert.send(an_event(1))
        assert 55 < found.value.retry_after_s <= 60

    @pytest.mark.parametrize("asked", ["soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "²"])
    def test_patience_that_makes_no_sense(self, alert, receiver, asked):
        receiver.answer = lambda _: (503, {"retry-after": asked})
        with pytest.raises(AlertError) as found:
            alert.send(an_event(1))
        assert found.value.retry_after_s == 0

    def test_a_redirect_is_not_followed(self, alert, receiver):
        other = HttpReceiver()
        other.start()
        receiver.answer = lambda _: (307, {"location": f"http://127.0.0.1:{other.port}/"})
        with pytest.raises(AlertError, match="redirects are not followed"):
            alert.send(an_event(1))
        other.close()
        assert other.requests == []


@pytest.mark.slow
class TestNetwork:
    def test_nobody_there(self):
        alert = make_alert(f"http://127.0.0.1:{free_port()}/tok3n")
        alert.open()
        with pytest.raises(AlertError, match="refused") as found:
            alert.send(an_event(1))
        alert.close()
        assert "tok3n" not in str(found.value)

    def test_a_black_hole_costs_one_timeout(self):
        hole = BlackHole()
        alert = make_alert(f"http://127.0.0.1:{hole.port}/tok3n")
        alert.open()
        start_s = time.monotonic()
        with pytest.raises(AlertError, match=r"no (complete )?answer"):
            alert.send(an_event(1))
        assert 0.9 < time.monotonic() - start_s < 2
        alert.close()
        hole.close()

    def test_an_answer_without_end_is_an_answer(self):
        listener = socket.create_server(("127.0.0.1", 0))

        def talk() -> None:
            connection = listener.accept()[0]
            connection.recv(100_000)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    connection.sendall(b"x" * 10_000)
            except OSError:
                connection.close()

        thread = threading.Thread(target=talk)
        thread.start()
        alert = make_alert(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        alert.open()
        alert.send(an_event(1))
        alert.close()
        thread.join(5)
        listener.close()
        assert not thread.is_alive()

    def test_a_dropped_answer_after_2xx_is_an_acknowledgement(self, alert, receiver):
        receiver.answer = lambda _: (200, {"transfer-encoding": "chunked", "connection": "close"})
        alert.send(an_event(1))
        assert len(receiver.requests) == 1

    def test_tls_checks_the_certificate(self, tmp_path):
        (tmp_path / "other").mkdir()
        receiver = HttpReceiver(make_certificates(tmp_path))
        receiver.start()
        url = f"https://127.0.0.1:{receiver.port}/"
        right, wrong = (
            make_alert(url, ca_file=ca_file)
            for ca_file in (tmp_path / "ca.pem", make_certificates(tmp_path / "other").ca)
        )
        right.open()
        right.send(an_event(1))
        right.close()
        wrong.open()
        with pytest.raises(AlertError, match="its certificate is not trusted"):
            wrong.send(an_event(2))
        wrong.close()
        receiver.close()
        assert len(receiver.requests) == 1

    def test_a_missing_ca_file_says_so(self, tmp_path):
        alert = make_alert("https://127.0.0.1:1/", ca_file=tmp_path / "none.pem")
        with pytest.raises(AlertError, match=r"cannot load ca_file .*none\.pem"):
            alert.open()


@pytest.mark.parametrize("case", ["refused-http", "refused-https", "time-out-http", "status-http", "handshake-https"])
def test_a_failed_attempt_leaves_no_certificates_in_a_reference_cycle(case, receiver, left_in_cycles) -> None:
    """Those of all authorities are a megabyte, and a receiver may be down for a day."""
    receiver.answer = lambda _: (401, {})
    fails, _, scheme = case.rpartition("-")
    with closing(BlackHole()) as silent:
        port = {"refused": free_port(), "time-out": silent.port}.get(fails, receiver.port)
        alert = make_alert(f"{scheme}://127.0.0.1:{port}/", timeout_s=0.2)
        alert.open()
        with pytest.raises(AlertError):
            alert.send(an_event(1))
        alert.close()
    gc.collect()
    assert [each for each in left_in_cycles if isinstance(each, ssl.SSLContext) and each.get_ca_certs()] == []
