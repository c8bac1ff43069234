"""`stream-inspect models list|pull|verify`: lists the models on this computer, downloads and verifies them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from stream_inspect.errors import UsageError
from stream_inspect.inspect.detect.detector import ModelError
from stream_inspect.inspect.models import (
    BUILT_IN,
    DEFAULT_HUB_IDS,
    HUB_PATTERNS,
    ModelFiles,
    ModelKind,
    find_folder,
    inspect_folder,
    looks_like_path,
    read_json,
    resolve,
    verify_contents,
    write_sums,
)

LICENCES = {"tiny": "Apache-2.0", "google/owlv2-*": "Apache-2.0", "facebook/sam-vit-*": "Apache-2.0"}
"""Known licences of models, by name pattern."""
KINDS: tuple[ModelKind, ...] = ("detector", "segmenter")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A line of the list. Where the state is not ok, `advice` says what to do."""

    name: str
    kind: ModelKind
    size_bytes: int | None
    licence: str
    state: Literal["ok", "not downloaded", "damaged"]
    advice: str = ""


def list_models(console: Console) -> int:
    """Print the models on this computer, embedded ones first, and the missing defaults. Returns exit code 0."""
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "kind", "size", "licence", "state"):
        table.add_column(heading, no_wrap=True)
    rows = list(local_models())
    for row in rows:
        size = f"{row.size_bytes / 1e6:.1f} MB" if row.size_bytes is not None else "-"
        table.add_row(row.name, row.kind, size, row.licence, row.state)
    console.print(table)
    for row in rows:
        if row.advice:
            console.print(f"\n{row.name} is {row.state}:\n  {row.advice}", markup=False, soft_wrap=True)
    console.print("\nTo use a model, set inspect.detector.model or inspect.segmenter.model.")
    return 0


def local_models() -> Iterator[ModelRow]:
    """The embedded models, those in the hub's cache, and the missing defaults."""
    for kind in KINDS:
        yield _row("tiny", kind)
    cached = list(_cached())
    for name, kind in cached:
        yield _row(name, kind)
    for kind in KINDS:
        default = DEFAULT_HUB_IDS[kind]
        if (default, kind) not in cached:
            how = f"stream-inspect models pull {default}"
            yield ModelRow(default, kind, None, licence_of(default), "not downloaded", how)


def licence_of(name: str) -> str:
    """The licence of a model, where known."""
    return next((licence for pattern, licence in LICENCES.items() if fnmatch.fnmatch(name, pattern)), "unknown")


def pull(console: Console, model: str, *, revision: str | None = None, to: Path | None = None) -> int:
    """Download a model from the hub, with progress, into its cache or into the folder `to`.

    Raises `UsageError` where `model` is not a hub id, `ModelError` where the download fails.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # whichever client the hub library uses

    if model == "tiny":
        raise UsageError("tiny is embedded and needs no download; `stream-inspect models list` names the others")
    if looks_like_path(model):
        raise UsageError(f"{model!r} is not a hub id; expected a name such as {DEFAULT_HUB_IDS['detector']}")
    if constants.HF_HUB_OFFLINE:
        raise ModelError("HF_HUB_OFFLINE is set, so the network is off: unset it to pull a model")
    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(HUB_PATTERNS), local_dir=to))
    except HFValidationError as error:
        raise UsageError(f"{model!r} is not a hub id; expected a name such as {DEFAULT_HUB_IDS['detector']}") from error
    except GatedRepoError as error:
        raise ModelError(
            f"{model} requires you to accept its terms on the hub: do that, then log in with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        wanted = f"{model} at revision {revision}" if revision else model
        raise ModelError(
            f"{wanted} not found on the hub: check the spelling; a private model needs `hf auth login`"
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise ModelError(
            f"download of {model} failed ({_first_line(error)}): run the command again to continue it; without a "
            "network, pull it on another computer with --to FOLDER and copy the folder"
        ) from error
    kind = kind_of(folder, model)
    found = inspect_folder(kind, model, folder)
    if to is not None:
        write_sums(folder)
    where = f"inspect.{kind}.model: {to if to is not None else model}"
    console.print(f"{model}: {kind}, {found.size_bytes / 1e6:.0f} MB, in {folder}\nto use it, set  {where}")
    return 0


def verify(console: Console, models: Sequence[str]) -> int:
    """Read every byte of these models (by default all on this computer). Exit code 1 if one is damaged or missing."""
    wanted = [(name, None) for name in models] or [("tiny", kind) for kind in KINDS] + list(_cached())
    bad = 0
    for name, kind in wanted:
        for each in _kinds_of(name) if kind is None else (kind,):
            try:
                found = resolve(each, name)
                compared = verify_contents(found.folder, name)
            except ModelError as error:
                bad += 1
                console.print(f"[red]bad[/red]  {name} ({each}): {error}", soft_wrap=True)
                continue
            against = f"{compared} checksums match" if compared else "headers valid, no checksums to compare"
            console.print(
                f"[green]ok[/green]   {name} ({each}): {found.size_bytes / 1e6:.1f} MB, "
                f"hash {found.model_hash[:16]}, {against}",
                soft_wrap=True,
            )
    return 1 if bad else 0


def kind_of(folder: Path, name: str) -> ModelKind:
    """Whether a folder holds a detector or a segmenter. Raises `ModelError`."""
    family = read_json(folder / "config.json", name).get("model_type")
    for kind, known in BUILT_IN.items():
        if family == known:
            return kind
    raise ModelError(
        f"{name} is a model of type {family!r}; supported types: "
        + ", ".join(f"{known} ({kind})" for kind, known in BUILT_IN.items())
    )


def _kinds_of(name: str) -> tuple[ModelKind, ...]:
    """The kinds to verify under a name: both for `tiny`, otherwise the kind that the folder holds."""
    if name == "tiny":
        return KINDS
    try:
        return (kind_of(find_folder("detector", name), name),)
    except ModelError:
        return ("detector",)  # missing or unreadable: `resolve` says so


def _row(name: str, kind: ModelKind) -> ModelRow:
    try:
        found: ModelFiles = resolve(kind, name)
    except ModelError as error:
        return ModelRow(name, kind, None, licence_of(name), "damaged", str(error))
    return ModelRow(name, kind, found.size_bytes, licence_of(name), "ok")


def _cached() -> Iterator[tuple[str, ModelKind]]:
    """Usable models in the hub's cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda repository: repository.repo_id):
        if repository.repo_type != "model":
            continue
        newest = max(repository.revisions, key=lambda revision: revision.last_modified, default=None)
        if newest is None:
            continue
        try:
            yield repository.repo_id, kind_of(newest.snapshot_path, repository.repo_id)
        except ModelError:
            continue  # a model family that we do not support


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
