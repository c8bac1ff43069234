"""`lines`: what contradicts itself, or the cameras, is refused with its place."""

from __future__ import annotations

import pytest

from tests.config.test_load import problems, right

BELT = "    belt: {direction: left_to_right, speed_mm_s: 300, mm_per_px: 1}\n"
CAMERA = "version: 1\ndefects: [{name: hole, prompts: [hole]}]\ncameras:\n  - name: top\n    source: {kind: usb}\n"
PLC = "inputs:\n  - {kind: modbus, name: plc, host: plc.example, encoder: {address: 100}, photo_eyes: [%s]}\n"
EYE = "{name: infeed, address: 7}"
ENCODER = "    odometer: {kind: encoder, input: plc, mm_per_count: 0.1}\n"
TRIGGERED = "lines:\n  - name: line1\n    parts: {kind: trigger, input: plc, at_mm: -100, length_mm: 120%s}\n"
OPCUA = "inputs: [{kind: opcua, name: plc, url: 'opc.tcp://plc', encoder: {node: 'ns=2;s=E'}%s}]\n"
MQTT = "inputs: [{kind: mqtt, name: plc, host: plc, encoder: {topic: line/encoder%s}}]\n"
PITCHED = "lines:\n  - name: line1\n    parts: {kind: pitch, pitch_mm: 200, %s}\n"
TWO_LANES = "    lanes: [{from_mm: 0, to_mm: 9}, {from_mm: 9, to_mm: 20}]\n"
LINE = "lines:\n  - name: %s\n    parts: {kind: background, min_area_mm2: 400}\n"


def test_a_line_finds_its_parts_by_the_background_and_wants_three_views() -> None:
    config = right(CAMERA + BELT + LINE % "line1")
    line = config.parts_of("line1")
    assert line is not None
    assert (line.parts.kind, line.odometer.kind, line.views) == ("background", "speed", 3)
    assert config.parts_of("line2") is None


def test_with_one_camera_alone_the_lines_of_the_others_are_left_out() -> None:
    side = "  - {name: side, line: line2, source: {kind: usb}}\n"
    config = right(CAMERA + BELT + side + LINE % "line1")
    assert [line.name for line in config.only_camera("top").lines] == ["line1"]
    assert config.only_camera("side").lines == []


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        (CAMERA + LINE % "line1", "cameras[0].belt: is needed: the parts of line1 are accounted for"),
        (CAMERA + BELT + LINE % "line2", "lines[0].name: no camera watches this line; the cameras watch line1."),
        (
            CAMERA + BELT + LINE % "line1" + "  - {name: line1, parts: {kind: background, min_area_mm2: 1}}\n",
            "lines[1].name: is listed twice",
        ),
        (
            CAMERA + BELT + LINE % "line1" + "    lanes: [{from_mm: 100, to_mm: 200}, {from_mm: 0, to_mm: 150}]\n",
            "lines[0].lanes[0].from_mm: lies within lanes[1], which ends at 150: lanes must not overlap",
        ),
        (
            CAMERA + BELT + LINE % "line1" + "    lanes: [{from_mm: 100, to_mm: 90}]\n",
            "lines[0].lanes[0].to_mm: must be more than from_mm, 100",
        ),
        (CAMERA + BELT + LINE % "line1" + "    views: 0\n", "lines[0].views: "),
        (CAMERA + BELT + "lines: [{name: line1}]\n", "lines[0].parts: is missing"),
    ],
)
def test_each_mistake_of_a_line_is_reported_with_its_place(text: str, reported: str) -> None:
    (problem,) = problems(text)
    assert reported in problem


