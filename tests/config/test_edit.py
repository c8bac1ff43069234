"""Editing single values of a YAML text: what was not asked for stays byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_inspect.config import edit
from stream_inspect.config.tree import Place, parse
from tests.properties import examples

TEXT = """\
# Line 3
version: 1   # of the format

defects:
  # The hole, as the operators call it.
  - name: hole      # at the rim, too
    prompts:
      - hole        # plain
      - puncture    # from the quality department
    threshold: 0.50

  # Rust is brown.
  - {name: rust, prompts: [rust, 'rust spot'], threshold: 0.4}  # one line

web: {port: 0}
"""


def plain(text: str) -> object:
    return parse(text, lambda line, column: Place("", line, column))[0].plain()


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        (("defects", 0, "threshold"), 0.35, "threshold: 0.50", "threshold: 0.35"),
        (("defects", 0, "name"), "pit", "name: hole      #", "name: pit      #"),
        (("defects", 1, "prompts"), ["rust", "yes"], "[rust, 'rust spot']", '[rust, "yes"]'),
        (("defects", 1, "severity"), "minor", "threshold: 0.4}", "threshold: 0.4, severity: minor}"),
        (
            ("defects", 0, "severity"),
            "minor",
            "    threshold: 0.50\n",
            "    threshold: 0.50\n    severity: minor\n",
        ),
        (
            ("defects", 0, "prompts"),
            ["hole", "pit: deep", "puncture"],
            "      - puncture ",
            '      - "pit: deep"\n      - puncture ',
        ),
        (("defects", 0, "prompts"), ["puncture"], "      - hole        # plain\n", ""),
        (("defects", 0, "prompts"), ["cavity", "puncture"], "- hole        # plain", "- cavity        # plain"),
        (("defects", 0, "prompts"), ["new", "hole", "puncture"], "      - hole ", "      - new\n      - hole "),
        (
            ("defects", 0, "prompts"),
            ["hole", "puncture", "new"],
            "department\n",
            "department\n      - new\n",
        ),
        (("web", "port"), 8080, "port: 0", "port: 8080"),
    ],
)
def test_only_the_value_changes(path: tuple[str | int, ...], value: edit.Value, before: str, after: str) -> None:
    assert TEXT.count(before) == 1
    assert edit.set_value(TEXT, path, value) == TEXT.replace(before, after)


def test_a_new_item_takes_the_style_of_the_list() -> None:
    item = {"name": "dent", "prompts": ["dent", "ding"], "threshold": 0.3}
    block = "    prompts: [dent, ding]\n    threshold: 0.3\n"
    assert edit.append_item(TEXT, ("defects",), item) == TEXT.replace(
        "  # one line\n", f"  # one line\n  - name: dent\n{block}"
    )
    assert edit.append_item("defects: [{name: a}] # end\n", ("defects",), {"name": "b"}) == (
        "defects: [{name: a}, {name: b}] # end\n"
    )


def test_a_removed_item_leaves_the_comments_of_its_neighbours() -> None:
    removed = edit.remove_item(TEXT, ("defects", 0))
    assert "# Rust is brown." in removed
    assert "# Line 3" in removed
    assert "puncture" not in removed
    removed = edit.remove_item(TEXT, ("defects", 1))
    assert "rust spot" not in removed
    assert removed.endswith("  # Rust is brown.\n\nweb: {port: 0}\n")
    for index, left in ((0, ["b", "c"]), (1, ["a", "c"]), (2, ["a", "b"])):
        assert plain(edit.remove_item("x: [a, b, c]", ("x", index))) == {"x": left}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("all: &words [a]\ndefects:\n  - prompts: *words\n", ("defects", 0, "prompts")),
        ("defects: &d\n  - prompts: [a]\nother: *d\n", ("defects", 0, "prompts")),
    ],
)
def test_what_is_shared_by_an_alias_is_left_to_a_person(text: str, path: tuple[str | int, ...]) -> None:
    with pytest.raises(edit.EditError, match=r"defects\[0\]\.prompts .* by hand"):
        edit.set_value(text, path, ["b"])


def test_a_key_that_came_by_merging_is_overridden_where_it_is_merged() -> None:
    text = "base: &base {threshold: 0.3}\ndefects:\n  - <<: *base\n    name: a\n"
    changed = edit.set_value(text, ("defects", 0, "threshold"), 0.5)
    assert plain(changed)["defects"][0]["threshold"] == 0.5  # type: ignore[index]
    assert plain(changed)["base"]["threshold"] == 0.3  # type: ignore[index]


words = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"), min_size=1, max_size=20)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(words, min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_any_words_can_be_set_and_nothing_else_moves(prompts: list[str], line_end: str) -> None:
    text = TEXT.replace("\n", line_end)
    for index in (0, 1):
        changed = edit.set_value(text, ("defects", index, "prompts"), prompts)
        wanted = plain(text)
        wanted["defects"][index]["prompts"] = prompts  # type: ignore[index]
        assert plain(changed) == wanted
        for comment in ("# Line 3", "# The hole, as the operators call it.", "# Rust is brown.", "# one line"):
            assert comment in changed


@settings(max_examples=examples(50), deadline=None)
@given(st.floats(0.001, 0.999))
def test_a_threshold_is_written_as_it_is(threshold: float) -> None:
    changed = edit.set_value(TEXT, ("defects", 0, "threshold"), threshold)
    assert plain(changed)["defects"][0]["threshold"] == threshold  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (("defects", 0, "threshold"), "    threshold: 0.50\n", ""),
        (("defects", 0, "name"), "  - name: hole      # at the rim, too\n    prompts", None),
        (("defects", 1, "name"), "{name: rust, prompts", "{prompts"),
        (("defects", 1, "threshold"), "'rust spot'], threshold: 0.4}", "'rust spot']}"),
        (("web", "port"), "web: {port: 0}", "web: {}"),
    ],
)
def test_a_key_is_removed_and_nothing_else(path: tuple[str | int, ...], before: str, after: str | None) -> None:
    """The first key of a block's item shares its line with the dash: that is edited by hand."""
    assert before in TEXT
    if after is None:
        with pytest.raises(edit.EditError):
            edit.remove_key(TEXT, path)
    else:
        assert edit.remove_key(TEXT, path) == TEXT.replace(before, after)


def test_a_mapping_is_added_in_one_line() -> None:
    value = {"direction_deg": 12.5, "corners_px": [[1.5, 2], [3, 4]], "name": "top"}
    added = "web: {port: 0, belt: {direction_deg: 12.5, corners_px: [[1.5, 2], [3, 4]], name: top}}"
    assert edit.set_value(TEXT, ("web", "belt"), value) == TEXT.replace("web: {port: 0}", added)
