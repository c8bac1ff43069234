"""Decides who may see the page: host names, the token, and the security headers of every response.

On a loopback address no token is needed, but a foreign web page must not reach us by pointing its own host name at our
address (DNS rebinding): the Host header must name this computer. With a token every request carries it, as a cookie set
by the login form or as `Authorization: Bearer`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_inspect.config.crosscheck import is_loopback

COOKIE = "stream_inspect"
_COOKIE_AGE_S = 30 * 86400
_OPEN_PATHS = frozenset({"/login", "/static/style.css", "/static/icon.svg"})
"""Paths that need no token: the login form, its style and the icon."""
_FORM_MAX_BYTES = 4096
_WRONG_TOKEN_DELAY_S = 1.0
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Token:
    """The secret, and the cookies derived from it: they survive a restart and expire when the token is changed."""

    def __init__(self, secret: str) -> None:
        self._digest = hashlib.sha256(secret.encode()).digest()
        self._cookie_key = hmac.digest(secret.encode(), b"stream_inspect login cookie", "sha256")
        self._wrong = asyncio.Lock()

    def __repr__(self) -> str:
        return "Token(***)"

    def matches(self, given: str) -> bool:
        """Whether this is the token; compares in constant time."""
        return hmac.compare_digest(hashlib.sha256(given.encode("utf-8", "replace")).digest(), self._digest)

    def new_cookie(self) -> str:
        issued = str(int(time.time()))
        return f"{issued}.{self._sign(issued)}"

    def accepts_cookie(self, value: str) -> bool:
        issued, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(issued).encode()):
            return False
        return 0 <= time.time() - int(issued) + 60 <= _COOKIE_AGE_S

    def _sign(self, issued: str) -> str:
        return hmac.new(self._cookie_key, issued.encode("utf-8", "replace"), "sha256").hexdigest()

    async def delay_failed_login(self) -> None:
        """Allow one wrong token per second, for all clients together, so that guessing is hopeless."""
        async with self._wrong:
            await asyncio.sleep(_WRONG_TOKEN_DELAY_S)


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, *, host: str, token: Token | None) -> None:
        self._app = app
        self._own_names = _OWN_NAMES | {host} if is_loopback(host) else None
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = await self._refusal(Headers(scope=scope), scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    async def _refusal(self, headers: Headers, scope: Scope) -> Response | None:
        if self._own_names is not None and _host_name(headers.get("host", "")) not in self._own_names:
            return PlainTextResponse("this page is available on localhost only\n", 421)
        if self._token is None or scope["path"] in _OPEN_PATHS:
            return None
        if self._token.accepts_cookie(_cookie(headers)):
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if self._token.matches(given.strip()):
                return None
            await self._token.delay_failed_login()
        if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            return RedirectResponse("/login", 303)
        return JSONResponse(
            {"detail": "token required: send Authorization: Bearer ..., or log in at /login"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )


async def log_in(request: Request, token: Token) -> Response:
    """Process the login form: the right token is answered with the cookie, a wrong one with the form again."""
    origin = request.headers.get("origin")
    if origin not in (None, "null") and urlsplit(origin or "").netloc != request.headers.get("host"):
        return PlainTextResponse("login form sent from another site\n", 403)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_MAX_BYTES:
            return PlainTextResponse("token too long\n", 413)
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
    if not token.matches(given):
        await token.delay_failed_login()
        return RedirectResponse("/login#wrong", 303)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        token.new_cookie(),
        max_age=_COOKIE_AGE_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def _cookie(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _host_name(host: str) -> str:
    """The name in a Host header, without the port; "" where the header is invalid."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
