"""From a YAML file and overrides to a `Config`, or to every problem at once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from stream_inspect.config import overrides as override
from stream_inspect.config.base import IN_STATE_DIR, Model
from stream_inspect.config.characters import misplaced
from stream_inspect.config.crosscheck import crosscheck
from stream_inspect.config.explain import explain
from stream_inspect.config.models import Config, DetectorConfig, SegmenterConfig
from stream_inspect.config.outputs.plugin import PluginAlertConfig
from stream_inspect.config.problems import ConfigError, Problem
from stream_inspect.config.schema import in_words, schema_at
from stream_inspect.config.secret import Secret
from stream_inspect.config.tree import MAX_BYTES, Place, Tree, parse
from stream_inspect.config.tree import Path as KeyPath
from stream_inspect.config.unfilled import unfilled

M = TypeVar("M", bound=Model)

STARS = "***"

__all__ = ["ConfigError", "Problem", "dump", "load", "load_text", "parse_dump", "redacted"]


def load(path: Path, overrides: Sequence[str] = (), *, fetch_secrets: bool = True) -> Config:
    """The configuration of a file with `key=value` overrides applied; every path in it is absolute.

    Raises `ConfigError` with every problem. Secrets are read from their environment variables and files, unless what
    it is for uses none.
    """
    return load_text(_read(path), path, overrides, fetch_secrets=fetch_secrets)


def load_text(text: str, path: Path, overrides: Sequence[str] = (), *, fetch_secrets: bool = True) -> Config:
    """As `load`, for a text that is, or is about to be, the content of the file `path`.

    Without `fetch_secrets`, missing secrets are not a problem: only the service needs them.
    """
    tree, problems = parse(text, lambda line, column: Place(str(path), line, column))
    if not isinstance(tree.value, dict):
        what = "is empty" if tree.value is None else "is not a mapping of keys to values"
        raise ConfigError([tree.problem(f"{what}: begin with `version: 1`")])
    for each in overrides:
        problems += override.apply(tree, each)
    problems += override.plain_secrets(tree)
    problems += [*unfilled(tree), *misplaced(tree, text)]
    reported = tuple(problems)
    folder = path.resolve().parent
    config, wrong = _validated(tree, {"folder": folder, "fetch_secrets": fetch_secrets})
    problems += [each for each in wrong if not any(_follows(each, first) for first in reported)]
    if problems or config is None:
        raise ConfigError(problems)
    state_dir = _absolute(config, tree, folder, folder).state_dir
    return _absolute(config, tree, folder, state_dir)


def _follows(later: Problem, first: Problem) -> bool:
    """Whether a value is wrong because of what is wrong with its text, or with a text in it."""
    same_place = (later.file, later.line, later.column) == (first.file, first.line, first.column)
    return same_place or first.key.startswith(f"{later.key}.")


def dump(config: Config) -> str:
    """The configuration as JSON WITH its secrets: only for our own processes, never for a file or a log."""

    def encode(value: object) -> Any:
        if isinstance(value, Secret):
            return value.dumped()
        if isinstance(value, Path):
            return str(value)
        raise TypeError(f"cannot write a {type(value).__name__} as JSON")

    return json.dumps(config.model_dump(), default=encode)


def parse_dump(text: str) -> Config:
    """Read back what `dump` wrote."""
    return Config.model_validate(json.loads(text), context={"dumped": True})


def redacted(config: Config) -> str:
    """The whole effective configuration as YAML, safe to show: a secret is its source, or stars."""
    from io import StringIO

    from ruamel.yaml import YAML

    stream = StringIO()
    YAML().dump(_shown(config.model_dump()), stream)
    return stream.getvalue()


def _read(path: Path) -> str:
    def refusal(message: str) -> ConfigError:
        return ConfigError([Problem(str(path), None, None, "", message)])

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise refusal(f"cannot read the configuration: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise refusal(f"is longer than {MAX_BYTES} bytes: is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        message = "is not UTF-8 text: save the file as UTF-8"
        raise ConfigError([Problem(str(path), line, column, "", message)]) from None


_STAND_IN = {
    "version": 1,
    "cameras": [{"name": "stand-in", "source": {"kind": "synthetic"}}],
    "defects": [{"name": "stand-in", "prompts": ["stand-in"]}],
}
"""A minimal configuration, to validate one section by itself."""


def _validated(tree: Tree, context: dict[str, Any]) -> tuple[Config | None, list[Problem]]:
    """The configuration, or None where it is invalid, and its problems."""
    problems: dict[KeyPath, Problem] = {}
    indices: dict[str, list[int]] = {}
    config: Config
    try:
        config = Config.model_validate(tree.plain(), context=context)
        problems = _truth_for_numbers(config, tree, tree)
    except ValidationError as error:
        problems = explain(tree, error.errors(include_url=False, include_input=False))
        config, indices = _sound_part(tree, context)

    def written(path: KeyPath) -> KeyPath:
        """A path in the sound part as it is in the file."""
        if path[0] in indices and len(path) > 1:
            return (path[0], indices[str(path[0])][int(path[1])], *path[2:])
        return path

    for index, alert in enumerate(config.alerts):
        if isinstance(alert, PluginAlertConfig):
            problems |= _options_problems(alert, tree, written(("alerts", index, "options")))
    between = []
    for finding in crosscheck(config, list(problems)):
        path = written(finding.path)
        between.append(tree.problem(finding.message, path, _place(tree, path)))
    everything = [*problems.values(), *between, *_repeated_names(tree)]
    return (None if everything else config), everything


def _options_problems(entry: PluginAlertConfig, tree: Tree, path: KeyPath) -> dict[KeyPath, Problem]:
    """What the plug-in's own model finds wrong with the options at `path`."""
    try:
        parsed = entry.parsed_options()
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return explain(tree, [{**each, "loc": (*path, *each["loc"])} for each in errors])
    node = tree.find(path)
    return _truth_for_numbers(parsed, node, tree) if parsed is not None and node is not None else {}


