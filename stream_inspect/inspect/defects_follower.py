"""Follows the configuration file while the worker runs: what changes in it is used from the next frame on, or not."""

from __future__ import annotations

from stream_inspect.config.adopted import Adopted
from stream_inspect.config.models import Config
from stream_inspect.config.problems import ConfigError
from stream_inspect.config.reload import reload
from stream_inspect.config.watch import ConfigWatcher
from stream_inspect.inspect.model_slot import ModelSlot
from stream_inspect.inspect.prompts import PromptsError, prompts_hash
from stream_inspect.log import get_logger

CONFIG_POLL_NS = 200_000_000
"""How often the configuration file is checked for a change."""


class DefectsFollower:
    """Hands new defects and limits to the model, a change of the file as a whole or not at all."""

    def __init__(
        self, watcher: ConfigWatcher | None, model: ModelSlot, *, worker: str, adopted: Adopted | None = None
    ) -> None:
        """`adopted` remembers for the next process run of this worker what has been adopted."""
        self.rejected = ""
        """Why the file, as last read, was rejected; "" when it was not."""
        self._watcher = watcher
        self._model = model
        self._adopted = adopted
        self._unusable = ""
        """Why the defects of the last well-formed file were rejected; "" when they are in use."""
        self._polled_mono_ns = 0
        self._log = get_logger(__name__, worker=worker)

    def poll(self, now_mono_ns: int) -> None:
        """Check the file, and adopt what has changed in it."""
        if self._watcher is None or now_mono_ns - self._polled_mono_ns < CONFIG_POLL_NS:
            return
        self._polled_mono_ns = now_mono_ns
        try:
            config = self._watcher.poll()
            if config is not None:
                self._adopt(config)
        except (ConfigError, PromptsError) as error:
            self._log.warning("new configuration rejected; keeping the current one", error=str(error))
            self.rejected = str(error)
            if isinstance(error, PromptsError):
                self._unusable = str(error)
            return
        if config is not None:
            self._unusable = ""
        if not self._watcher.wrong:  # well formed (again): now it is as good as its defects are
            self.rejected = self._unusable

    def _adopt(self, config: Config) -> None:
        """Use what is reloadable. Raises `PromptsError`, and then nothing has changed."""
        change = reload(self._model.config, config)
        self._model.use(change.config)
        if self._adopted is not None:
            self._adopted.keep(change.config)
        self._log.info(
            "configuration reloaded",
            applied=change.applied,
            needs_restart=change.needs_restart,
            prompts_hash=prompts_hash(config.defects)[:12],
        )
