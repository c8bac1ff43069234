"""Loading: what is right is typed and absolute, what is wrong is reported all at once and in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_inspect.config.load import ConfigError, dump, load, load_text, parse_dump, redacted
from stream_inspect.config.models import Config, FileSource, RtspSource
from stream_inspect.config.outputs.file import FileAlertConfig

LEAST = """\
version: 1
cameras:
  - name: top
    source: {kind: synthetic}
defects:
  - name: hole
    prompts: [hole]
"""


def problems(text: str, *overrides: str, folder: Path = Path("/nowhere")) -> list[str]:
    """What is wrong, as `line:column: key: message` (or as the override's text)."""
    with pytest.raises(ConfigError) as caught:
        load_text(text, folder / "line.yaml", overrides)
    return [str(problem).removeprefix(f"{folder}/line.yaml:") for problem in caught.value.problems]


def right(text: str, *overrides: str, folder: Path = Path("/nowhere")) -> Config:
    return load_text(text, folder / "line.yaml", overrides)


def test_the_least_configuration_has_all_defaults() -> None:
    config = right(LEAST)
    assert (config.line, config.web.port, config.inspect.detector.model) == ("line1", 8080, "tiny")
    assert config.cameras[0].sampling.rate_hz == 8.0


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ("web: {prot: 1}", "8:7: web.prot: unknown key. Did you mean web.port?"),
        ("webb: {}", "8:1: webb: unknown key. Did you mean web?"),
        ("web: {port: http}", '8:13: web.port: must be a whole number from 0 to 65535, not "http"'),
        ("web: {port: 70000}", "8:13: web.port: must be a whole number from 0 to 65535, not 70000"),
        ("web: {port: 80.5}", "8:13: web.port: must be a whole number from 0 to 65535, not 80.5"),
        ("web: {enabled: 2}", "8:16: web.enabled: must be true or false, not 2"),
        ("web: [1]", "8:6: web: must be a mapping of keys to values, not a list"),
        ("web:", "8:1: web: is empty: write a mapping of keys to values, or remove it"),
        ("alerts: {}", "8:9: alerts: must be a list of at most 64, not a mapping"),
        ("transport: {ring_s: 0.5}", "8:21: transport.ring_s: must be a number above 0.5 and at most 120, not 0.5"),
        ("transport: {ring_s: .nan}", "8:21: transport.ring_s: must be a number above 0.5 and at most 120, not nan"),
        (
            "transport: {ring_s: true}",
            "8:21: transport.ring_s: must be a number above 0.5 and at most 120, not true or false",
        ),
        ("log: {level: warn}", '8:14: log.level: must be debug, info, warning or error, not "warn". Did you mean'),
        ("line: 7", "8:7: line: must be a name: up to 40 lower-case letters, digits, - and _, beginning with a letter"),
        ("line: 7", "not 7: put it in quotes"),
        (
            "decide: {confirm_hits: 5, confirm_window: 4}",
            "8:9: decide: confirm_hits (n = 5) must not exceed confirm_window (m = 4)",
        ),
        (
            "inspect:\n  detector: {kind: owl}",
            '9:20: inspect.detector.kind: no detector named "owl"; available: owlv2. Did you mean owlv2?',
        ),
        ("inspect: {segmenter: {kind: sam3}}", '8:29: inspect.segmenter.kind: no segmenter named "sam3"'),
        ("track: {kind: kalman}", '8:15: track.kind: no tracker named "kalman"; available: auto, belt, iou.'),
        ("track: {kind: belt}", "8:15: track.kind: belt needs a belt on every camera, and top has none: use auto"),
        ("alerts:\n  - {kind: mtqq}", "9:12: alerts[0].kind: must be mqtt, webhook, file"),
        ("alerts:\n  - {kind: mtqq}", 'not "mtqq". Did you mean mqtt?'),
        ("alerts:\n  - {name: x}", "9:5: alerts[0].kind: is missing: write mqtt, webhook, "),
        ("alerts: [{kind: mqtt}]", "8:10: alerts[0].host: is missing: write a host name or address alone"),
        ("alerts: [{kind: mqtt, host: a, topic: 'x/{cam}'}]", "{cam} is not filled in here, only {line} and {camera}."),
        ("alerts: [{kind: mqtt, host: a, topic: 'x/{'}]", "alerts[0].topic: has unbalanced braces"),
        ("alerts: [{kind: mqtt, host: a, topic: 'x/#'}]", "must be a topic without the wildcards # and +"),
        ("alerts: [{kind: mqtt, host: a, password: x}]", "alerts[0].password: needs a username next to it"),
        ("alerts: [{kind: mqtt, host: a, ca_file: x}]", "alerts[0].ca_file: has no effect unless tls: true"),
        ("alerts: [{kind: file}, {kind: file}]", "8:31: alerts[1].name: file is already the name of alerts[0]"),
        ("alerts: [{kind: plugin, name: x, plugin: nope}]", 'alerts[0].plugin: no alert named "nope"; available:'),
        ("recorder: {pre_roll_s: 5}", "8:24: recorder.pre_roll_s: needs a longer ring than transport.ring_s, 4 s"),
        (
            "recorder: {pre_roll_s: 5}\ntransport: {ring_s: 5}",
            "9:21: transport.ring_s: 5 s are too short for clips: recorder.pre_roll_s and a margin for judging need",
        ),
        ("web: {host: 0.0.0.0}", "8:13: web.host: 0.0.0.0 can be reached from other computers: set web.token"),
        ("web: {host: '::'}", "8:13: web.host: :: can be reached from other computers: set web.token"),
        ("metrics: {port: 8080}", "8:17: metrics.port: 8080 is web.port too: choose another"),
        ("line: a\nline: b", "9:1: line: duplicate key (first on line 8): keep one"),
        ("line: !name a", "8:7: line: begins with ! (a YAML tag): put the text in quotes"),
        ("[a, b]: c", "8:1: a key must be a word"),
    ],
)
def test_each_mistake_is_reported_with_its_place(wrong: str, reported: str) -> None:
    found = problems(LEAST + wrong + "\n")
    assert any(reported in problem for problem in found), found
    assert len(found) == 1, found