def _sound_part(tree: Tree, context: dict[str, Any]) -> tuple[Config, dict[str, list[int]]]:
    """The valid sections of an invalid configuration, with defaults for the others.

    Also returns, for each list, the original indices of the items that are left in it.
    """

    def judge(key: str, value: Any) -> Any:
        try:
            return getattr(Config.model_validate({**_STAND_IN, key: value}, context=context), key)
        except ValidationError:
            return None

    kept: dict[str, Any] = {"cameras": [], "defects": [], "alerts": [], "inputs": []}
    indices: dict[str, list[int]] = {}
    for key in Config.model_fields:
        node = tree.child(key)
        if node is None:
            continue
        if key in kept:
            items = node.value if isinstance(node.value, list) else []
            judged = [(index, judge(key, [item.plain()])) for index, item in enumerate(items)]
            kept[key] = [found[0] for _, found in judged if found]
            indices[key] = [index for index, found in judged if found]
        elif (whole := judge(key, node.plain())) is not None:
            kept[key] = whole
        elif isinstance(node.value, dict):
            sound = {name: part.plain() for name, part in node.value.items() if judge(key, {name: part.plain()})}
            if (rest := judge(key, sound)) is not None:
                kept[key] = rest
    return Config.model_construct(**kept), indices


def _repeated_names(tree: Tree) -> list[Problem]:
    """Names used twice among cameras, defects, alerts or inputs, whatever else is wrong with them."""
    problems = []
    for key in ("cameras", "defects", "alerts", "inputs"):
        section = tree.child(key)
        first: dict[object, int] = {}
        for index, item in enumerate(section.value if section and isinstance(section.value, list) else []):
            named = item.child("name") or (
                item.child("kind") if key in ("alerts", "inputs") else None
            )  # the default name
            if named is None or not isinstance(named.value, str):
                continue
            if named.value in first:
                message = f"{named.value} is already the name of {key}[{first[named.value]}]: use unique names"
                problems.append(named.problem(message, (key, index, "name")))
            first.setdefault(named.value, index)
    return problems


