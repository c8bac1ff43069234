"""The whole YAML file as typed models: units in names, ranges on numbers, unknown keys rejected.

The descriptions are the configuration reference: `docs/configuration.md` and the JSON Schema are generated from them.
Checks that involve more than one value are in `crosscheck.py`, or in the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.config import JsonDict

from stream_inspect.config.address import plain_url
from stream_inspect.config.base import ConfigFinding, Host, Model, Name, OptionValue
from stream_inspect.config.outputs import AlertConfig
from stream_inspect.config.problems import did_you_mean
from stream_inspect.config.region import in_px, region_in_parts, region_in_px
from stream_inspect.config.secret import Secret
from stream_inspect.errors import UsageError
from stream_inspect.rotation import Direction, Rotation, rotated_horizontals, rotated_size

DefectName = Annotated[
    str,
    Field(
        # Event ids are camera-session-name-n. Camera names are often numbered with a dash (cam-1); a defect's must not
        # be, or `a-1-2-b-3` could be of two events.
        pattern=r"^([0-9]*[a-z][a-z0-9_]*|[0-9]+_[a-z0-9_]*)(-([0-9]*[a-z_][a-z0-9_]*)?)*$",
        max_length=40,
        json_schema_extra={
            "x-rule": "a name: up to 40 lower-case letters, digits, - and _, beginning with a letter or digit, and no "
            "number alone between dashes (hole2 or hole_2, not hole-2)"
        },
    ),
]
Prompt = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"\S", json_schema_extra={"x-rule": "text of 1 to 100 characters"})
]
Point = tuple[float, float]


def same_wording(text: str) -> str:
    """What two wordings share that mean the same to a detector: spaces and capitals make no difference to it."""
    return " ".join(text.split()).casefold()


RELOADABLE: JsonDict = {"x-reloadable": True}
"""Marks a key that, with all keys below it, takes effect while the service runs; see `reload.py`."""

_RTSP_RULE = "a URL: rtsp://host:port/path"


def _rtsp_url(text: str) -> str:
    instead = (
        "write them under `username` and `password`, the password as {env: NAME} or {file: PATH}; "
        "there `@` is written as it is, and not as %40"
    )
    return plain_url(text, ("rtsp", "rtsps"), _RTSP_RULE, instead)


RtspUrl = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[Rr][Tt][Ss][Pp][Ss]?://", "x-rule": _RTSP_RULE}),
    AfterValidator(_rtsp_url),
]

# --- cameras -----------------------------------------------------------------------------------------------------


class RtspSource(Model):
    """An RTSP camera: H.264, H.265 or MJPEG over TCP or UDP, with Basic or Digest authentication."""

    kind: Literal["rtsp"]
    url: RtspUrl = Field(description="rtsp://host:port/path, without user and password.")
    transport: Literal["tcp", "udp"] = Field("tcp", description="TCP loses no packets; UDP has less delay.")
    username: str | None = Field(None, description="User name, for Basic or Digest authentication.")
    password: Secret | None = Field(None, description="Password of that user.")
    open_timeout_s: float = Field(2.0, ge=0.5, le=30, description="Maximum time for an attempt to connect.")
    read_timeout_s: float = Field(1.5, ge=0.2, le=30, description="Reconnect after this long without a packet.")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.password and not self.username:
            yield ConfigFinding(("password",), "needs a username next to it")


class UsbSource(Model):
    """A USB or other V4L2 camera."""

    kind: Literal["usb"]
    device: str = Field("/dev/video0", description="Device file; /dev/v4l/by-id/... stays the same after a restart.")
    width_px: int | None = Field(None, ge=16, le=16384, description="Picture width; the driver's default if absent.")
    height_px: int | None = Field(None, ge=16, le=16384, description="Picture height; the driver's default if absent.")
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate; the driver's default if absent.")
    input_format: str | None = Field(None, description="mjpeg, yuyv422, h264, ...; the driver's default if absent.")


class GigeSource(Model):
    """A GigE Vision camera through Aravis."""

    kind: Literal["gige"]
    device: str | None = Field(None, description="Aravis device id or IP address; the first camera found if absent.")
    pixel_format: Literal["mono8", "rgb8", "bgr8", "bayer_rg8", "bayer_gb8", "bayer_gr8", "bayer_bg8", "yuv422_8"] = (
        Field("mono8", description="Pixel format requested from the camera.")
    )
    width_px: int | None = Field(None, ge=16, le=16384, description="Picture width; the camera's own if absent.")
    height_px: int | None = Field(None, ge=16, le=16384, description="Picture height; the camera's own if absent.")
    fps: float | None = Field(None, gt=0, le=1000, description="Frame rate; the camera's own if absent.")
    exposure_us: float | None = Field(None, gt=0, le=10_000_000, description="Exposure; the camera's own if absent.")
    gain_db: float | None = Field(None, ge=0, le=60, description="Gain; the camera's own if absent.")
    packet_size_bytes: int | None = Field(
        None, ge=576, le=16000, description="Network packet size; 8000 where every switch supports jumbo frames."
    )
    buffers: int = Field(10, ge=3, le=100, description="Number of frame buffers in the driver.")


class FileSource(Model):
    """A video file."""

    kind: Literal["file"]
    path: Path = Field(description="The video, relative to the configuration file.")
    pace: Literal["real_time", "fast"] = Field("real_time", description="As recorded, or as fast as frames are read.")
    loop: bool = Field(False, description="Start again at the end, as a new session.")


class ImagesSource(Model):
    """A folder of pictures, each judged alone: none is left out or dropped, nothing is tracked, each find is an event.

    It is read once, to its end. `sampling`, `track`, `decide` and the belt's speed have no effect on it.
    """

    kind: Literal["images"]
    path: Path = Field(description="The folder, relative to the configuration file.")
    fps: float = Field(5.0, gt=0, le=1000, description="Pictures per second at most; defines the time of each.")
    pace: Literal["real_time", "fast"] = Field(
        "real_time", description="At that rate, or as fast as they are judged. A slow model is waited for either way."
    )
    loop: bool = Field(False, description="Start again at the end, as a new session.")


class SyntheticSource(Model):
    """The synthetic line: a belt with parts, defects and distractors, and exact truth."""

    kind: Literal["synthetic"]
    seed: int = Field(1, ge=0, lt=2**63, description="Seed of the belt, its parts and their defects.")
    width_px: int = Field(1280, ge=128, le=4096, multiple_of=4, description="Picture width.")
    height_px: int = Field(720, ge=128, le=4096, multiple_of=4, description="Picture height: 360 mm of the belt.")
    fps: float = Field(25.0, gt=0, le=240, description="Frame rate.")
    pace: Literal["real_time", "fast"] = Field("real_time", description="At that rate, or as fast as frames are read.")
    duration_s: float | None = Field(None, gt=0, description="End after this long; endless if absent.")


class PluginSource(Model):
    """A camera from another package (entry point group `stream_inspect.camera`)."""

    kind: Literal["plugin"]
    plugin: str = Field(min_length=1, description="Name of the entry point.")
    options: dict[str, OptionValue] = Field({}, description="Passed to the plug-in unchanged; secrets are allowed.")


Source = Annotated[
    RtspSource | UsbSource | GigeSource | FileSource | ImagesSource | SyntheticSource | PluginSource,
    Field(discriminator="kind"),
]


class BeltConfig(Model):
    """A conveyor under the camera. With it, tracks use belt coordinates and sizes are in mm."""

    direction: Direction = Field(description="Direction in which parts move through the judged picture.")
    speed_mm_s: float = Field(gt=0, le=20000, description="Belt speed; within 10 % is good enough for tracking.")
    mm_per_px: float = Field(gt=0, le=100, description="Scale on the belt, in the judged picture.")


class SamplingConfig(Model):
    """Which frames are due for judging; the others are counted as not_due."""

    rate_hz: float = Field(8.0, gt=0, le=240, description="Judged frames per second of the media clock.")


class ConditionsConfig(Model):
    """When a camera condition is raised. Its event follows within half a second of these times."""

    no_signal_after_s: float = Field(1.5, ge=0.2, le=600, description="Raise no_signal after this long without frames.")
    black_after_s: float = Field(1.0, ge=0.1, le=600, description="Raise black after this long with a black picture.")
    black_luma_max: int = Field(24, ge=0, le=255, description="A picture is black with 99 % at or below this luma.")
    frozen_after_s: float = Field(
        1.5,
        ge=0.1,
        le=600,
        description="Raise frozen when the source repeats one picture for this long, where there is a belt; in "
        "compressed video three to seven key frames later.",
    )


class CameraConfig(Model):
    """One camera."""

    name: Name = Field(description="Appears in events, topics and file names.")
    source: Source = Field(description="Source of its frames.")
    line: Name | None = Field(None, description="Production line of this camera; the file's `line` if absent.")
    rotate_deg: Rotation = Field(
        0, description="Clockwise turn of the sensor picture into the judged one: 90 turns its top edge to the right."
    )
    region_px: Annotated[list[Point], AfterValidator(region_in_px)] | None = Field(
        None,
        min_length=3,
        max_length=64,
        description="Polygon of interest, [x, y] corners in the judged picture; all of it if absent.",
    )
    region: Annotated[list[Point], AfterValidator(region_in_parts)] | None = Field(
        None,
        min_length=3,
        max_length=64,
        description="The same in parts of one, for a picture of any size: [0, 0] is its top left, [1, 1] its bottom "
        "right.",
    )
    mm_per_px: float | None = Field(None, gt=0, le=100, description="Scale, for a camera without a belt.")
    belt: BeltConfig | None = Field(None, description="The conveyor under the camera, if any.")
    sampling: SamplingConfig = SamplingConfig()
    conditions: ConditionsConfig = ConditionsConfig()

    @property
    def scale_mm_per_px(self) -> float | None:
        """Millimetres a pixel where known: the belt's scale, else the camera's."""
        return self.belt.mm_per_px if self.belt else self.mm_per_px

    def region_in(self, width_px: int, height_px: int) -> list[Point] | None:
        """The region's corners in px of a picture of this size; None where all of it counts."""
        return self.region_px if self.region is None else in_px(self.region, width_px, height_px)

    @property
    def stills(self) -> bool:
        """Whether its frames are pictures that stand alone: each is judged, and none has to do with the one before."""
        return isinstance(self.source, ImagesSource)

    @property
    def waits_for_judging(self) -> bool:
        """Whether its source is read no faster than frames are judged, so that no due frame is dropped."""
        return self.stills or getattr(self.source, "pace", "real_time") == "fast"

    @property
    def stated_size_px(self) -> tuple[int, int] | None:
        """(width, height) of the judged picture, where the configuration states it."""
        width_px, height_px = (getattr(self.source, key, None) for key in ("width_px", "height_px"))
        return rotated_size(width_px, height_px, self.rotate_deg) if width_px and height_px else None

    @property
    def stated_fps(self) -> float | None:
        """Frame rate, where the configuration states it."""
        return getattr(self.source, "fps", None)

    def crosscheck(self) -> Iterator[ConfigFinding]:
        if self.belt and self.mm_per_px is not None and self.mm_per_px != self.belt.mm_per_px:
            yield ConfigFinding(("mm_per_px",), "contradicts belt.mm_per_px: keep the belt's alone")
        if self.region is not None and self.region_px is not None:
            yield ConfigFinding(("region",), "is given a second time by region_px: keep one of them")
        if isinstance(self.source, SyntheticSource):
            turned = f" turned by {self.rotate_deg} degrees" if self.rotate_deg else ""
            directions = rotated_horizontals(self.rotate_deg)
            if self.belt and self.belt.direction not in directions:
                yield ConfigFinding(
                    ("belt", "direction"), f"must be {' or '.join(directions)} for a synthetic line{turned}"
                )


