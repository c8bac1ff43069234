"""Whatever stands in the file, loading ends with a configuration or with problems that have their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stream_inspect.config.load import ConfigError, load_text, redacted

HIDDEN = "hunter2Zq9"
TEXT = f"""\
version: 1
cameras:
  - name: top
    source: {{kind: rtsp, url: "rtsp://cam/1", username: bob, password: {HIDDEN}}}
    belt: {{direction: left_to_right, speed_mm_s: 100, mm_per_px: 0.5}}
    region_px: [[0, 0], [100, 0], [100, 100]]
  - name: left
    source: {{kind: synthetic, seed: 3}}
    sampling: {{rate_hz: 5}}
defects:
  - name: hole
    prompts: [hole, pit]
    threshold: 0.4
inspect:
  detector: {{model: tiny}}
  workers: [{{device: cpu}}]
alerts:
  - {{kind: mqtt, host: broker, username: bob, password: {HIDDEN}}}
  - {{kind: file, path: events.jsonl}}
web: {{port: 8081, token: {HIDDEN}}}
"""
PLACE = Path("/nowhere/line.yaml")


def outcome(text: str) -> str:
    """What a user would see: the configuration without its secrets, or what is wrong with it."""
    try:
        return redacted(load_text(text, PLACE))
    except ConfigError as error:
        refused = error
    assert refused.problems
    for problem in refused.problems:
        assert problem.file == str(PLACE)
        assert problem.line is not None
        assert 1 <= problem.line <= len(text.splitlines()) + 1
        assert problem.message
    return str(refused)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text(text: str) -> None:
    assert outcome(text)


@settings(deadline=None)
@given(st.data())
def test_a_right_file_with_pieces_cut_out_and_put_in(data: st.DataObject) -> None:
    text = TEXT
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(text)))
        end = min(len(text), begin + data.draw(st.integers(0, 12)))
        text = (
            text[:begin]
            + data.draw(st.sampled_from(["", "\n", "  ", "-", ":", "[", "}", '"', "x: ", "*", "!"]))
            + text[end:]
        )
    assert outcome(text)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "x", "tiny", "rtsp", "1", "file"])
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["kind", "name", "rtsp", "file", "env", "model", "path"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values of a document."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in below for place in places(child, (*path, key)))]


@settings(deadline=None)
@given(st.data())
def test_a_right_file_with_any_value_in_any_place(data: st.DataObject) -> None:
    from io import StringIO

    yaml = YAML(typ="safe", pure=True)
    document = yaml.load(TEXT)
    path = data.draw(st.sampled_from(places(document)[1:]))
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = data.draw(values)
    stream = StringIO()
    yaml.dump(document, stream)
    secret_stays = path[-1] not in ("password", "token")
    shown = outcome(stream.getvalue())
    if secret_stays:
        assert HIDDEN not in shown
