"""No process grows after a camera has reconnected.

What holds something for each judged frame shows at once when frames are judged as fast as they can be: the camera is
read as fast as it is judged, and growth is counted for as many frames as an hour at 8 a second has.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.memory import HEADER, MemoryWatch
from tests.e2e.service import Service, running

MINUTES = float(os.environ.get("STREAM_INSPECT_SOAK_MINUTES", "20"))
RECONNECT_AFTER_S, WARM_UP_S = 30.0, 180.0
FRAMES_OF_AN_HOUR = 8 * 3600
GROWTH_MB = 1.0
"""Live and recorder grew by 160 MB in such an hour when they forgot no frame of the session after the first."""
ENOUGH_MINUTES = 10.0
"""Within less, what an allocator takes once looks like growth: 30 MB in such an hour after one minute."""

CONFIG = """\
version: 1
line: memory
state_dir: {state}
cameras:
  - name: belt
    source: {{kind: synthetic, seed: 3, fps: 8, width_px: 320, height_px: 180, pace: fast}}
    sampling: {{rate_hz: 8}}
    belt: {{direction: right_to_left, speed_mm_s: 200, mm_per_px: 2.0}}
defects:
  - {{name: stain, prompts: [stain, rust, a hole, a scratch], threshold: 0.5}}
alerts:
  - {{kind: file}}
recorder: {{max_size_gb: 0.02, height_px: 180, pre_roll_s: 0.5, post_roll_s: 0.5}}
transport: {{ring_s: 3}}
web: {{port: 0, live_rate_hz: 2, live_height_px: 180}}
"""


def judged(service: Service) -> int:
    return int(service.account()["judged"])


def growth_mb_an_hour(folder: Path, seconds: float) -> dict[str, float]:
    """MB that each process has grown by in as many judged frames as an hour has, after a reconnect."""
    config = folder / "memory.yaml"
    config.write_text(CONFIG.format(state=folder / "state"))
    with running(config, folder / "log") as service:
        service.wait_judging(10)
        time.sleep(RECONNECT_AFTER_S)
        service.children()["capture.belt"].send_signal(signal.SIGKILL)
        time.sleep(WARM_UP_S - RECONNECT_AFTER_S)
        memory, began_s, before = MemoryWatch(service, sample_every_s=1.0), time.monotonic(), judged(service)
        time.sleep(seconds)
        memory.close()
        frames_an_hour = (judged(service) - before) * 3600 / (time.monotonic() - began_s)
        assert service.stop() == 0
    grown = memory.growth(0.0)
    print(f"\n{frames_an_hour / 3600:.1f} frames judged a second\n{HEADER}", *grown, sep="\n")
    return {one.process: one.mb_per_hour * FRAMES_OF_AN_HOUR / frames_an_hour for one in grown}


@pytest.mark.soak
@pytest.mark.timeout(60 * MINUTES + 600)
def test_no_process_grows_after_a_reconnect(tmp_path: Path) -> None:
    grown = growth_mb_an_hour(tmp_path, 60 * MINUTES)
    if MINUTES < ENOUGH_MINUTES:
        pytest.skip(f"{MINUTES:g} minutes are too few to know a slope")
    assert {name: mb for name, mb in grown.items() if mb > GROWTH_MB} == {}
