"""The embedded models never pass for an inspection: what they are used on, and which words they know."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from stream_inspect.commands import prompts
from stream_inspect.config.models import CameraConfig, Config, DefectConfig
from stream_inspect.tiny import scope
from stream_inspect.tiny.vocabulary import OFF_DOMAIN, TEMPLATES

SOURCES: dict[str, dict[str, Any]] = {
    "rtsp": {"url": "rtsp://192.0.2.10/1"},
    "usb": {},
    "gige": {},
    "file": {"path": "a.mp4"},
    "images": {"path": "pictures"},
    "plugin": {"plugin": "file"},
}
FULL_SIZE = {"model": "google/owlv2-base-patch16-ensemble"}
BY_FOLDER = {"model": str(files("stream_inspect") / "tiny" / "owlv2")}


def _config(kind: str, **inspect: Any) -> Config:
    camera = {"name": "top", "source": {"kind": kind, **SOURCES.get(kind, {})}}
    line = {"name": "belt", "source": {"kind": "synthetic"}}
    defects = [{"name": "hole", "prompts": ["hole"]}]
    return Config.model_validate({"version": 1, "cameras": [camera, line], "defects": defects, "inspect": inspect})


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(
    ("inspect", "reason"),
    [
        ({}, scope.VERDICTS),
        ({"segmenter": None}, scope.VERDICTS),
        ({"segmenter": {"model": "facebook/sam-vit-base"}}, scope.VERDICTS),
        ({"detector": FULL_SIZE}, scope.OUTLINES),
        ({"detector": FULL_SIZE, "segmenter": None}, ""),
        ({"detector": FULL_SIZE, "segmenter": {"kind": "other"}}, ""),
        ({"detector": {"kind": "other"}, "segmenter": None}, ""),
    ],
)
def test_on_every_source_but_the_synthetic_line_the_embedded_models_only_demonstrate(
    kind: str, inspect: dict[str, Any], reason: str
) -> None:
    assert scope.cameras_out_of_scope(_config(kind, **inspect)) == ({"top": reason} if reason else {})


def test_every_kind_of_source_is_tried_here() -> None:
    kinds = {member.model_fields["kind"].annotation.__args__[0] for member in _members()}
    assert kinds == {*SOURCES, "synthetic"}


def _members() -> tuple[Any, ...]:
    annotation: Any = CameraConfig.model_fields["source"].annotation
    return tuple(annotation.__args__)


def test_known_words_may_have_words_around_them_that_change_nothing() -> None:
    known = ["scratch", "Scratch", "a thin scratch on the metal plate", "hairline crack!", "a photo of a paint spill"]
    known += [template.format("rust") for template in TEMPLATES]
    unknown = ["a bright line", "burr", "scratch on leather", "a scratchy hole-like thing", "Kratzer", "…", *OFF_DOMAIN]
    defect = DefectConfig.model_construct(name="x", prompts=[*known, *unknown], counter_prompts=["label", "a dog"])
    assert scope.unknown_prompts([defect]) == [*dict.fromkeys(unknown), "a dog"]


def test_prompts_answers_with_what_the_embedded_models_make_of_it(tmp_path: Path) -> None:
    text = "version: 1\ncameras: [{name: top, source: %s}]\ndefects: [{name: burr, prompts: [hole]}]\n%s"
    file = tmp_path / "line.yaml"
    file.write_text(text % ("{kind: usb}", ""))
    warning = f"warning: {scope.VERDICTS} (camera top); set inspect.detector.model: google/owlv2-base-patch16-ensemble"
    assert warning in prompts.show(file)
    assert f"warning: tiny knows only these words: {scope.known_words()}" in prompts.show(file)
    answer = prompts.set_prompts(file, "burr", prompts=["a burr"])
    assert warning in answer
    assert f"warning: tiny does not know: a burr. It knows only these words: {scope.known_words()}" in answer
    assert warning in prompts.add(file, "dent", ["dent"])
    assert warning in prompts.remove(file, "dent")
    assert warning in prompts.undo(file)
    file.write_text(text % ("{kind: synthetic}", ""))
    assert prompts.show(file) == "burr: threshold 0.3, major\n  prompts: hole"
    file.write_text(text % ("{kind: usb}", "inspect: {detector: {model: a/b}, segmenter: null}\n"))
    assert prompts.show(file) == "burr: threshold 0.3, major\n  prompts: hole"
