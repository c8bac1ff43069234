"""Each kind of output with a real receiver: one file a kind, found by its name, for the contract test.

A rig's file holds `RIGS`: one rig or more by name, as a kind may have several ways to send.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any

from stream_inspect import registry
from stream_inspect.config.outputs import AlertConfig, alert_models
from stream_inspect.messages import Event, event_json
from tests.alerts.receivers import wait_until

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ="
TIMEOUT_S = 1.0
BUILT_IN = [kind for kind in alert_models() if kind != "plugin"]


class Rig(ABC):
    """One kind of output with its receiver: up when the test begins."""

    notices_death = True
    """Whether the output can know that its receiver is gone. One that acknowledges does."""

    def __init__(self, config: AlertConfig, folder: Path) -> None:
        self.config = config
        self.alert_class = registry.load("alert", config.kind)
        self.alert = self.alert_class(config, line="line1", state_dir=folder)

    @abstractmethod
    def payloads(self) -> list[Any]:
        """What has arrived, in order, each as `payload` makes it."""

    def payload(self, event: Event) -> Any:
        """What should arrive of an event: its JSON."""
        return event_json(event)

    @abstractmethod
    def take_away(self) -> None:
        """The receiver dies."""

    @abstractmethod
    def bring_back(self) -> None:
        """It works again, and remembers what it got."""

    def close(self) -> None:
        """Stop everything."""
        self.alert.close()

    def arrived(self, count: int) -> list[Any]:
        """What has arrived when there are so many, or after a while."""
        wait_until(lambda: len(self.payloads()) >= count, 5)
        return self.payloads()


def rigs() -> dict[str, type[Rig]]:
    """All rigs by name. A kind without a file here fails."""
    return {name: rig for kind in BUILT_IN for name, rig in import_module(f"{__name__}.{kind}").RIGS.items()}
