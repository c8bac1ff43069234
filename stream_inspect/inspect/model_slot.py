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

    A model that failed while judging counts as failed until it has judged again: that it loads proves nothing. One that
    was loaded and cannot use the prompts waits for others: it is not loaded again for them.
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
        self._without_prompts: Inspector | None = None
        """A loaded model that waits for prompts it can use."""
        self._backoff = Backoff(RELOAD_WAITS_S)
        self._reload_at_mono_ns = 0
        self._log = get_logger(__name__, worker=worker)

    def load(self) -> None:
        """Load the model; one that cannot be loaded is tried again later."""
        began = time.monotonic()
        self._log.info("loading models", detector=self.config.inspect.detector.model)
        try:
            inspector = self._loaded()
        except ModelError as error:
            self._retry_later(error)
            return
        seconds = round(time.monotonic() - began, 1)
        self._log.info("models ready", seconds=seconds, model_hash=inspector.model_hash[:12])
        try:
            self._begin(inspector, self.config)
        except PromptsError as error:
            self._log.error("prompts unusable; waiting for others", error=str(error))

    def load_if_due(self, now_mono_ns: int) -> None:
        """Load the model again if there is none and the back-off has passed."""
        waits = self.inspector is None and self._without_prompts is None
        if waits and now_mono_ns >= self._reload_at_mono_ns:
            metrics.MODEL_RELOADS.labels(self._worker).inc()
            self.load()

    def use(self, config: Config) -> None:
        """Judge with the defects and limits of this configuration from the next picture on.

        Raises `PromptsError` for defects that cannot be used, and then nothing has changed.
        """
        if self._without_prompts is not None:
            self._begin(self._without_prompts, config)
        elif self.inspector is None:
            compile_prompts(config.defects, config.part_prompts)
        else:
            try:
                self.inspector.set_defects(config.defects, config.part_prompts)
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
        for inspector in (self.inspector, self._without_prompts):
            if inspector is not None:
                inspector.close()
        self.inspector = self._without_prompts = None

    def _loaded(self) -> Inspector:
        inspector = build_inspector(self.config.inspect, self.config.inspect.workers[self._worker_index])
        try:
            inspector.open()
        except BaseException:
            inspector.close()
            raise
        return inspector

    def _begin(self, inspector: Inspector, config: Config) -> None:
        """Judge with this model and these prompts. Raises `PromptsError`, and then the model waits for others."""
        try:
            inspector.set_defects(config.defects, config.part_prompts)
        except PromptsError as error:
            self._without_prompts, self.failure = inspector, f"{self._worker}: {error}"
            raise
        except ModelError as error:
            self._without_prompts = inspector
            self._fail(error, judging=False)
            return
        self._without_prompts, self.inspector = None, inspector
        self.limit = BatchLimit(min(config.inspect.batch_max_frames, inspector.useful_batch))
        if not self._failed_judging:
            self.failure = ""

    def _fail(self, error: ModelError, *, judging: bool) -> None:
        self.close()
        self._failed_judging = judging
        self._retry_later(error)

    def _retry_later(self, error: ModelError) -> None:
        wait_s = self._backoff.next_s()
        self._log.error("model failed; retrying", error=str(error), retry_s=wait_s)
        self.failure = f"{self._worker}: {error}"
        self._reload_at_mono_ns = time.monotonic_ns() + round(wait_s * 1e9)
