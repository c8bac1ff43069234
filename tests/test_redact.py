from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_inspect.redact import redact

PASSWORDS = st.text(string.ascii_letters + string.digits + "@:/?#%&=+ !", min_size=6, max_size=20)


@given(PASSWORDS)
def test_a_secret_is_gone_in_every_spelling(password: str) -> None:
    for spelling in (password, quote(password), quote(password, safe="")):
        text = f"Server returned 401 Unauthorized: 'rtsp://user:{spelling}@10.0.0.7:554/stream'"
        assert spelling not in redact(text, [password])


def test_a_very_short_secret_is_hidden_in_urls_only() -> None:
    assert redact("cannot read rtsp://u:a@cam/a", ["a"]) == "cannot read rtsp://***@cam/a"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://admin:hunter2@cam/ch1", "rtsp://***@cam/ch1"),
        ("rtsp://admin:p@ss@cam/ch1", "rtsp://***@cam/ch1"),
        (
            "cannot open 'rtsp://u:pw@cam:554/a' or 'rtsps://v:qw@cam/b'",
            "cannot open 'rtsp://***@cam:554/a' or 'rtsps://***@cam/b'",
        ),
        ("http://cam/video?user=a&password=hunter2&x=1", "http://cam/video?user=a&password=***&x=1"),
        ("rtsp://cam/ch1: Connection refused", "rtsp://cam/ch1: Connection refused"),
        ("mail to someone@example.com", "mail to someone@example.com"),
    ],
)
def test_credentials_of_urls(text: str, clean: str) -> None:
    assert redact(text) == clean
