"""Muxes encoded pictures into an MP4 that plays while it loads: index first, true times, no re-encoding."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import BinaryIO

import av

from stream_inspect.record.encoder import Packet

_INDEX_BYTES = 8192
_INDEX_BYTES_PER_PICTURE = 32


def shown_for(packets: Sequence[Packet], time_base: Fraction) -> list[int]:
    """How long each picture is shown, in units of `time_base`: until the next one; the last as long as the previous."""
    durations = [after.pts - before.pts for before, after in pairwise(packets)]
    return [*durations, durations[-1] if durations else max(1, round(Fraction(1, 25) / time_base))]


def write_mp4(file: BinaryIO, packets: Sequence[Packet], time_base: Fraction, metadata: Mapping[str, str]) -> None:
    """Write the packets, the first of which is a key packet; the first picture is shown at time 0.

    The index is written into space reserved at the front. Raises OSError where the disk fails.
    """
    durations = shown_for(packets, time_base)
    reserve = _INDEX_BYTES + _INDEX_BYTES_PER_PICTURE * len(packets)
    with (
        av.open(io.BytesIO(packets[0].data), format="h264") as parameters,
        av.open(file, "w", format="mp4", options={"moov_size": str(reserve)}) as container,
    ):
        container.metadata.update(metadata)
        stream = container.add_stream_from_template(parameters.streams.video[0])
        stream.time_base = time_base
        for packet, duration in zip(packets, durations, strict=True):
            out = av.Packet(packet.data)
            out.stream, out.time_base = stream, time_base
            out.pts = out.dts = packet.pts - packets[0].pts
            out.duration = duration
            out.is_keyframe = packet.key
            container.mux_one(out)
