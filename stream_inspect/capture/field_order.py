"""Which of the two fields of an interlaced frame is first in time: the one whose moment the frame's pts is.

A decoder marks it in each frame, whatever the container says or leaves out (DV is the bottom field first and says so
nowhere else). PyAV does not hand the mark on; FFmpeg's filter `separatefields` gives out the fields in the order of
their moments, as views on the frame's own lines, and so shows it.
"""

from __future__ import annotations

import av
import av.error
from av.filter import Graph

from stream_inspect.capture.planes import Field


class FieldOrder:
    """Asks the filter, whose graph is made once for each size and format."""

    def __init__(self) -> None:
        self._graph = Graph()
        self._made_for: tuple[int, int, str] | None = None

    def first_of(self, frame: av.VideoFrame) -> Field:
        """The field that is first in time."""
        self._make_for(frame)
        self._graph.push(frame)
        first = None
        try:
            while True:  # the second field of the frame before, where there was one, and the first of this
                first = self._graph.pull()
        except av.error.BlockingIOError:
            pass
        assert isinstance(first, av.VideoFrame)
        luma = frame.planes[0]
        return "bottom" if first.planes[0].buffer_ptr == luma.buffer_ptr + luma.line_size else "top"

    def _make_for(self, frame: av.VideoFrame) -> None:
        shape = (frame.width, frame.height, frame.format.name)
        if shape == self._made_for:
            return
        self._graph, self._made_for = Graph(), shape
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        self._graph.link_nodes(source, self._graph.add("separatefields"), self._graph.add("buffersink")).configure()
