"""What is typed wrong is found where it was typed, with what to write there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_inspect.config.address import HOST_PATTERN, plain_host
from stream_inspect.config.load import load_text
from stream_inspect.config.models import RtspSource
from stream_inspect.config.outputs.webhook import WebhookAlertConfig
from stream_inspect.config.problems import ConfigError
from stream_inspect.config.schema import json_schema
from stream_inspect.config.synonyms import _WORDS
from tests.config.test_load import CAMERA, LEAST, problems

QUOTE = "a quote that opens here is not closed on its line: close it where the text ends"
OPEN = "a quote that opens here is not closed: close it where the text ends"
CLOSED = "the quote that opens here is closed"
SPACE = "holds an invisible character or a special space: write an ordinary space"
COMMENT = "what follows a space and # is a comment: put text that holds it in quotes"
BACKSLASH = "a backslash in double quotes starts an escape: put this text in single quotes"
VARIABLE = "`${...}` and the like are not filled in"
HOST = "must be a host name or address alone, without scheme and port"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("line: 'abc\nweb:\n  port: 8080\n", f"1:7: {QUOTE}"),
        ("line: 'abc\nweb:\n  host: '127.0.0.1'\n  port: 80\nlog: {level: 'info'}\n", f"1:7: {QUOTE}"),
        ('web:\n  host: "127.0.0.1\n  port: 80\nlog: {level: "info"}\nline: "a"\n', f"2:9: {QUOTE}"),
        ('a: {b: "x, c: 1}\nd: {e: "y"}\nf: 1\n', f"1:8: {QUOTE}"),
        ("line: 'it's\nweb: {}\n", f"1:7: {CLOSED} in column 10: text that holds ' belongs in double quotes"),
        ("line: 'it's'\n", f"1:7: {CLOSED} in column 10: text that holds ' belongs in double quotes"),
        ('a: ["a "deep" hole"]\n', f'1:5: {CLOSED} in column 8: text that holds " belongs in single quotes'),
        ('a: {b: "SEK"RET"}\n', f'1:8: {CLOSED} in column 12: text that holds " belongs in single quotes'),
        ('a: ["scratch, "dent"]\n', f"1:5: {OPEN}"),
        ("a: ['scratch, 'dent', 'pit']\n", f"1:5: {OPEN}"),
        ('a: ["b", "scratch, "dent"]\n', f"1:10: {OPEN}"),
        ('a: {b: "x, c: "y"}\n', f"1:8: {OPEN}"),
        ('a: ["scratch" "dent"]\n', "1:15: a comma is missing before this text"),
        ('a: "b" c\n', "1:8: text follows a closing quote: put all of it in the quotes, or remove it"),
        ("web:\n  port:8080\n  host: x\n", "2:8: a space is missing after `port:`"),
        ("version: 1\nline:abc\nweb: {}\n", "2:6: a space is missing after `line:`"),
        ("version:1\nline: abc\n", "1:9: a space is missing after `version:`"),
        ("cameras:\n  - name:top\n    source: {kind: usb}\n", "2:10: a space is missing after `name:`"),
        ("version = 1\nline: a\n", "1:9: write `version: ` and the value: a key ends with one colon and a"),
        ("web:\n  host: a\n  port -> 80\n", "3:9: write `port: ` and the value"),
        ("a: {name: b, prompts:[hole]}\n", "1:22: a space is missing after `prompts:`"),
        ("cameras:\n  -name: top\n    line: a\n", "2:4: a space is missing after `-`"),
        ("cameras:\n  - name: top\n  -name: left\n", "3:4: a space is missing after `-`"),
        ("cameras:\n  - {name: top}\n  -{name: left}\n", "3:4: a space is missing after `-`"),
        ("a:\n  - hole\n  -pit\n", "3:4: a space is missing after `-`"),
        ("a:\n  - 'hole'\n  -'pit'\n", "3:4: a space is missing after `-`"),
        ("cameras:\n  • name: top\n    line: a\n", "2:3: write `- ` here: an item of a list begins with a dash"),
        ("cameras:\n  * name: top\n    line: a\n", "2:3: write `- ` here: an item of a list begins with a dash"),
        ("cameras:\n  \u2013 name: top\n    line: a\n", "2:3: write `- ` here: an item of a list begins with a"),
        (
            "cameras:\n  - name: top\n  source: {kind: usb}\n",
            "3:3: a list begins above (line 2): begin each of its items with `- `, the keys of one in column 5",
        ),
        ("a:\n  b: 1\n\tc: 2\n", "3:1: is indented with a tab: write spaces, two for each level"),
        ("a:\n  - b: 1\n \t  c: 2\n", "3:2: is indented with a tab"),
        ("line:\tpress-3\n", "1:6: is a tab: write a space"),
        ("a:\n  -\tname: top\n", "2:4: is a tab: write a space"),
        ("line\t: a\n", "1:5: is a tab: write a space"),
        ("line: a\t# the line\n", "1:8: is a tab: write a space"),
        ("cameras:\t\n  - name: top\n", "1:9: a tab ends the line: remove it"),
        ("a:\n  b: 1\n \u00a0c: 2\n", f"3:2: {SPACE}"),
        ("cameras:\n  - name:\u00a0top\n    line: a\n", f"2:10: {SPACE}"),
        ("cameras:\n  -\u00a0name: top\n    line: a\n", f"2:4: {SPACE}"),
        ("a: 1\u2028b: 2\n c: 3\n", "1:7: text that holds ': ' needs quotes"),  # which is no line break
        (
            "web:\n  port: 8080\n    host: x\n",
            "3:5: is indented deeper than line 2, which has a value already: begin it in column 3",
        ),
        (
            "cameras:\n  - name: top\n     source: {kind: usb}\n",
            "3:6: is indented deeper than line 2, which has a value already: begin it in column 5",
        ),
        (
            "web:\n    port: 8080\n  host: x\nline: a\n",
            "3:3: begins in column 3, between levels: the keys of its mapping (line 1) begin in column 1",
        ),
        (
            "cameras:\n  - name: top\n   source: {kind: usb}\n",
            "3:4: begins in column 4, between levels: the items of its list (line 2) begin in column 3, and each level",
        ),
        ("a: [1, 2\nb: 3\n", "1:4: is not YAML here: a list that begins with [ has no closing ], or lacks a comma"),
        ("a: {b: 1\nb: 3\n", "1:4: is not YAML here: a mapping that begins with { has no closing }, or lacks"),
        ("a: {b: ${X}, c: 1}\n", f"1:8: {VARIABLE}: write a secret as {{env: NAME}}, anything else itself or with"),
        ("a: {b: SEK}RET}\n", "1:11: text that holds } needs quotes"),
        ("a: {b: c: d}\n", "1:9: text that holds ': ' needs quotes"),
        ("a: b: c\n", "1:5: text that holds ': ' needs quotes"),
        ("a: {b: c d: e}\n", "1:10: a comma is missing before `d:`"),
        ("a: {b: c; d: e}\n", "1:11: write a comma, not a semicolon, before `d:`"),
        ("a: [b}\n", "1:6: what begins with [ ends with ], not with }"),
        ("a: {b: c]\n", "1:9: what begins with { ends with }, not with ]"),
        ("a: [b]]\n", "1:7: a ] that closes nothing: remove it"),
        ("a: {b: c}}\n", "1:10: a } that closes nothing: remove it"),
        ("a: [hole #1, pit]\n", f"1:10: {COMMENT}"),
        ("a: {b: #SEKRET}\nc: 1\n", f"1:8: {COMMENT}"),
        ("a: 1\n// b\n", "2:1: is not YAML here: a comment begins with #"),
        ("a: 1\n; b\n", "2:1: is not YAML here: a comment begins with #"),
        ("a: |b\n", "1:4: text that begins with | or > needs quotes"),
        ("a: >3 mm\n", "1:4: text that begins with | or > needs quotes"),
        ("a: ? b\n", "1:4: text that begins with ? needs quotes"),
        ('a: "C:\\videos\\x.mp4"\n', f"1:4: {BACKSLASH}"),
        ('a: "C:\\Users\\x.mp4"\n', f"1:4: {BACKSLASH}"),
        ('a: "D:\\data"\n', f"1:4: {BACKSLASH}"),
        ("a: ['b'; 'c']\n", "1:8: write a comma, not a semicolon"),
        ("a: 'b', 'c'\n", "1:7: a list on one line is written in one pair of [ ]"),
        ("a: [b] [c]\n", "1:8: a list on one line is written in one pair of [ ]"),
        ("a: - b\n", "1:4: the first item of a list begins on the next line; on this one write [ ]"),
        ("a:\n  b: 1\n  - c: 2\n", "3:3: an item of a list among the keys of a mapping: remove the dash, or indent it"),
        (" a: 1\nb: 2\n", "2:1: is indented less than the first line: begin both in column 1"),
        ('a: "C:\\"\nb: 1\n', f"1:4: {BACKSLASH}"),
        ("a: @b\n", "1:4: is not YAML here: text that begins with a special character needs quotes"),
    ],
)
def test_a_slip_in_the_syntax_is_found_where_it_was_made(text: str, reported: str) -> None:
    (found,) = problems(text)
    assert found.startswith(reported)


RIGHT = """\
version: 1
line: "line-a"
state_dir: 'state'
cameras:
  - name: "top"
    source:
      kind: rtsp
      url: "rtsp://192.0.2.10/stream1"
      username: 'viewer'
      password: {env: "CAMERA_PASSWORD"}
    belt: {direction: "left_to_right", speed_mm_s: 100, mm_per_px: 0.5}
  - name: side
    source: {kind: "usb", device: '/dev/video0'}