BELT = "{direction: left_to_right, speed_mm_s: 1, mm_per_px: 1}"
CAMERA = "version: 1\ndefects: [{name: hole, prompts: [hole]}]\ncameras:\n  - name: top\n    "


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ("source: {kind: rstp}", "5:20: cameras[0].source.kind: must be rtsp, usb, gige, file, images, synthetic or p"),
        ("source: {kind: rtsp}", "5:13: cameras[0].source.url: is missing: write a URL: rtsp://host:port/path"),
        ("source: {kind: rtsp, url: cam1}", "5:31: cameras[0].source.url: must be a URL: rtsp://host:port/path"),
        (
            "source: {kind: rtsp, url: 'rtsp://'}",
            "cameras[0].source.url: is not a URL; expected scheme://host:port/path",
        ),
        ("source: {kind: rtsp, url: 'rtsp://a:b:c/'}", "cameras[0].source.url: is not a URL; expected scheme://ho"),
        ("source: {kind: rtsp, url: 'rtsp://a/', file: x}", "5:44: cameras[0].source.file: unknown key."),
        ("source: {kind: rtsp, url: 'rtsp://a/', password: x}", "cameras[0].source.password: needs a username next to"),
        ("source: {kind: file, path: 3}", "5:32: cameras[0].source.path: must be a path, not 3"),
        ("source: {kind: synthetic, width_px: 1282}", "must be a whole number from 128 to 4096, a multiple of 4, not"),
        ("source: {kind: plugin, plugin: nope}", 'cameras[0].source.plugin: no camera named "nope"; available: '),
        ("source: {kind: plugin, plugin: file, options: {a: [1]}}", "cameras[0].source.options.a: must be text, a num"),
        (
            "region_px: [[0, 0], [9, 9]]\n    source: {kind: synthetic}",
            "5:16: cameras[0].region_px: a polygon needs at lea",
        ),
        ("region_px: [[0, 0], [9, 9], [5, 5]]\n    source: {kind: synthetic}", "the polygon has no area"),
        (
            "region_px: [[0, 0], [9, 9], [0, 9], [12, 0]]\n    source: {kind: synthetic}",
            "the polygon crosses itself: the edges [0, 0]-[9, 9] and [0, 9]-[12, 0] meet; list its corners in the",
        ),
        ("region_px: [[0, 0], [9, 9], [0, -9]]\n    source: {kind: synthetic}", "a corner has a negative coordinate"),
        (
            "region_px: [[0, 0], [9, 9], [0, 0], [9, 1]]\n    source: {kind: synthetic}",
            "the same corner is listed twice",
        ),
        ("region_px: [[0, 0], [9, 9], [0]]\n    source: {kind: synthetic}", "region_px[2][1]: is missing: write a num"),
        (
            "region_px: [[0, 0], [9, 9], [0, 999]]\n    source: {kind: synthetic}",
            "cameras[0].region_px: corner [0, 999] of region_px is outside the picture of 1280x720 px: draw it on a",
        ),
        (
            "region_px: [[0, 0], [9, 9], [0, 999]]\n    source: {kind: usb, width_px: 640, height_px: 480}",
            "cameras[0].region_px: corner [0, 999] of region_px is outside the picture of 640x480 px",
        ),
        (
            "region_px: [[0, 0], [1, 0], [1, 1], [0, 1]]\n    source: {kind: usb}",
            "5:16: cameras[0].region_px: these are parts of the picture (0 to 1), not pixels: write them as `region`",
        ),
        (
            "region_px: [[0, 0], [3, 0], [3, 3], [0, 3]]\n    source: {kind: usb}",
            "encloses only 9 px²: nothing is found",
        ),
        (
            "region: [[0, 0], [640, 0], [640, 360]]\n    source: {kind: usb}",
            "5:13: cameras[0].region: corner [640, 0] is not a part of the picture, from 0 to 1: write pixels as",
        ),
        (
            "region: [[0, 0], [1, 1], [0, 1], [1, 0]]\n    source: {kind: usb}",
            "cameras[0].region: the polygon crosses itself: the edges [0, 0]-[1, 1] and [0, 1]-[1, 0] meet",
        ),
        (
            "region: [[0, 0], [1, 1], [0, 1]]\n    region_px: [[0, 0], [9, 9], [0, 9]]\n    source: {kind: usb}",
            "5:5: cameras[0].region: is given a second time by region_px: keep one of them",
        ),
        (
            "region_px: [[0, 0], [90, 90], [0, 90], [90, 0]]\n    source: {kind: usb}",  # without any area in all
            "the polygon crosses itself: the edges [0, 0]-[90, 90] and [0, 90]-[90, 0] meet",
        ),
        (
            "region_px: [[0, 0], [90, 0], [90, 90], [45, 0], [0, 90]]\n    source: {kind: usb}",  # a corner on an edge
            "the polygon crosses itself: the edges [0, 0]-[90, 0] and [90, 90]-[45, 0] meet",
        ),
        (
            "region_px: [[0, 0], [90, 0], [50, 0], [50, 90]]\n    source: {kind: usb}",  # an edge that runs back
            "the polygon crosses itself: the edges [0, 0]-[90, 0] and [90, 0]-[50, 0] meet",
        ),
        (
            "belt: {direction: top_to_bottom, speed_mm_s: 1, mm_per_px: 1}\n    source: {kind: synthetic}",
            "5:23: cameras[0].belt.direction: must be left_to_right or right_to_left for a synthetic line",
        ),
        (
            "belt: {speed_mm_s: 1, mm_per_px: 1}\n    source: {kind: usb}",
            "5:11: cameras[0].belt: needs a `direction`, an angle as `direction_deg`, or a rectangle as `corners_px`",
        ),
        (
            "belt: {direction_deg: 30, direction: left_to_right, speed_mm_s: 1, mm_per_px: 1}\n    source: {kind: usb}",
            "cameras[0].belt: direction and direction_deg both give the direction: keep one of them",
        ),
        (
            "belt: {direction_deg: 30, speed_mm_s: 1}\n    source: {kind: usb}",
            "cameras[0].belt: needs mm_per_px, the millimetres of a pixel; `stream-inspect belt` measures it",
        ),
        (
            "belt: {corners_px: [[0, 0], [9, 0], [9, 9], [0, 9]], speed_mm_s: 1}\n    source: {kind: usb}",
            "cameras[0].belt: corners_px and corners_mm, the size of that rectangle, need each other",
        ),
        (
            "belt: {corners_px: [[0, 0], [9, 9], [9, 0], [0, 9]], speed_mm_s: 1}\n    source: {kind: usb}",
            "corners_px: is not what a camera sees of a rectangle: list its four corners in the order of its outline",
        ),
        (
            "belt: {direction_deg: 12, speed_mm_s: 1, mm_per_px: 1}\n    source: {kind: synthetic}",
            "must be left_to_right or right_to_left for a synthetic line",
        ),
        ("rotate_deg: false\n    source: {kind: usb}", "rotate_deg: must be 0, 90, 180 or 270, not true or false"),
        ("rotate_deg: 45\n    source: {kind: usb}", "5:17: cameras[0].rotate_deg: must be 0, 90, 180 or 270, not 45"),
        (
            f"rotate_deg: 90\n    belt: {BELT}\n    source: {{kind: synthetic}}",
            "must be top_to_bottom or bottom_to_top for a synthetic line turned by 90 degrees",
        ),
        (
            "region_px: [[0, 0], [9, 9], [1280, 0]]\n    rotate_deg: 270\n    source: {kind: synthetic}",
            "cameras[0].region_px: corner [1280, 0] of region_px is outside the picture of 720x1280 px",
        ),
        (
            "belt: {direction: left_to_right, speed_mm_s: 1, mm_per_px: 1}\n    mm_per_px: 2\n    source: {kind: usb}",
            "6:16: cameras[0].mm_per_px: contradicts belt.mm_per_px: keep the belt's alone",
        ),
    ],
)
def test_each_mistake_of_a_camera_is_reported_with_its_place(wrong: str, reported: str) -> None:
    found = problems(CAMERA + wrong + "\n")
    assert any(reported in problem for problem in found), found
    assert len(found) == 1, found


