#!/bin/sh
# Guess:    Modbus TCP has a transaction number so that a client may send the next request before the answer to the
#           last one has come; the server carries out each, and each answer bears the number of its request.
# Seen:     (a) three requests in one TCP segment: the first is carried out and answered, the two others (a write
#           among them) are neither, now or later, and without a word. The same three in segments of their own are all
#           answered. (b) With an action= that waits 0.2 s, two reads sent 50 ms apart are both answered under the
#           second one's number: the client takes the value of register 62 for that of register 11.
# Versions: pymodbus 3.16.1, server.
# Source:   pymodbus/framer/base.py, handleFrame returns with the first PDU; transport/transport.py, datagram_received
#           keeps what is left, and send, which the answer goes through, empties that buffer. server/requesthandler.py,
#           handle_request takes the number from self.last_pdu after the await.
# Do:       one open request per connection, said in the manual of whatever serves by pymodbus; await nothing in
#           action=. A PLC that sends ahead needs another server. Its test sends several requests in one segment.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pymodbus==3.16.1
"$folder/venv/bin/python" - <<'END'
import asyncio
import struct

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

READ, WRITE = 3, 6


def request(number, function, address, value):
    """One frame: header (number, protocol 0, bytes that follow, unit 1), then function, address, count or value."""
    return struct.pack(">HHHBBHH", number, 0, 6, 1, function, address, value)


async def answers(reader):
    """All (number, register) that come until 0.5 s of silence."""
    seen = []
    try:
        while True:
            header = await asyncio.wait_for(reader.readexactly(7), 0.5)
            body = await reader.readexactly(int.from_bytes(header[4:6]) - 1)
            seen.append((int.from_bytes(header[:2]), int.from_bytes(body[-2:])))
    except TimeoutError:
        return seen


async def serve(action, use):
    """Registers 0 to 63, each holding its own address."""
    data = [SimData(0, values=list(range(64)), datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(1, data, action=action), address=("127.0.0.1", 0))
    await server.listen()
    reader, writer = await asyncio.open_connection(*server.transport.sockets[0].getsockname())
    try:
        return await use(reader, writer)
    finally:
        writer.close()
        await server.shutdown()


async def ahead(reader, writer):
    requests = [request(1, READ, 10, 1), request(2, WRITE, 20, 999), request(3, READ, 30, 1)]
    writer.write(b"".join(requests))
    together = await answers(reader)
    writer.write(request(4, READ, 20, 1))
    afterwards = await answers(reader)
    for one in requests:
        writer.write(one)
        await asyncio.sleep(0.02)
    return together, afterwards, await answers(reader)


async def slow(reader, writer):
    writer.write(request(62, READ, 62, 1))
    await asyncio.sleep(0.05)
    writer.write(request(11, READ, 11, 1))
    return await answers(reader)


async def wait(*_):
    await asyncio.sleep(0.2)


async def main():
    together, afterwards, apart = await serve(None, ahead)
    crossed = await serve(wait, slow)
    print("(number, register) of three in one segment", together)
    print("the register that the second was to write ", afterwards)
    print("the three in segments of their own        ", apart)
    print("two, with an action that waits            ", crossed)
    assert together == [(1, 10)]
    assert len(afterwards) == 1 and afterwards[0][1] == 20
    assert apart == [(1, 10), (2, 999), (3, 30)]
    assert sorted(crossed) == [(11, 11), (11, 62)]


asyncio.run(main())
END