defects:
  - name: hole
    prompts: ["a hole", 'a pit']
    threshold: 0.4
  - name: "crack"
    prompts:
      - "a crack"
      - 'a fracture'
web:
  host: "127.0.0.1"
  port: 8081
log: {level: "info"}
"""
QUOTED = re.compile(r"""(["'])[^"']*\1""")
SLIPS: dict[str, Callable[[str], list[str]]] = {
    "a quote that is not closed": lambda line: [
        line[: each.end() - 1] + line[each.end() :] for each in QUOTED.finditer(line)
    ],
    "no space after a colon": lambda line: [
        line[: each.start() + 1] + line[each.end() :] for each in re.finditer(r": (?=\S)", line)
    ],
    "no space after a dash": lambda line: [line.replace("- ", "-", 1)] if "- " in line else [],
    "no colon": lambda line: [line[:-1]] if line.endswith(":") else [],
    "a tab": lambda line: ["\t" + line[2:]] if line.startswith("  ") else [],
    "a space too many": lambda line: [" " + line] if line.startswith("  ") else [],
    "a space too few": lambda line: [line[1:]] if line.startswith("  ") else [],
}


@pytest.mark.parametrize("slip", SLIPS)
def test_each_slip_anywhere_is_reported_on_its_line_or_the_next(slip: str, tmp_path: Path) -> None:
    lines = RIGHT.splitlines()
    load_text(RIGHT, tmp_path / "line.yaml", fetch_secrets=False)
    tried = 0
    for index, line in enumerate(lines):
        for wrong in SLIPS[slip](line):
            tried += 1
            text = "\n".join([*lines[:index], wrong, *lines[index + 1 :]])
            with pytest.raises(ConfigError) as caught:
                load_text(text, tmp_path / "line.yaml", fetch_secrets=False)
            first = caught.value.problems[0].line
            assert first is not None
            near = {index + 1} if slip.startswith(("a quote", "a tab")) else {index, index + 1, index + 2}
            assert first in near, (wrong, str(caught.value))
    assert tried >= 5


def test_a_quoted_text_may_go_over_lines(tmp_path: Path) -> None:
    text = LEAST.replace("[hole]", "['a hole\n      in metal', \"a pit\"]")
    assert load_text(text, tmp_path / "line.yaml").defects[0].prompts == ["a hole in metal", "a pit"]


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ("web: {port:8080}", "8:7: web: a space is missing after `port:`"),
        ("web:\n  port:8080", "9:3: web: a space is missing after `port:`"),
        ("web: {port=8080}", "8:7: web: write `port: ` and the value: a key ends with one colon and a space"),
        ("web: {port := 8080}", "8:7: web: write `port: ` and the value"),
        ("web: {port 8080}", "8:7: web: write `port: ` and the value"),
        ("web: {port:: 8080}", "8:7: web: write `port: ` and the value"),
        ("web: {port\uff1a8080}", "8:7: web: write `port: ` and the value"),
        ("web:\n  port=8080", "9:3: web: write `port: ` and the value"),
        ("alerts: [{kind:mqtt, host: a}]", "8:11: alerts[0]: a space is missing after `kind:`"),
        ("alerts: [{host: a, kind:'mqtt'}]", "8:20: alerts[0]: a space is missing after `kind:`"),
        ("alerts: [{kind=mqtt, host: a}]", "8:11: alerts[0]: write `kind: ` and the value"),
        ("alerts:\n  - kind:mqtt", "9:5: alerts[0]: a space is missing after `kind:`"),
        ("alerts: [{kind: mqtt, host:a}]", "8:23: alerts[0]: a space is missing after `host:`"),
        ("alerts:\n  -{kind: file}", "9:3: alerts: a space is missing after `-`"),
        ("alerts:\n  -kind: file", "9:3: alerts: a space is missing after `-`"),
        (
            "alerts: [{kind: mqtt, host: '127.0.0.1:1883'}]",
            f"8:29: alerts[0].host: {HOST}: write `port: 1883` next to it",
        ),
        ("alerts: [{kind: mqtt, host: 'a.b:1883'}]", f"8:29: alerts[0].host: {HOST}: write `port: 1883` next to it"),
        (
            "alerts: [{kind: syslog, host: '[fe80::1]:514'}]",
            f"{HOST}: write the address without brackets, and `port: 514`",
        ),
        ("alerts: [{kind: mqtt, host: 'mqtt://a'}]", f"8:29: alerts[0].host: {HOST}"),
        ("alerts: [{kind: mqtt, host: ''}]", f"8:29: alerts[0].host: {HOST}"),
        ("web: {host: '127.0.0.1:80'}", f"8:13: web.host: {HOST}: write `port: 80` next to it"),
        ("metrics: {host: '[::1]'}", f"8:17: metrics.host: {HOST}: write the address without brackets"),
        ("alerts: [{kind: webhook, url: 'ftp://a/b'}]", "8:31: alerts[0].url: must be a URL: https://host/path"),
        ("alerts: [{kind: webhook, url: 'https://a b/c'}]", "8:31: alerts[0].url: is not a URL; expected scheme://"),
        (
            "alerts: [{kind: webhook, url: 'https://bob:x@a/b'}]",
            "contains a user name or password: remove them; a `secret` signs each event instead",
        ),
        ("alerts: [{kind: webhook, url: 'https://bob:12/34@mes/b'}]", "contains a user name or password: remove them"),
        ("web: {token: '${TOKEN}'}", f"8:14: web.token: {VARIABLE}: write {{env: NAME}} or {{file: PATH}}"),
        ("web: {token: $TOKEN}", f"8:14: web.token: {VARIABLE}: write {{env: NAME}} or {{file: PATH}}"),
        ("web: {token: '%TOKEN%'}", f"8:14: web.token: {VARIABLE}: write {{env: NAME}} or {{file: PATH}}"),
        ("web: {token: env:TOKEN}", "8:14: web.token: lacks its braces: write {env: NAME} or {file: PATH}"),
        ("web: {token: 'file: a'}", "8:14: web.token: lacks its braces: write {env: NAME} or {file: PATH}"),
        ("web: {token: !secret x}", "8:14: web.token: is not a tag here: write {env: NAME} or {file: PATH}"),
        ("web: {token: !ENV x}", "8:14: web.token: is not a tag here: write {env: NAME} or {file: PATH}"),
        ("web: {port: '${PORT:-80}'}", f"8:13: web.port: {VARIABLE}: write the value itself, or give it with --set"),
        ("line: 'line-{{ n }}'", f"8:7: line: {VARIABLE}: write the value itself, or give it with --set KEY=VALUE"),
        ("alerts: [{kind: mqtt, host: '${HOST}'}]", f"8:29: alerts[0].host: {VARIABLE}: write the value itself"),
        ("line: 'a'b", f"8:7: {CLOSED} in column 9"),
        ("line: !a", "8:7: line: begins with ! (a YAML tag): put the text in quotes"),
        ("line: a,", "8:7: line: ends with a comma: remove it, or put the text in quotes"),
        ("web: {port;80}", "8:7: web: write `port: ` and the value"),
        ('web: {port": 80}', "8:7: web: write `port: ` and the value"),
        ("inspect: {workers: [{device: cpu}], detector: 8 GB}", "must be a mapping of keys to values"),
        ("web: {port: 80;}", '8:13: web.port: must be a whole number from 0 to 65535, not "80;": remove the ;'),
        ("web:\n  port: 80#x", '9:9: web.port: must be a whole number from 0 to 65535, not "80#x": a comment needs a'),
        ("web:\n  enabled: yes#x", 'must be true or false, not "yes#x": a comment needs a space before its #'),
        ("log:\n  level: info#x", 'error, not "info#x": a comment needs a space before its #'),
        ("web: {port: 8 080}", 'not "8 080": write 8080'),
        ("web: {port: 8'080}", 'not "8\'080": write 8080'),
        ("transport: {ring_s: 30s}", 'not "30s": write the number alone, without a unit'),
        ("transport: {ring_s: 30 s}", 'not "30 s": write the number alone, without a unit'),
        ("recorder: {max_size_gb: 50GB}", 'not "50GB": write the number alone, without a unit'),
        ("recorder: {max_size_gb: 50%}", 'not "50%": write the number alone'),
        (
            "transport:\n  ring_s: 12,5",
            '9:11: transport.ring_s: must be a number above 0.5 and at most 120, not "12,5": write 12.5',
        ),
        ("transport: {ring_s: 12,5}", "8:21: transport.ring_s: must be written with a point: 12.5"),
        ("alerts: {kind: mqtt, host: a}", "8:9: alerts: must be a list of at most 64, not a mapping: begin each item"),
        ("alerts: [mqtt]", '8:10: alerts[0]: must be a mapping with the key `kind`, not "mqtt": write {kind: mqtt}'),
        ("threshold: 0.5", "8:1: threshold: unknown key. Did you mean defects[0].threshold?"),
        ("belt: {}", "8:1: belt: unknown key. Did you mean cameras[0].belt?"),
        ("detector: {model: tiny}", "8:1: detector: unknown key. Did you mean inspect.detector?"),
        ("web.port: 80", "8:1: web.port: unknown key. Write `port` below `web:`, by two spaces more."),
        ("web: {log: {}}", "8:7: web.log: unknown key. Did you mean log?"),
        ("record: {}", "8:1: record: unknown key. Did you mean recorder?"),
        ("outputs: []", "8:1: outputs: unknown key. Did you mean alerts?"),
        (
            "alerts: [{kind: http}]",
            'alerts[0].kind: must be mqtt, webhook, file, syslog or plugin, not "http". Did you mean w',
        ),
        ("alerts: [{kind: file, filename: x}]", "alerts[0].filename: unknown key. Did you mean alerts[0].path?"),
    ],
)
def test_each_slip_is_reported_once_with_what_to_write(wrong: str, reported: str) -> None:
    (found,) = problems(LEAST + wrong + "\n")
    assert reported in found