def test_regions_and_belts_of_a_turned_camera_are_those_of_the_judged_picture() -> None:
    camera = """rotate_deg: 90
    region_px: [[0, 0], [720, 0], [720, 1280]]
    belt: {direction: top_to_bottom, speed_mm_s: 1, mm_per_px: 1}
    source: {kind: synthetic}
"""
    assert right(CAMERA + camera).cameras[0].rotate_deg == 90


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ("prompts: []", "7:14: defects[0].prompts: must be a list of 1 to 32, not an empty one"),
        ("prompts: ['']", '7:15: defects[0].prompts[0]: must be text of 1 to 100 characters, not ""'),
        (f"prompts: [{'x' * 101}]", "7:15: defects[0].prompts[0]: must be text of 1 to 100 characters, not"),
        ("prompt: [a]", "7:5: defects[0].prompt: unknown key. Did you mean defects[0].prompts?"),
        ("prompts: [a]\n    threshold: 1", "8:16: defects[0].threshold: must be a number above 0 and below 1, not 1"),
        ("prompts: [a]\n    min_area_mm2: 1", "8:19: defects[0].min_area_mm2: needs the scale of every camera, and"),
        (
            "prompts: [a, 'Thin  Scratch']\n    counter_prompts: [b, thin scratch]",
            '8:26: defects[0].counter_prompts[1]: "thin scratch" is listed as prompt and as counter-prompt: remove one',
        ),
        ("prompts: [a]\n  - {name: hole, prompts: [b]}", "8:12: defects[1].name: hole is already the name of de"),
    ],
)
def test_each_mistake_of_a_defect_is_reported_with_its_place(wrong: str, reported: str) -> None:
    found = problems(LEAST.replace("prompts: [hole]", wrong))
    assert any(reported in problem for problem in found), found


