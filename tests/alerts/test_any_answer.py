"""Whatever a receiver answers, in whatever order, and however often we die: no event is lost.

Each event is delivered, or waits, or is a dead letter that is listed.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stream_inspect.alerts.alert import AlertError, AlertRejectedError, OutputRefusedError
from stream_inspect.alerts.lanes import GIVE_UP_TRIES
from stream_inspect.alerts.outbox import Outbox
from stream_inspect.messages import Event
from stream_inspect.store.events import EventStore
from tests.alerts.events import an_event
from tests.alerts.full_disk import FullDisk
from tests.properties import examples

CAMERAS = ("cam1", "cam2", "cam3")
ANSWERS = (
    "2xx", "2xx", "2xx", "3xx", "401", "413", "500", "503", "time-out", "trickle", "reset",
    "no connection", "dies before", "dies after", "plug-in fault",
)  # fmt: skip


class ProcessDiedError(BaseException):
    """Stands for kill -9 around the acknowledgement: nothing in the process may catch it."""


class World:
    """What remains when the process dies: the clock, the receiver and what it got."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.answer = "2xx"
        self.bad: dict[str, str] = {}  # events that the receiver answers in their own way, always
        self.got: list[str] = []
        self.failures: Counter[str] = Counter()
        self.since_outage: Counter[str] = Counter()  # failures of each since the last end of an outage
        self.in_outage: set[str] = set()  # what shows that there is one: events that had not failed alone before
        self.fails_alone: Callable[[str], bool] = lambda key: False
        self.may_repeat: Counter[str] = Counter()
        self.failures_at_delivery: list[Counter[str]] = []

    def clock_s(self) -> float:
        return self.now_s

    def fail(self, key: str) -> None:
        self.failures[key] += 1
        self.since_outage[key] += 1

    def answered(self, key: str) -> None:
        """The end of an outage, if there was one: what failed in it failed through no fault of its own."""
        if self.in_outage:
            for other in list(self.since_outage):
                if camera_of(other) != camera_of(key):
                    del self.since_outage[other]
        self.in_outage.clear()

    def take(self, key: str) -> None:
        self.got.append(key)
        self.failures_at_delivery.append(self.failures.copy())


def camera_of(key: str) -> str:
    return key.partition("-")[0]


class AnyAnswer:
    """An output as our own are: they turn the receiver's answers into the errors of the contract."""

    acknowledges = True

    def __init__(self, world: World) -> None:
        self._world = world
        self._is_open = False

    def open(self) -> None:
        if self._world.answer == "no connection":
            raise AlertError("connection refused")
        self._is_open = True

    def send(self, event: Event) -> None:
        assert self._is_open
        world, key = self._world, event.key.partition(":")[2]
        answer = world.answer
        if answer == "2xx":
            answer = world.bad.get(key, answer)
        if answer not in ("2xx", "413") and not world.fails_alone(key):
            world.in_outage.add(key)
        if answer == "2xx":
            world.take(key)
            world.answered(key)
        elif answer in ("3xx", "401"):
            raise OutputRefusedError(f"HTTP {answer}")
        elif answer == "413":
            world.answered(key)
            raise AlertRejectedError("HTTP 413")
        elif answer == "503":
            raise AlertError("HTTP 503", retry_after_s=7.0)
        elif answer == "dies before":
            raise ProcessDiedError
        elif answer == "dies after":
            world.take(key)
            world.may_repeat[key] += 1
            raise ProcessDiedError
        elif answer == "plug-in fault":
            world.fail(key)
            raise ZeroDivisionError("a fault")
        else:
            world.fail(key)
            if answer in ("time-out", "trickle"):
                world.now_s += 5.0
            if answer == "reset":  # after it was taken: the acknowledgement is lost
                world.take(key)
                world.may_repeat[key] += 1
            raise AlertError(answer)

    def check(self) -> None:
        if self._world.answer == "no connection":
            raise AlertError("connection lost")

    def close(self) -> None:
        self._is_open = False