CREDENTIALS = (
    "contains a user name or password: write them under `username` and `password`, the password as {env: NAME}"
)


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        (
            "source: {kind: gige, serial: '1234'}",
            "cameras[0].source.serial: unknown key. Did you mean cameras[0].source.dev",
        ),
        ("source: {kind: gige, ip: 1.2.3.4}", "unknown key. Did you mean cameras[0].source.device?"),
        ("source: {kind:rtsp, url: 'rtsp://a/b'}", "5:14: cameras[0].source: a space is missing after `kind:`"),
        ("source: {kind: rtsp, url:'rtsp://a/b'}", "5:26: cameras[0].source: a space is missing after `url:`"),
        ("source: rtsp://a/b", "must be a mapping with the key `kind`: write {kind: rtsp, url: ...}"),
        ("source: {kind: synthetic}\n    rate_hz: 8", "Did you mean cameras[0].sampling.rate_hz?"),
        ("source: {kind: synthetic, rate_hz: 8}", "Did you mean cameras[0].sampling.rate_hz?"),
        ("source: {kind: webcam}", 'not "webcam". Did you mean usb?'),
        ("roi: []\n    source: {kind: usb}", "5:5: cameras[0].roi: unknown key. Did you mean cameras[0].region_px?"),
        ("source: {kind: rtsp, url: 'rtsp://bob@cam/1'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bob:p@ss@cam/1'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bob:p/ss@cam/1'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bob:p#ss@cam/1'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bob:12/34@cam/1'}", CREDENTIALS),  # 12 is no port of a host bob
        ("source: {kind: rtsp, url: 'rtsp://bob:12#34@cam'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bob:12?34@10.0.0.7:554/1'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bob:12/@34@[fe80::1]/1'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bo/b:pass@cam/1'}", CREDENTIALS),
        ("source: {kind: rtsp, url: 'rtsp://bob:${PASSWORD}@cam/1'}", CREDENTIALS),
        (
            "source: {kind: rtsp, url: 'rtsp://${CAMERA}/1'}",
            f"5:31: cameras[0].source.url: {VARIABLE}: write the value",
        ),
    ],
)
def test_each_slip_in_a_camera_is_reported_once_with_what_to_write(wrong: str, reported: str) -> None:
    (found,) = problems(CAMERA + wrong + "\n")
    assert reported in found


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("RTSP://Cam.local/Stream1", "rtsp://Cam.local/Stream1"),
        ("Rtsps://cam:322/1", "rtsps://cam:322/1"),
        ("rtsp://cam:554/user=a&password=b@1", "rtsp://cam:554/user=a&password=b@1"),
        ("rtsp://[fe80::1]:554/1", "rtsp://[fe80::1]:554/1"),
        ("rtsp://cam:554/live@main", "rtsp://cam:554/live@main"),
        ("rtsp://10.0.0.7:5540/live@main", "rtsp://10.0.0.7:5540/live@main"),
        ("rtsp://cam:5540/live@2", "rtsp://cam:5540/live@2"),
        ("rtsp://cam:5540/live?user=a&password=b@c", "rtsp://cam:5540/live?user=a&password=b@c"),
        ("rtsp://cam/live@main", "rtsp://cam/live@main"),
    ],
)
def test_a_scheme_may_be_written_in_capitals(written: str, taken: str) -> None:
    config = load_text(CAMERA + f"source: {{kind: rtsp, url: '{written}'}}\n", Path("/nowhere/line.yaml"))
    assert isinstance(config.cameras[0].source, RtspSource)
    assert config.cameras[0].source.url == taken
    config = load_text(LEAST + "alerts: [{kind: webhook, url: 'HTTPS://Mes/A?b=C'}]\n", Path("/nowhere/line.yaml"))
    assert isinstance(config.alerts[0], WebhookAlertConfig)
    assert config.alerts[0].url == "https://Mes/A?b=C"


