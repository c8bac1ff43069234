"""A detector of another package that does not need torch does not load it: seconds and hundreds of megabytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from stream_inspect import registry
from stream_inspect.config.models import DefectConfig, DetectorConfig, InspectConfig, WorkerConfig
from stream_inspect.inspect import stage
from stream_inspect.inspect.inspector import CameraSettings, build_inspector
from tests.inspect.scripted import black, rectangle

registry.BUILT_IN["detector"]["scripted"] = "tests.inspect.scripted:ScriptedPlugin"
config = InspectConfig(detector=DetectorConfig(kind="scripted", model=sys.argv[1]), segmenter=None)
inspector = build_inspector(config, WorkerConfig())
inspector.open()
inspector.set_defects([DefectConfig(name="spot", prompts=["red"])])
((found,),) = inspector.judge([rectangle(black(), "red", (20, 30, 60, 40))], [CameraSettings()])
inspector.close()
print(found.defect, sorted({"torch", "transformers"} & sys.modules.keys()))
"""


def test_a_detector_without_torch_judges_without_loading_it(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout, result.stderr) == ("spot []\n", "")
