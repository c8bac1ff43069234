#!/bin/sh
# Guess:    after AsyncClient.aclose(), the client's connections and its TLS context are freed with the last name of it.
# Seen:     an answer refers to its stream and the stream to the answer: a reference cycle, which holds the connection
#           pool and so the TLS context, with the certificates of all authorities, until Python collects cycles. A
#           program that makes few objects does that after many clients. Answers that were read to their end do it too.
# Versions: httpx 0.28.1.
# Source:   httpx/_client.py, BoundAsyncStream; httpcore/_async/connection_pool.py, PoolByteStream.
# Do:       make one TLS context, and hand it to every client.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check httpx==0.28.1
"$folder/venv/bin/python" - <<'END'
import asyncio
import gc
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Answering)
threading.Thread(target=server.serve_forever, daemon=True).start()


async def exchange(asks):
    async with httpx.AsyncClient(verify=ssl.create_default_context()) as client:
        if asks:
            await client.get(f"http://127.0.0.1:{server.server_port}/")


def left_behind(asks):
    """How many TLS contexts of 10 clients only a collection of cycles frees."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    for _ in range(10):
        asyncio.run(exchange(asks))
    gc.collect()
    gc.set_debug(0)
    count = sum(isinstance(one, ssl.SSLContext) for one in gc.garbage)
    gc.garbage.clear()
    return count


gc.disable()
left_behind(asks=True)
asked, silent = left_behind(asks=True), left_behind(asks=False)
print(f"of 10 clients' TLS contexts wait for a collection: {asked} after an answer, {silent} without one")
sys.exit((asked, silent) != (10, 0))
END