def test_everything_that_is_wrong_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
version: 2
cameras:
  - name: top
    source: {kind: rtsp, url: "rtsp://cam/1", transport: tpc}
  - name: top
    source: {kind: synthetic}
    sampling: {rate: 5}
defects:
  - name: hole
    prompts: [hole]
    min_area_mm2: 4
inspect: {detector: {kind: owl}, workers: [{device: gpu}]}
web: {host: 0.0.0.0, prot: 1}
recorder: {pre_roll_s: 9}
"""
    found = problems(text, "web.port=x")
    assert [problem.split(": ")[1] for problem in found[:-1]] == [
        "version",
        "cameras[0].source.transport",
        "cameras[1].name",
        "cameras[1].sampling.rate",
        "inspect.detector.kind",
        "inspect.workers[0].device",
        "web.host",
        "web.prot",
        "recorder.pre_roll_s",
    ]
    assert found[-1] == '--set web.port: must be a whole number from 0 to 65535, not "x"'


def test_what_only_follows_from_another_mistake_is_not_told() -> None:
    # The scale is there but mistyped: "no scale" would send the reader the wrong way.
    text = LEAST.replace("{kind: synthetic}", "{kind: synthetic}\n    mm_per_px: o.5") + "    min_area_mm2: 4\n"
    assert len(problems(text)) == 1
    assert len(problems(LEAST + "web: {host: 0.0.0.0, token: {env: NOT_SET_ANYWHERE}}\n")) == 1


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "1:1: is empty: begin with `version: 1`"),
        ("- a\n", "1:1: is not a mapping of keys to values: begin with `version: 1`"),
        ("a: 'x\n", "1:4: a quote that opens here is not closed on its line"),
        ("a: b: c\n", "1:5: text that holds ': ' needs quotes"),
        ("a:\n\tb: 1\n", "2:1: is indented with a tab: write spaces, two for each level"),
        ("a: *b\n", "1:4: text that begins with * needs quotes"),
        ("a: 1\n---\nb: 2\n", "holds a second document (after ---): one file holds one configuration"),
        ("a: &a [*a]\n", "is nested more than 30 levels deep"),
        ("a: " + "[" * 600 + "]" * 600, "is nested too deeply"),
        ("a: &a [" + "1," * 300 + "]\nb: &b [" + "*a," * 300 + "]\n", "holds more than 50000 values, with aliases"),
    ],
)
def test_a_text_that_is_not_a_configuration_is_refused_with_its_line(text: str, reported: str) -> None:
    assert any(reported in problem for problem in problems(text)), problems(text)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for name, content, reported in (
        ("latin.yaml", "version: 1\nline: blä".encode("latin-1"), "latin.yaml:2:9: is not UTF-8 text"),
        ("huge.yaml", b"#" * 1_000_001, "huge.yaml: is longer than 1000000 bytes"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / name)
        assert reported in str(caught.value)
    with pytest.raises(ConfigError, match="cannot read the configuration: No such file or directory"):
        load(tmp_path / "absent.yaml")


def test_paths_are_relative_to_the_file_and_those_of_the_command_line_to_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    text = LEAST.replace("{kind: synthetic}", "{kind: file, path: ../films/a.mp4}")
    text += "alerts: [{kind: file}, {kind: file, name: b, path: /var/b.jsonl}]\ninspect: {detector: {model: ./owl}}\n"
    config = right(text, folder=tmp_path / "conf")
    source, alerts = config.cameras[0].source, config.alerts
    assert isinstance(source, FileSource)
    assert source.path == tmp_path / "films" / "a.mp4"
    assert config.state_dir == tmp_path / "conf" / "state"
    assert [a.path for a in alerts if isinstance(a, FileAlertConfig)] == [
        tmp_path / "conf" / "state" / "events.jsonl",
        Path("/var/b.jsonl"),
    ]
    assert config.inspect.detector.model == str(tmp_path / "conf" / "owl")
    assert config.transport.ring_dir == Path("/dev/shm")

    overrides = ("state_dir=out", "cameras.top.source.path=b.mp4", "inspect.detector.model=google/owlv2-base")
    config = right(text, *overrides, folder=tmp_path / "conf")
    assert config.state_dir == here / "out"
    assert isinstance(config.cameras[0].source, FileSource)
    assert config.cameras[0].source.path == here / "b.mp4"
    assert config.inspect.detector.model == "google/owlv2-base"


# --- secrets -----------------------------------------------------------------------------------------------------

HIDDEN = "hunter2-Zq9"
WITH_SECRETS = """\
version: 1
cameras:
  - name: top
    source: {kind: rtsp, url: "rtsp://cam/1", username: bob, password: {env: CAMERA_PASSWORD}}
  - name: left
    source: {kind: plugin, plugin: file, options: {key: {env: CAMERA_PASSWORD}, size: 3}}
