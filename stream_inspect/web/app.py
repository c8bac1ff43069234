"""The web app, assembled from its parts: the page, live pictures, events, clips and pictures."""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.staticfiles import NotModifiedResponse
from starlette.types import ASGIApp

from stream_inspect.config.models import Config
from stream_inspect.store.files import clip_list_name, clip_name, picture_name
from stream_inspect.web.feed import CARDS_MAX, EventFeed
from stream_inspect.web.guard import LOGGED_IN, Guard, Token, has_cookie, log_in, log_out, redirect
from stream_inspect.web.hub import LiveHub, Numbered
from stream_inspect.web.line import Line
from stream_inspect.web.media import DiskHangsError, MediaFiles
from stream_inspect.web.parts import Parts
from stream_inspect.web.status import Health

STATIC = Path(str(files("stream_inspect.web"))) / "static"
_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_BEAT_S = 2.0
"""Longest silence of a stream; after three missed beats the page treats the connection as lost."""
_BOUNDARY = "stream-inspect-picture"
_UNBUFFERED = {"X-Accel-Buffering": "no"}
"""For proxies: nginx would hold a stream back until its buffer is full."""


@dataclass(frozen=True, slots=True)
class _PageContext:
    """What the routes show."""

    config: Config
    hub: LiveHub
    feed: EventFeed
    standing: Line
    parts: Parts
    health: Health
    media: MediaFiles
    token: Token | None
    stopping: Callable[[], bool]

    def status(self) -> dict[str, Any]:
        """The current state of the line: "state", "silent_s" and "conditions" are those of `Line.known`,
        "parts" is that of `Parts.known`."""
        return {
            "line": self.config.line,
            "cameras": self.hub.cameras,
            "utc_ms": time.time_ns() // 1_000_000,
            **self.standing.known(),
            "parts": self.parts.known(),
            "event_log": self.feed.error,
            "health": self.health.known,
            "has_login": self.token is not None,
        }