@pytest.mark.parametrize(
    "host", ["broker", "broker.plant.local", "10.0.0.1", "::1", "fe80::1%eth0", "my_host", "bröker"]
)
def test_hosts_and_addresses_alone_are_right(host: str) -> None:
    load_text(LEAST + f"alerts: [{{kind: mqtt, host: '{host}'}}]\n", Path("/nowhere/line.yaml"))
    assert re.search(HOST_PATTERN, host), "editors accept it too"


@pytest.mark.parametrize("host", ["10.0.0.1:80", "broker:1883", "[::1]", "[::1]:80", "mqtt://a", "a b", "bob@a", ""])
def test_editors_mark_what_is_no_host_alone(host: str) -> None:
    assert not re.search(HOST_PATTERN, host)
    with pytest.raises(ValueError, match=r"must be a host name or address alone"):
        plain_host(host)


CONTROL = "holds a control character (in double quotes, \\t is a tab and \\n a line break): write it in single quotes"
TYPOGRAPHIC = "begins with a typographic quote: write \" or '"
NO_SPACE = f"{SPACE}, or none"


@pytest.mark.parametrize(
    ("wrong", "reported"),
    [
        ('state_dir: "C:\\temp\\new"', f"8:12: state_dir: {CONTROL} and on one line"),
        ('state_dir: "a\\0b"', f"8:12: state_dir: {CONTROL}"),
        ("state_dir: >\n  a", f"8:12: state_dir: {CONTROL}"),
        ('web: {token: {file: "C:\\temp"}}', f"8:21: web.token.file: {CONTROL}"),
        ('inspect: {detector: {model: "C:\\new"}}', f"8:29: inspect.detector.model: {CONTROL}"),
        ('alerts: [{kind: mqtt, host: a, ca_file: "C:\\new"}]', f"8:41: alerts[0].ca_file: {CONTROL}"),
        ("state_dir: “state”", f"8:12: state_dir: {TYPOGRAPHIC}"),
        ("log: {level: \u2018info\u2019}", f"8:14: log.level: {TYPOGRAPHIC}"),
        ("web: {host: „127.0.0.1“}", f"8:13: web.host: {TYPOGRAPHIC}"),
        ("web: {port: “80”}", f"8:13: web.port: {TYPOGRAPHIC}"),
        ("web: {token: “SEKRET”}", f"8:14: web.token: {TYPOGRAPHIC}"),
        ("web: {“port”: 80}", f"8:7: web: {TYPOGRAPHIC}"),
        ("web: {port: 80\u00a0}", f"8:13: web.port: {NO_SPACE}"),
        ("web: {host:  \u00a0127.0.0.1}", f"8:14: web.host: {NO_SPACE}"),
        ("web: {port: \u200b80}", f"8:13: web.port: {NO_SPACE}"),
        ("web: {\u00a0port: 80}", f"8:7: web: {NO_SPACE}"),
        ("\ufeffline: a", f"8:1: {NO_SPACE}"),
        ('line: a"', '8:7: line: ends with " and does not begin with it: put it in quotes, or remove it'),
        (
            'alerts: [{kind: mqtt, host: a"}]',
            '8:29: alerts[0].host: ends with " and does not begin with it: put it in quotes, or',
        ),
        ("web:\n  token: #SEKRET", "9:3: web.token: is empty: text that begins with # or & needs quotes"),
        ("web:\n  token: &SEKRET", "9:3: web.token: is empty: text that begins with # or & needs quotes"),
        ("log:\n  level: info\n\f", "10:1: holds a control character: remove it"),
    ],
)
def test_a_character_that_is_there_by_mistake_is_reported_at_its_text(wrong: str, reported: str) -> None:
    (found,) = problems(LEAST + wrong + "\n")
    assert found.startswith(reported)


