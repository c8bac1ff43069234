"""Packets that hold whole pictures: FFmpeg's parsers split a picture wherever a parameter set precedes a slice.

Some senders put SPS and PPS before every slice of a key frame. Each such key frame then arrives as several packets of
one pts, and each would be decoded to a picture of its own, flat where the other slices belong.
"""

from __future__ import annotations

from typing import Any

import av

from stream_inspect.capture.nal_units import NalFormat
from stream_inspect.capture.packet_copy import packet_copy


class WholePictures:
    """Joins the packets of one picture.

    That a picture is complete is known only when the next one begins, one frame interval later. So packets are held
    back only until the first key frame has shown that pictures are not split, and from the first split picture on.
    """

    def __init__(self, nal: NalFormat | None) -> None:
        self._nal = nal
        self._held: av.Packet[Any] | None = None
        self._looking = nal is not None
        self.splits = False
        """Whether the stream splits its pictures."""

    def add(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """What can be decoded now that this packet has arrived; an empty packet ends the stream."""
        continues = self._nal is not None and self._nal.begins_picture(bytes(packet)) is False
        if continues and not self.splits:
            # Where it was not foreseen, the first part is decoded by now and this picture lost; the next ones are not.
            self.splits = True
        if not self.splits:
            return self._add(packet, continues=False)
        ready = []
        for piece in self._pieces(packet):
            ready += self._add(piece, continues=continues)
            continues = False
        return ready

    def _add(self, packet: av.Packet[Any], *, continues: bool) -> list[av.Packet[Any]]:
        held, self._held = self._held, None
        if held is not None and continues and _same_time(held, packet):
            self._held = _joined(held, packet)
            return []
        ready = [] if held is None else [held]
        if held is not None and held.is_keyframe:
            self._looking = False
        if packet.size and (self.splits or self._looking):
            self._held = packet
        else:
            ready.append(packet)
        return ready

    def _pieces(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """FFmpeg's H.265 parser also appends the next picture to the last part of a split one."""
        data = self._nal.pictures(bytes(packet)) if self._nal is not None else []
        if len(data) < 2:
            return [packet]
        return [packet_copy(packet, data[0]), *(packet_copy(packet, each, timeless=True) for each in data[1:])]


def _same_time(held: av.Packet[Any], packet: av.Packet[Any]) -> bool:
    """FFmpeg's RTSP client has no pts for the first packet of a connection."""
    return held.pts == packet.pts or held.pts is None or packet.pts is None


def _joined(first: av.Packet[Any], second: av.Packet[Any]) -> av.Packet[Any]:
    packet = packet_copy(first, bytes(first) + bytes(second))
    if first.pts is None:
        packet.pts, packet.dts = second.pts, second.dts
    packet.is_corrupt = first.is_corrupt or second.is_corrupt
    return packet
