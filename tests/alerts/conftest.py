"""What tests of outputs share: a web server that receives, and plug-ins installed as pip would."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_inspect.config.plugin import options_model, options_schema
from tests.alerts.receivers import HttpReceiver

Install = Callable[[str, str, str], None]


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    receiver.start()
    yield receiver
    receiver.close()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a module's text and registers `module:Class` under the module's name in an entry point group.

    As for a package: the module, and a dist-info with its entry points.
    """
    site = tmp_path / "site-packages"
    site.mkdir()
    installed = []

    def put(module: str, group: str, text: str) -> None:
        name = text.rpartition("class ")[2].partition("(")[0].partition(":")[0]
        (site / f"{module}.py").write_text(text)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[stream_inspect.{group}]\n{module} = {module}:{name}\n")
        monkeypatch.syspath_prepend(site)
        installed.append(module)

    yield put
    for module in installed:
        sys.modules.pop(module, None)
    options_model.cache_clear()
    options_schema.cache_clear()
