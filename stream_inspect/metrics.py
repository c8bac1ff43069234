"""Every metric of the service, in one table.

Stages run in processes of their own and may be killed: prometheus_client's multiprocess mode keeps the values in
files that the supervisor owns (it sets PROMETHEUS_MULTIPROC_DIR before starting them) and serves at the only /metrics.
The supervisor adds the ledger and the restarts itself, in `service/health.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram, values

if _process := os.environ.get("STREAM_INSPECT_PROCESS"):
    # Files are named by the row, not by the pid: a restarted process continues the counters of its previous run, and a
    # thousand restarts do not leave a thousand files.
    values.ValueClass = values.MultiProcessValue(lambda: _process)  # type: ignore[no-untyped-call]

_LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1, 2, 5, 10, 30)
_P = "stream_inspect_"

MALFORMED = Counter(
    _P + "malformed_messages", "Messages dropped as malformed, oversized or of another version.", ["topic"]
)
UNDELIVERED = Counter(
    _P + "undelivered_messages", "Messages not delivered because the reader's mailbox was full.", ["topic"]
)
MAILBOX_SENT = Counter(
    _P + "mailbox_sent_messages",
    "Messages sent to a mailbox. Those sent but not handled are in flight, or were lost with a killed process.",
    ["topic"],
)
MAILBOX_HANDLED = Counter(
    _P + "mailbox_handled_messages", "Messages that the reader of a mailbox has handled.", ["topic"]
)
LOST_BROADCASTS = Counter(_P + "lost_broadcasts", "Broadcasts that a slow reader missed.", ["topic"])
QUEUE_DEPTH = Gauge(
    _P + "queue_depth",
    "Messages read from the inbox in one turn of the loop.",
    ["stage"],
    multiprocess_mode="mostrecent",
)
HELD_ITEMS = Gauge(
    _P + "held_items",
    "Items in a container that grows when what empties it is slow.",
    ["process", "what"],
    multiprocess_mode="mostrecent",
)
HELD_ITEMS_LIMIT = Gauge(
    _P + "held_items_limit",
    "The bound of that container; what comes beyond it is dropped and counted.",
    ["process", "what"],
    multiprocess_mode="mostrecent",
)

CAPTURE_SESSIONS = Counter(_P + "capture_sessions", "Connections made to the camera.", ["camera"])
CAPTURE_FAILURES = Counter(_P + "capture_failures", "Connections that failed or were lost.", ["camera"])
BAD_FRAMES = Counter(_P + "bad_frames", "Frames that the source delivered corrupt; never judged.", ["camera"])
CAMERA_UP = Gauge(_P + "camera_up", "1 while the camera delivers frames.", ["camera"], multiprocess_mode="mostrecent")
CONDITION = Gauge(
    _P + "condition_active",
    "1 while the condition is active.",
    ["camera", "condition"],
    multiprocess_mode="mostrecent",
)

CAPTURE_TO_INSPECT = Histogram(
    _P + "capture_to_inspect_seconds",
    "From capture to the start of judging.",
    ["camera"],
    buckets=_LATENCY_BUCKETS_S,
)
INSPECT_SECONDS = Histogram(
    _P + "inspect_seconds",
    "Time of one step: `detect` per batch, later steps per picture.",
    ["step"],
    buckets=_LATENCY_BUCKETS_S,
)
BATCH_FRAMES = Histogram(_P + "batch_frames", "Frames in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64))
CAPTURE_TO_JUDGED = Histogram(
    _P + "capture_to_judged_seconds",
    "From capture to the result of judging.",
    ["camera"],
    buckets=_LATENCY_BUCKETS_S,
)
LATE_INSPECTIONS = Counter(
    _P + "late_inspections", "Judged frames not tracked because later ones already were.", ["camera"]
)
CAPTURE_TO_EVENT = Histogram(
    _P + "capture_to_event_seconds",
    "From capture of the confirming frame to the event.",
    ["camera"],
    buckets=_LATENCY_BUCKETS_S,
)
CAPTURE_TO_ALERT = Histogram(
    _P + "capture_to_alert_seconds",
    "From capture of the confirming frame to the alert acknowledged.",
    ["output"],
    buckets=_LATENCY_BUCKETS_S,
)
MODEL_RELOADS = Counter(_P + "model_reloads", "Reloads of a failed model.", ["worker"])

PARTS = Gauge(
    _P + "parts",
    "Parts since the start, by state: in = pass + fail + undecided + on_belt; late_defect: of those, found defective "
    "after another verdict; escape: after they had passed.",
    ["line", "lane", "state"],
    multiprocess_mode="mostrecent",
)
PARTS_UNDECIDED = Gauge(
    _P + "parts_undecided",
    "Undecided parts since the start, by reason.",
    ["line", "lane", "reason"],
    multiprocess_mode="mostrecent",
)
PARTS_RESIDUAL = Gauge(
    _P + "parts_residual",
    "Parts that are in none of these states: zero.",
    ["line", "lane"],
    multiprocess_mode="mostrecent",
)
PART_VIEWS = Histogram(
    _P + "part_views",
    "Usable views of each part, of all cameras, as its verdict is final.",
    ["line"],
    buckets=(0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100),
)
BELT_MM = Gauge(
    _P + "belt_mm",
    "Belt that has left the camera's picture since the start, in mm: all that passed, and what of it was judged as "
    "often as its line wants views.",
    ["line", "camera", "state"],
    multiprocess_mode="mostrecent",
)
BELT_JUDGED_SHARE = Gauge(
    _P + "belt_judged_share",
    "Share of the belt that passed since the start and was judged as often as its line wants views.",
    ["line", "camera"],
    multiprocess_mode="mostrecent",
)
EVENTS = Counter(_P + "events", "Events by name and state.", ["camera", "name", "state"])
EVENTS_WAITING = Gauge(
    _P + "events_waiting",
    "Events not in the event log yet: they wait in its journal or in memory.",
    multiprocess_mode="mostrecent",
)
EVENT_LOG_STUCK = Gauge(
    _P + "event_log_stuck_seconds",
    "For how long the event log has taken nothing though events wait; 0 while none wait.",
    multiprocess_mode="mostrecent",
)
EVENTS_LOST = Counter(
    _P + "events_lost", "Events lost because neither the event log, nor its journal, nor memory could hold them."
)
ALERTS_SENT = Counter(
    _P + "alerts_sent",
    "Alerts acknowledged by the output, or handed over to one that acknowledges nothing.",
    ["output"],
)
ALERT_FAILURES = Counter(_P + "alert_failures", "Attempts to send an alert that failed.", ["output"])
ALERTS_REFUSED = Counter(
    _P + "alerts_refused", "Events that an output rejected or failed on alone; kept as dead letters.", ["output"]
)
ALERTS_EXPIRED = Counter(
    _P + "alerts_expired", "Events that were not sent because they were older than the output's max_age_s.", ["output"]
)
OUTBOX_DEPTH = Gauge(_P + "outbox_depth", "Events queued for this output.", ["output"], multiprocess_mode="mostrecent")
OUTBOX_OLDEST = Gauge(
    _P + "outbox_oldest_seconds",
    "Age of the oldest event queued for this output.",
    ["output"],
    multiprocess_mode="mostrecent",
)
CLIPS = Counter(_P + "clips", "Clips by outcome.", ["outcome"])
EVENT_PICTURES = Counter(_P + "event_pictures", "Pictures of events by outcome.", ["outcome"])
MEDIA_BYTES = Gauge(
    _P + "media_bytes", "Total size of the clips and pictures that are kept.", multiprocess_mode="mostrecent"
)
MEDIA_OLDEST = Gauge(
    _P + "media_oldest_seconds",
    "Age of the oldest clip kept; below recorder.max_age_days for good where recorder.max_size_gb is reached first.",
    multiprocess_mode="mostrecent",
)
LIVE_PICTURES = Counter(_P + "live_pictures", "Annotated live pictures produced.", ["camera"])


def export_held(process: str, held: Mapping[str, tuple[int, int]]) -> None:
    """Export what a process holds: of each container its (items, bound)."""
    for what, (items, limit) in held.items():
        HELD_ITEMS.labels(process, what).set(items)
        HELD_ITEMS_LIMIT.labels(process, what).set(limit)
