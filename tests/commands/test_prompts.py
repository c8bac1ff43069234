"""Editing the defects of a configuration file: validated as a whole, replaced as a whole, and to be taken back."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_inspect.commands import prompts
from stream_inspect.commands.config_file import ConfigFileError
from stream_inspect.config.load import ConfigError, load
from stream_inspect.config.watch import ConfigWatcher
from stream_inspect.errors import UsageError

TEXT = """\
# Line 3, tuned by the quality department.
version: 1
cameras:
  - name: top          # over the press
    source: {kind: synthetic}
    mm_per_px: 0.5

defects:
  # What the operators call a hole.
  - name: hole
    prompts:
      - hole           # plain
      - puncture
    threshold: 0.30    # calibrated in May

  - {name: rust, prompts: [rust], counter_prompts: [brown label], min_area_mm2: 4}   # the belt rusts, too
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "line.yaml"
    path.write_text(TEXT)
    return path


def test_what_is_shown_is_what_is_in_force(file: Path) -> None:
    assert prompts.show(file).startswith(
        "hole: threshold 0.3, major\n  prompts: hole, puncture\n\n"
        "rust: threshold 0.3, major, at least 4 mm²\n  prompts: rust\n  counter-prompts: brown label\n\n"
        "warning: tiny does not know: brown label. "
    )
    assert prompts.show(file, "hole").startswith("hole: threshold 0.3")


def test_a_change_leaves_every_comment_and_every_other_byte(file: Path) -> None:
    reported = prompts.set_prompts(file, "hole", prompts=["hole", "pit"], threshold=0.42)
    assert reported == "hole: threshold 0.42, major\n  prompts: hole, pit"
    assert file.read_text() == TEXT.replace("- puncture", "- pit").replace("0.30 ", "0.42 ")
    prompts.set_prompts(file, "rust", counter_prompts=[], severity="minor", min_area_px=9)
    assert "counter_prompts: [], min_area_mm2: 4, min_area_px: 9, severity: minor}   # the belt" in file.read_text()


def test_a_running_watcher_takes_the_change_up_at_once(file: Path) -> None:
    watcher = ConfigWatcher(file, current=load(file))
    assert watcher.poll() is None
    prompts.set_prompts(file, "hole", threshold=0.5)
    config = watcher.poll()
    assert config is not None
    assert config.defects[0].threshold == 0.5


def test_defects_are_added_and_removed(file: Path) -> None:
    reported = prompts.add(
        file, "dent", ["dent", "ding"], counter_prompts=["label"], threshold=0.2, severity="critical"
    )
    assert reported == "dent: threshold 0.2, critical\n  prompts: dent, ding\n  counter-prompts: label"
    assert [defect.name for defect in load(file).defects] == ["hole", "rust", "dent"]
    assert prompts.remove(file, "hole").startswith("rust:")
    assert prompts.remove(file, "dent").startswith("rust:")
    with pytest.raises(UsageError, match="cannot remove rust: at least one defect must remain"):
        prompts.remove(file, "rust")
    for comment in ("# Line 3,", "# over the press", "# the belt rusts, too", "# What the operators call a hole."):
        assert comment in file.read_text()


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        (
            lambda file: prompts.set_prompts(file, "hole", threshold=1.5),
            r"line\.yaml:14:16: defects\[0\]\.threshold: mus",
        ),
        (
            lambda file: prompts.set_prompts(file, "hole", prompts=[]),
            r"defects\[0\]\.prompts: must be a list of 1 to 32",
        ),
        (lambda file: prompts.set_prompts(file, "hole", prompts=[" "]), r"defects\[0\]\.prompts\[0\]: must be text of"),
        (
            lambda file: prompts.set_prompts(file, "hole", prompts=["a very " + "long " * 15 + "hole"]),
            r"the prompt 'a very long .*' of defect hole has 21 tokens, this detector reads 16",
        ),
        (
            lambda file: prompts.set_prompts(file, "rust", counter_prompts=["Rust"]),
            r"defects\[1\]\.counter_prompts\[0\]: \"Rust\" is listed as prompt and as counter-prompt",
        ),
        (lambda file: prompts.add(file, "Big Dent", ["dent"]), r"defects\[2\]\.name: must be a name"),
        (lambda file: prompts.add(file, "rust", ["dent"]), "defect rust already exists"),
        (lambda file: prompts.set_prompts(file, "hol", threshold=0.5), r"available: hole, rust\. Did you mean hole\?"),
        (lambda file: prompts.set_prompts(file, "hole"), "nothing to change"),
        (
            lambda file: prompts.set_prompts(file, "hole", threshold=0.3, prompts=["hole", "puncture"]),
            "already has these values",
        ),
        (lambda file: prompts.remove(file, "dent"), "no defect named 'dent'"),
        (lambda file: prompts.undo(file), "nothing to undo"),
    ],
)
def test_a_wrong_change_is_refused_whole(file: Path, change: Callable[[Path], str], reported: str) -> None:
    with pytest.raises((UsageError, ConfigFileError), match=reported):
        change(file)
    assert file.read_text() == TEXT
    assert os.listdir(file.parent) == ["line.yaml"]


def test_the_last_change_is_undone_and_made_again(file: Path) -> None:
    prompts.set_prompts(file, "hole", threshold=0.5)
    changed = file.read_text()
    assert prompts.undo(file).startswith("hole: threshold 0.3,")
    assert file.read_text() == TEXT
    prompts.undo(file)
    assert file.read_text() == changed


def test_a_file_broken_by_hand_is_repaired_by_undo(file: Path) -> None:
    prompts.set_prompts(file, "hole", threshold=0.5)
    file.write_text("defects: [")
    prompts.undo(file)
    assert file.read_text() == TEXT


def test_a_wrong_file_is_not_edited(file: Path) -> None:
    file.write_text(TEXT.replace("version: 1", "version: 1\nwebb: {}"))
    with pytest.raises(ConfigError, match=r"line\.yaml:3:1: webb: unknown key"):
        prompts.set_prompts(file, "hole", threshold=0.5)


def test_the_secrets_of_the_service_need_not_be_here(file: Path) -> None:
    file.write_text(TEXT + "web: {token: {env: NOT_SET_ANYWHERE}}\n")
    prompts.set_prompts(file, "hole", threshold=0.5)
    assert "threshold: 0.5 " in file.read_text()


def test_mode_and_link_are_kept(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "current.yaml"
    link.symlink_to("line.yaml")
    prompts.set_prompts(link, "hole", threshold=0.5)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert load(file).defects[0].threshold == 0.5


def test_a_full_disk_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(ConfigFileError, match=r"cannot write .*line\.yaml: No space left on device"):
        prompts.set_prompts(file, "hole", threshold=0.5)
    assert file.read_text() == TEXT
    assert os.listdir(file.parent) == ["line.yaml"]
