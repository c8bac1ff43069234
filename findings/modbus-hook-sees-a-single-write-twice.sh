#!/bin/sh
# Guess:    the action= of a pymodbus SimDevice is called once for each request, and set_values is None for reads.
# Seen:     a write of one coil or one register (functions 5, 6) calls it twice under the same function code, the second
#           time with set_values None as for a read; a mask write (22) reads first and then writes; a write of several
#           (15, 16) calls it once. For coils, `address` counts bits and `count` registers, so 3 coils are "count 1".
#           A hook that answers every second call with an error makes the client see an error for a single write that
#           WAS carried out.
# Versions: pymodbus 3.16.1, server.
# Source:   pymodbus/pdu/bit_message.py and register_message.py, datastore_update: functions 5 and 6 write by
#           async_setValues and then read back by async_getValues, each of which calls the hook;
#           simulator/simruntime.py, get_bit_block passes the count of registers.
# Do:       act only where set_values is not None, and count requests by trace_pdu, not in the hook; refuse in the first
#           call; a fault that is injected in the second one is a write that was done and answered as failed, which
#           is a good test of a client's retries.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pymodbus==3.16.1
"$folder/venv/bin/python" - <<'END'
import asyncio

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

calls = []
refuse_second = False


async def action(function, _start, address, count, _registers, values):
    calls.append((function, address, count, None if values is None else list(values)))
    if refuse_second and len(calls) % 2 == 0:
        return ExcCodes.DEVICE_FAILURE
    return None


async def main():
    global refuse_second
    data = [SimData(0, count=64, values=0, datatype=DataType.REGISTERS)]
    device = SimDevice(1, data, use_bit_addressing=True, action=action)
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.listen()
    client = AsyncModbusTcpClient("127.0.0.1", port=server.transport.sockets[0].getsockname()[1])
    await client.connect()
    requests = {
        "one coil": client.write_coil(3, True),
        "one register": client.write_register(1, 7),
        "three coils": client.write_coils(0, [True] * 3),
        "two registers": client.write_registers(10, [1, 2]),
        "mask": client.mask_write_register(address=10, and_mask=0xFF, or_mask=4),
        "a read": client.read_holding_registers(10, count=2),
    }
    seen = {}
    for name, request in requests.items():
        calls.clear()
        assert not (await request).isError()
        seen[name] = list(calls)
        print(f"{name:13}", *calls)
    refuse_second = True
    calls.clear()
    refused = (await client.write_register(20, 99)).isError()
    refuse_second = False
    value = (await client.read_holding_registers(20)).registers[0]
    print("refused in the second call:", refused, "and yet the register is", value)
    client.close()
    await server.shutdown()
    assert seen["one coil"] == [(5, 3, 1, [True]), (5, 3, 1, None)]
    assert seen["one register"] == [(6, 1, 1, [7]), (6, 1, 1, None)]
    assert seen["three coils"] == [(15, 0, 1, [True, True, True])]
    assert seen["two registers"] == [(16, 10, 2, [1, 2])]
    assert [(function, values is None) for function, _, _, values in seen["mask"]] == [(22, True), (22, False)]
    assert seen["a read"] == [(3, 10, 2, None)]
    assert refused and value == 99


asyncio.run(main())
END
