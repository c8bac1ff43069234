"""The worker's model: loaded, closed when it fails, and loaded again with back-off."""

from __future__ import annotations

import time

from stream_inspect import metrics
from stream_inspect.backoff import Backoff, doubling_s
from stream_inspect.config.models import Config
from stream_inspect.inspect.batching import BatchLimit
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.inspector import Inspector, build_inspector
from stream_inspect.inspect.prompts import PromptsError, compile_prompts
from stream_inspect.log import get_logger

RELOAD_WAITS_S = doubling_s(1.0, 30.0)
"""Before a failed model is loaded again."""


class ModelSlot:
    """An `Inspector` that is ready to judge, or the reason why there is none.

    A model that failed while judging counts as failed until it has judged again: that it loads proves nothing.
    """

    def __init__(self, config: Config, *, worker: str, worker_index: int) -> None:
        self.config = config
        """What is in use, and what the model is loaded with next time."""
        self.inspector: Inspector | None = None
        self.limit = BatchLimit(config.inspect.batch_max_frames)
        self.failure = ""
        """Why the model counts as failed; "" when it does not."""
        self._worker = worker
        self._worker_index = worker_index
        self._failed_judging = False
        self._backoff = Backoff(RELOAD_WAITS_S)
        self._reload_at_mono_ns = 0
        self._log = get_logger(__name__, worker=worker)

    def load(self) -> None:
        """Load the model; one that cannot be loaded is tried again later."""
        began = time.monotonic()
        self._log.info("loading models", detector=self.config.inspect.detector.model)
        try:
            self.inspector = self._loaded()
        except (ModelError, PromptsError) as error:
            self._retry_later(error)
            return
        self.limit = BatchLimit(min(self.config.inspect.batch_max_frames, self.inspector.useful_batch))
        if not self._failed_judging:
            self.failure = ""
        seconds = round(time.monotonic() - began, 1)
        self._log.info("models ready", seconds=seconds, model_hash=self.inspector.model_hash[:12])

    def load_if_due(self, now_mono_ns: int) -> None:
        """Load the model again if there is none and the back-off has passed."""
        if self.inspector is None and now_mono_ns >= self._reload_at_mono_ns:
            metrics.MODEL_RELOADS.labels(self._worker).inc()
            self.load()

    def use(self, config: Config) -> None:
        """Judge with the defects and limits of this configuration from the next picture on.

        Raises `PromptsError` for defects that cannot be used, and then nothing has changed.
        """
        if self.inspector is None:
            compile_prompts(config.defects)
        else:
            try:
                self.inspector.set_defects(config.defects)
            except ModelError as error:
                self._fail(error, judging=False)  # the texts are at fault: a model that loads with them works
        if self.inspector is not None:
            inspect = config.inspect
            self.inspector.set_limits(fuse_overlap=inspect.fuse_overlap, max_detections=inspect.max_detections)
        self.config = config

    def judged(self, now_mono_ns: int) -> None:
        """A batch was judged: the model works."""
        self.limit.fitted(now_mono_ns)
        self.failure = ""
        self._failed_judging = False
        self._backoff.reset()

    def failed_judging(self, error: ModelError) -> None:
        """The model failed while judging: close it, and load it again later."""
        self._fail(error, judging=True)

    def close(self) -> None:
        """Release the model's memory. Never raises."""
        if self.inspector is not None:
            self.inspector.close()
            self.inspector = None

    def _loaded(self) -> Inspector:
        inspector = build_inspector(self.config.inspect, self.config.inspect.workers[self._worker_index])
        try:
            inspector.open()
            inspector.set_defects(self.config.defects)
        except BaseException:
            inspector.close()
            raise
        return inspector

    def _fail(self, error: ModelError, *, judging: bool) -> None:
        self.close()
        self._failed_judging = judging
        self._retry_later(error)

    def _retry_later(self, error: ModelError | PromptsError) -> None:
        wait_s = self._backoff.next_s()
        self._log.error("model failed; retrying", error=str(error), retry_s=wait_s)
        self.failure = f"{self._worker}: {error}"
        self._reload_at_mono_ns = time.monotonic_ns() + round(wait_s * 1e9)
