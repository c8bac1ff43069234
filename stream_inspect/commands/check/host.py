"""Checks what the service needs of this computer: memory for frames, disk space, free ports."""

from __future__ import annotations

import math
import mmap
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from stream_inspect.commands.check.cameras import Seen
from stream_inspect.config.models import Config
from stream_inspect.findings import Finding, fail, ok, warn
from stream_inspect.picture import i420_shape
from stream_inspect.record.kept_files import KeptFiles, files_in
from stream_inspect.store.files import CLIPS, PICTURES
from stream_inspect.store.retention_clock import DAY_S
from stream_inspect.store.writable import existing, unwritable
from stream_inspect.transport.ring import RingError, slot_count

_ASSUMED = Seen(1920, 1080, 25.0)
"""Assumed for a camera that could not be opened."""
_MB = 1024 * 1024
_CONTAINER_SHM_BYTES = 64 * _MB
_RATE_MIN_DAYS = 0.25
"""A rate of clips is that of at least a shift."""
_MIN_STATE_GB = 0.1
"""Events need this much space whatever the recorder does."""


def check_ring(config: Config, seen: Sequence[Seen | None], running: bool) -> list[Finding]:
    """Whether the frame rings of all cameras fit into transport.ring_dir. `seen` is what each camera delivers."""
    folder, item = config.transport.ring_dir, "ring"
    reason = _unmappable(folder)
    if reason:
        return [fail(item, f"transport.ring_dir {folder}: {reason}", "set transport.ring_dir to a folder in memory")]
    needed = 0
    found = []
    for camera, found_camera in zip(config.cameras, seen, strict=True):
        size = found_camera or _ASSUMED
        transport, fps = config.transport, size.fps or _ASSUMED.fps
        try:
            slots = slot_count(transport.ring_s, fps, size.width_px, size.height_px, transport.ring_max_mb)
        except RingError as error:
            found.append(fail(item, f"camera {camera.name}: {error}"))
            continue
        rows, columns = i420_shape(size.width_px, size.height_px)
        needed += slots * rows * columns
        if slots < 0.95 * transport.ring_s * fps:
            kept = f"transport.ring_max_mb {transport.ring_max_mb} keeps {slots / fps:.1f} s of frames"
            wanted_mb = math.ceil(transport.ring_s * fps * rows * columns / _MB)
            found.append(
                warn(
                    item,
                    f"camera {camera.name}: {kept}, not the {transport.ring_s:g} s of ring_s",
                    f"raise transport.ring_max_mb to {wanted_mb}, or lower ring_s",
                )
            )
    if running:
        return [ok(item, f"{needed / _MB:.0f} MB in {folder}; the running service already uses them"), *found]
    usage, memory = shutil.disk_usage(folder), psutil.virtual_memory()
    if usage.free < needed:
        found.append(
            fail(
                item,
                f"the frames need {needed / _MB:.0f} MB, but {folder} has {usage.free / _MB:.0f} MB free",
                _room(usage.total, needed),
            )
        )
    elif in_memory(folder) and memory.available < 1.2 * needed:
        found.append(
            warn(
                item,
                f"the frames need {needed / _MB:.0f} MB of memory, but {memory.available / _MB:.0f} MB are available",
                "lower transport.ring_s",
            )
        )
    else:
        found.append(ok(item, f"the frames need {needed / _MB:.0f} MB; {folder} has {usage.free / _MB:.0f} MB free"))
    if not in_memory(folder):
        found.append(
            warn(item, f"{folder} is on a disk: every frame is written to it", "set transport.ring_dir to a tmpfs")
        )
    return found


