"""The ledger's rules, and that it closes with kills between any two stores."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from stream_inspect.transport.ledger import (
    CELLS_PER_CAMERA,
    MAX_OWNER,
    NO_CELL,
    CameraLedger,
    DropCause,
    Ledger,
    LedgerError,
    LedgerKeeper,
    Totals,
    next_owner,
)
from tests.properties import examples

CAPTURE, WORKER, OTHER_WORKER = 1, 2, 3


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger", ["north", "south"], cells=16)


def closes(totals: Totals) -> bool:
    parts = totals.judged + totals.not_due + sum(totals.dropped.values()) + totals.in_flight
    return totals.residual == 0 and totals.captured == parts


def test_owners_begin_anew_past_those_that_live() -> None:
    assert [next_owner(0, ()), next_owner(41, {7})] == [1, 42]
    assert next_owner(MAX_OWNER, {1, 2, 5}) == 3
    assert next_owner(MAX_OWNER - 1, {MAX_OWNER}) == 1


def test_an_owner_s_number_can_be_given_again_long_after_its_death(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    for owner in range(1, 6000):
        keeper.sweep_owner(owner)
    camera.captured(1)
    assert keeper.collect()["north"].in_flight == 1
    camera.sent(0, 5999)  # who died just now is still known
    assert keeper.collect()["north"].dropped == {("inspect", "died"): 1}


def test_what_is_in_flight_between_two_frames_is_known_however_far_apart_they_are(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    for index in range(40):
        camera.captured(CAPTURE)
        if index != 30:
            camera.not_due(index)
        keeper.collect()
    assert camera.any_in_flight(29, 31)
    assert camera.any_in_flight(-1, 39)
    assert not camera.any_in_flight(30, 39)
    assert not camera.any_in_flight(13, 30)
    assert not camera.any_in_flight(30, 31)
    camera.drop(30, DropCause.CAPTURE_SUPERSEDED)
    assert not camera.any_in_flight(-1, 40)


def test_each_frame_ends_in_its_own_column(ledger: Ledger) -> None:
    camera = ledger.camera("north")
    frames = [camera.captured(CAPTURE) for _ in range(7)]
    assert frames == list(range(7))
    assert camera.not_due(0)
    assert camera.drop(1, DropCause.CAPTURE_SUPERSEDED)
    for index in (2, 3, 4):
        assert camera.sent(index, WORKER)
    assert camera.taken(2, WORKER)
    assert camera.judged(2)
    assert camera.drop(3, DropCause.TRANSPORT_MAILBOX_FULL)
    assert camera.taken(4, WORKER)
    assert camera.drop(4, DropCause.INSPECT_OVERWRITTEN)
    assert camera.sent(5, WORKER)
    assert LedgerKeeper(ledger).collect() == {
        "north": Totals(
            captured=7,
            judged=1,
            not_due=1,
            dropped={("capture", "superseded"): 1, ("transport", "mailbox_full"): 1, ("inspect", "overwritten"): 1},
            in_flight=2,
        ),
        "south": Totals(),
    }


def test_a_change_from_another_state_is_refused_and_changes_nothing(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    pending, sent, taken, judged = (camera.captured(CAPTURE) for _ in range(4))
    for index in (sent, taken, judged):
        camera.sent(index, WORKER)
    for index in (taken, judged):
        camera.taken(index, WORKER)
    camera.judged(judged)
    before = keeper.collect()
    assert not camera.judged(pending)
    assert not camera.taken(pending, WORKER)
    assert not camera.drop(pending, DropCause.INSPECT_FAILED)
    assert not camera.drop(pending, DropCause.TRANSPORT_MAILBOX_FULL)
    assert not camera.not_due(sent)
    assert not camera.drop(sent, DropCause.CAPTURE_SUPERSEDED)
    assert not camera.taken(sent, OTHER_WORKER)
    assert not camera.sent(taken, OTHER_WORKER)
    assert not camera.taken(taken, WORKER)
    assert not camera.drop(taken, DropCause.TRANSPORT_MAILBOX_FULL)
    for cause in DropCause:
        assert not camera.drop(judged, cause)
    assert not camera.judged(4)
    assert not camera.judged(4 + 16)
    assert not camera.judged(judged + 16)
    assert not camera.judged(NO_CELL)
    assert keeper.collect() == before


def test_what_a_dead_owner_had_is_dropped_and_it_cannot_come_back(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    for _ in range(5):
        camera.captured(CAPTURE)
    camera.sent(0, WORKER)
    camera.sent(1, WORKER)
    camera.taken(1, WORKER)
    camera.sent(2, OTHER_WORKER)
    camera.taken(2, OTHER_WORKER)
    keeper.sweep_owner(WORKER)
    assert not camera.judged(1)
    assert keeper.collect()["north"] == Totals(captured=5, dropped={("inspect", "died"): 2}, in_flight=3)
    assert camera.sent(3, WORKER), "capture has not heard of the worker's death"
    assert keeper.collect()["north"] == Totals(captured=5, dropped={("inspect", "died"): 3}, in_flight=2)
    keeper.sweep_owner(CAPTURE)
    assert keeper.collect()["north"].dropped == {("inspect", "died"): 3, ("capture", "died"): 1}
    assert camera.judged(2), "a frame taken by a living worker outlives its capture process"
    assert keeper.collect()["north"].in_flight == 0


def test_a_frame_that_died_with_its_sender_is_told_from_one_that_arrived(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    arrived, underway = camera.captured(CAPTURE), camera.captured(CAPTURE)
    camera.sent(arrived, WORKER)
    camera.sent(underway, WORKER)
    camera.taken(arrived, WORKER)
    keeper.sweep_owner(CAPTURE)
    assert not camera.taken(underway, WORKER), "it came after all, but it is accounted for"
    assert camera.judged(arrived)
    assert keeper.collect()["north"] == Totals(captured=2, judged=1, dropped={("transport", "sender_died"): 1})


def test_an_ordered_stop_is_told_from_a_death(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    camera.captured(CAPTURE)
    camera.sent(camera.captured(CAPTURE), WORKER)
    keeper.sweep_owner(CAPTURE, stopped=True)
    assert keeper.collect()["north"] == Totals(captured=2, dropped={("capture", "stopped"): 1}, in_flight=1)
    keeper.sweep_owner(WORKER, stopped=True)
    assert keeper.collect()["north"] == Totals(
        captured=2, dropped={("capture", "stopped"): 1, ("inspect", "stopped"): 1}
    )


def test_a_full_ring_refuses_new_frames_counts_them_and_loses_none(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    stuck = camera.captured(CAPTURE)
    for _ in range(15):
        camera.not_due(camera.captured(CAPTURE))
    keeper.collect()
    assert [camera.captured(CAPTURE) for _ in range(3)] == [NO_CELL] * 3
    assert not camera.sent(NO_CELL, WORKER)
    assert keeper.collect()["north"] == Totals(
        captured=19, not_due=15, dropped={("capture", "ledger_full"): 3}, in_flight=1
    )
    assert camera.not_due(stuck)
    keeper.collect()
    assert camera.captured(CAPTURE) == 16


def test_thousands_of_frames_a_fold_close(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", ["north"])
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    for _ in range(3):
        for _ in range(CELLS_PER_CAMERA):
            index = camera.captured(CAPTURE)
            assert index != NO_CELL
            camera.not_due(index)
        assert closes(keeper.collect()["north"])
    assert keeper.collect()["north"].not_due == 3 * CELLS_PER_CAMERA


def test_a_hung_worker_costs_its_frame_and_no_other(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "ledger", ["north"])
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    stuck = camera.captured(CAPTURE)
    camera.sent(stuck, WORKER)
    camera.taken(stuck, WORKER)
    captured = 25 * 600  # for ten minutes, long after the supervisor has killed it
    for number in range(1, captured):
        assert camera.captured(CAPTURE) == number
        camera.not_due(number)
        if number % 2500 == 0:
            began = time.process_time()
            assert closes(keeper.collect()["north"])
            assert time.process_time() - began < 0.05
    keeper.sweep_owner(WORKER)
    assert keeper.collect()["north"] == Totals(
        captured=captured, not_due=captured - 1, dropped={("inspect", "died"): 1}
    )


def test_a_cell_that_was_lost_shows_in_the_residual(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    for _ in range(4):
        camera.captured(CAPTURE)
    cells = ledger.words["north"][-16:]
    cells[1] = cells[3]  # as if another frame's cell had been stored over it
    cells[2] = 2 << 28 | 77  # a state that does not exist
    assert keeper.collect()["north"].residual == 2


def test_a_second_process_capturing_the_same_camera_is_found(ledger: Ledger) -> None:
    first, second = ledger.camera("north"), CameraLedger(ledger.words["north"])
    first.captured(CAPTURE)
    second.captured(OTHER_WORKER)
    with pytest.raises(LedgerError, match="two processes"):
        first.captured(CAPTURE)


@pytest.mark.parametrize("owner", [0, -1, MAX_OWNER + 1])
def test_owners_out_of_range_are_refused(ledger: Ledger, owner: int) -> None:
    with pytest.raises(LedgerError, match="owner"):
        ledger.camera("north").captured(owner)


def test_the_largest_numbers_fit_a_cell(ledger: Ledger) -> None:
    camera, keeper = ledger.camera("north"), LedgerKeeper(ledger)
    far = 2**35 - 16
    ledger.words["north"][[0, 8]] = far  # captured and folded: 43 years at 25 fps
    index = camera.captured(MAX_OWNER)
    assert index == far
    assert camera.sent(index, MAX_OWNER)
    assert camera.judged(index)
    assert keeper.collect()["north"].judged == 1


# --- the file ----------------------------------------------------------------------------------------------------


def test_processes_see_one_another_through_the_file(ledger: Ledger, tmp_path: Path) -> None:
    attached = Ledger.attach(tmp_path / "ledger")
    index = attached.camera("south").captured(CAPTURE)
    assert ledger.camera("south").not_due(index)
    assert LedgerKeeper(attached).collect()["south"].not_due == 1
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LedgerError, match=r"'east'.*north, south"):
        attached.camera("east")


@pytest.mark.parametrize("damage", [b"", b"x" * 5000, b"SI-LEDG\0\x02" + bytes(5000), b"SI-LEDG\0\x01" + bytes(5000)])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(damage)
    with pytest.raises(LedgerError, match=r"ledger|damaged"):
        Ledger.attach(path)


def test_a_truncated_ledger_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with open(tmp_path / "ledger", "r+b") as file:
        file.truncate(4096)
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.attach(tmp_path / "ledger")


@pytest.mark.parametrize("names", [[], ["a", "a"], [""], ["x" * 64]])
def test_names_that_cannot_be_kept_apart_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(LedgerError, match="cameras"):
        Ledger.create(tmp_path / "ledger", names)


# --- kills between any two stores --------------------------------------------------------------------------------


class Killed(BaseException):
    """kill -9 hit here."""


class Fused(np.ndarray):
    """The mapped words, whose fuse ends the process before the store number `stores_left`."""

    stores_left: list[int]

    def __array_finalize__(self, source: object) -> None:
        self.stores_left = getattr(source, "stores_left", [1 << 60])

    def __setitem__(self, key: object, value: object) -> None:
        if self.stores_left[0] == 0:
            raise Killed
        self.stores_left[0] -= 1
        super().__setitem__(key, value)


RARELY = st.sampled_from([False] * 7 + [True])  # most kills end all frames: too many would leave nothing to test


class LedgerMachine(RuleBasedStateMachine):
    """One camera with a capture process and two inspect workers, each killed and restarted at will.

    The model keeps, for each frame, the column it must be counted in. It knows nothing of cells.
    """

    frames = Bundle("frames")

    @initialize(target=frames)
    def start(self) -> object:
        self.memory = np.zeros(16 + 8, dtype=np.int64)
        supervisors = Ledger.__new__(Ledger)
        supervisors.words = {"cam": self.memory}
        self.keeper = LedgerKeeper(supervisors)
        self.owners = 0
        self.model: dict[int, tuple[str, object]] = {}
        self.refused = 0
        self.folded_to = 0
        self.last = Totals()
        self.fuse = [1 << 60]
        self.start_capture()
        self.workers = [self.new_owner(), self.new_owner()]
        return multiple()

    def new_owner(self) -> int:
        self.owners += 1
        return self.owners

    def attach(self) -> CameraLedger:
        words = self.memory.view(Fused)
        words.stores_left = self.fuse
        return CameraLedger(words)

    def start_capture(self) -> None:
        self.capture_owner = self.new_owner()
        self.capture = self.attach()

    # what capture does

    @rule(target=frames, kill_after=st.sampled_from([None] * 12 + [0, 1, 2, 3]))
    def capture_frame(self, kill_after: int | None) -> object:
        expected = sum(1 for _ in self.model)
        self.fuse[0] = 1 << 60 if kill_after is None else kill_after
        try:
            index = self.capture.captured(self.capture_owner)
        except Killed:
            self.capture_dies()
            return multiple()
        finally:
            self.fuse[0] = 1 << 60
        if index == NO_CELL:
            assert expected - self.folded_to == 8
            self.refused += 1
            if kill_after is not None:
                self.capture_dies()
            return multiple()
        assert index == expected
        self.model[index] = ("pending", self.capture_owner)
        if kill_after is not None:
            self.capture_dies()
        return index

    @rule()
    def capture_dies(self) -> None:
        self.keeper.sweep_owner(self.capture_owner)
        for index, (state, owner) in self.model.items():
            if state == "pending":
                assert owner == self.capture_owner
                self.model[index] = ("capture", "died")
            elif state == "sent":
                self.model[index] = ("transport", "sender_died")
        self.start_capture()

    @rule(index=frames, kill=RARELY)
    def not_due(self, index: int, kill: bool) -> None:
        self.change(index, {"pending"}, ("not_due", None), lambda: self.capture.not_due(index), kill)

    @rule(index=frames, cause=st.sampled_from([cause for cause in DropCause if cause.stage == "capture"]))
    def capture_drops(self, index: int, cause: DropCause) -> None:
        self.change(index, {"pending"}, cause.value, lambda: self.capture.drop(index, cause), False)

    @rule(index=frames, worker=st.integers(0, 1), kill=RARELY)
    def send(self, index: int, worker: int, kill: bool) -> None:
        owner = self.workers[worker]
        self.change(index, {"pending"}, ("sent", owner), lambda: self.capture.sent(index, owner), kill)

    @rule(index=frames)
    def mailbox_full(self, index: int) -> None:
        cause = DropCause.TRANSPORT_MAILBOX_FULL
        self.change(index, {"sent"}, cause.value, lambda: self.capture.drop(index, cause), False)

    def change(self, index, before, after, store, kill) -> None:
        """A change that capture makes; `kill`: it is killed just before its store."""
        self.fuse[0] = 0 if kill else 1 << 60
        valid = self.model[index][0] in before
        try:
            assert store() == valid
        except Killed:
            assert valid
            self.capture_dies()
            return
        finally:
            self.fuse[0] = 1 << 60
        if valid:
            self.model[index] = after

    # what the workers do

    @rule(index=frames, worker=st.integers(0, 1))
    def take(self, index: int, worker: int) -> None:
        owner = self.workers[worker]
        valid = self.model[index] == ("sent", owner)
        assert self.attach().taken(index, owner) == valid
        if valid:
            self.model[index] = ("taken", owner)

    @rule(index=frames, cause=st.sampled_from([None, DropCause.INSPECT_FAILED, DropCause.INSPECT_OVERWRITTEN]))
    def finish(self, index: int, cause: DropCause | None) -> None:
        valid = self.model[index][0] in ("sent", "taken")
        worker = self.attach()
        assert (worker.judged(index) if cause is None else worker.drop(index, cause)) == valid
        if valid:
            self.model[index] = ("judged", None) if cause is None else cause.value

    @rule(worker=st.integers(0, 1))
    def worker_dies(self, worker: int) -> None:
        owner = self.workers[worker]
        self.keeper.sweep_owner(owner)
        for index, (state, of) in self.model.items():
            if state in ("sent", "taken") and of == owner:
                self.model[index] = ("inspect", "died")
        self.workers[worker] = self.new_owner()

    @rule(index=frames, worker=st.integers(0, 1))
    def send_to_one_that_just_died(self, index: int, worker: int) -> None:
        dead = self.workers[worker]
        self.worker_dies(worker)
        if self.capture.sent(index, dead):
            assert self.model[index][0] == "pending"
            self.keeper.collect()
            self.model[index] = ("inspect", "died")

    # what must hold

    @invariant()
    def the_account_closes(self) -> None:
        if not hasattr(self, "keeper"):
            return
        totals = self.keeper.collect()["cam"]
        columns = list(self.model.values())
        assert totals.residual == 0
        assert totals.captured == len(columns) + self.refused
        assert totals.judged == sum(state == "judged" for state, _ in columns)
        assert totals.not_due == sum(state == "not_due" for state, _ in columns)
        assert totals.in_flight == sum(state in ("pending", "sent", "taken") for state, _ in columns)
        dropped = dict(totals.dropped)
        full = ("capture", "ledger_full")
        dropped[full] = dropped.get(full, 0) - self.refused
        for cause in DropCause:
            assert dropped.get(cause.value, 0) == columns.count(cause.value)
        assert (totals.captured, totals.judged, totals.not_due) >= (
            self.last.captured,
            self.last.judged,
            self.last.not_due,
        )
        for cause_key, count in self.last.dropped.items():
            assert totals.dropped[cause_key] >= count
        self.last = totals
        while self.folded_to < len(columns) and columns[self.folded_to][0] not in ("pending", "sent", "taken"):
            self.folded_to += 1


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=examples(150), stateful_step_count=60, deadline=None)
