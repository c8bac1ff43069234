"""The retained MQTT status of the real service: it shows the line, not the connection."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.alerts.receivers import HttpReceiver, Mosquitto, Subscriber, wait_until
from tests.e2e.service import crowding, running

CONFIG = """\
version: 1
line: press-3
state_dir: {state}
cameras:
  - name: belt
    source: {{kind: synthetic, seed: 3, fps: 10, width_px: 640, height_px: 360}}
    sampling: {{rate_hz: 4}}
    belt: {{direction: right_to_left, speed_mm_s: 200, mm_per_px: 1.0}}
defects:
  - {{name: stain, prompts: [stain, rust, a hole, a scratch], threshold: 0.5}}
alerts:
  - {{kind: mqtt, host: 127.0.0.1, port: {broker}}}
  - {{kind: webhook, url: "http://127.0.0.1:{receiver}/hook"}}
recorder: {{enabled: false}}
web: {{enabled: false}}
"""


def shown(subscriber: Subscriber) -> dict[str, Any]:
    return json.loads(subscriber.messages[-1][1]) if subscriber.messages else {"state": "nothing yet", "conditions": []}


def shows(subscriber: Subscriber, state: str, *conditions: str) -> bool:
    status = shown(subscriber)
    found = {f"{one['kind']} {one['source']}" for one in status["conditions"]}
    return status["state"] == state and found >= set(conditions)


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_the_status_follows_the_judging_and_the_outputs_and_not_the_connection(tmp_path: Path) -> None:
    broker, receiver = Mosquitto(tmp_path / "broker"), HttpReceiver()
    broker.start()
    receiver.start()
    subscriber = Subscriber(broker.port, "stream_inspect/press-3/status/+")
    config = tmp_path / "line.yaml"
    config.write_text(CONFIG.format(state=tmp_path / "state", broker=broker.port, receiver=receiver.port))
    try:
        with running(config, tmp_path / "log") as service:
            service.wait_judging(10)
            assert wait_until(lambda: shows(subscriber, "ok"), 20 * crowding()), shown(subscriber)

            worker = service.children()["inspect.0"]
            worker.send_signal(signal.SIGSTOP)
            start_s = time.monotonic()
            assert wait_until(lambda: shows(subscriber, "degraded", "not_judged supervisor"), 4 + crowding())
            print(f"a stopped worker is on the status after {time.monotonic() - start_s:.1f} s")
            worker.send_signal(signal.SIGCONT)
            assert wait_until(lambda: shows(subscriber, "ok"), 20 * crowding()), shown(subscriber)

            receiver.kill()  # the line makes events all the time
            assert wait_until(lambda: shows(subscriber, "degraded", "output_failing webhook"), 30), service.log
            receiver.start()
            assert wait_until(lambda: shows(subscriber, "ok"), 10 * crowding()), shown(subscriber)

            assert service.stop() == 0
            assert wait_until(lambda: shows(subscriber, "offline"), 2)
    finally:
        subscriber.close()
        receiver.close()
        broker.close()
