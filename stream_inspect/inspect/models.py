"""Where a model's files are, whether they are whole, and what they hash to. No torch here: `check` uses it too.

A model is a folder as transformers writes it: `config.json`, safetensors weights, the processor's settings and, for a
detector, a tokenizer. It is named `tiny` (embedded), by a local folder, or by a hub id whose files were pulled before:
nothing is downloaded while a line runs, only by `stream-inspect models pull`. Only safetensors are read, never pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from stream_inspect.file_names import printable
from stream_inspect.inspect.detect.detector import ModelError

ModelKind = Literal["detector", "segmenter"]

TINY_FOLDERS: dict[ModelKind, str] = {"detector": "owlv2", "segmenter": "sam"}
"""Folders of the embedded models inside `stream_inspect/tiny`."""
BUILT_IN: dict[ModelKind, str] = {"detector": "owlv2", "segmenter": "sam"}
"""The built-in plug-in of a kind, which is also the `model_type` that its models' config.json must have."""
HUB_PATTERNS = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""What `models pull` fetches of a hub repository."""
DEFAULT_HUB_IDS: dict[ModelKind, str] = {
    "detector": "google/owlv2-base-patch16-ensemble",
    "segmenter": "facebook/sam-vit-base",
}
SUMS_FILE = "SHA256SUMS"
_SHA256 = re.compile("[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is there and whole. `model_hash` is the SHA-256 over its weights and settings."""

    kind: ModelKind
    name: str
    folder: Path
    weights: tuple[Path, ...]
    config: dict[str, Any]
    size_bytes: int
    model_hash: str


def resolve(kind: ModelKind, model: str, revision: str | None = None, plugin: str | None = None) -> ModelFiles:
    """Find a model's files and check that they are whole. Raises `ModelError` that says what to do.

    `plugin` is the configured detector or segmenter; a plug-in from another package checks its files itself.
    """
    folder = find_folder(kind, model, revision)
    if plugin is not None and plugin != BUILT_IN[kind]:
        every = sorted(path for path in folder.rglob("*") if path.is_file())
        return ModelFiles(kind, model, folder, (), {}, sum(p.stat().st_size for p in every), hash_files(every))
    return inspect_folder(kind, model, folder)


def find_folder(kind: ModelKind, model: str, revision: str | None = None) -> Path:
    """The folder of `tiny`, of a local path, or of a hub id whose files are here. Raises `ModelError`."""
    if model == "tiny":
        folder = Path(str(files("stream_inspect"))) / "tiny" / TINY_FOLDERS[kind]
        if not folder.is_dir():
            raise ModelError(f"the embedded model {folder} is missing: install stream-inspect again")
        return folder
    if looks_like_path(model):
        folder = Path(model).expanduser()
        if not folder.is_dir() and "/" not in model:
            raise ModelError(_no_name(kind, model))
        if not folder.is_dir():
            raise ModelError(
                f"the {kind} model folder {folder} does not exist: "
                "give the folder that holds the model's config.json and *.safetensors"
            )
        if os.fsencode(folder.resolve()) != printable(folder.resolve()).encode():
            raise ModelError(f"the name of the {kind} model folder {printable(folder)} is not UTF-8: rename it")
        return folder
    return _hub_folder(kind, model, revision)


def looks_like_path(model: str) -> bool:
    """A hub id is `owner/name`; anything else with a slash, a dot at its start, or that exists, is a folder."""
    return model.startswith(("/", ".", "~")) or model.count("/") != 1 or Path(model).is_dir()


def _hub_folder(kind: ModelKind, model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(model, revision=revision, allow_patterns=list(HUB_PATTERNS), local_files_only=True)
        )
    except HFValidationError as error:
        raise ModelError(_no_name(kind, model)) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(f"the {kind} {model} is not downloaded: {how_to_get(model, revision)}") from error


def _no_name(kind: ModelKind, model: str) -> str:
    return f"{model!r} is neither `tiny`, nor a folder, nor a hub id such as {DEFAULT_HUB_IDS[kind]}"


def how_to_get(model: str, revision: str | None = None) -> str:
    """What to type to have this hub model, with and without a network."""
    pinned = f" --revision {revision}" if revision else ""
    return (
        f"with a network, run `stream-inspect models pull {model}{pinned}`; for a computer without one, run "
        f"`stream-inspect models pull {model}{pinned} --to FOLDER` elsewhere, copy FOLDER over, "
        "and write its path as `model`"
    )


