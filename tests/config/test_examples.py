"""The example configurations, the generated reference and the schema: all right, all up to date."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from stream_inspect.config import reference
from stream_inspect.config.builtin import builtin_config
from stream_inspect.config.load import load, load_text, redacted
from stream_inspect.config.models import Config, SyntheticSource
from stream_inspect.config.schema import json_schema
from stream_inspect.errors import StreamInspectError
from stream_inspect.sim import SyntheticLine
from stream_inspect.tiny import defaults

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
AGAIN = "run `python -m stream_inspect.config.reference`"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOP_CAMERA_PASSWORD", "MQTT_PASSWORD"):
        monkeypatch.setenv(name, f"value of {name}")


def load_example(name: str, tmp_path: Path) -> Config:
    """The example as it is on a plant's computer: with its secrets' files beside it."""
    copy = tmp_path / f"{name}.yaml"
    copy.write_text(builtin_config(name).read_text())
    (tmp_path / "secrets").mkdir()
    for secret in ("cameras", "mqtt", "web-token"):
        (tmp_path / "secrets" / secret).write_text(f"value of {secret}\n")
    (tmp_path / "secrets" / "webhook").write_text("whsec_" + base64.b64encode(b"key of the webhook").decode() + "\n")
    return load(copy)


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_right_and_shows_no_secret(name: str, tmp_path: Path) -> None:
    config = load_example(name, tmp_path)
    assert config.cameras
    assert "value of" not in redacted(config) + repr(config)


@pytest.mark.parametrize("name", EXAMPLES)
def test_editors_find_the_schema_beside_each_example(name: str) -> None:
    first_line = builtin_config(name).read_text().splitlines()[0]
    (schema,) = re.findall(r"^# yaml-language-server: \$schema=(.*)$", first_line)
    assert (builtin_config(name).parent / schema).is_file()


def test_the_examples_that_the_documents_name_are_there() -> None:
    assert EXAMPLES == ["conveyor_clip", "demo", "four-cameras-two-gpus", "gige", "one-rtsp-camera", "usb"]
    assert all(name in reference.reference() for name in EXAMPLES)


@pytest.mark.usefixtures("secrets")
def test_what_four_cameras_share_is_written_once(tmp_path: Path) -> None:
    config = load_example("four-cameras-two-gpus", tmp_path)
    assert [camera.source.url for camera in config.cameras] == [  # type: ignore[union-attr]
        "rtsp://10.0.1.11/stream1",
        "rtsp://10.0.1.12/stream1",
        "rtsp://10.0.1.21/stream1",
        "rtsp://10.0.1.22/stream1",
    ]
    assert {camera.source.password.get_secret_value() for camera in config.cameras} == {  # type: ignore[union-attr]
        "value of cameras"
    }
    assert config.line_of("b-top") == "line-b"


def test_the_demo_belt_is_the_synthetic_lines() -> None:
    camera = load(builtin_config("demo")).cameras[0]
    source, belt = camera.source, camera.belt
    assert isinstance(source, SyntheticSource)
    assert belt is not None
    line = SyntheticLine(source.seed, source.width_px, source.height_px, source.fps)
    assert belt.mm_per_px == pytest.approx(line.mm_per_px)
    assert belt.speed_mm_s / belt.mm_per_px == pytest.approx(line.speed_px_s)
    assert (belt.direction == "left_to_right") == line.moves_right


def test_the_demo_speaks_the_words_of_the_embedded_models() -> None:
    defects = {defect.name: defect for defect in load(builtin_config("demo")).defects}
    assert set(defects) == set(defaults.DEFECT_PROMPTS)
    for name, defect in defects.items():
        assert set(defect.prompts) <= set(defaults.DEFECT_PROMPTS[name])
        assert defect.threshold == pytest.approx(defaults.THRESHOLDS[name]), name


def test_an_unknown_example_is_named_with_those_there_are() -> None:
    with pytest.raises(StreamInspectError, match=r"available: conveyor_clip, demo, .* Did you mean one-rtsp-camera\?"):
        builtin_config("rtsp-camera")


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == reference.reference(), AGAIN


def test_the_schema_is_up_to_date() -> None:
    assert (ROOT / "configs" / "schema.json").read_text() == reference.schema_text(), AGAIN


def test_every_key_has_a_meaning_in_the_reference() -> None:
    rows = [line for line in reference.reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    without = [row for row in rows if row.endswith("|  |") and not row.startswith("| `kind`")]
    assert without == []


def test_every_example_in_the_reference_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOP_CAMERA_PASSWORD", "x")
    monkeypatch.setenv("PLC_PASSWORD", "x")
    monkeypatch.setenv("WEBHOOK_SECRET", "whsec_" + base64.b64encode(b"key").decode())
    (tmp_path / "secrets").mkdir()
    for name in ("mqtt", "web-token"):
        (tmp_path / "secrets" / name).write_text("x")
    blocks = re.findall(r"```yaml\n(.*?)```", reference.reference(), re.S)
    assert len(blocks) > 8
    for block in blocks:
        text = block if "version" in block else "version: 1\n" + block
        if block.startswith(("source:", "belt:")):
            inner = "".join(f"    {line}\n" for line in block.splitlines())
            rest = "" if block.startswith("source:") else "    source: {kind: synthetic}\n"
            text = f"version: 1\ncameras:\n  - name: top\n{rest}{inner}"
        if "cameras:" not in text:
            text += "cameras: [{name: top, mm_per_px: 1, source: {kind: synthetic}}]\n"
        if "defects:" not in text:
            text += "defects: [{name: scratch, prompts: [scratch]}]\n"
        assert load_text(text, tmp_path / "line.yaml").cameras[0].name == "top"


def test_the_schema_describes_secrets_and_choices() -> None:
    definitions = json_schema()["$defs"]
    forms = definitions["RtspSource"]["properties"]["password"]["anyOf"][0]["anyOf"]
    assert [form.get("required") for form in forms] == [["env"], ["file"], None]
    assert definitions["RtspSource"]["properties"]["transport"]["enum"] == ["tcp", "udp"]
    assert definitions["CameraConfig"]["additionalProperties"] is False
