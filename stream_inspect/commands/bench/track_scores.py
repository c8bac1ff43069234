"""Scores tracks by TrackEval: MOT files on disk, a JSON request on stdin, the scores as JSON on stdout.

It runs with the interpreter of `.venv-bench`, without stream_inspect. The scores are those of the MOT challenge: IDF1
and HOTA of all of a cell's runs together, and identity switches (CLEAR), at an overlap of 0.5; a run's parts are
counted too. A track of a single box counts for no tracker: it makes no event.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import trackeval  # type: ignore[import-not-found]

METRICS = (
    trackeval.metrics.HOTA(),
    trackeval.metrics.Identity({"PRINT_CONFIG": False}),
    trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
)


def keep_tracks(source: Path, target: Path) -> None:
    """Copy what is tracked, without tracks of a single box."""
    rows = [line.split(",") for line in source.read_text(encoding="utf-8").splitlines()]
    boxes = Counter(row[1] for row in rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(",".join(row) + "\n" for row in rows if boxes[row[1]] > 1), encoding="utf-8")


def score(folder: Path, tracker: str, lengths: dict[str, int]) -> dict[str, float]:
    """The scores of one tracker over these runs: {run: judged frames}."""
    for run in lengths:
        keep_tracks(folder / "tracks" / tracker / f"{run}.txt", folder / "scored" / tracker / "data" / f"{run}.txt")
    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(folder / "truth"),
            "TRACKERS_FOLDER": str(folder / "scored"),
            "TRACKERS_TO_EVAL": [tracker],
            "BENCHMARK": "MOT15",
            "DO_PREPROC": False,
            "SEQ_INFO": lengths,
            "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt",
            "SKIP_SPLIT_FOL": True,
            "PRINT_CONFIG": False,
        }
    )
    results: list[dict[str, Any]] = [{} for _ in METRICS]
    parts = 0
    for run in lengths:
        data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data(tracker, run), "pedestrian")
        parts += data["num_gt_ids"]
        for metric, result in zip(METRICS, results, strict=True):
            result[run] = metric.eval_sequence(data)
    hota, identity, clear = (metric.combine_sequences(result) for metric, result in zip(METRICS, results, strict=True))
    return {
        "idf1": float(identity["IDF1"]),
        "hota": float(np.mean(hota["HOTA"])),
        "switches": int(clear["IDSW"]),
        "parts": int(parts),
    }


def main() -> None:
    """One request, one answer: the scores of each (tracker, cell)."""
    request = json.load(sys.stdin)
    folder = Path(request["folder"])
    json.dump([score(folder, one["tracker"], one["lengths"]) for one in request["cells"]], sys.stdout)


if __name__ == "__main__":
    main()
