"""`--set`: what it changes, what it adds, and what it says when the key is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_inspect.config import overrides
from stream_inspect.config.load import ConfigError, load_text
from stream_inspect.config.problems import did_you_mean, key_text
from stream_inspect.config.tree import Place, Tree, parse

TEXT = """\
version: 1
cameras:
  - name: top
    source: {kind: synthetic}
  - name: left
    source: {kind: synthetic}
    sampling: {rate_hz: 3}
defects: [{name: hole, prompts: [hole]}]
alerts: [{kind: file}, {kind: file, name: copy}]
inspect:
  segmenter: null
"""


def tree(text: str = TEXT) -> Tree:
    return parse(text, lambda line, column: Place("line.yaml", line, column))[0]


def applied(*all_overrides: str) -> Any:
    root = tree()
    for each in all_overrides:
        assert overrides.apply(root, each) == []
    return root.plain()


def refused(override: str) -> str:
    root = tree()
    (problem,) = overrides.apply(root, override)
    assert root.plain() == tree().plain()
    return str(problem)


def test_items_are_named_by_name_or_index() -> None:
    changed = applied("cameras.left.sampling.rate_hz=5", "cameras[0].sampling.rate_hz=7")
    assert changed["cameras"][1]["sampling"] == {"rate_hz": 5}
    assert changed["cameras"][0]["sampling"] == {"rate_hz": 7}
    changed = applied("alerts.file.path=a.jsonl", "alerts.copy.path=b.jsonl")
    assert [alert["path"] for alert in changed["alerts"]] == ["a.jsonl", "b.jsonl"]


def test_what_is_not_there_is_made() -> None:
    changed = applied("web.port=0", "inspect.workers[0].device=cpu", "inspect.segmenter.model=tiny")
    assert changed["web"] == {"port": 0}
    assert changed["inspect"] == {"workers": [{"device": "cpu"}], "segmenter": {"model": "tiny"}}
    assert len(applied("cameras[2]={name: right, source: {kind: usb}}")["cameras"]) == 3


@pytest.mark.parametrize(
    ("value", "meant"),
    [("5", 5), ("0.5", 0.5), ("[a, b]", ["a", "b"]), ("{env: X}", {"env": "X"}), ("a=b", "a=b"), ("", None)],
)
def test_the_value_is_yaml(value: str, meant: object) -> None:
    assert applied(f"line={value}")["line"] == meant


@pytest.mark.parametrize(
    ("override", "reported"),
    [
        ("web.port", "--set web.port: write key=value, for example web.port=0"),
        ("=5", "--set =5: the key must look like cameras.top.sampling.rate_hz"),
        ("a..b=5", "--set a..b: the key must look like"),
        ("[0]=5", "--set [0]: the key must look like"),
        ("cameras[x]=5", "--set cameras[x]: the key must look like"),
        (
            "cameras.lef.sampling.rate_hz=5",
            "cameras has no item 'lef'; available: top, left. Did you mean left?",
        ),
        ("cameras[3].name=a", "--set cameras[3].name: cameras has 2 items: expected an index from 0 to 2"),
        ("inspect.workers[1].device=cpu", "inspect.workers has no items yet: begin with index 0"),
        ("version.x=5", "--set version.x: version is a single value and has no key x"),
        ("inspect[0]=5", "--set inspect[0]: inspect is not a list"),
        ("web.port=[", "--set web.port: is not YAML here"),
        ("web.port=!x 5", "--set web.port: begins with ! (a YAML tag)"),
    ],
)
def test_a_wrong_override_is_named_and_changes_nothing(override: str, reported: str) -> None:
    assert refused(override).startswith(reported) or reported in refused(override)


def test_a_wrong_value_is_reported_as_the_overrides() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(TEXT, Path("/nowhere/line.yaml"), ["cameras.top.belts=5", "web.port=x"])
    assert [str(problem) for problem in caught.value.problems] == [
        "--set cameras.top.belts: cameras[0].belts: unknown key. Did you mean cameras[0].belt?",
        '--set web.port: must be a whole number from 0 to 65535, not "x"',
    ]


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("web.token=hunter2", "--set web.token:"),
        ("web={token: hunter2, port: 1}", "--set web: web.token:"),
        (
            "cameras.top.source={kind: rtsp, url: 'rtsp://a/', username: u, password: hunter2}",
            "--set cameras.top.source: cameras[0].source.password:",
        ),
    ],
)
def test_a_secret_is_refused_on_the_command_line(override: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(TEXT, Path("/nowhere/line.yaml"), [override])
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{key} a secret on the command line is visible to every user")
    assert "write {env: NAME} or {file: PATH}" in str(problem)
    assert "hunter2" not in str(problem)
    monkeypatch.setenv("WHERE_IT_IS", "hunter2")
    load_text(TEXT, Path("/nowhere/line.yaml"), [override.replace("hunter2", "{env: WHERE_IT_IS}")])


def test_the_last_of_two_overrides_counts() -> None:
    assert applied("web.port=1", "web.port=2")["web"]["port"] == 2


keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@settings(deadline=None)
@given(st.lists(keys, min_size=1, max_size=5), st.integers())
def test_any_path_can_be_set_and_is_found_where_it_was_set(path: list[str], value: int) -> None:
    root = tree("{}")
    assert overrides.apply(root, f"{'.'.join(path)}={value}") == []
    found = root.find(tuple(path))
    assert found is not None
    assert found.value == value
    assert key_text(found.path) == ".".join(path)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_override_does_more_than_be_refused(text: str) -> None:
    root = tree()
    found = overrides.apply(root, text)
    if found:
        assert root.plain() == tree().plain()


@settings(deadline=None)
@given(st.sampled_from(["transport", "rate_hz", "counter_prompts", "state_dir", "ring_max_mb"]), st.data())
def test_a_word_with_one_wrong_letter_is_recognised(word: str, data: st.DataObject) -> None:
    known = ["transport", "rate_hz", "counter_prompts", "state_dir", "ring_max_mb", "name", "kind"]
    at = data.draw(st.integers(0, len(word) - 1))
    wrong = data.draw(st.sampled_from([word[:at] + word[at + 1 :], word[:at] + "x" + word[at:], word.upper()]))
    assert did_you_mean(wrong, known) == f" Did you mean {word}?"


def test_nothing_is_suggested_for_a_word_like_no_other() -> None:
    assert did_you_mean("qqqq", ["transport", "name"]) == ""
