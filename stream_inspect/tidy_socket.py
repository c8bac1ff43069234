"""A TLS socket for paho, the client of MQTT brokers."""

from __future__ import annotations

import ssl


class TidySocket(ssl.SSLSocket):
    """A TLS socket that is closed when its handshake fails; paho forgets to."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise
