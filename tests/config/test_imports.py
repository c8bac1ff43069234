"""Reading a configuration stays cheap: it loads no library that an output, a camera or a model needs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("av", "httpx", "paho", "sqlalchemy", "torch")
EVERY_OUTPUT = """
import sys
from pathlib import Path
from stream_inspect.config.load import load_text
from stream_inspect.config.outputs import alert_models
rest = "version: 1\\ncameras: [{name: top, source: {kind: synthetic}}]\\ndefects: [{name: hole, prompts: [hole]}]\\n"
kinds = []
for model in alert_models().values():
    if model.example:
        config = load_text(rest + model.example, Path("/nowhere/line.yaml"), fetch_secrets=False)
        kinds += [alert.kind for alert in config.alerts]
print(*kinds)
print(*sorted({module.partition(".")[0] for module in sys.modules}))
"""


def test_loading_a_configuration_with_every_output_imports_no_output() -> None:
    done = subprocess.run([sys.executable, "-c", EVERY_OUTPUT], capture_output=True, text=True, check=True)
    kinds, modules = done.stdout.splitlines()
    assert {"mqtt", "webhook", "file"} <= set(kinds.split())
    assert "pydantic" in modules.split()
    assert set(HEAVY).isdisjoint(modules.split())
