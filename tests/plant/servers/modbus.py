"""A Modbus server of its own process: `python -m tests.plant.servers.modbus PORT`, commands on stdin.

A line is JSON: {"coil" | "discrete" | "input" | "holding": {address: [values]}}; each is answered by a line.
{"turn": [address, count]} keeps both registers of a 32-bit count turning, n in the high and n in the low word.
"""

from __future__ import annotations

import asyncio
import json
import sys

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
REGISTERS = 400


async def main(port: int) -> None:
    def registers() -> list[SimData]:
        return [SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)]

    def bits() -> list[SimData]:
        return [SimData(0, count=64, values=False, datatype=DataType.BITS)]

    device = SimDevice(1, simdata=(bits(), bits(), registers(), registers()))
    server = ModbusTcpServer(device, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print("ready", flush=True)
    while line := await lines.readline():
        for table, values in json.loads(line).items():
            for address, found in values.items():
                await server.async_setValues(1, FUNCTIONS[table], int(address), found)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
