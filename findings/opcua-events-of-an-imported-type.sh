#!/bin/sh
# Guess:    an event type from a companion specification's node set says Count is an Int32, so the server's event
#           generator sends what is put into event.Count; an event of an object below Objects is seen by a client that
#           subscribes at the Server object, as OPC UA asks; LocalTime says whether daylight saving is on.
# Seen:     (a) every field arrives as null, with the right name and without an error, unless the node set gives the
#           property a value, which those of the OPC Foundation do not for events. Set by hand, the data type is right.
#           (b) a subscription at Server sees nothing of it, one at the object sees all.
#           (c) with TZ=UTC0 the event says that daylight saving is in its offset of 0 minutes.
# Versions: asyncua 2.1.0, server and client.
# Source:   asyncua/common/events.py: _add_new_property takes the Variant type of the property's value (none: Null), not
#           its DataType attribute. asyncua/server/event_generator.py: an event is emitted by its own node alone, and
#           trigger() compares tm_isdst with -1.
# Do:       before the first trigger, set event.data_types[field] for each field from read_data_type_as_variant_type;
#           trigger at Server as well; check with a client that reads values, since the names are there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check asyncua==2.1.0
TZ=UTC0 "$folder/venv/bin/python" - <<'END'
import asyncio
import logging

from asyncua import Client, Server, ua

logging.disable(logging.CRITICAL)
FIELDS = {"Count": "7", "Good": "true", "PartId": "A1"}
TYPES = {"Count": ("Int32", 6), "Good": ("Boolean", 1), "PartId": ("String", 12)}
VALUE = '<Value><u:{0} xmlns:u="http://opcfoundation.org/UA/2008/02/Types.xsd">{1}</u:{0}></Value>'
EVENT_TYPE = """<UAObjectType NodeId="ns=1;i={0}" BrowseName="1:Result{0}EventType"><DisplayName>Result</DisplayName>
<References><Reference ReferenceType="i=45" IsForward="false">i=2041</Reference></References></UAObjectType>"""
PROPERTY = """<UAVariable NodeId="ns=1;i={0}" BrowseName="1:{1}" DataType="i={2}"><DisplayName>{1}</DisplayName>
<References><Reference ReferenceType="i=46" IsForward="false">ns=1;i={3}</Reference>
<Reference ReferenceType="i=40">i=68</Reference><Reference ReferenceType="i=37">i=78</Reference></References>
{4}</UAVariable>"""


def node_set():
    """Two event types with the same three mandatory properties: 1000 without values, 2000 with."""
    nodes = []
    for event_type in (1000, 2000):
        nodes.append(EVENT_TYPE.format(event_type))
        for number, (name, (data_type, identifier)) in enumerate(TYPES.items(), event_type + 1):
            value = VALUE.format(data_type, FIELDS[name]) if event_type == 2000 else ""
            nodes.append(PROPERTY.format(number, name, identifier, event_type, value))
    return (
        '<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"><NamespaceUris><Uri>urn:line</Uri>'
        f"</NamespaceUris>{''.join(nodes)}</UANodeSet>"
    )


class Heard:
    def __init__(self):
        self.events = []

    def event_notification(self, event):
        self.events.append(event)


async def trigger(server, client, event_type, camera, *, by_hand=False):
    """What arrives of (7, True, "A1") at Server and at the camera, and the LocalTime."""
    generator = await server.get_event_generator(event_type, camera)
    generator.event.Count, generator.event.Good, generator.event.PartId = 7, True, "A1"
    if by_hand:
        for node in await event_type.get_properties():
            name = (await node.read_browse_name()).Name
            generator.event.data_types[name] = await node.read_data_type_as_variant_type()
    at_server, at_camera = Heard(), Heard()
    for node, heard in ((client.nodes.server, at_server), (client.get_node(camera.nodeid), at_camera)):
        subscription = await client.create_subscription(50, heard)
        await subscription.subscribe_events(node, event_type.nodeid)
    await generator.trigger(message="judged")
    await asyncio.sleep(0.5)
    (event,) = at_camera.events
    return len(at_server.events), tuple(getattr(event, name) for name in FIELDS), event.LocalTime


async def main():
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/line")
    await server.import_xml(xmlstring=node_set())
    namespace = await server.get_namespace_index("urn:line")
    camera = await server.nodes.objects.add_object(namespace, "Camera")
    without, given = (server.get_node(ua.NodeId(number, namespace)) for number in (1000, 2000))
    async with server:
        port = server.bserver._server.sockets[0].getsockname()[1]
        async with Client(f"opc.tcp://127.0.0.1:{port}/line") as client:
            as_imported = await trigger(server, client, without, camera)
            with_values = await trigger(server, client, given, camera)
            set_by_hand = await trigger(server, client, without, camera, by_hand=True)
    local = as_imported[2]
    print("as in a specification's node set:", as_imported[1])
    print("the properties have values      :", with_values[1])
    print("data types set by hand          :", set_by_hand[1])
    print("events seen at Server           :", as_imported[0], with_values[0], set_by_hand[0])
    print("LocalTime in UTC                :", local)
    assert as_imported[1] == (None, None, None)
    assert with_values[1] == set_by_hand[1] == (7, True, "A1")
    assert (as_imported[0], with_values[0], set_by_hand[0]) == (0, 0, 0)
    assert (local.Offset, local.DaylightSavingInOffset) == (0, True)


asyncio.run(main())
END
