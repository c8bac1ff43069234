"""`check` against real counterparts: cameras, a broker, TLS servers, a small tmpfs, a running service, ports."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_inspect import registry
from stream_inspect.commands.check import run as check_module
from stream_inspect.commands.check.report import Report
from stream_inspect.commands.check.run import check
from stream_inspect.config.load import load_text
from stream_inspect.config.models import Config
from stream_inspect.findings import Finding, Level, fail, ok
from stream_inspect.service.run_dir import RunDir
from stream_inspect.tiny import scope
from tests.alerts.receivers import Mosquitto, free_port, make_certificates
from tests.capture.bitstreams import encoded, joined, kind, units, write_for_server
from tests.capture.processes import RtspServer, UnitsServer, need_rtsp_server
from tests.capture.videos import set_display_matrix, write_video

HIDDEN = "hunter2-Zq9"


SHORT = "{kind: synthetic, width_px: 320, height_px: 240, pace: fast, duration_s: 1}"


def config_of(folder: Path, more: str = "", source: str = SHORT) -> Config:
    """A configuration that asks for nothing that is not here, unless `more` does."""
    sections = {
        "inspect": f"inspect: {{detector: {{model: {folder}/owl}}, segmenter: null, workers: [{{device: cpu}}]}}",
        "web": "web: {enabled: false}",
        "metrics": "metrics: {enabled: false}",
        "defects": "defects: [{name: hole, prompts: [hole]}]",
    }
    kept = "\n".join(text for key, text in sections.items() if f"{key}:" not in more)
    text = f"version: 1\ncameras:\n  - name: top\n    source: {source}\n{kept}\n{more}\n"
    return load_text(text, folder / "line.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a model of the right form in it: files and headers, all that is looked at."""
    owl = tmp_path / "owl"
    owl.mkdir()
    (owl / "config.json").write_text(json.dumps({"model_type": "owlv2", "vision_config": {"image_size": 96}}))
    (owl / "preprocessor_config.json").write_text("{}")
    (owl / "tokenizer.json").write_text("{}")
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (owl / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return tmp_path


def of(report: Report, item: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.item == item]


def one(report: Report, item: str) -> Finding:
    (finding,) = of(report, item)
    return finding


def test_where_all_is_well_each_item_has_one_line(folder: Path) -> None:
    reported: list[Finding] = []
    report = check(config_of(folder, "alerts: [{kind: file}]"), found=reported.append)
    assert [(finding.item, finding.level) for finding in report.findings] == [
        ("configuration", Level.OK),
        ("camera top", Level.OK),
        ("detector", Level.OK),
        ("worker 0", Level.OK),
        ("alert file", Level.OK),
        ("state_dir", Level.OK),
        ("ring", Level.OK),
    ], report.to_text()
    assert reported == list(report.findings)
    assert report.ok
    assert one(report, "camera top").text.startswith(
        "synthetic 320x240, 25 fps (measured 25.0), every frame a key frame"
    )
    assert one(report, "detector").text.startswith(f"{folder}/owl: owlv2, input 96x96 px")
    assert report.to_text().endswith("\n\nAll checks passed.")
    assert sorted(os.listdir(folder)) == ["owl"]  # nothing was made


def test_everything_is_tried_even_when_all_of_it_fails(folder: Path) -> None:
    port = free_port()
    config = config_of(
        folder,
        f"""\
inspect: {{detector: {{model: /nowhere}}, segmenter: {{model: /nowhere}}, workers: [{{device: "cuda:7", threads: 99}}]}}
alerts:
  - {{kind: mqtt, host: 127.0.0.1, port: {port}}}
  - {{kind: webhook, url: "https://127.0.0.1:{port}/hook"}}
  - {{kind: file, path: /proc/events.jsonl}}
state_dir: /proc/state
transport: {{ring_dir: /nowhere}}
""",
        source="{kind: file, path: absent.mp4}",
    )
    report = check(config)
    assert {finding.item for finding in report.findings if finding.level is Level.FAIL} == {
        "camera top",
        "detector",
        "segmenter",
        "worker 0",
        "alert mqtt",
        "alert webhook",
        "alert file",
        "state_dir",
        "ring",
    }, report.to_text()
    assert not report.ok
    assert "9 failures and 1 warning: the service will not work." in report.to_text()
    assert "warn  workers" in report.to_text()


def test_on_a_narrow_terminal_findings_are_wrapped_below_each_other_and_no_word_is_cut() -> None:
    command = "stream-inspect models pull google/owlv2-base-patch16-ensemble"
    report = Report((ok("ring", "the frames need 132 MB"), fail("detector", f"is not here: run {command}", "or else")))
    assert report.to_text(45).splitlines() == [
        "ok    ring      the frames need 132 MB",
        "fail  detector  is not here: run",
        "                stream-inspect models pull",
        "                google/owlv2-base-patch16-ensemble",
        "                -> or else",
        "",
        "1 failure: the service will not work.",
    ]
    assert f"fail  detector  is not here: run {command}\n" in report.to_text()


# --- cameras -----------------------------------------------------------------------------------------------------


def test_a_camera_is_measured(folder: Path) -> None:
    write_video(folder / "a.mp4", count=60, fps=20, gop=20, size=(160, 120))
    report = check(config_of(folder, source="{kind: file, path: a.mp4, pace: fast}"))
    text = one(report, "camera top").text
    assert text == ("h264 160x120, 20 fps (measured 20.0), a key frame every 1.0 s, clock: arrival, 60 frames")


def test_a_turned_camera_is_measured_as_it_is_judged(folder: Path) -> None:
    write_video(folder / "a.mp4", count=30, fps=25)
    turned = "{kind: file, path: a.mp4, pace: fast}\n    rotate_deg: 90\n    region_px: "
    report = check(config_of(folder, source=f"{turned}[[0, 0], [120, 0], [120, 160]]"))
    (measured,) = of(report, "camera top")
    assert measured.text.startswith("h264 120x160 (turned by 90 degrees), 25 fps")
    report = check(config_of(folder, source=f"{turned}[[0, 0], [160, 0], [160, 120]]"))
    assert of(report, "camera top")[1].text.endswith("is outside the picture of 120x160 px")


@pytest.mark.parametrize(
    ("more", "level", "reported"),
    [
        ("sampling: {rate_hz: 50}", Level.WARN, "sampling.rate_hz is 50, but the camera delivers only 25.0 fps"),
        ("region_px: [[0, 0], [300, 0], [300, 200]]", Level.FAIL, "corner [300, 0] of region_px is outside"),
        (
            "belt: {direction: left_to_right, speed_mm_s: 400, mm_per_px: 0.5}",
            Level.WARN,
            "the belt moves 100 of 160 px between two judged frames: a defect is in 1 or 2 of them, and decide.confirm",
        ),
        (
            "belt: {direction: left_to_right, speed_mm_s: 800, mm_per_px: 0.5}",
            Level.FAIL,
            "the belt moves 200 of 160 px between two judged frames: a defect is in at most 1 of them, and decide.",
        ),
        (
            "sampling: {rate_hz: 0.5}",
            Level.WARN,
            "judged frames are 2 s apart, and track.forget_after_s is 1 s: a defect is confirmed only by 2 frames",
        ),
    ],
)
def test_what_does_not_fit_the_camera_is_reported(folder: Path, more: str, level: Level, reported: str) -> None:
    write_video(folder / "a.mp4", count=30, fps=25)
    report = check(config_of(folder, source=f"{{kind: file, path: a.mp4, pace: fast}}\n    {more}"))
    complaint = of(report, "camera top")[1]
    assert complaint.level is level
    assert complaint.text.startswith(reported)


def test_a_belt_that_is_too_fast_for_the_views_of_its_parts_is_reported(folder: Path) -> None:
    write_video(folder / "a.mp4", count=30, fps=25)
    belt = "belt: {direction: left_to_right, speed_mm_s: 700, mm_per_px: 1}"
    source = f"{{kind: file, path: a.mp4, pace: fast}}\n    sampling: {{rate_hz: 25}}\n    {belt}"
    lines = "lines: [{name: line1, parts: {kind: background}, part_length_mm: 90, views: 4}]"
    report = check(config_of(folder, lines, source=source))
    complaint = of(report, "camera top")[1]
    assert complaint.level is Level.FAIL
    assert complaint.text.startswith("the belt runs 28 mm between two frames, and a part of 90 mm is whole for 70 mm")


def test_what_the_scale_makes_of_the_picture_is_reported(folder: Path) -> None:
    write_video(folder / "a.mp4", count=30, fps=25)
    source = "{kind: file, path: a.mp4, pace: fast}\n    mm_per_px: 0.25"
    assert one(check(config_of(folder, source=source)), "camera top").text.startswith(
        "h264 160x120 of 40x30 mm, 25 fps"
    )


@pytest.mark.slow
def test_a_real_rtsp_camera_with_rare_key_frames_and_one_with_a_wrong_password(folder: Path) -> None:
    need_rtsp_server()
    server = RtspServer("--gop", "75", "--user", "bob", "--password", HIDDEN)
    try:
        source = f"{{kind: rtsp, url: '{server.url()}', username: bob, password: {HIDDEN}}}"
        good = check(config_of(folder, source=source))
        bad = check(config_of(folder, source=source.replace("bob", "eve")))
    finally:
        server.stop()
    seen, rare = of(good, "camera top")
    assert seen.level is Level.OK
    assert seen.text.startswith("h264 640x360")
    assert "a key frame every 3.0 s" in seen.text
    assert rare.level is Level.WARN
    assert rare.advice == "set the camera's key-frame (I-frame, GOP) interval to 1 s"
    refused = one(bad, "camera top")
    assert refused.level is Level.FAIL
    assert refused.advice.startswith(f"port 127.0.0.1:{server.port} is open: check user name, password and path")
    assert HIDDEN not in good.to_text() + bad.to_text()
    assert "cameras.top.source.password is stored in plain text" in good.to_text()


@pytest.mark.slow
def test_a_camera_that_sends_no_key_frame_is_not_said_to_be_unreachable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_rtsp_server()
    monkeypatch.setattr("stream_inspect.capture.av_reader._FIRST_FRAME_S", 2.0)
    first, *others = encoded("hevc", 60, gop=1000, repeat_headers="1")
    heads = [unit for unit in units(first) if kind("hevc", unit) in (32, 33, 34)]
    sent = write_for_server(folder / "sent", [joined(heads) + others[0], *others[1:]])
    server = UnitsServer("--codec", "h265", str(sent))
    try:
        report = check(config_of(folder, source=f"{{kind: rtsp, url: '{server.url()}'}}"))
    finally:
        server.stop()
    found = one(report, "camera top")
    assert found.level is Level.FAIL
    assert "packets of hevc received" in found.text
    assert "key-frame (I-frame, GOP) interval" in found.text
    assert "password" not in f"{found.text} {found.advice}"


@pytest.mark.slow
def test_which_clock_a_camera_has_does_not_depend_on_the_moment_of_the_check(folder: Path) -> None:
    """Everything else is measured after 2 s; the first sender report of this server comes later than that."""
    need_rtsp_server()
    server = RtspServer("--gop", "10")
    try:
        report = check(config_of(folder, source=f"{{kind: rtsp, url: '{server.url()}'}}"))
    finally:
        server.stop()
    assert one(report, "camera top").text.endswith("clock: rtcp")


def test_what_the_container_says_of_its_pictures_is_reported(folder: Path) -> None:
    set_display_matrix(write_video(folder / "a.mp4", count=30), "90")
    measured, turned = of(check(config_of(folder, source="{kind: file, path: a.mp4, pace: fast}")), "camera top")
    assert measured.text.startswith("h264 120x160")
    assert (turned.level, turned.text) == (Level.OK, "display matrix: turned by 90 degrees")
    set_display_matrix(write_video(folder / "b.mp4", count=30), "slanted")
    measured, slanted = of(check(config_of(folder, source="{kind: file, path: b.mp4, pace: fast}")), "camera top")
    assert measured.text.startswith("h264 160x120")
    assert slanted.level is Level.WARN
    assert "not a quarter turn" in slanted.text


def test_a_secret_too_short_to_hide_is_warned_of_and_not_printed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_THREE", "~7~")
    monkeypatch.setenv("TOKEN_OF_FOUR", "~77~")
    for name, warned in (("TOKEN_OF_THREE", True), ("TOKEN_OF_FOUR", False)):
        report = check(config_of(folder, f"web: {{port: 0, token: {{env: {name}}}}}"))
        assert ("web.token has fewer than 4 characters" in report.to_text()) is warned
        assert report.ok
        assert "~7" not in report.to_text()


def test_a_camera_that_is_not_there_differs_from_one_that_refuses(folder: Path) -> None:
    port = free_port()
    report = check(config_of(folder, source=f"{{kind: rtsp, url: 'rtsp://127.0.0.1:{port}/1'}}"))
    assert one(report, "camera top").level is Level.FAIL
    assert one(report, "camera top").advice == (
        f"cannot connect to 127.0.0.1:{port} (Connection refused): check the address, the cable and the network"
    )


class HangingCamera:
    """Its driver never answers."""

    def __init__(self, config: Any) -> None:
        pass

    def open(self) -> None:
        time.sleep(5)

    def close(self) -> None:
        pass


class TalkativeCamera(HangingCamera):
    """Its driver fails in its own way, and tells all it knows."""

    def open(self) -> None:
        raise RuntimeError(f"login with {HIDDEN} failed")


def test_a_camera_that_hangs_or_breaks_keeps_nothing_else_from_being_tried(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HangingCamera", "TalkativeCamera"):
        monkeypatch.setitem(registry.BUILT_IN["camera"], name, f"{__name__}:{name}")
    monkeypatch.setattr(check_module, "_camera_limit_s", lambda source: 0.5)
    (folder / "key").write_text(HIDDEN)
    hanging = "{kind: plugin, plugin: HangingCamera}"
    talkative = "{kind: plugin, plugin: TalkativeCamera, options: {key: {file: key}}}"
    report = check(config_of(folder, source=f"{hanging}\n  - name: left\n    source: {talkative}"))
    assert one(report, "camera top").text == "no answer within 0.5 s"
    assert one(report, "camera left").text == "failed: RuntimeError: login with *** failed"
    assert one(report, "detector").level is Level.OK


# --- outputs -----------------------------------------------------------------------------------------------------


def test_a_broker_is_logged_in_to(folder: Path) -> None:
    broker = Mosquitto(folder / "broker", tls=True, password=HIDDEN)
    broker.start()
    try:
        (folder / "password").write_text(HIDDEN)
        base = f"kind: mqtt, host: 127.0.0.1, port: {broker.port}, username: inspector, timeout_s: 2"
        tls = f"{base}, tls: true, ca_file: {broker.certificates.ca}"
        report = check(
            config_of(
                folder,
                f"""\
alerts:
  - {{name: right, {tls}, password: {{file: password}}}}
  - {{name: wrong, {tls}, password: not-{HIDDEN}}}
  - {{name: untrusted, {base}, tls: true, password: {{file: password}}}}
  - {{name: plain, {base}, password: {{file: password}}}}
""",
            )
        )
    finally:
        broker.close()
    where = f"MQTT broker 127.0.0.1:{broker.port}"
    assert one(report, "alert right").text == f"{where}: login accepted over TLS"
    assert one(report, "alert wrong").text == f"{where} rejected the login: Not authorized"
    assert one(report, "alert untrusted").text.startswith(f"{where}: cannot connect: its certificate is not trusted")
    assert "set ca_file" in one(report, "alert untrusted").advice
    assert one(report, "alert plain").level is Level.FAIL
    assert HIDDEN not in report.to_text()


def test_checking_leaves_no_trace_at_the_broker(folder: Path) -> None:
    broker = Mosquitto(folder / "broker", extra="log_type all")
    broker.start()
    try:
        report = check(config_of(folder, f"alerts: [{{kind: mqtt, host: 127.0.0.1, port: {broker.port}}}]"))
    finally:
        broker.close()
    log = (folder / "broker" / "log").read_text()
    assert one(report, "alert mqtt").level is Level.OK
    assert "stream_inspect-check-" in log
    assert "PUBLISH" not in log


@pytest.fixture
def tls_port(folder: Path) -> Iterator[int]:
    """A server that shakes hands, and would tell if anything was posted to it."""
    certificates = make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    assert secured.recv(1) == b""
            except OSError:
                continue

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_webhooks_receiver_is_reached_and_nothing_is_posted(folder: Path, tls_port: int) -> None:
    url = f"https://127.0.0.1:{tls_port}/hooks/{HIDDEN}"
    report = check(
        config_of(
            folder,
            f"""\
alerts:
  - {{kind: webhook, name: trusted, url: "{url}", ca_file: ca.pem, secret: whsec_{"QUJD" * 8}}}
  - {{kind: webhook, name: untrusted, url: "{url}"}}
  - {{kind: webhook, name: unknown, url: "https://no-such-host.invalid/"}}
""",
        )
    )
    assert one(report, "alert trusted").text == f"https://127.0.0.1:{tls_port} can be reached; nothing was posted"
    assert "its certificate is not trusted" in one(report, "alert untrusted").text
    assert one(report, "alert unknown").level is Level.FAIL
    assert HIDDEN not in report.to_text()


# --- this computer -----------------------------------------------------------------------------------------------

IN_A_SMALL_TMPFS = """
import sys
from pathlib import Path
from stream_inspect.commands.check.cameras import Seen
from stream_inspect.commands.check.host import check_ring
from stream_inspect.config.load import load
for finding in check_ring(load(Path(sys.argv[1])), [Seen(1920, 1080, 25.0)], running=False):
    print(finding.level, finding.text, finding.advice)
"""


def test_a_containers_small_memory_is_found_and_the_advice_names_what_to_set(folder: Path) -> None:
    small = folder / "shm"
    small.mkdir()
    (folder / "line.yaml").write_text(
        "version: 1\ncameras: [{name: top, source: {kind: synthetic}}]\ndefects: [{name: hole, prompts: [hole]}]\n"
        "transport: {ring_dir: shm}\n"
    )
    mount = f'mount -t tmpfs -o size=64m none {small} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-c", IN_A_SMALL_TMPFS, folder / "line.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs of our own can be mounted here: {done.stderr.strip()[:80]}")
    assert done.stdout.startswith(f"fail the frames need 297 MB, but {small} has 64 MB")
    assert "start it with --shm-size=384m (Compose: shm_size: 384m;" in done.stdout
    assert "set transport.ring_dir" in done.stdout


def test_a_ring_that_is_cut_short_or_lies_on_a_disk_is_reported(folder: Path) -> None:
    source = "{kind: synthetic, width_px: 1280, height_px: 720, pace: fast, duration_s: 1}"
    report = check(config_of(folder, f"transport: {{ring_dir: {Path.cwd()}, ring_max_mb: 16}}", source=source))
    short = next(finding for finding in of(report, "ring") if "ring_max_mb" in finding.text)
    assert short.text == "camera top: transport.ring_max_mb 16 keeps 0.5 s of frames, not the 4 s of ring_s"
    assert short.advice.startswith("raise transport.ring_max_mb to 132")
    if not Path("/proc/mounts").read_text().count(f" {Path.cwd()} tmpfs "):
        assert any("is on a disk" in finding.text for finding in of(report, "ring"))


def test_occupied_ports_fail_unless_they_are_the_running_services(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = config_of(folder, f"web: {{port: {port}}}\nmetrics: {{port: 0}}")
        report = check(config)
        assert one(report, "web").text == f"cannot listen on 127.0.0.1:{port}: Address already in use"
        assert one(report, "web").advice.startswith("choose another web.port")
        assert one(report, "metrics").level is Level.OK
        with RunDir(Path("/dev/shm"), config.state_dir):
            report = check(config)
        assert one(report, "web").text == f"127.0.0.1:{port} is in use, probably by the running service"
        assert "in use by a running service" in one(report, "state_dir").text
        assert "the running service already uses them" in one(report, "ring").text
    assert one(check(config), "web").level is Level.OK


def test_too_little_room_for_clips_is_reported(folder: Path) -> None:
    report = check(config_of(folder, "recorder: {min_free_gb: 1000000000}"))
    assert one(report, "state_dir").level is Level.WARN
    assert "less than recorder.min_free_gb: nothing will be recorded" in one(report, "state_dir").text
    report = check(config_of(folder, "recorder: {max_size_gb: 1000000000}"))
    assert of(report, "state_dir")[1].advice == "lower it, so that old clips are removed before the disk is full"


def test_what_clips_take_is_reported_against_the_limit_at_the_rate_of_those_there(folder: Path) -> None:
    def reported(max_size_gb: float) -> tuple[Level, str]:
        recorder = f"recorder: {{min_free_gb: 0, max_size_gb: {max_size_gb:f}, max_age_days: 14}}"
        (found,) = [
            one for one in of(check(config_of(folder, recorder)), "state_dir") if "clips and pictures" in one.text
        ]
        return found.level, found.text

    clips = config_of(folder).state_dir / "clips"
    clips.mkdir(parents=True)
    assert "clips and pictures" not in check(config_of(folder)).to_text()
    for number in range(9):
        path = clips / f"top-1-hole-{number}.mp4"
        path.write_bytes(bytes(500))
        os.utime(path, (1.7e9 + number * 86_400 / 8,) * 2)
        if number == 1:
            level, text = reported(0.00001)
            assert level is Level.OK
            assert text.startswith(
                "clips and pictures take 1e-06 of the 1e-05 GB of recorder.max_size_gb; how much a day"
            )
    level, text = reported(0.00001)
    assert level is Level.WARN
    assert "4.5e-06 GB a day (of the last 1.0 days): it keeps 2.2 days of them, not the 14 of recorder.max_ag" in text
    level, text = reported(1)
    assert level is Level.OK
    assert text.startswith("clips and pictures take 4.5e-06 of the 1 GB of recorder.max_size_gb, 4.5e-06 GB a day (of")
    assert text.endswith("it holds 222222 days of them, and recorder.max_age_days removes them after 14")


def test_words_that_the_embedded_model_does_not_know_are_reported(folder: Path) -> None:
    more = "inspect: {detector: {model: tiny}, segmenter: null, workers: [{device: cpu}]}\n"
    more += "defects: [{name: burr, prompts: [burr, Scratch], counter_prompts: [oil film]}]"
    report = check(config_of(folder, more))
    (strange,) = [finding for finding in of(report, "detector") if finding.level is Level.WARN]
    assert strange.text.startswith(
        "tiny does not know: burr, oil film. It knows only these words: scratch, scratches, "
    )
    assert of(report, "models") == []  # it is the synthetic line


def test_embedded_models_on_anything_but_the_synthetic_line_are_reported(folder: Path) -> None:
    write_video(folder / "a.mp4", count=10, fps=25)
    source = "{kind: file, path: a.mp4, pace: fast}"
    for more, reported in (
        ("inspect: {workers: [{device: cpu}]}", scope.VERDICTS),
        (f"inspect: {{detector: {{model: {folder}/owl}}, workers: [{{device: cpu}}]}}", scope.OUTLINES),
    ):
        report = check(config_of(folder, more, source))
        found = one(report, "models")
        listed = [
            each.text for each in of(report, "detector") if each.text.startswith("tiny knows only these words: scr")
        ]
        assert len(listed) == (reported == scope.VERDICTS)
        assert (found.level, found.text) == (Level.WARN, f"{reported} (camera top)")
        assert "google/owlv2-base-patch16-ensemble" in found.advice
    assert of(check(config_of(folder, source=source)), "models") == []


def test_a_prompt_that_the_detector_cannot_read_whole_fails_and_is_named(folder: Path) -> None:
    more = "inspect: {detector: {model: tiny}, segmenter: null, workers: [{device: cpu}]}\n"
    more += (
        "defects: [{name: burr, prompts: [burr, a long thin bright line on the top of the grey metal box next to it]}]"
    )
    report = check(config_of(folder, more))
    (found,) = of(report, "prompts")
    assert found.level is Level.FAIL
    assert (
        "the prompt 'a long thin bright line on the top of the grey metal box next to it' of defect burr" in found.text
    )


def test_a_broken_model_is_found_without_loading_it(folder: Path) -> None:
    weights = folder / "owl" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2])
    report = check(config_of(folder))
    assert "so the copy is incomplete" in one(report, "detector").text
    assert "torch" not in one(report, "detector").text