@pytest.mark.parametrize(
    ("prompts", "reported"),
    [
        (
            "\n      - hole\n       - pit",
            "8:9: defects[0].prompts[0]: is continued by line 9, an item of a list: begin both",
        ),
        (
            "\n      - hole,\n      - pit",
            "8:9: defects[0].prompts[0]: ends with a comma: remove it, or put the text in",
        ),
        ('[scratch", pit]', '7:15: defects[0].prompts[0]: ends with " and does not begin with it'),
        ("[“scratch”, pit]", f"7:15: defects[0].prompts[0]: {TYPOGRAPHIC}"),
        ('["a\\thole"]', f"7:15: defects[0].prompts[0]: {CONTROL}"),
        ("a hole", '7:14: defects[0].prompts: must be a list of 1 to 32, not "a hole": write a list in [ ]'),
    ],
)
def test_a_slip_in_the_prompts_is_no_prompt(prompts: str, reported: str) -> None:
    (found,) = problems(LEAST.replace("[hole]", prompts))
    assert found.startswith(reported)


@pytest.mark.parametrize(
    "prompt",
    ["'“ink” on a label'", "a label “x”", 'a 3" dent', "it's", '"it\'s"', "a\u00a0hole", "|\n      a hole", 'scar, 3"'],
)
def test_characters_that_may_be_meant_are_text(prompt: str) -> None:
    config = load_text(LEAST.replace("[hole]", f"\n    - {prompt}"), Path("/nowhere/line.yaml"))
    assert len(config.defects[0].prompts) == 1