def make_app(
    config: Config,
    *,
    hub: LiveHub,
    feed: EventFeed,
    standing: Line,
    parts: Parts,
    health: Health,
    state_dir: Path,
    token: Token | None,
    stopping: Callable[[], bool],
) -> ASGIApp:
    """The whole app behind its guard. `stopping` ends the streams, which otherwise last as long as their browsers."""
    context = _PageContext(config, hub, feed, standing, parts, health, MediaFiles(state_dir), token, stopping)
    app = FastAPI(title="stream_inspect", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for routes in (_page_and_login, _status_and_events, _live_pictures, _files_of_events):
        app.include_router(routes(context))
    app.mount("/static", _Static(directory=STATIC))
    return Guard(app, host=config.web.host, token=token)


def _page_and_login(context: _PageContext) -> APIRouter:
    routes = APIRouter()

    @routes.get("/")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @routes.get("/login")
    async def login_form(request: Request) -> Response:
        if context.token is None or has_cookie(request.headers, context.token):
            return redirect("/login", "")
        if request.url.query == LOGGED_IN:
            return redirect("/login", "login#no-cookie")
        return FileResponse(STATIC / "login.html", headers={"Cache-Control": "no-store"})

    @routes.post("/login")
    async def login(request: Request) -> Response:
        return await log_in(request, context.token) if context.token is not None else redirect("/login", "")

    @routes.post("/logout")
    async def logout() -> Response:
        return log_out()

    return routes


def _status_and_events(context: _PageContext) -> APIRouter:
    routes, feed = APIRouter(), context.feed

    @routes.get("/healthz")
    async def healthz() -> JSONResponse:
        known = context.standing.known()
        state = "degraded" if feed.error and known["state"] == "ok" else known["state"]
        conditions = known["conditions"]
        return JSONResponse(
            {"status": state, "conditions": conditions, "event_log": feed.error or "ok"}, 200 if state == "ok" else 503
        )

    @routes.get("/api/status")
    async def status() -> dict[str, Any]:
        return context.status()

    @routes.get("/api/events")
    async def events(limit: int = 100) -> dict[str, Any]:
        return {"events": feed.newest(min(max(limit, 1), CARDS_MAX))}

    @routes.get("/api/events/stream")
    async def event_stream() -> StreamingResponse:
        async def messages() -> AsyncIterator[bytes]:
            change = feed.changes
            yield _sse("snapshot", {"status": context.status(), "events": feed.newest(CARDS_MAX)}, retry_ms=1000)
            while not context.stopping():
                await feed.wait(_BEAT_S)
                changed = feed.changed_since(change)
                change = feed.changes
                yield _sse("change", {"status": context.status(), "events": changed})

        return StreamingResponse(messages(), media_type="text/event-stream", headers=_UNBUFFERED)

    return routes


def _live_pictures(context: _PageContext) -> APIRouter:
    routes, hub = APIRouter(), context.hub

    @routes.get("/api/live")
    async def live() -> StreamingResponse:
        """All cameras in one stream: browsers limit the connections to one host. Each part: length, JSON, JPEG."""

        async def parts() -> AsyncIterator[bytes]:
            seen: dict[str, int] = {}
            yield _part(None)  # the page waits for both streams before it shows anything as the present
            while not context.stopping():
                pictures = hub.newer(seen)
                if not pictures:
                    await hub.wait(_BEAT_S)
                    pictures = hub.newer(seen)
                    if not pictures:
                        yield _part(None)
                for one in pictures:
                    yield _part(one)

        return StreamingResponse(parts(), media_type="application/octet-stream", headers=_UNBUFFERED)

    @routes.get("/live/{camera}.mjpeg")
    async def mjpeg(camera: str) -> StreamingResponse:
        """One camera as plain MJPEG, for other pages and programs."""
        if camera not in hub.cameras:
            raise HTTPException(404, f"no camera named {camera!r}; available: {', '.join(hub.cameras)}")

        async def pictures() -> AsyncIterator[bytes]:
            seen: dict[str, int] = {}
            while not context.stopping():
                for one in hub.newer(seen):
                    if one.picture.camera == camera:
                        yield _mjpeg_part(one.picture.jpeg)
                await hub.wait(_BEAT_S)

        media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return StreamingResponse(pictures(), media_type=media_type, headers=_UNBUFFERED)

    return routes


def _files_of_events(context: _PageContext) -> APIRouter:
    routes = APIRouter()

    async def media(request: Request, name: Callable[[str], str], event_id: str, media_type: str) -> Response:
        try:
            status = await context.media.status(name(event_id)) if _EVENT_ID.fullmatch(event_id) else None
        except DiskHangsError as error:
            raise HTTPException(503, str(error)) from error
        if status is None:
            raise HTTPException(404, "no such file (it may have been removed by retention)")
        # Asked again each time (304 if unchanged): an id is unique within one state folder, and another may follow it.
        answer = FileResponse(
            context.media.path(name(event_id)),
            stat_result=status,
            media_type=media_type,
            content_disposition_type="inline",
            headers={"Cache-Control": "private, no-cache"},
        )
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        return NotModifiedResponse(answer.headers) if answer.headers["etag"] in known else answer

    @routes.get("/clips/{event_id}.mp4")
    async def clip(request: Request, event_id: str) -> Response:
        return await media(request, clip_name, event_id, "video/mp4")

    @routes.get("/clips/{event_id}.json")
    async def clip_frames(request: Request, event_id: str) -> Response:
        return await media(request, clip_list_name, event_id, "application/json")

    @routes.get("/pictures/{event_id}.jpg")
    async def picture(request: Request, event_id: str) -> Response:
        return await media(request, picture_name, event_id, "image/jpeg")

    return routes


class _Static(StaticFiles):
    """Files of the page: the browser revalidates them each time (304 if unchanged), so that an update shows at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def _sse(name: str, data: dict[str, Any], retry_ms: int | None = None) -> bytes:
    retry = f"retry: {retry_ms}\n" if retry_ms is not None else ""
    return f"{retry}event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _part(one: Numbered | None) -> bytes:
    """4 bytes: length of the JSON; the JSON, with the length of the JPEG; the JPEG. None: a heartbeat."""
    picture = one.picture if one else None
    head = json.dumps(
        {
            "camera": picture.camera if picture else None,
            "utc_ms": picture.capture_utc_ns // 1_000_000 if picture else None,
            "fresh_ms": round(picture.fresh_for_s * 1000) if picture else None,
            "bytes": len(picture.jpeg) if picture else 0,
        }
    ).encode()
    return struct.pack(">I", len(head)) + head + (picture.jpeg if picture else b"")


def _mjpeg_part(jpeg: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"
