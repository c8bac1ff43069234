"""What a picture library prints on stderr while it decodes one file, for a report with the file's name.

libpng and libjpeg print there past OpenCV's log, and do not know which file they read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def library_output() -> Iterator[list[str]]:
    """Takes what this process writes to stderr in the block; the list gets its lines when the block is left.

    It holds for the whole process: for blocks of milliseconds in which nothing else is expected to write.
    """
    lines: list[str] = []
    with _ONE_AT_A_TIME, open(os.memfd_create("stderr"), "w+b") as taken:
        stderr = os.dup(_STDERR)
        os.dup2(taken.fileno(), _STDERR)
        try:
            yield lines
        finally:
            os.dup2(stderr, _STDERR)
            os.close(stderr)
            taken.seek(0)
            lines += dict.fromkeys(line.strip() for line in taken.read().decode(errors="replace").splitlines())