def inspect_folder(kind: ModelKind, name: str, folder: Path) -> ModelFiles:
    """Check a model's folder (files there, headers sound, right family) and hash it. Raises `ModelError`."""
    config = read_json(folder / "config.json", name)
    family = config.get("model_type")
    if family != BUILT_IN[kind]:
        raise ModelError(f"{folder} holds a model of type {family!r}; the {kind} needs one of type {BUILT_IN[kind]!r}")
    weights = weight_files(folder, name)
    for path in weights:
        check_safetensors(path, name)
    if not any((folder / settings).is_file() for settings in ("preprocessor_config.json", "processor_config.json")):
        raise ModelError(f"{folder} has neither preprocessor_config.json nor processor_config.json: {_fix(name)}")
    tokenizer_there = (folder / "tokenizer.json").is_file() or (
        (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    )
    if kind == "detector" and not tokenizer_there:
        raise ModelError(f"{folder} has no tokenizer.json: {_fix(name)}")
    read = [path for path in sorted(folder.iterdir()) if _is_model_file(path)]
    return ModelFiles(
        kind=kind,
        name=name,
        folder=folder,
        weights=weights,
        config=config,
        size_bytes=sum(path.stat().st_size for path in read),
        model_hash=hash_files(read),
    )


def weight_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The safetensors of a model: one file, or the shards its index names. Raises `ModelError`."""
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = read_json(index, name).get("weight_map")
        if not isinstance(named, dict) or not named:
            raise ModelError(f"{index} names no weights: {_fix(name)}")
        shards = tuple(folder / shard for shard in sorted(set(named.values())))
        missing = [shard.name for shard in shards if not shard.is_file()]
        if missing:
            raise ModelError(f"{folder} lacks {', '.join(missing)}: {_fix(name)}")
        return shards
    pickled = " (it has pickled weights, which are never loaded: they can run code)"
    has_pickle = any(folder.glob("pytorch_model*.bin"))
    raise ModelError(f"{folder} has no model.safetensors{pickled if has_pickle else ''}: {_fix(name)}")


def check_safetensors(path: Path, name: str) -> None:
    """Check a safetensors header against the file's size: finds cut-off files without reading them. `ModelError`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, 100_000_000):
            raise ModelError(f"{path} is corrupt (its header does not fit): {_fix(name)}")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ModelError(f"{path} is corrupt (its header cannot be read): {_fix(name)}") from error
    if not isinstance(header, dict):
        raise ModelError(f"{path} is corrupt (its header is not a JSON object): {_fix(name)}")
    tensors = [entry for key, entry in header.items() if key != "__metadata__"]
    try:
        end = max((int(entry["data_offsets"][1]) for entry in tensors), default=0)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"{path} is corrupt (its header lacks offsets): {_fix(name)}") from error
    if 8 + length + end != size:
        raise ModelError(
            f"{path} has {size} bytes where its header promises {8 + length + end}, "
            f"so the copy is incomplete: {_fix(name)}"
        )


def verify_contents(folder: Path, name: str | None = None) -> int:
    """Compare the contents of a model's files with the sums known of them; returns how many could be compared.

    The hub's cache names a large file after its SHA-256; the embedded models, and a folder made by `models pull --to`,
    have a `SHA256SUMS`. `name` is what the model is called in the configuration; the folder if absent. Raises
    `ModelError` for the first file that differs.
    """
    known = {
        path: path.resolve().name
        for path in sorted(folder.iterdir())
        if path.is_symlink() and _SHA256.fullmatch(path.resolve().name)
    }
    sums = folder / SUMS_FILE
    if sums.is_file():
        for line in sums.read_text(encoding="utf-8").splitlines():
            digest, _, file_name = line.partition("  ")
            known[folder / file_name] = digest
    for path, expected in known.items():
        if not path.is_file():
            raise ModelError(f"{path} is missing: {_fix(name or str(folder))}")
        if sha256_of(path) != expected:
            raise ModelError(
                f"{path} is corrupt, its SHA-256 is not the one that was published: {_fix(name or str(folder))}"
            )
    return len(known)


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` (as sha256sum does), for `verify_contents` after the folder was copied."""
    paths = [path for path in sorted(folder.iterdir()) if _is_model_file(path)]
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in paths]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: list[Path]) -> str:
    """SHA-256 over names and contents; 600 MB take about a second."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.name) + b"\0")
        digest.update(path.stat().st_size.to_bytes(8, "little"))
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def image_settings(folder: Path) -> dict[str, Any]:
    """The image processor's settings, from whichever of the two files transformers wrote. Raises `ModelError`."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            settings = read_json(folder / name, str(folder))
            nested = settings.get("image_processor", settings)
            if isinstance(nested, dict) and "image_mean" in nested and "image_std" in nested:
                return nested
    what = "does not say how pictures are prepared (no image_mean and image_std)"
    raise ModelError(f"{folder} {what}: {_fix(str(folder))}")


def _is_model_file(path: Path) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in HUB_PATTERNS)


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object, or `ModelError`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent} has no {path.name}: {_fix(name)}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): {_fix(name)}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} is not a JSON object: {_fix(name)}")
    return found


def _fix(name: str) -> str:
    """What to do about a model that is incomplete or corrupt."""
    if name == "tiny":
        return "install stream-inspect again"
    if looks_like_path(name):
        return "copy the whole folder again, and compare with `stream-inspect models verify FOLDER` on the source"
    return f"run `stream-inspect models pull {name}` again"
