"""The alerts stage as a process of its own, to be killed by tests: `python -m ... STATE_DIR STORE ALERTS_JSON`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from stream_inspect.alerts.stage import AlertsStage
from tests.alerts.events import a_config


def main() -> None:
    state_dir, store, alerts = sys.argv[1:]
    stage = AlertsStage(a_config(Path(state_dir), *json.loads(alerts)), Path(store))
    stage.open()
    while True:  # nobody wakes it: it polls, and it ends by a kill
        stage.tick(time.monotonic_ns())
        stage.process([None])  # type: ignore[list-item]
        time.sleep(0.02)


if __name__ == "__main__":
    main()