# --- inspection --------------------------------------------------------------------------------------------------


class DefectConfig(Model):
    """A defect, described in plain words. The PLC receives the name; engineers tune the prompts."""

    name: DefectName = Field(description="Appears in events and topics; this is what the PLC receives.")
    prompts: list[Prompt] = Field(min_length=1, max_length=32, description="Wordings; the best match counts.")
    counter_prompts: list[Prompt] = Field(
        [], max_length=32, description="Wordings for what only looks like the defect; the higher score wins."
    )
    threshold: float = Field(0.3, gt=0, lt=1, description="Minimum score.")
    min_area_mm2: float | None = Field(None, ge=0, description="Minimum area; needs the camera's scale.")
    min_area_px: float | None = Field(None, ge=0, description="Minimum area, in square pixels of the judged picture.")
    severity: Literal["minor", "major", "critical"] = Field("major", description="Included in the event.")

    def crosscheck(self) -> Iterator[ConfigFinding]:
        """A wording on both sides: the counter-prompt scores as high as the prompt, never higher, and has no effect."""
        own = {same_wording(text) for text in self.prompts}
        for index, text in enumerate(self.counter_prompts):
            if same_wording(text) in own:
                yield ConfigFinding(
                    ("counter_prompts", index),
                    f'"{text}" is listed as prompt and as counter-prompt: remove one of them',
                )


