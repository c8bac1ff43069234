"""What a run has adopted of a changed configuration file, kept in its folder for the processes that it restarts.

A restarted process starts with the configuration of the start of the run. It would read what has changed since from the
file, but the file may be wrong by then: its defects of hours ago must not come into use again. Only reloadable keys are
kept, none of which holds a secret.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from stream_inspect.config.load import dump, parse_dump
from stream_inspect.config.models import Config
from stream_inspect.config.reload import reload, reloadable_values
from stream_inspect.log import get_logger


class Adopted:
    """The file of one run. It may be missing: then nothing has been adopted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = get_logger(__name__)

    def keep(self, config: Config) -> None:
        """Remember what is in use now. A failure is logged: only a restart with a wrong file would show it."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps(reloadable_values(config)))
            fresh.replace(self._path)
        except OSError as error:
            self._log.warning("cannot keep the adopted configuration", path=str(self._path), error=str(error))

    def into(self, config: Config) -> Config:
        """The configuration of the start of the run with what was adopted since."""
        try:
            adopted = json.loads(self._path.read_text())
            merged = parse_dump(json.dumps(_merged(json.loads(dump(config)), adopted)))
        except FileNotFoundError:
            return config
        except (OSError, ValueError) as error:
            self._log.warning("cannot read the adopted configuration", path=str(self._path), error=str(error))
            return config
        return reload(config, merged).config


def _merged(tree: object, changes: object) -> object:
    if not isinstance(tree, dict) or not isinstance(changes, dict):
        return changes
    return tree | {key: _merged(tree.get(key), value) for key, value in changes.items()}