def _room(total_bytes: int, needed_bytes: int) -> str:
    wanted_mb = -(-needed_bytes * 5 // 4 // _MB // 64) * 64
    if total_bytes <= _CONTAINER_SHM_BYTES:
        return (
            f"this looks like a container's default of 64 MB: start it with --shm-size={wanted_mb}m (Compose: "
            f"shm_size: {wanted_mb}m; Kubernetes: an emptyDir of medium Memory at /dev/shm), or set "
            "transport.ring_dir to a larger tmpfs, or lower transport.ring_s"
        )
    return "free some space, lower transport.ring_s, or set transport.ring_dir to a larger tmpfs"


def check_state(config: Config, running: bool) -> list[Finding]:
    """Whether the state folder is writable and has enough space."""
    folder, item = config.state_dir, "state_dir"
    reason = unwritable(folder)
    if reason:
        return [fail(item, f"{folder}: {reason}", "create it and make the service's user its owner")]
    free_gb = shutil.disk_usage(existing(folder)).free / 1e9
    found = [ok(item, f"{folder} has {free_gb:.1f} GB free{'; in use by a running service' if running else ''}")]
    if free_gb < _MIN_STATE_GB:
        found = [fail(item, f"{folder} has {free_gb * 1000:.0f} MB free: too little for events", "free some space")]
    elif config.recorder.enabled and free_gb < config.recorder.min_free_gb:
        text = f"{folder} has {free_gb:.1f} GB free, less than recorder.min_free_gb: nothing will be recorded"
        found = [warn(item, text, "free some space, or lower recorder.min_free_gb")]
    elif config.recorder.enabled and free_gb < config.recorder.max_size_gb:
        text = f"recorder.max_size_gb ({config.recorder.max_size_gb:g}) exceeds the {free_gb:.1f} GB that are free"
        found.append(warn(item, text, "lower it, so that old clips are removed before the disk is full"))
    if config.recorder.enabled:
        found += _check_retention(config)
    return found


def _check_retention(config: Config) -> list[Finding]:
    """What clips and pictures take, and whether recorder.max_size_gb holds those of recorder.max_age_days.

    The rate is that of those which are there.
    """
    kept = KeptFiles()
    try:
        for folder in (CLIPS, PICTURES):
            for path, status in files_in(config.state_dir / folder):
                kept.note(path, status)
    except OSError:
        return []
    oldest, wanted_days = kept.oldest(), config.recorder.max_age_days
    if oldest is None or kept.newest_s is None:
        return []
    limit_gb = config.recorder.max_size_gb
    used = f"clips and pictures take {kept.total_bytes / 1e9:.2g} of the {limit_gb:g} GB of recorder.max_size_gb"
    if kept.newest_s - oldest.newest_s < _RATE_MIN_DAYS * DAY_S:
        return [ok("state_dir", f"{used}; how much a day is known once they span {_RATE_MIN_DAYS * 24:g} hours")]
    seen_days = (kept.newest_s - oldest.newest_s) / DAY_S
    gb_a_day = kept.total_bytes / 1e9 / seen_days
    days = limit_gb / gb_a_day
    rate = f"{used}, {gb_a_day:.2g} GB a day (of the last {seen_days:.1f} days)"
    if days >= wanted_days:
        text = f"{rate}: it holds {days:.0f} days of them, and recorder.max_age_days removes them after {wanted_days:g}"
        return [ok("state_dir", text)]
    text = f"{rate}: it keeps {days:.1f} days of them, not the {wanted_days:g} of recorder.max_age_days"
    advice = f"raise recorder.max_size_gb to {math.ceil(gb_a_day * wanted_days * 1.2)}, or lower recorder.max_age_days"
    return [warn("state_dir", text, advice)]


def check_ports(config: Config, running: bool) -> list[Finding]:
    """Whether the addresses to listen on are free."""
    servers = [("web", config.web.enabled, config.web.host, config.web.port)]
    servers += [("metrics", config.metrics.enabled, config.metrics.host, config.metrics.port)]
    found = []
    for item, enabled, host, port in servers:
        if not enabled:
            continue
        where = f"{host}:{port}"
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            if running:
                found.append(ok(item, f"{where} is in use, probably by the running service"))
            else:
                text = f"cannot listen on {where}: {error.strerror or error}"
                found.append(
                    fail(item, text, f"choose another {item}.port (0: any free port), or stop the program that uses it")
                )
            continue
        found.append(ok(item, f"http://{where} is free" if port else f"http://{host}, any free port"))
    return found


def in_memory(folder: Path) -> bool:
    """Whether a folder is in memory (tmpfs)."""
    return _file_system(folder) in ("tmpfs", "ramfs", "hugetlbfs")


def _file_system(folder: Path) -> str:
    """Type of the file system of a folder, as in /proc/mounts."""
    folder = folder.resolve()
    best, kind = "", ""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, at, mounted, *_ = line.split()
        if folder.is_relative_to(at.replace("\\040", " ")) and len(at) >= len(best):
            best, kind = at, mounted
    return kind


def _unmappable(folder: Path) -> str:
    """Why frames cannot be memory-mapped in a folder; "" where they can."""
    if not folder.is_dir():
        return "is not a folder"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, mmap.PAGESIZE)
            with mmap.mmap(file.fileno(), mmap.PAGESIZE) as memory:
                memory[:4] = b"ring"
                if os.pread(file.fileno(), 4, 0) != b"ring":
                    return "writes to mapped memory do not reach the file"
    except OSError as error:
        return f"cannot memory-map files there: {error.strerror}"
    return ""
