"""The entries of `inputs:`: each example is right, and what contradicts itself is found."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from stream_inspect import registry
from stream_inspect.config.inputs import InputConfig, input_models
from stream_inspect.config.inputs.modbus import ModbusInputConfig, Span

ADAPTER: TypeAdapter[Any] = TypeAdapter(InputConfig)
PHOTO_EYE = {"name": "photo_eye", "address": 7}


def findings(**entry: Any) -> dict[str, str]:
    """What an entry finds wrong in itself, by its key."""
    config = ADAPTER.validate_python(entry)
    return {".".join(map(str, finding.path)): finding.message for finding in config.crosscheck()}


def modbus(**keys: Any) -> dict[str, str]:
    return findings(kind="modbus", host="192.168.0.20", **keys)


def test_each_kind_has_a_class() -> None:
    assert set(input_models()) == set(registry.BUILT_IN["input"])


@pytest.mark.parametrize("kind", input_models())
def test_each_example_is_right(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLC_PASSWORD", "of the PLC")
    (entry,) = YAML(typ="safe", pure=True).load(StringIO(input_models()[kind].example))["inputs"]
    config = ADAPTER.validate_python(entry)
    assert config.kind == kind
    assert list(config.crosscheck()) == []
    assert "of the PLC" not in repr(config)


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "modbus", "host": "192.168.0.20"},
        {"kind": "opcua", "url": "opc.tcp://plc:4840"},
        {"kind": "mqtt", "host": "broker"},
    ],
)
def test_an_input_that_reads_nothing(entry: dict[str, Any]) -> None:
    assert findings(**entry) == {"": "reads nothing: give an encoder, photo_eyes, levels or texts"}


def test_a_name_that_is_there_twice() -> None:
    texts = [{"name": "photo_eye", "address": 0, "registers": 4}]
    assert modbus(photo_eyes=[PHOTO_EYE], texts=texts) == {
        "texts.0.name": "photo_eye is there twice: each value has a name of its own"
    }


class TestModbus:
    def test_what_one_poll_asks_is_one_request_a_table(self) -> None:
        config = ModbusInputConfig(
            kind="modbus",
            host="plc",
            encoder={"address": 100},
            photo_eyes=[PHOTO_EYE, {"name": "outfeed", "table": "holding", "address": 102, "counter_bits": 32}],
            texts=[{"name": "serial", "address": 110, "registers": 8}],
        )
        assert config.spans() == [Span("discrete", 7, 1), Span("holding", 100, 18)]
        assert list(map(str, config.spans())) == ["discrete inputs 7", "holding registers 100 to 117"]

    def test_what_does_not_fit_one_request(self) -> None:
        found = modbus(encoder={"address": 0}, texts=[{"name": "lot", "address": 120, "registers": 6}])
        assert found == {
            "": "holding registers 0 to 125 do not fit one request of 125: read what belongs together within 125, "
            "and the rest as another input"
        }

    def test_what_ends_after_the_last_register(self) -> None:
        assert modbus(encoder={"address": 65535}) == {
            "encoder.address": "2 registers from here end after the last, 65535"
        }
        assert modbus(encoder={"address": 65535, "bits": 16}) == {}

    def test_a_counter_in_a_bit(self) -> None:
        assert modbus(photo_eyes=[{**PHOTO_EYE, "counter_bits": 16}]) == {
            "photo_eyes.0.counter_bits": "has no effect on discrete inputs"
        }


@pytest.mark.parametrize("entry", [{"kind": "opcua", "url": "opc.tcp://plc:4840"}, {"kind": "mqtt", "host": "broker"}])
def test_a_password_without_a_user(entry: dict[str, Any]) -> None:
    assert findings(**entry, password="abcd")["password"] == "needs a username next to it"


def test_an_authority_without_tls() -> None:
    assert findings(kind="mqtt", host="broker", ca_file="ca.pem")["ca_file"] == "has no effect unless tls: true"


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"kind": "modbus", "host": "plc", "encoder": {"address": 70000}}, "less than or equal to 65535"),
        ({"kind": "modbus", "host": "plc", "rate_hz": 1000}, "less than or equal to 500"),
        ({"kind": "modbus", "host": "plc:502"}, "write `port: 502` next to it"),
        ({"kind": "opcua", "url": "opc.tcp://u:p@plc:4840"}, "write `username` and `password` next to it"),
        ({"kind": "opcua", "url": "http://plc:4840"}, "must be a URL: opc.tcp://host:4840"),
        ({"kind": "opcua", "url": "opc.tcp://plc", "encoder": {"node": "Encoder"}}, "should match pattern"),
        ({"kind": "mqtt", "host": "b", "encoder": {"topic": "line/+"}}, "should match pattern"),
        ({"kind": "mqtt", "host": "b", "encoder": {"topic": "line", "pointer": "count"}}, "should match pattern"),
    ],
)
def test_what_is_no_entry(entry: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        ADAPTER.validate_python(entry)
