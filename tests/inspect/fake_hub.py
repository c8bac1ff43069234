"""A model hub on this computer: the four requests that huggingface_hub makes for a snapshot, over real HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Serves folders as model repositories. `cut_short` names a file whose transfer breaks off half-way."""

    daemon_threads = True

    def __init__(self, models: dict[str, Path]) -> None:
        self.models = models
        self.cut_short: str | None = None
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        for name, folder in self.server.models.items():
            if path.startswith(f"/api/models/{name}/"):
                return self._json(self._description(name, folder, path))
            prefix = f"/{name}/resolve/"
            if path.startswith(prefix):
                _, _, file_name = path.removeprefix(prefix).partition("/")
                if (folder / file_name).is_file():
                    return self._file(folder / file_name, with_body)
        self.send_response(404)
        if "/api/models/" in path:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    @staticmethod
    def _description(name: str, folder: Path, path: str) -> object:
        files = sorted(folder.iterdir())
        if "/tree/" in path:
            return [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _sha256(f)} for f in files]
        return {"id": name, "modelId": name, "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]}

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, path: Path, with_body: bool) -> None:
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{_sha256(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body:
            return
        if path.name == self.server.cut_short:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet: the test reads `requests`."""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def serving(models: dict[str, Path]) -> Iterator[FakeHub]:
    hub = FakeHub(models)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