class AnyAnswers(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")  # no disk to wait for
        self.world = World()
        self.appended: list[str] = []
        self.counts = dict.fromkeys((*CAMERAS, "last"), 0)
        self.sent_again: set[str] = set()
        self.known_dead: set[str] = set()
        self.start()
        self.store.register_outputs(["out"])

    def start(self) -> None:
        """A new run of the alerts process: only the files remain."""
        self.store = EventStore(Path(self.folder.name) / "events.sqlite")
        was_full = hasattr(self, "disk") and self.disk.is_full
        self.disk = FullDisk(self.store)
        self.disk.is_full = was_full
        self.outbox = Outbox("out", AnyAnswer(self.world), self.store, self.world.clock_s)
        self.world.since_outage.clear()  # a new process knows of none
        self.world.in_outage.clear()
        self.world.fails_alone = self.fails_alone

    def fails_alone(self, key: str) -> bool:
        position = self.appended.index(key) + 1
        lanes = [lane for lane in self.outbox._lanes._all() if lane.waiting and lane.waiting[0] == position]
        return any(lane.first.is_accused for lane in lanes)

    def step(self) -> float:
        try:
            return self.outbox.step()
        except ProcessDiedError:
            self.kill()
            return 0.0

    def step_and_wait(self, longest_s: float = math.inf) -> None:
        pause_s = self.step()  # before the addition: sending takes time as well
        self.world.now_s += min(pause_s, longest_s)

    def append_one(self, camera: str, answer: str) -> None:
        self.counts[camera] += 1
        event = an_event(self.counts[camera], camera=camera)
        self.store.append([event])
        self.appended.append(event.key)
        if answer != "2xx":
            self.world.bad[event.key] = answer

    @rule(
        events=st.lists(
            st.tuples(
                st.sampled_from(CAMERAS), st.sampled_from(["2xx", "2xx", "2xx", "401", "413", "500", "503", "time-out"])
            ),
            min_size=1,
            max_size=6,
        )
    )
    def append(self, events: list[tuple[str, str]]) -> None:
        """Some of them are answered in their own way, always."""
        for camera, answer in events:
            self.append_one(camera, answer)

    @rule(answer=st.sampled_from(ANSWERS), full=st.booleans(), steps=st.integers(1, 4))
    def answers(self, answer: str, full: bool, steps: int) -> None:
        self.world.answer, self.disk.is_full = answer, full
        for _ in range(steps):
            self.step_and_wait()
        self.world.answer, self.disk.is_full = "2xx", False

    @rule(answer=st.sampled_from(["2xx", "2xx", "500", "no connection", "time-out", "401"]))
    def some_time_of(self, answer: str) -> None:
        self.world.answer = answer
        end_s = self.world.now_s + 40
        while self.world.now_s < end_s:
            self.step_and_wait()
            self.world.now_s += 0.05
        self.world.answer = "2xx"

    @rule()
    def kill(self) -> None:
        for outcome in self.outbox._unrecorded:  # it dies while the disk is full: what it knows goes with it
            self.world.may_repeat[self.appended[outcome.position - 1]] += 1
        self.store.close()
        self.start()

    @rule()
    def send_again(self) -> None:
        self.sent_again |= {key for _, key in self.store.dead_letters("out")}
        self.store.outputs.queue_again("out")

    def dead(self) -> set[str]:
        return {key for _, key in self.store.dead_letters("out")}

    @invariant()
    def the_cursor_passes_nothing_that_is_not_settled(self) -> None:
        if hasattr(self, "world"):
            passed = set(self.appended[: self.store.outputs.cursor("out")])
            again = {self.appended[position - 1] for position in self.store.outputs.queued_again("out")}
            assert passed <= set(self.world.got) | self.dead() | again

    @invariant()
    def nothing_comes_twice_but_by_a_death_or_a_lost_acknowledgement(self) -> None:
        if hasattr(self, "world"):
            for key, times in Counter(self.world.got).items():
                assert times <= 1 + self.world.may_repeat[key], key

    @invariant()
    def each_camera_is_in_order(self) -> None:
        """Of what was delivered the first time. One that was overtaken had failed long enough for it."""
        if not hasattr(self, "world"):
            return
        firsts = {key: n for n, key in reversed(list(enumerate(self.world.got)))}
        for camera in CAMERAS:
            mine = [key for key in self.appended if key.startswith(f"{camera}-") and key not in self.sent_again]
            latest = -1
            for key in mine:
                if key not in firsts:
                    continue
                if firsts[key] < latest:
                    overtaken = self.world.got[latest]
                    assert self.world.failures_at_delivery[firsts[key]][overtaken] >= GIVE_UP_TRIES, (key, overtaken)
                latest = max(latest, firsts[key])

    @invariant()
    def only_what_failed_or_was_rejected_is_a_dead_letter(self) -> None:
        """What failed: so often since the last outage, for failures in an outage say nothing."""
        if hasattr(self, "world"):
            for letter, key in self.store.dead_letters("out"):
                if letter.reason != "HTTP 413" and key not in self.known_dead and key not in self.sent_again:
                    assert self.world.since_outage[key] >= GIVE_UP_TRIES, key
                self.known_dead.add(key)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for key in [key for key, answer in self.world.bad.items() if answer in ("401", "503")]:
            del self.world.bad[key]  # a person has corrected it; without that it waits, and is reported
        for _ in range(1500):  # other events pass, so what fails alone is found out
            self.append_one("last", "2xx")
            self.step_and_wait(longest_s=1.0)
            for _ in range(5):
                self.step()
            self.world.now_s += 2.0
            if self.store.backlog("out").depth == 0 and self.outbox.outage is None:
                break
        assert set(self.appended) == set(self.world.got) | self.dead()
        self.each_camera_is_in_order()
        self.world.bad.clear()
        self.send_again()
        for _ in range(len(self.appended) + 10):
            self.step_and_wait()
        assert set(self.appended) == set(self.world.got)
        assert self.dead() == set()
        assert self.store.outputs.cursor("out") == len(self.appended)
        assert self.store.backlog("out").depth == 0
        self.store.close()
        self.folder.cleanup()


TestAnyAnswers = AnyAnswers.TestCase
TestAnyAnswers.pytestmark = pytest.mark.timeout(300)
TestAnyAnswers.settings = settings(
    max_examples=examples(80), stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
