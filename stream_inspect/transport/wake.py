"""A file descriptor that one thread makes readable to wake the loop of another."""

from __future__ import annotations

import os
from contextlib import suppress


class Wake:
    """An eventfd: `set` makes `fd` readable until `clear`. Any thread may call `set`; several count as one."""

    def __init__(self) -> None:
        self.fd: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """To wait for; None once closed."""

    def set(self) -> None:
        """Wake the loop. Does nothing once closed."""
        if self.fd is not None:
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Let the loop wait for the next `set`. Call before looking at what there is to do."""
        if self.fd is not None:
            with suppress(BlockingIOError):
                os.eventfd_read(self.fd)

    def close(self) -> None:
        """Close the descriptor, once no thread calls `set` any more."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
