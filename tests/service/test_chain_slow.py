"""The chain of the service and of a replay agree on the same inspections, also where judged frames are far apart."""

from __future__ import annotations

import pytest

from stream_inspect.config.models import Config
from stream_inspect.decide.event_log import MemoryLog
from stream_inspect.messages import Event
from stream_inspect.service.chain import judging_chain
from tests.decide.scenes import config
from tests.track.test_track_stage import S, box_at, inspection

HALF_AN_HOUR_S = 1800
TICK_NS = S // 20


def events_of(the_config: Config, interval_s: float, *, ticked: bool) -> list[Event]:
    """A crack that stands in view, in each judged frame. The service ticks 20 times a second, the feed of a replay
    only where its recording has frames."""
    now_ns = 0
    log = MemoryLog()
    chain = judging_chain(the_config, log, clock=lambda: now_ns)
    chain.open()
    for frame in range(round(HALF_AN_HOUR_S / interval_s)):
        now_ns = round(frame * interval_s * S)
        list(chain.process([inspection(frame, box_at(0), camera="top", pts=round(frame * interval_s * 8))]))
        next_ns = round((frame + 1) * interval_s * S)
        for tick_ns in range(now_ns, next_ns, TICK_NS) if ticked else ():
            list(chain.tick(tick_ns))
    return log.events


@pytest.mark.parametrize("interval_s", [4.9, 5.2, 6, 10])
def test_a_crack_in_view_for_half_an_hour_is_one_event_live_and_in_a_replay(interval_s):
    live = events_of(config(), interval_s, ticked=True)
    replayed = events_of(config(), interval_s, ticked=False)
    assert [event.state for event in live] == ["confirmed"]
    assert [(event.id, event.state) for event in replayed] == [(event.id, event.state) for event in live]
