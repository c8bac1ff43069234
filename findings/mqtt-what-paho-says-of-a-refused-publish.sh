#!/bin/sh
# Guess:    with MQTT 5 the broker's answer to a publish carries a reason code, so on_publish tells a message that was
#           refused, at QoS 1 and at QoS 2; and a message over the broker's message_size_limit fails once, at most.
# Seen:     QoS 1, not allowed by the ACL: "Not authorized", as guessed.
#           QoS 2, not allowed: on_publish says Success, though the broker's PUBREC said 135. It went nowhere.
#           QoS 1 or 2, too large: no on_publish at all. The client ends the connection with "Protocol error", comes
#           back after a second, sends the message again, and so on; each time the broker publishes the WILL, and the
#           message that was queued behind reaches its subscribers once more and is never confirmed.
#           MQTT 3.1.1 and QoS 0 have no room for a reason: Success in each case.
# Versions: paho-mqtt 2.2.0, mosquitto 2.0.11 (Debian 12).
# Source:   paho/mqtt/client.py, _handle_pubrec drops the reason code. mosquitto answers 149 (packet too large), which
#           MQTT 5 allows in CONNACK and DISCONNECT only; paho/mqtt/reasoncodes.py keeps to that list and refuses the
#           PUBACK.
# Do:       QoS 1 with MQTT 5, never QoS 2, for anything that must be known to be refused. Know the broker's limit and
#           compare before publish(); a picture in an alert is what exceeds it. Count reconnects without a network
#           fault: a will every second means a message that must leave the queue, not a dead line.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download -q mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 libnsl2 libtirpc3 >/dev/null)
for package in "$folder"/*.deb; do dpkg -x "$package" "$folder"; done
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check paho-mqtt==2.2.0
LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu):$(echo "$folder"/lib/*-linux-gnu)
export LD_LIBRARY_PATH
"$folder/venv/bin/python" - "$folder" <<'END'
import getpass
import socket
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt

folder = Path(sys.argv[1])
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
(folder / "acl").write_text("topic read #\ntopic write line/#\n")
(folder / "conf").write_text(
    f"listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {folder}/acl\n"
    f"message_size_limit 1000\nuser {getpass.getuser()}\n"
)
broker = subprocess.Popen([folder / "usr/sbin/mosquitto", "-c", folder / "conf"], stderr=subprocess.DEVNULL)


def connected(client):
    for _ in range(50):
        try:
            client.connect("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    client.loop_start()
    while not client.is_connected():
        time.sleep(0.02)
    return client


arrived = []
watch = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
watch.on_message = lambda _client, _data, message: arrived.append(message.topic)
connected(watch).subscribe("#", qos=1)


def publish(protocol, qos, topic, size):
    """The reason that on_publish gave for the message and for the one behind it, and what subscribers saw of each."""
    arrived.clear()
    answers = {}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=protocol)
    client.will_set("line/will", "gone", qos=1)
    client.on_publish = lambda _client, _data, mid, reason, _properties: answers.update({mid: str(reason)})
    lost = []
    client.on_disconnect = lambda _client, _data, _flags, reason, _properties: lost.append(str(reason))
    connected(client)
    first = client.publish(topic, b"x" * size, qos=qos).mid
    behind = client.publish("line/behind", b"x", qos=1).mid
    time.sleep(3.5)
    wills, of_behind, of_first = (arrived.count(name) for name in ("line/will", "line/behind", topic))
    said, often, drops = (answers.get(first), answers.get(behind)), (of_first, of_behind, wills), set(lost)
    client.disconnect()
    client.loop_stop()
    return said, often, drops


try:
    seen = {}
    for protocol, name in ((mqtt.MQTTv311, "3.1.1"), (mqtt.MQTTv5, "5")):
        for qos in (0, 1, 2):
            for why, topic, size in (("not allowed", "other/alert", 1), ("too large", "line/alert", 2000)):
                seen[name, qos, why] = said, often, drops = publish(protocol, qos, topic, size)
                print(f"MQTT {name:5} QoS {qos} {why:11}: on_publish {said[0]}; behind it {said[1]};", end=" ")
                print("seen %d, behind it %d, wills %d times;" % often, "disconnected by", drops or "nothing")
finally:
    watch.disconnect()
    broker.terminate()
    broker.wait()

for case, (said, (of_first, of_behind, wills), drops) in seen.items():
    assert of_first == 0, case
    if case in {("5", 1, "too large"), ("5", 2, "too large")}:
        assert said == (None, None) and wills > 1 and of_behind > 1 and drops == {"Protocol error"}, case
    else:
        refused = "Not authorized" if case == ("5", 1, "not allowed") else "Success"
        assert said == (refused, "Success") and wills == 0 and of_behind == 1 and not drops, case
END