_MODEL = (
    "A hub id, a local folder, or `tiny` (embedded; knows only the synthetic line, of anything else its verdicts mean "
    "nothing)."
)


class DetectorConfig(Model):
    """The open-vocabulary detector."""

    kind: str = Field("owlv2", min_length=1, description="`owlv2`, or a plug-in (group `stream_inspect.detector`).")
    model: str = Field("tiny", min_length=1, description=_MODEL)
    revision: str | None = Field(None, description="Hub revision to pin: a tag or a commit.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the weights; a GPU is faster with bfloat16 or float16."
    )


class SegmenterConfig(Model):
    """The segmenter, run on hits only. `segmenter: null` turns it off; events then have boxes but no masks."""

    kind: str = Field("sam", min_length=1, description="`sam`, or a plug-in (group `stream_inspect.segmenter`).")
    model: str = Field("tiny", min_length=1, description=_MODEL)
    revision: str | None = Field(None, description="Hub revision to pin: a tag or a commit.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the weights; a GPU is faster with bfloat16 or float16."
    )


class WorkerConfig(Model):
    """One inspect process; it has its own copy of the models. Every worker serves every camera."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto: cuda if available, otherwise cpu; cuda:1 is the second GPU.",
        json_schema_extra={"x-rule": "auto, cpu, cuda or cuda:N"},
    )
    threads: int = Field(1, ge=1, le=128, description="CPU threads of torch.")


class InspectConfig(Model):
    """The inspect stage."""

    detector: DetectorConfig = DetectorConfig()
    segmenter: SegmenterConfig | None = Field(SegmenterConfig(), description="null: boxes only, no masks.")
    workers: list[WorkerConfig] = Field(
        [WorkerConfig()], min_length=1, max_length=64, description="Inspect processes; use one for each GPU."
    )
    batch_max_frames: int = Field(4, ge=1, le=256, description="Largest batch, in frames; halved when memory runs out.")
    fuse_overlap: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Boxes of one defect are merged where they overlap by more than this share of the smaller one.",
        json_schema_extra=RELOADABLE,
    )
    max_detections: int = Field(
        50,
        ge=1,
        le=1000,
        description="Maximum per frame; the best are kept, of the best 200 boxes (or four times this).",
        json_schema_extra=RELOADABLE,
    )


# --- track and decide --------------------------------------------------------------------------------------------


class TrackConfig(Model):
    """The tracker."""

    kind: str = Field(
        "auto",
        min_length=1,
        description="auto: belt where the camera has one, else iou; or a plug-in (group `stream_inspect.tracker`).",
    )
    forget_after_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="A track ends when unseen for this long; on a belt, one seen twice ends on leaving the picture.",
    )
    match_distance_px: float | None = Field(
        None, gt=0, description="Maximum distance of a match on the belt; derived from the box if absent."
    )


CONFIRMED_WHEN = "seen in {n} of the last {m} judged frames that show it"
"""The rule in words, as events and documents state it (`decide.rules.NOfM`)."""


class DecideConfig(Model):
    __doc__ = f"From tracks to events: a defect is confirmed when it was {CONFIRMED_WHEN.format(n='n', m='m')}."

    confirm_hits: int = Field(2, ge=1, le=100, description="n: number of judged frames in which it must be seen.")
    confirm_window: int = Field(4, ge=1, le=100, description="m: number of last judged frames considered.")

    @model_validator(mode="after")
    def _n_of_m(self) -> DecideConfig:
        if self.confirm_hits > self.confirm_window:
            raise ValueError(
                f"confirm_hits (n = {self.confirm_hits}) must not exceed confirm_window (m = {self.confirm_window})"
            )
        return self


# --- recording, the page, the rest ---------------------------------------------------------------------------------


class RecorderConfig(Model):
    """Clips and pictures of events."""

    enabled: bool = Field(True, description="Record clips and pictures; otherwise events refer to neither.")
    pre_roll_s: float = Field(1.5, ge=0, le=60, description="Length of a clip before its event.")
    post_roll_s: float = Field(1.5, ge=0, le=60, description="Length of a clip after its event.")
    max_clip_s: float = Field(30.0, gt=0, le=600, description="Maximum length of a clip, however long the event lasts.")
    height_px: int = Field(720, ge=120, le=2160, description="Clips are scaled down to this height.")
    max_age_days: float = Field(30.0, gt=0, le=36500, description="Older clips, pictures and events are removed.")
    max_size_gb: float = Field(20.0, gt=0, description="Total size; beyond it the oldest are removed.")
    min_free_gb: float = Field(1.0, ge=0, description="Free disk space below which recording stops; judging continues.")


class WebConfig(Model):
    """The live page."""

    enabled: bool = Field(True, description="Serve the live page.")
    host: Host = Field("127.0.0.1", description="Address to listen on; any but a loopback address requires a token.")
    port: int = Field(8080, ge=0, le=65535, description="0: any free port.")
    token: Secret | None = Field(None, description="Token that users must enter on the page.")
    live_rate_hz: float = Field(10.0, gt=0, le=60, description="Live pictures per second, for each camera.")
    live_height_px: int = Field(540, ge=120, le=2160, description="Live pictures are scaled down to this height.")


class TransportConfig(Model):
    """The frame ring and the sockets."""

    ring_dir: Path = Field(
        Path("/dev/shm"), description="Folder in memory for the frames; a container's default of 64 MB is too small."
    )
    ring_s: float = Field(4.0, gt=0.5, le=120, description="Length of each ring: pre-roll plus the time to judge.")
    ring_max_mb: int = Field(1024, ge=16, le=65536, description="Maximum memory of one camera's ring.")


class MetricsConfig(Model):
    """Prometheus metrics, /healthz (what is wrong) and /livez (503: a restart would help), served by the supervisor."""

    enabled: bool = Field(True, description="Serve /metrics, /healthz and /livez.")
    host: Host = Field("127.0.0.1", description="Address to listen on; no token is required.")
    port: int = Field(9108, ge=0, le=65535, description="0: any free port.")


class LogConfig(Model):
    """Logs are written to stderr: transitions, not frames."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level.")
    format: Literal["text", "json"] = Field("text", description="text: for people; json: for a collector of logs.")


