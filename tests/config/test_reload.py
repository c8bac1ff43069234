"""Which keys a change touches: those that are in use now, and those that wait for a restart."""

from __future__ import annotations

import re
from pathlib import Path

from stream_inspect.config.load import dump, load, parse_dump
from stream_inspect.config.models import DefectConfig
from stream_inspect.config.reference import reference
from stream_inspect.config.reload import Reload, reload

TEXT = """\
version: 1
line: press-3
cameras:
  - {name: top, source: {kind: rtsp, url: "rtsp://10.0.0.7/one", username: me, password: {file: secret}}}
  - {name: side, source: {kind: synthetic}, region_px: [[0, 0], [300, 0], [0, 300]]}
defects:
  - {name: hole, prompts: [hole, pit], threshold: 0.3}
  - {name: scratch, prompts: [scratch]}
inspect: {workers: [{device: cpu}, {device: cpu, threads: 2}]}
"""


def changed(folder: Path, *changes: tuple[str, str]) -> Reload:
    """What a running service takes over when these pieces of its file are replaced by others."""
    path = folder / "line.yaml"
    (folder / "secret").write_text("at first")
    path.write_text(TEXT)
    running = parse_dump(dump(load(path)))  # as it reaches a worker
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return reload(running, load(path))


def keys(reloaded: Reload) -> tuple[list[str], list[str]]:
    return reloaded.applied, reloaded.needs_restart


def test_the_same_file_changes_nothing(tmp_path: Path) -> None:
    assert keys(changed(tmp_path)) == ([], [])


def test_defects_are_in_use_and_the_rule_waits(tmp_path: Path) -> None:
    found = changed(
        tmp_path, ("0.3", "0.4"), ("[hole, pit]", "[hole]"), ("version: 1", "version: 1\ndecide: {confirm_hits: 3}")
    )
    assert keys(found) == (["defects[hole].prompts", "defects[hole].threshold"], ["decide.confirm_hits"])
    assert (found.config.defects[0].threshold, found.config.decide.confirm_hits) == (0.4, 2)


def test_a_section_has_keys_of_both_sorts(tmp_path: Path) -> None:
    found = changed(tmp_path, ("inspect: {", "inspect: {max_detections: 7, batch_max_frames: 9, "))
    assert keys(found) == (["inspect.max_detections"], ["inspect.batch_max_frames"])
    assert (found.config.inspect.max_detections, found.config.inspect.batch_max_frames) == (7, 4)


def test_an_item_that_was_added_or_removed_is_one_key(tmp_path: Path) -> None:
    other = "{name: dent, prompts: [dent], severity: minor}"
    assert keys(changed(tmp_path, ("{name: scratch, prompts: [scratch]}", other))) == (
        ["defects[scratch]", "defects[dent]"],
        [],
    )
    assert keys(changed(tmp_path, (", {device: cpu, threads: 2}", ""))) == ([], ["inspect.workers[1]"])


def test_a_key_is_named_by_its_item_or_by_its_place_where_items_have_no_names(tmp_path: Path) -> None:
    found = changed(tmp_path, ("threads: 2", "threads: 3"), ("[300, 0]", "[299, 0]"), ("10.0.0.7", "10.0.0.8"))
    waiting = ["cameras[top].source.url", "cameras[side].region_px", "inspect.workers[1].threads"]
    assert keys(found) == ([], waiting)


def test_another_kind_and_a_section_that_is_absent_are_one_key(tmp_path: Path) -> None:
    found = changed(
        tmp_path, ("{kind: synthetic}", "{kind: images, path: .}"), ("inspect: {", "inspect: {segmenter: null, ")
    )
    assert keys(found) == ([], ["cameras[side].source", "inspect.segmenter"])


def test_the_same_items_in_another_order_are_the_list(tmp_path: Path) -> None:
    hole, scratch = TEXT.splitlines(keepends=True)[6:8]
    assert keys(changed(tmp_path, (hole + scratch, scratch + hole))) == (["defects"], [])


def test_a_secret_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("another one")
    found = changed(tmp_path, ("file: secret", "file: other"))
    assert keys(found) == ([], ["cameras[top].source.password"])


def test_an_area_waits_for_the_scale_that_it_needs(tmp_path: Path) -> None:
    scales = [("{name: top,", "{name: top, mm_per_px: 0.5,"), ("{name: side,", "{name: side, mm_per_px: 0.5,")]
    found = changed(tmp_path, *scales, ("0.3", "0.3, min_area_mm2: 4, severity: minor"))
    waiting = ["cameras[top].mm_per_px", "cameras[side].mm_per_px", "defects[hole].min_area_mm2"]
    assert keys(found) == (["defects[hole].severity"], waiting)


def test_the_reference_marks_the_keys_that_take_effect_while_the_service_runs() -> None:
    marked = re.findall(r"^\| `(\w+)` .* \*Reloadable\.\* \|$", reference(), re.MULTILINE)
    assert marked == ["defects", *DefectConfig.model_fields, "fuse_overlap", "max_detections"]
