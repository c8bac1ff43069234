"""Whether the configuration fits the picture that the camera delivers: known with each new size.

A region that lies outside of the picture finds nothing. That must not look like a line without defects.
"""

from __future__ import annotations

from stream_inspect.config.fits import misfits
from stream_inspect.config.models import CameraConfig, DecideConfig, LineConfig
from stream_inspect.log import get_logger


class PictureFit:
    """One camera's configuration against its pictures."""

    def __init__(self, camera: CameraConfig, decide: DecideConfig, line: LineConfig | None = None) -> None:
        self._camera = camera
        self._line = line
        self._decide = decide
        self._size_px = (0, 0)
        self._log = get_logger(__name__, camera=camera.name)

    def reason(self, size_px: tuple[int, int], fps: float | None) -> str | None:
        """Why it does not fit judged pictures of this (width, height), "" where it does; None: no new size."""
        if size_px == self._size_px:
            return None
        self._size_px = size_px
        found = misfits(self._camera, self._decide, size_px, fps, self._line)
        for misfit in found:
            if not misfit.fatal:
                self._log.warning("some defects or parts will not be decided", misfit=misfit.text, advice=misfit.advice)
        return "; ".join(str(misfit) for misfit in found if misfit.fatal)
