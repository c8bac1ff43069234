"""Two cameras' rings and ledger, and one inspect worker with a scripted model, driven turn by turn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from stream_inspect.config.load import load
from stream_inspect.config.watch import ConfigWatcher
from stream_inspect.inspect.stage import InspectStage
from stream_inspect.messages import Condition, ConditionKind, Credit, DueFrame, Inspection, Output
from stream_inspect.picture import Picture, UInt8Array
from stream_inspect.transport.ledger import Ledger, LedgerKeeper, Totals
from stream_inspect.transport.ring import RingWriter
from tests.inspect.frames import header
from tests.inspect.scripted import black

OWNER = 7
CAPTURE_OWNER = 1
SLOTS = 8


class Line:
    """Two cameras' rings and ledger, a configuration file, and a worker; frames are sent to it as capture would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "model"
        self.model.mkdir()
        self.config_path = folder / "line.yaml"
        self.write_config()
        self.ledger = Ledger.create(folder / "ledger", ["a", "b"])
        self.keeper = LedgerKeeper(self.ledger)
        self.rings = {name: RingWriter(folder / f"{name}.ring", SLOTS, 160, 120) for name in "ab"}
        self.seq = dict.fromkeys("ab", -1)
        self.tickets: dict[str, int] = {}
        self.stage = self.new_stage()
        self.refuse: Callable[[Output], bool] = lambda output: False
        self.ahead_ns = 0
        """How far the time that the stage is told is ahead."""

    def write_config(
        self,
        *,
        defect: Mapping[str, object] = MappingProxyType({}),
        inspect: Mapping[str, object] = MappingProxyType({}),
        **more: object,
    ) -> None:
        """Replace the file, as editors do, with other keys of the defect, of `inspect`, or at the top."""
        scripted = {"kind": "scripted", "model": str(self.model)}
        tree = {
            "version": 1,
            "cameras": [{"name": name, "source": {"kind": "synthetic"}, "mm_per_px": 0.5} for name in "ab"],
            "defects": [{"name": "red-spot", "prompts": ["red"], "threshold": 0.5, **defect}],
            "inspect": {"detector": scripted, "segmenter": None, "batch_max_frames": 4, **inspect},
            **more,
        }
        replacement = self.config_path.with_suffix(".new")
        replacement.write_text(json.dumps(tree))
        replacement.replace(self.config_path)

    def new_stage(self) -> InspectStage:
        config = load(self.config_path)
        return InspectStage(
            config,
            worker="inspect.0",
            worker_index=0,
            owner=OWNER,
            ledger=self.ledger,
            ring_dir=self.folder,
            watcher=ConfigWatcher(self.config_path, current=config),
        )

    def frame(self, camera: str, picture: UInt8Array | None = None, *, owner: int = OWNER) -> DueFrame:
        """A frame of this camera, captured, in the ring, and sent to the worker."""
        self.seq[camera] += 1
        ring, ledger = self.rings[camera], self.ledger.camera(camera)
        index = ledger.captured(CAPTURE_OWNER)
        rgb = black() if picture is None else picture
        ring.begin()[:] = Picture.from_bgr(np.ascontiguousarray(rgb[..., ::-1])).i420
        slot = ring.commit()
        assert ledger.sent(index, owner)
        head = header(camera, seq=self.seq[camera], capture_mono_ns=time.monotonic_ns(), slot=slot, ledger_index=index)
        return DueFrame(header=head, owner=owner, ticket=self.tickets.get(camera, 0))

    def tick(self, now_mono_ns: int | None = None) -> list[Output]:
        """One turn of the loop: what was sent, in order."""
        sent = []
        for output in self.stage.tick((now_mono_ns or time.monotonic_ns()) + self.ahead_ns):
            if self.refuse(output):
                self.stage.undelivered(output)
                continue
            sent.append(output)
            if isinstance(output.message, Credit):
                self.tickets[output.key] = output.message.ticket
        return sent

    def totals(self, camera: str = "a") -> Totals:
        return self.keeper.collect()[camera]

    def set_script(self, name: str, text: str = "") -> None:
        (self.model / name).write_text(text)

    def clear_script(self, name: str) -> None:
        (self.model / name).unlink()


def inspections(outputs: list[Output]) -> list[Inspection]:
    return [output.message for output in outputs if isinstance(output.message, Inspection)]


def conditions(outputs: list[Output], kind: ConditionKind) -> list[Condition]:
    found = [output.message for output in outputs if isinstance(output.message, Condition)]
    return [condition for condition in found if condition.kind is kind]
