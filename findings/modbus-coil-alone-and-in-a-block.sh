#!/bin/sh
# Guess:    a Modbus server that answers "coil 17 is on" when coil 17 is read alone says so too when coils 0 to 31 are
#           read in one request; and pymodbus' own example (SimData(200, True, BITS): read_coils(200) is True) holds.
# Seen:     a SimDevice with one shared list of registers looks coil n up in register n, at bit n % 16. Written alone,
#           coil 17 is on when read alone and off in the block; after a block write of 32 coils that the server
#           accepts, only 2 of the 32 read alone are on. In a block, coil 1 shows up as coil 17. No request is refused.
#           The example must be given 16 values, of which the first is True, and then reads False.
# Versions: pymodbus 3.16.1.
# Source:   pymodbus/simulator/simruntime.py, get_bit_block: the register is the address itself, unless
#           use_bit_addressing, and the bit is the address modulo 16 in both cases. Example: simdevice.py,
#           use_bit_addressing.
# Do:       give use_bit_addressing=True, or four separate lists, where all of these agree; and let the test of a
#           client write coils one by one and read them back in a block, not only the way they were written.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pymodbus==3.16.1
"$folder/venv/bin/python" - <<'END'
import asyncio

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def serve(device, use):
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.listen()
    client = AsyncModbusTcpClient("127.0.0.1", port=server.transport.sockets[0].getsockname()[1])
    await client.connect()
    try:
        return await use(client)
    finally:
        client.close()
        await server.shutdown()


async def three_ways(client):
    seen = {}
    for coil in (1, 15, 17):
        assert not (await client.write_coil(coil, True)).isError()
        alone = (await client.read_coils(coil, count=1)).bits[0]
        block = (await client.read_coils(0, count=32)).bits[:32]
        seen[coil] = (alone, [n for n, on in enumerate(block) if on])
        await client.write_coil(coil, False)
    assert not (await client.write_coils(0, [True] * 32)).isError()
    alone = [(await client.read_coils(coil, count=1)).bits[0] for coil in range(32)]
    seen["32 written, on when read alone"] = sum(alone)
    return seen


async def the_example(client):
    return (await client.read_coils(200)).bits[0]


def registers(**options):
    return SimDevice(1, [SimData(0, count=64, values=0, datatype=DataType.REGISTERS)], **options)


async def main():
    shared = await serve(registers(), three_ways)
    by_bit = await serve(registers(use_bit_addressing=True), three_ways)
    bits = SimData(200, values=[True] + [False] * 15, datatype=DataType.BITS)
    example = await serve(SimDevice(1, [bits]), the_example)
    print("one shared list      ", shared)
    print("... by bit           ", by_bit)
    print("the example's coil   ", example)
    assert shared == {1: (True, [17]), 15: (True, []), 17: (True, []), "32 written, on when read alone": 2}
    assert by_bit == {n: (True, [n]) for n in (1, 15, 17)} | {"32 written, on when read alone": 32}
    assert example is False


asyncio.run(main())
END
