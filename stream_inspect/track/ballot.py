"""The name of a track: what its detections say most, weighted by their scores."""

from __future__ import annotations

from stream_inspect.messages import Detection

OTHER_NAME_IOU = 0.5
"""Intersection over union from which a detection of another name is the same defect: it joins the track and votes."""


class NameVote:
    """Detectors now and then call a scratch a crack: one frame must not rename a defect."""

    def __init__(self, first: Detection) -> None:
        self._votes = {first.defect: first.score}
        self.winner = first.defect
        """The name with the most votes, the one that had as many first where they are equal."""

    def add(self, detection: Detection) -> None:
        votes = self._votes[detection.defect] = self._votes.get(detection.defect, 0.0) + detection.score
        if detection.defect != self.winner and votes > self._votes[self.winner]:
            self.winner = detection.defect
