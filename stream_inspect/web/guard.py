"""Decides who may see the page: host names, the token, and the security headers of every response.

On a loopback address no token is needed, but a foreign web page must not reach us by pointing its own host name at our
address (DNS rebinding): the Host header must name this computer. With a token every request carries it, as a cookie set
by the login form or as `Authorization: Bearer`, and a page under another host name has no such cookie. A request
without it is refused at once and its connection closed, so that any number of them leaves room for those that have it.

The page may be published below any path of another server (`location /inspect/` of nginx), which does not report that
path: every address is relative, redirects included, and the cookie has no path, so that a browser takes the folder of
the login form.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_inspect import log
from stream_inspect.config.crosscheck import is_loopback
from stream_inspect.web.guesses import Guesses

COOKIE = "stream_inspect"
LOGGED_IN = "logged-in"
"""The query of the login form after a right token: a browser that comes without the cookie does not keep it."""
_COOKIE_AGE_S = 30 * 86400
_OPEN_PATHS = frozenset({"/login", "/static/style.css", "/static/icon.svg"})
"""Paths that need no token: the login form, its style and the icon."""
_FORM_MAX_BYTES = 4096
_FORM_WITHIN_S = 5.0
"""A login form that takes longer to arrive is given up: anyone may send one."""
ADMITTED_MAX, _OPEN_MAX = 256, 64
"""Requests in progress: those that are admitted, most of them streams, and those of the open paths."""
_TOO_MANY_GUESSES = "too many different wrong tokens from this address; try again in a minute"
_CLOSE = {"Connection": "close"}
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
        self._guesses = Guesses()

    def __repr__(self) -> str:
        return "Token(***)"

    def check(self, given: str, address: str) -> Literal["right", "wrong", "too_many_guesses"]:
        """Compare what a client at this address sent, in constant time.

        An address that guesses too much gets no comparison, not even of the right token; a cookie still opens the page.
        """
        digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        if self._guesses.is_repeated(digest):
            return "wrong"
        if not self._guesses.may_guess(address):
            return "too_many_guesses"
        if hmac.compare_digest(digest, self._digest):
            return "right"
        self._guesses.note_wrong(address, digest)
        return "wrong"

    def new_cookie(self) -> str:
        issued = str(int(time.time()))
        return f"{issued}.{self._sign(issued)}"

    def accepts_cookie(self, value: str) -> bool:
        issued, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(issued).encode()):
            return False
        # The time is signed: one that lies ahead only says that the clock has been set back.
        return time.time() - int(issued) <= _COOKIE_AGE_S

    def _sign(self, issued: str) -> str:
        return hmac.new(self._cookie_key, issued.encode("utf-8", "replace"), "sha256").hexdigest()


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, *, host: str, token: Token | None) -> None:
        self._app = app
        self._own_names = _OWN_NAMES | {host} if token is None and is_loopback(host) else None
        self._token = token
        self._log = log.get_logger(__name__)
        self._has_logged_host = False
        self._in_progress = {True: 0, False: 0}
        """Requests of the open paths, and all others."""

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

        is_open = self._token is not None and scope["path"] in _OPEN_PATHS
        refusal = self._refusal(Headers(scope=scope), scope, is_open=is_open)
        if refusal is None and self._in_progress[is_open] >= (_OPEN_MAX if is_open else ADMITTED_MAX):
            refusal = PlainTextResponse("too many requests in progress\n", 503, {"Retry-After": "5"})
        if refusal is not None:
            refusal.headers.update(_CLOSE)
            await refusal(scope, receive, send_guarded)
            return
        self._in_progress[is_open] += 1
        try:
            await self._app(scope, receive, send_guarded)
        finally:
            self._in_progress[is_open] -= 1

    def _refusal(self, headers: Headers, scope: Scope, *, is_open: bool) -> Response | None:
        if self._own_names is not None and (host := _host_name(headers.get("host", ""))) not in self._own_names:
            return self._foreign_host(host)
        if self._token is None or is_open or has_cookie(headers, self._token):
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            answer = self._token.check(given.strip(), _address(scope))
            if answer == "right":
                return None
            if answer == "too_many_guesses":
                return JSONResponse({"detail": _TOO_MANY_GUESSES}, 429, {"Retry-After": "60"})
        if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            return redirect(scope["path"], "login")
        return JSONResponse(
            {"detail": "token required: send Authorization: Bearer ..., or log in on the page"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )

    def _foreign_host(self, host: str) -> Response:
        names = ", ".join(sorted(self._own_names or ()))
        if not self._has_logged_host:
            self._has_logged_host = True
            self._log.warning("page requested by a foreign host name", host=host, allowed=names)
        return PlainTextResponse(
            f"Without web.token this page answers only to the names of its computer: {names}. "
            "Set web.token, or have the proxy send one of them as the Host header (nginx: its default).\n",
            421,
        )


def redirect(path: str, to: str) -> Response:
    """Redirect from `path` to an address relative to the page's folder, of which no part is known here."""
    return RedirectResponse("../" * (path.count("/") - 1) + to or "./", 303)


async def log_in(request: Request, token: Token) -> Response:
    """Process the login form: the right token is answered with the cookie, anything else with the form and the reason.

    Who sent the form is asked of the browser (`Sec-Fetch-Site`), which knows the address that a proxy has replaced. One
    that does not say it is believed: a foreign page gains nothing by sending a token that it would have to know.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return redirect("/login", "login#foreign")
    body = b""
    try:
        async with asyncio.timeout(_FORM_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _FORM_MAX_BYTES:
                    return PlainTextResponse("token too long\n", 413, _CLOSE)
    except TimeoutError:
        return PlainTextResponse("login form incomplete\n", 408, _CLOSE)
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
    result = token.check(given, _address(request.scope))
    if result != "right":
        return redirect("/login", "login#wrong" if result == "wrong" else "login#too-many")
    answer = redirect("/login", f"login?{LOGGED_IN}")
    answer.set_cookie(
        COOKIE,
        token.new_cookie(),
        max_age=_COOKIE_AGE_S,
        httponly=True,
        path=None,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def log_out() -> Response:
    """Take the cookie away."""
    answer = redirect("/logout", "login")
    answer.set_cookie(COOKIE, max_age=0, expires=0, path=None, httponly=True, samesite="strict")
    return answer


def _address(scope: Scope) -> str:
    """The client's: of a proxy on this computer its client's, of any other proxy the proxy's."""
    client = scope.get("client")
    return client[0] if client else ""


def has_cookie(headers: Headers, token: Token) -> bool:
    """Whether the browser is logged in. It may send a cookie of a page further up the path as well."""
    cookies = (cookie_parser(one).get(COOKIE) for one in headers.get("cookie", "").split(";"))
    return any(token.accepts_cookie(one) for one in cookies if one is not None)


def _host_name(host: str) -> str:
    """The name in a Host header, without the port; "" where the header is invalid."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