defects: [{name: hole, prompts: [hole]}]
alerts: [{kind: mqtt, host: a, username: bob, password: hunter2-Zq9}]
web: {host: 0.0.0.0, token: {file: token}}
"""


@pytest.fixture
def with_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("CAMERA_PASSWORD", HIDDEN)
    (tmp_path / "token").write_text(HIDDEN + "\r\n")
    return right(WITH_SECRETS, folder=tmp_path)


def test_secrets_come_from_environment_and_files(with_secrets: Config) -> None:
    source, token = with_secrets.cameras[0].source, with_secrets.web.token
    assert isinstance(source, RtspSource)
    assert source.password is not None
    assert token is not None
    assert source.password.get_secret_value() == token.get_secret_value() == HIDDEN
    assert (source.password.origin, token.origin) == ({"env": "CAMERA_PASSWORD"}, {"file": "token"})


def test_secrets_are_in_the_dump_alone(with_secrets: Config) -> None:
    printed = [repr(with_secrets), str(with_secrets), redacted(with_secrets), with_secrets.model_dump_json()]
    assert [HIDDEN in text for text in printed] == [False] * 4
    assert HIDDEN in dump(with_secrets)
    assert "env: CAMERA_PASSWORD" in redacted(with_secrets)
    assert "password: '***'" in redacted(with_secrets)


def test_the_dump_reads_back_as_it_was(with_secrets: Config) -> None:
    again = parse_dump(dump(with_secrets))
    assert again == with_secrets
    assert repr(again) == repr(with_secrets)
    assert redacted(again) == redacted(with_secrets)


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ("token: {env: NOT_SET_ANYWHERE}", "8:14: web.token: environment variable NOT_SET_ANYWHERE is not set"),
        ("token: {file: absent}", "8:14: web.token: cannot read secret file /nowhere/absent: No such file"),
        ("token: {env: a, file: b}", "8:14: web.token: must be a secret: write {env: NAME} or {file: PATH}"),
        ("token: {evn: a}", "8:14: web.token: must be a secret: write {env: NAME} or {file: PATH}"),
        ("token: ''", "8:14: web.token: is empty"),
        ("token: 5", "8:14: web.token: must be a secret: write {env: NAME} or {file: PATH}"),
    ],
)
def test_a_secret_that_cannot_be_read_is_reported_with_its_place(wrong: str, reported: str) -> None:
    (found,) = problems(LEAST + f"web: {{{wrong}}}\n")
    assert reported in found


@pytest.mark.parametrize(
    "wrong",
    [
        f"alerts: [{{kind: mqtt, host: a, username: b, password: {HIDDEN}, prot: 1}}]",
        f"alerts: [{{kind: mqtt, host: a, username: b, password: [{HIDDEN}]}}]",
        f"alerts: [{{kind: mqtt, host: a, username: b, password: {{{HIDDEN}: 1}}}}]",
        f"alerts: [{{kind: mqtt, host: a, username: b, pasword: {HIDDEN}}}]",
        f"alerts: [{{kind: mqtt, host: 'bob:{HIDDEN}@a'}}]",
        f"alerts: [{{kind: mqtt, host: 'mqtt://bob:{HIDDEN}@a'}}]",
        f"alerts: [{{kind: webhook, url: 'https://bob:{HIDDEN}@a/'}}]",
        f"alerts: [{{kind: webhook, url: 'ftp://bob:{HIDDEN}@a/'}}]",
        f"alerts: [{{kind: webhook, url: 'https://a/', secret: '{HIDDEN}!'}}]",
        f"alerts: [{{kind: mqtt, host: a, username: b, password: *{HIDDEN}}}]",
        f"alerts: [{{kind: mqtt, host: a, username: b, password: !{HIDDEN} x}}]",
        f"alerts: [{{kind: mqtt, host: a, username: b, password: '{HIDDEN}}}]",
        f"alerts: [{{kind: mqtt, host: a, username: b, password: @{HIDDEN}}}]",
        f'alerts: [{{kind: mqtt, host: a, username: b, password: "\\{HIDDEN}"}}]',
        f"web: {{token: '{HIDDEN}', host: 0.0.0.0, port: x}}",
        f"web: {{token:{HIDDEN}}}",
        f"web:\n  token:{HIDDEN}",
        f"web:\n  token:{HIDDEN}\n  port: 80",
        f"web: {{token: 'a${{{HIDDEN}}}'}}",
        f"web: {{token: ${{{HIDDEN}}}}}",
        f"web:\n  token = {HIDDEN}\n  port: 80",
        f"web:\n  token: 'a\n  host: '{HIDDEN}'",
        f"alerts: [{{kind: mqtt, host: 'bob:{HIDDEN}'}}]",
        f"cameras: [{{name: a, source: {{kind: rtsp, url: 'rtsp://bob:{HIDDEN}/@a/'}}}}]",
        f"cameras: [{{name: a, source: {{kind: rtsp, url: 'rtsp://bob:{HIDDEN}#@a/'}}}}]",
        f"cameras: [{{name: a, source: {{kind: rtsp, url: 'rtsp://bob:12/{HIDDEN}@a/'}}}}]",
        f"web: {{token={HIDDEN}}}",
        f"web: {{token {HIDDEN}}}",
        f"web: {{Token={HIDDEN}}}",
        f"web: {{token={HIDDEN}, token={HIDDEN}}}",
        f"web: token={HIDDEN}",
        f"alerts: password={HIDDEN}",
        f"alerts: [password={HIDDEN}]",
        f"cameras: [{{name: a, source: 'password={HIDDEN}'}}]",
        f"web: {{token: {{env={HIDDEN}}}}}",
        f"web: {{token: “{HIDDEN}”}}",
        f'web: {{token: "a"{HIDDEN}"}}',
        f"web: {{token: #{HIDDEN}}}",
        f"web: {{token: a: {HIDDEN}}}",
        f"web: {{token: |{HIDDEN}}}",
        f"web: {{token, {HIDDEN}}}",
        f"web: {{token: ,{HIDDEN}}}",
        f"web: {{!token: '{HIDDEN}'}}",
        f"web: {{&token: {HIDDEN}}}",
        f"cameras: {HIDDEN}\nweb: {{port: x}}",
    ],
)
def test_no_error_shows_a_secret(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        right(LEAST + wrong + "\n")
    shown = str(caught.value) + repr(caught.value)
    if not wrong.startswith(f"cameras: {HIDDEN}"):  # that is no secret's key
        assert HIDDEN not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_error_shows_a_secret_of_an_override() -> None:
    for override in (f"web.token=[{HIDDEN}]", f"web.tokn={HIDDEN}", f"cameras.x.source.password={HIDDEN}"):
        assert HIDDEN not in "".join(problems(LEAST, override))


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ("a: [1, 2", "1:9: is not YAML here: a list that begins with [ has no closing ], or lacks a comma"),
        ("a: {b: 1", "1:9: is not YAML here: a mapping that begins with { has no closing }, or lacks a comma"),
        ("a: ]", "1:4: a ] that closes nothing: remove it"),
        ("a: >h\n x", "1:4: text that begins with | or > needs quotes"),
        ("%YAML 1+\n---\na: 1", "1:8: is not YAML here: expected a digit or '.', but found '+'"),
        ("%YAML 1h\n---\na: 1", "1:8: is not YAML here: expected a digit or '.', but found ..."),
        ("a: &  hx", "1:5: text that begins with & or * needs quotes"),
    ],
)
def test_wrong_syntax_is_reported_in_whole_sentences_without_words_of_the_file(wrong: str, reported: str) -> None:
    assert problems(wrong) == [reported]


def test_what_is_wrong_at_an_anchor_is_reported_once() -> None:
    mqtt = "kind: mqtt, host: h, username: u, password:"
    text = (
        f"alerts:\n  - {{name: a, {mqtt} &p {{env: NOT_SET_ANYWHERE}}}}\n  - {{name: b, {mqtt} *p}}\n"
        f"  - {{name: c, {mqtt} {{env: NOT_SET_ANYWHERE}}}}\n"
    )
    first, other = problems(LEAST + text)
    assert first.startswith("9:")
    assert "alerts[0].password: environment variable NOT_SET_ANYWHERE is not set" in first
    assert other.startswith("11:")


def test_an_anchor_given_twice_is_allowed_and_no_line_is_printed() -> None:
    config = right(LEAST + f"web: {{token: &a {HIDDEN}, host: &a 127.0.0.1}}\nmetrics: {{host: *a}}\n")
    assert config.metrics.host == "127.0.0.1"


def test_a_password_in_an_address_is_refused_with_advice() -> None:
    (found,) = problems(CAMERA + f"source: {{kind: rtsp, url: 'rtsp://bob:{HIDDEN}@cam/1'}}\n")
    assert "5:31: cameras[0].source.url: contains a user name or password: write them under `username` and" in found
    assert HIDDEN not in found


def test_without_fetching_absent_secrets_are_no_problem() -> None:
    text = LEAST + "alerts: [{kind: webhook, url: 'https://a/', secret: {env: NOT_SET_ANYWHERE}}]\n"
    assert len(problems(text)) == 1
    config = load_text(text, Path("/nowhere/line.yaml"), fetch_secrets=False)
    assert "env: NOT_SET_ANYWHERE" in redacted(config)


def test_the_path_of_a_webhook_is_not_printed() -> None:
    config = right(LEAST + f"alerts: [{{kind: webhook, url: 'https://a/hook/{HIDDEN}?key={HIDDEN}'}}]\n")
    assert "url: https://a/***" in redacted(config)
    assert HIDDEN not in redacted(config)