def _truth_for_numbers(model: Model, tree: Tree, root: Tree) -> dict[KeyPath, Problem]:
    """Values of true or false where a number belongs: pydantic would take true for 1."""
    problems: dict[KeyPath, Problem] = {}
    for key in type(model).model_fields:
        value, node = getattr(model, key, None), tree.child(key)
        if node is None:
            continue
        if isinstance(node.value, bool) and type(value) in (int, float):
            problems[node.path] = node.problem(f"must be {in_words(schema_at(root, node.path))}, not true or false")
        elif isinstance(value, Model):
            problems |= _truth_for_numbers(value, node, root)
        elif isinstance(value, list) and isinstance(node.value, list) and len(value) == len(node.value):
            for item, at in zip(value, node.value, strict=True):
                problems |= _truth_for_numbers(item, at, root) if isinstance(item, Model) else {}
    return problems


def _place(tree: Tree, path: KeyPath) -> Place:
    """The place of the value at a path, or of the nearest mapping around it; the place of a mapping is its key."""
    for length in range(len(path), 0, -1):
        node, parent = tree.find(path[:length]), tree.find(path[: length - 1])
        if node is not None:
            at_key = isinstance(node.value, dict | list) and parent is not None
            return parent.keys.get(str(path[length - 1]), node.place) if at_key and parent else node.place
    return tree.place


def _absolute(model: M, tree: Tree | None, folder: Path, state_dir: Path) -> M:
    """The model with every path in it absolute."""
    changed: dict[str, Any] = {}
    for key, field in type(model).model_fields.items():
        value = getattr(model, key)
        node = tree.child(key) if tree is not None else None
        # A path typed after --set is relative to the current folder.
        base = Path.cwd() if node is not None and node.place.file.startswith(override.OPTION) else folder
        if isinstance(value, Path):
            base = state_dir if IN_STATE_DIR in field.metadata else base
            changed[key] = Path(os.path.normpath(base / value.expanduser()))
        elif isinstance(model, DetectorConfig | SegmenterConfig) and key == "model" and _is_folder(value, base):
            changed[key] = os.path.normpath(base / Path(value).expanduser())
        elif isinstance(model, PluginAlertConfig) and key == "options":
            changed[key] = _absolute_options(model, node, folder, state_dir)
        elif isinstance(value, Model):
            changed[key] = _absolute(value, node, folder, state_dir)
        elif isinstance(value, list) and value and isinstance(value[0], Model):
            items = [node.child(index) if node is not None else None for index in range(len(value))]
            changed[key] = [_absolute(item, at, folder, state_dir) for item, at in zip(value, items, strict=True)]
    return model.model_copy(update=changed)


def _absolute_options(entry: PluginAlertConfig, tree: Tree | None, folder: Path, state_dir: Path) -> dict[str, Any]:
    """The options as written, but for paths, which are absolute, and secrets, which show nothing."""
    parsed = entry.parsed_options()
    if parsed is None:
        return entry.options
    parsed = _absolute(parsed, tree, folder, state_dir)
    special = {key: value for key, value in parsed if key in entry.options and isinstance(value, Path | Secret)}
    return entry.options | {key: str(value) if isinstance(value, Path) else value for key, value in special.items()}


def _is_folder(name: str, base: Path) -> bool:
    """Whether a model's name is a path; `owner/name` is a hub id unless such a folder exists."""
    return name.startswith((".", "/", "~")) or (name != "tiny" and (base / name).is_dir())


def _shown(value: Any, key: str = "") -> Any:
    if isinstance(value, Secret):
        return dict(value.origin) if value.origin else STARS
    if isinstance(value, dict):
        return {name: _shown(below, name) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(below) for below in value]
    if isinstance(value, Path):
        return str(value)
    if key == "url" and value.startswith("http"):  # the path or the query of a webhook is often a key
        return urlsplit(value)._replace(path=f"/{STARS}", query="").geturl()
    return value
