"""A recorder as a script: paho-mqtt and SQLite.

`each` stores and acknowledges one message after the other, as examples on the web do. `batch`
stores up to a thousand together, or what came in a second, and acknowledges them then, as
Telegraf does. Both flush to the disk before they acknowledge, as aldis does.
Prints how many readings are stored, each time that changes.
"""

import json
import sqlite3
import sys
import threading
import time

import paho.mqtt.client as mqtt

port, path, mode = int(sys.argv[1]), sys.argv[2], sys.argv[3]
database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute(
    "CREATE TABLE reading (device TEXT, seq INTEGER, received REAL, t REAL, h REAL,"
    " PRIMARY KEY (device, seq)) WITHOUT ROWID"
)
INSERT = "INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?, ?)"
stored = 0
waiting = []
lock = threading.Condition()


def row(message):
    reading = json.loads(message.payload)
    device = message.topic.split("/")[1]
    return (device, reading["seq"], time.time(), reading["t"], reading["h"])


def tell(count):
    global stored
    stored += count
    print(stored, flush=True)


def on_each(client, userdata, message):
    database.execute(INSERT, row(message))
    client.ack(message.mid, message.qos)
    tell(1)


def on_batch(client, userdata, message):
    with lock:
        waiting.append(message)
        if len(waiting) >= 1000:
            lock.notify()


def flush(client):
    while True:
        with lock:
            lock.wait_for(lambda: len(waiting) >= 1000, timeout=1)
            batch = waiting[:1000]
            del waiting[:1000]
        if not batch:
            continue
        database.execute("BEGIN")
        database.executemany(INSERT, [row(message) for message in batch])
        database.execute("COMMIT")
        for message in batch:
            client.ack(message.mid, message.qos)
        tell(len(batch))


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe("aldis/+/climate", qos=1)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id="script",
    clean_session=False,
    manual_ack=True,
)
client.max_inflight_messages_set(65535)
client.on_connect = on_connect
client.on_message = on_each if mode == "each" else on_batch
client.on_subscribe = lambda *_: print("ready", flush=True)
client.connect("127.0.0.1", port)
if mode == "batch":
    threading.Thread(target=flush, args=(client,), daemon=True).start()
client.loop_forever()
