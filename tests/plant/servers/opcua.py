"""An OPC UA server of its own process: `python -m tests.plant.servers.opcua PORT [PASSWORD]`, commands on stdin.

A line is JSON: {"set": {name: value}} writes variables of ns=2, {"status": [name, value, code]} one with a status,
{"count": n} counts the encoder from 1 to n, 500 times a second, {"add": {name: value}} makes a variable. Each is
answered by a line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import Node, Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

logging.disable(logging.CRITICAL)
CLOCK_IS_WRONG_BY = timedelta(hours=-7)


class OneUser(UserManager):
    def __init__(self, password: str) -> None:
        self._password = password

    def get_user(
        self, _iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        is_right = (username, password) == ("inspector", self._password)
        return User(role=UserRole.User) if is_right else None


def stamped(value: Any, status: int = ua.StatusCodes.Good) -> ua.DataValue:
    kinds = {bool: ua.VariantType.Boolean, int: ua.VariantType.UInt32, float: ua.VariantType.Double}
    variant = ua.Variant(value, kinds.get(type(value), ua.VariantType.String))
    now = datetime.now(UTC) + CLOCK_IS_WRONG_BY
    return ua.DataValue(variant, StatusCode=ua.StatusCode(ua.UInt32(status)), SourceTimestamp=now)


async def main(port: int, password: str) -> None:
    server = Server(user_manager=OneUser(password) if password else None)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    assert await server.register_namespace("urn:plant") == 2
    nodes: dict[str, Node] = {}

    async def add(name: str, value: Any) -> None:
        nodes[name] = await server.nodes.objects.add_variable(ua.NodeId(name, 2), name, stamped(value).Value)

    for name, value in (("encoder", 0), ("photo_eye", False), ("serial", ""), ("ratio", 1.5), ("words", "maybe")):
        await add(name, value)
    async with server:
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        print("ready", flush=True)
        while line := await lines.readline():
            command = json.loads(line)
            for name, value in command.get("add", {}).items():
                await add(name, value)
            for name, value in command.get("set", {}).items():
                await server.write_attribute_value(nodes[name].nodeid, stamped(value))
            if status := command.get("status"):
                name, value, code = status
                code = getattr(ua.StatusCodes, code) if isinstance(code, str) else code
                await server.write_attribute_value(nodes[name].nodeid, stamped(value, code))
            for count in range(1, command.get("count", 0) + 1):
                await server.write_attribute_value(nodes["encoder"].nodeid, stamped(count))
                await asyncio.sleep(0.002)
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *(sys.argv[2:] or [""])))