class Config(Model):
    """One production line or plant."""

    version: Literal[1] = Field(description="Version of the configuration format.")
    line: Name = Field("line1", description="The production line; a camera may name another.")
    state_dir: Path = Field(
        Path("state"), description="Folder for events, clips and pictures; relative to the configuration file."
    )
    cameras: list[CameraConfig] = Field(min_length=1, max_length=256, description="The cameras; names must be unique.")
    defects: list[DefectConfig] = Field(
        min_length=1,
        max_length=256,
        description="What to look for, on every camera.",
        json_schema_extra=RELOADABLE,
    )
    inspect: InspectConfig = InspectConfig()
    track: TrackConfig = TrackConfig()
    decide: DecideConfig = DecideConfig()
    alerts: list[AlertConfig] = Field([], max_length=64, description="Outputs for events; each has its own queue.")
    recorder: RecorderConfig = RecorderConfig()
    web: WebConfig = WebConfig()
    transport: TransportConfig = TransportConfig()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()

    def only_camera(self, name: str) -> Config:
        """This configuration with only the camera `name`. Raises `UsageError` when there is no such camera."""
        chosen = [camera for camera in self.cameras if camera.name == name]
        if not chosen:
            known = [camera.name for camera in self.cameras]
            listed = ", ".join(known)
            raise UsageError(f"no camera named {name!r}; the configuration has: {listed}.{did_you_mean(name, known)}")
        return self.model_copy(update={"cameras": chosen})

    def line_of(self, camera: str) -> str:
        """The production line that this camera watches."""
        return next((c.line for c in self.cameras if c.name == camera and c.line), self.line)
