"""paho-mqtt with its own thread, MQTT 3.1.1, and a session that the broker keeps.

It reconnects by itself, also where the first attempt fails. Arguments and lines are those of
bench/peers/src/lib.rs.
"""

import sys
import threading
import time
from importlib.metadata import version

import paho.mqtt.client as mqtt

TOPIC = "n"
KEEP_ALIVE_S = 10

start = time.monotonic()
printing = threading.Lock()


def say(what):
    with printing:
        print(f"{time.monotonic() - start:.6f} {what}", flush=True)


class Numbers:
    """Which number a message id stands for.

    Ids come back before publish() has returned, or after it.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.known = {}
        self.early = set()

    def accepted(self, mid, number):
        with self.lock:
            say(f"accepted {number}")
            if mid in self.early:
                self.early.remove(mid)
                say(f"acked {number}")
            else:
                self.known[mid] = number

    def acked(self, mid):
        with self.lock:
            if mid in self.known:
                say(f"acked {self.known.pop(mid)}")
            else:
                self.early.add(mid)


def main():
    if len(sys.argv) != 6:
        sys.exit(f"usage: {sys.argv[0]} HOST PORT CLIENT_ID INTERVAL_MS SECONDS")
    _, host, port, client_id, interval_ms, lasting_s = sys.argv
    say(f"ready {version('paho-mqtt')}")
    numbers = Numbers()

    def on_connect(client, userdata, flags, reason, properties):
        say("connected" if not reason.is_failure else f"lost {reason}")

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False
    )
    client.on_connect = on_connect
    client.on_connect_fail = lambda client, userdata: say("lost no connection")
    client.on_disconnect = lambda client, userdata, flags, reason, properties: say(
        f"lost {reason}"
    )
    client.on_publish = lambda client, userdata, mid, reason, properties: numbers.acked(mid)
    client.connect_async(host, int(port), keepalive=KEEP_ALIVE_S)
    client.loop_start()

    number = 0
    while (at := number * int(interval_ms) / 1000) < int(lasting_s):
        time.sleep(max(0.0, start + at - time.monotonic()))
        number += 1
        published = client.publish(TOPIC, str(number), qos=1)
        # Without a connection it is kept all the same.
        if published.rc in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
            numbers.accepted(published.mid, number)
        else:
            say(f"refused {number} {mqtt.error_string(published.rc)}")


if __name__ == "__main__":
    main()