def test_a_password_may_hold_any_character() -> None:
    config = load_text(LEAST + 'web: {token: "a\\tb\u00a0“\\n"}\n', Path("/nowhere/line.yaml"))
    assert config.web.token is not None
    assert config.web.token.get_secret_value() == "a\tb\u00a0“\n"


def test_dollars_and_braces_that_are_no_variables_are_text() -> None:
    text = LEAST.replace("[hole]", "['a $5 hole', '100 % rust {x}']")
    text += "web: {token: 'a$b{c}'}\nalerts: [{kind: mqtt, host: a, topic: 'x/{line}/{camera}'}]\n"
    assert load_text(text, Path("/nowhere/line.yaml")).defects[0].prompts[0] == "a $5 hole"


def test_every_synonym_stands_for_a_key_or_a_kind_and_is_none_itself_there() -> None:
    definitions = json_schema()["$defs"].values()
    keys = {*json_schema()["properties"], *(key for one in definitions for key in one.get("properties", {}))}
    kinds = {
        one["properties"]["kind"]["const"]
        for one in definitions
        if "const" in one.get("properties", {}).get("kind", {})
    }
    assert {word for word in _WORDS if word} <= keys | kinds


def test_the_case_is_refused_at_its_column(case: Callable[[str], Path]) -> None:
    path = case("mqtt_host_with_port.yaml")
    with pytest.raises(ConfigError, match=r"yaml:9:24: alerts\[0\].host: .* write `port: 1883` next to it"):
        load_text(path.read_text(), path)
