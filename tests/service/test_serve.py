"""The service: signals, and a start without room. What it does once it runs is in tests/e2e."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stream_inspect.capture.session import SessionCounter
from stream_inspect.service.serve import Interrupts
from stream_inspect.store.events import EventStore
from stream_inspect.store.files import events_database
from tests.alerts.events import an_event


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_means_now(number):
    before = signal.getsignal(number)
    with Interrupts().installed() as interrupts:
        assert not interrupts.stopping
        os.kill(os.getpid(), number)
        assert interrupts.stopping
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_closed_terminal_sends_two_and_means_one():
    with Interrupts().installed() as interrupts:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.stopping


def test_a_start_without_memory_for_the_ledger_says_so(tmp_path: Path):
    """Stood in for by a limit on the size of a file: a ledger takes half a megabyte."""
    program = (
        "import resource, sys; from pathlib import Path; from stream_inspect.service.serve import serve; "
        "from stream_inspect.service.run_dir import RunDirError; from tests.commands.replays import config\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "try: serve(config(state_dir=sys.argv[1] + '/state', transport={'ring_dir': sys.argv[1]}))\n"
        "except RunDirError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == f"not enough space in transport.ring_dir {tmp_path}: File too large\n", done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_sessions_continue_after_those_of_the_event_log_where_their_counter_is_lost(tmp_path: Path):
    """They are part of every event's id. The limit ends the start when the state folder has been prepared."""
    state = tmp_path / "state"
    store = EventStore(events_database(state))
    store.append([an_event(1, camera="top", session=17)])
    store.close()
    program = (
        "import resource, sys; from stream_inspect.service.serve import serve; "
        "from stream_inspect.service.run_dir import RunDirError; from tests.commands.replays import config\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "try: serve(config(state_dir=sys.argv[1] + '/state', transport={'ring_dir': sys.argv[1]}))\n"
        "except RunDirError: pass"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert SessionCounter(state, "top").next() == 18