def test_an_encoder_and_a_photo_eye_are_those_of_an_input() -> None:
    line = right(CAMERA + BELT + PLC % EYE + TRIGGERED % "" + ENCODER).parts_of("line1")
    assert line is not None
    assert (line.parts.kind, line.odometer.kind, line.needs_way) == ("trigger", "encoder", False)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        (TRIGGERED % "", "lines[0].parts.input: no inputs are configured"),
        (
            (PLC % EYE).replace("name: plc", "name: plc1") + TRIGGERED % "",
            "lines[0].parts.input: no input has this name; there are plc1. Did you mean plc1?",
        ),
        (PLC % "" + TRIGGERED % "", "lines[0].parts.input: plc reads no photo-eye: give inputs.plc.photo_eyes"),
        (
            PLC % f"{EYE}, {{name: outfeed, address: 8}}" + TRIGGERED % "",
            "lines[0].parts: photo_eye is needed: plc has infeed, outfeed",
        ),
        (
            PLC % EYE + TRIGGERED % ", photo_eye: infed",
            "lines[0].parts.photo_eye: plc reads no infed; it has infeed. Did you mean infeed?",
        ),
        (PLC % EYE + TRIGGERED % ", serial: lot", "lines[0].parts.serial: plc reads no lot"),
        (PITCHED % "length_mm: 300", "lines[0].parts.length_mm: must be at most pitch_mm, 200"),
        (PITCHED % "eye: {input: plc, at_mm: 0}", "lines[0].parts.eye.input: no inputs are configured"),
        (
            PLC % EYE + PITCHED % "phase_mm: 3, eye: {input: plc, at_mm: 0}",
            "lines[0].parts.phase_mm: has no effect with an eye",
        ),
        (PITCHED % "phase_mm: 3" + TWO_LANES, "lines[0].lanes: a pitch knows no lanes"),
        (
            PLC % EYE + TRIGGERED % "" + TWO_LANES,
            "lines[0].lanes: a photo-eye knows no lanes",
        ),
        (
            (PLC % EYE).replace("encoder: {address: 100}, ", "") + LINE % "line1" + ENCODER,
            "lines[0].odometer.input: plc reads no encoder: give inputs.plc.encoder",
        ),
        (
            (PLC % EYE).replace("plc.example", "plc.example, rate_hz: 2") + LINE % "line1" + ENCODER,
            "lines[0].odometer.input: plc is read at 2 Hz, needed are 5",
        ),
        (
            (PLC % EYE).replace("address: 100", "address: 100, bits: 16")
            + LINE % "line1"
            + ENCODER.replace("0.1", "0.01"),
            "lines[0].odometer.mm_per_count: a counter of 16 bits may turn over within 0.36 s at 900 mm/s",
        ),
        (
            PLC % EYE + LINE % "line1" + "    lot: {input: plc, text: lot}\n",
            "lines[0].lot.text: plc reads no lot",
        ),
        (
            LINE % "line1" + "    lot: {input: plc, text: lot}\n",
            "lines[0].lot.input: no inputs are configured",
        ),
        (
            LINE % "line1" + "    shifts_start: ['14:00', '06:00']\n",
            "lines[0].shifts_start: must be in their order, each once",
        ),
        (LINE % "line1" + "    shifts_start: ['24:00']\n", "lines[0].shifts_start[0]: must be a time of the day"),
        ("alerts: [{kind: file, verdicts: [PASS]}]\n", "alerts[0].verdicts: has no effect: no line's parts"),
        (LINE % "line1" + "    time_zone: Europe/Belrin\n", "'Europe/Belrin' is not a time zone of this computer"),
        (
            OPCUA % ", publishing_interval_s: 0.5" + LINE % "line1" + ENCODER,
            "lines[0].odometer.input: plc is sent every 0.5 s, needed are 0.2",
        ),
        (
            MQTT % "" + LINE % "line1" + ENCODER,
            "give inputs.plc.encoder.every_s if the count is repeated, or alive_topic",
        ),
        (
            (PLC % EYE).replace("name: plc", "name: plc, line: line1")
            + (PLC % EYE).partition("\n")[2]
            + LINE % "line1",
            "inputs[1].name: plc is already the name of inputs[0]: use unique names",
        ),
        (
            (PLC % EYE).replace("name: plc", "name: plc, line: line2") + LINE % "line1",
            "inputs[0].line: no camera watches the line line2; the cameras watch line1. Did you mean line1?",
        ),
    ],
)
def test_each_mistake_between_a_line_and_its_inputs_is_reported_with_its_place(text: str, reported: str) -> None:
    (problem,) = problems(CAMERA + BELT + text)
    assert reported in problem


@pytest.mark.parametrize("inputs", [OPCUA % "", MQTT % ", every_s: 0.2", MQTT % ", alive_topic: line/alive"])
def test_an_encoder_that_is_sent_drives_a_belt_where_it_is_heard_while_that_stands(inputs: str) -> None:
    line = right(CAMERA + BELT + inputs + LINE % "line1" + ENCODER).parts_of("line1")
    assert line is not None
    assert line.odometer.kind == "encoder"


def test_an_input_of_another_line_is_not_this_ones() -> None:
    other = BELT.join((CAMERA, "  - {name: side, line: line2, source: {kind: usb}}\n"))
    (problem,) = problems(other + (PLC % EYE).replace("name: plc", "name: plc, line: line2") + TRIGGERED % "")
    assert "lines[0].parts.input: plc is an input of the line line2: set inputs.plc.line" in problem
