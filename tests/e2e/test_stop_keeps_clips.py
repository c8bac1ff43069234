"""After a stop each event of the log has its clip, or is named as missing: by its id, in the log and on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from stream_inspect.config.builtin import builtin_config
from stream_inspect.messages import EventState
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database
from tests.e2e.service import running

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]


def test_a_stop_in_the_middle_of_defects_keeps_what_events_promise(tmp_path: Path) -> None:
    state = tmp_path / "state"
    settings = (f"state_dir={state}", "web.enabled=false", "recorder.post_roll_s=3", "recorder.pre_roll_s=2")
    with running(builtin_config("demo"), tmp_path / "log", *settings) as service:
        service.wait_judging(1)
        service.wait_for(lambda _: service.log.count("defect confirmed") >= 3, 120, "three defects")
        assert service.stop() == 0  # the clip of the last one has only begun
        log = service.log
    store = EventStore(events_database(state))
    events = [event for _, event in store.after(0, limit=10_000)]
    store.close()
    promised = [event for event in events if event.state is EventState.CONFIRMED and event.clip is not None]
    assert len(promised) >= 3
    missing = []
    for event in promised:
        clip, record = state / str(event.clip), state / "clips" / f"{event.id}.json"
        if not clip.exists():
            missing.append(event.id)
            assert json.loads(record.read_bytes())["not_recorded"], event.id
            assert any("event clip not recorded" in line and event.id in line for line in log.splitlines()), event.id
            continue
        assert "not_recorded" not in json.loads(record.read_bytes())
        with av.open(str(clip)) as container:
            assert next(container.decode(video=0)) is not None
    assert len(missing) <= len(promised) / 4, f"most clips are written: {missing} are not"
    assert '"event": "stopping"' in log
    assert '"event": "judging"' in log
    assert (state / "start.json").exists()
