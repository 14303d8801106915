#!/usr/bin/env python3
"""Lets Home Assistant itself judge what we announce.

Downloads Home Assistant (from the package index, about 1 GB with what it needs), runs its
MQTT integration at a mosquitto, and beside it our announcer and a virtual device. Then it
checks that Home Assistant's schemas take every announcement, that its templates make of each
payload what the device meant, that switching, messages, loss of contact and removal work,
and that it logs no warning.

    python3 hub/homeassistant/tests/validate.py

It needs cargo, mosquitto, and a Python that this version of Home Assistant wants (3.14.2).
Where there is none, root on Debian gets one: by debootstrap, in a folder of its own. What was
downloaded is kept in the folder that --root names, and used again.
"""

import argparse
import asyncio
import json
import logging
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile

VERSION = "2026.11.0"
PYTHON = (3, 14, 2)
REPOSITORY = pathlib.Path(__file__).resolve().parents[3] if len(
    pathlib.Path(__file__).resolve().parents) > 3 else pathlib.Path("/")


# Outside: what is needed, and the programs around it.


def run(*command, **more):
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **more)


def fitting_python():
    """A Python on this machine that Home Assistant runs on."""
    for name in ("python3", "python3.14", "python3.15", sys.executable):
        path = shutil.which(name)
        if not path:
            continue
        code = f"import sys; sys.exit(sys.version_info < {PYTHON})"
        if subprocess.run([path, "-c", code]).returncode == 0:
            return path
    return None


class Environment:
    """Home Assistant, installed in a folder; perhaps with a system of its own around it."""

    def __init__(self, root):
        self.root = root
        self.python = fitting_python()
        self.inside = self.python is None
        self.venv = "/ha" if self.inside else str(root / "ha")

    def command(self, *command):
        prefix = ["chroot", str(self.root)] if self.inside else []
        return [*prefix, *map(str, command)]

    def path(self, name):
        """A file that both sides see, and its name there."""
        here = self.root / name
        return here, f"/{name}" if self.inside else str(here)

    def prepare(self):
        done = self.root / "installed"
        if done.exists() and done.read_text() == VERSION:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        if self.inside:
            self.system()
        wheel = self.wheel()
        constraints, seen = self.path("constraints.txt")
        requirements = [f"homeassistant=={VERSION}"]
        with zipfile.ZipFile(wheel) as files:
            constraints.write_bytes(files.read("homeassistant/package_constraints.txt"))
            # The integration's own, and those of one that it imports.
            for name in ("mqtt", "hassio"):
                manifest = files.read(f"homeassistant/components/{name}/manifest.json")
                requirements += json.loads(manifest)["requirements"]
        run(*self.command(self.python or "python3", "-m", "venv", self.venv))
        run(*self.command(f"{self.venv}/bin/pip", "install", "--quiet", "uv"))
        run(*self.command(f"{self.venv}/bin/uv", "pip", "install", "--quiet", "--native-tls",
                          "--python", f"{self.venv}/bin/python", "-c", seen, *requirements))
        done.write_text(VERSION)

    def system(self):
        if os.geteuid() != 0 or not shutil.which("debootstrap"):
            sys.exit(
                f"Home Assistant {VERSION} needs Python {'.'.join(map(str, PYTHON))}. Install "
                "one, or be root on Debian and type: apt-get install debootstrap"
            )
        if not (self.root / "usr/bin/python3").exists():
            # The script of sid serves for every suite after it was written.
            run("debootstrap", "--variant=minbase",
                "--include=python3,python3-venv,ca-certificates", "forky", self.root,
                "http://deb.debian.org/debian", "sid")
        for name in ("etc/resolv.conf", "etc/hosts", "etc/pip.conf",
                     "etc/ssl/certs/ca-certificates.crt"):
            if pathlib.Path("/", name).exists():
                shutil.copyfile(pathlib.Path("/", name), self.root / name)

    def wheel(self):
        found = list(self.root.glob("homeassistant-*.whl"))
        if not found:
            # Its sources are read; nothing of it is installed here.
            run(sys.executable, "-m", "pip", "download", f"homeassistant=={VERSION}", "--no-deps",
                "--quiet", "--python-version", ".".join(map(str, PYTHON)),
                "--only-binary=:all:", "-d", self.root)
            found = list(self.root.glob("homeassistant-*.whl"))
        return found[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def outside(arguments):
    environment = Environment(arguments.root.resolve())
    environment.prepare()
    cargo = ["cargo", "run", "--quiet", "--manifest-path", REPOSITORY / "Cargo.toml"]
    example = [*cargo, "-p", "aldis-homeassistant", "--example"]
    run(*cargo[:1], "build", *cargo[2:], "-p", "aldis-homeassistant", "--examples")
    device = [arguments.aldis] if arguments.aldis else [*cargo, "-p", "aldis", "--"]
    if not arguments.aldis:
        run(*cargo[:1], "build", *cargo[2:], "-p", "aldis")
    samples, samples_inside = environment.path("samples.jsonl")
    samples.write_bytes(subprocess.check_output([str(part) for part in [*example, "samples"]]))
    script, script_inside = environment.path("validate.py")
    shutil.copyfile(__file__, script)

    port = free_port()
    programs = []

    def start(*command, **more):
        programs.append(subprocess.Popen([str(part) for part in command], **more))
        return programs[-1]

    with tempfile.TemporaryDirectory() as work:
        config = pathlib.Path(work, "mosquitto.conf")
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        path = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
        try:
            start(shutil.which("mosquitto", path=path) or sys.exit("apt-get install mosquitto"),
                  "-c", config, stderr=subprocess.DEVNULL)
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            announcer = start(*example, "announce", "--", port)
            start(*device, "device", "--id", "kitchen", "--broker", f"mqtt://127.0.0.1:{port}",
                  "--state", pathlib.Path(work, "state"), stdout=subprocess.DEVNULL)
            judge = start(
                *environment.command(f"{environment.venv}/bin/python", script_inside,
                                     "--judge", port, "--samples", samples_inside),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for line in judge.stdout:
                if line.startswith("! withdraw"):
                    announcer.terminate()
                    announcer.wait()
                    start(*example, "announce", "--", port, "--withdraw")
                else:
                    print(line, end="", flush=True)
            return judge.wait()
        finally:
            for program in reversed(programs):
                program.terminate()
            for program in programs:
                program.wait()


# Inside: Home Assistant.


class Log(logging.Handler):
    """What Home Assistant complains of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.complaints = []
        self.deleting = False

    def emit(self, record):
        # It takes the announcement away once for each entity, and wonders at its own echo.
        if self.deleting and "No device components to cleanup" in record.getMessage():
            return
        # Of the environment, not of us.
        if not record.name.startswith(("aiohttp", "asyncio", "homeassistant.components.http")):
            self.complaints.append(f"{record.levelname} {record.name}: {record.getMessage()}")


class Judge:
    def __init__(self, port):
        self.port = port
        self.checks = 0
        self.faults = []
        self.log = Log()
        self.published = []

    def check(self, what, good):
        self.checks += 1
        if not good:
            self.faults.append(what)
            print("WRONG", what, flush=True)

    def equal(self, what, found, expected):
        self.check(f"{what}: {found!r}, not {expected!r}", found == expected)

    async def until(self, what, condition, seconds=30, again=None):
        """Waits; what a device says each so often is said again meanwhile."""
        end = time.monotonic() + seconds
        step = 0
        while not condition():
            if time.monotonic() > end:
                self.check(f"{what} did not come about in {seconds} s", False)
                return False
            await asyncio.sleep(0.05)
            step += 1
            if again and step % 20 == 0:
                again()
        self.check(what, True)
        return True

    async def start(self):
        from types import MappingProxyType

        from homeassistant import auth, bootstrap, core, loader
        from homeassistant.config_entries import ConfigEntries, ConfigEntry
        from homeassistant.setup import async_setup_component

        folder = tempfile.mkdtemp()
        pathlib.Path(folder, "configuration.yaml").touch()
        self.hass = hass = core.HomeAssistant(folder)
        hass.config.skip_pip = True
        loader.async_setup(hass)
        hass.config_entries = ConfigEntries(hass, {})
        await bootstrap.async_load_base_functionality(hass)
        hass.auth = await auth.auth_manager_from_config(hass, [], [])
        http = {"http": {"server_port": free_port(), "server_host": ["127.0.0.1"]}}
        await async_setup_component(hass, "homeassistant", {})
        await async_setup_component(hass, "http", http)
        await self.listen()
        logging.getLogger().addHandler(self.log)
        entry = ConfigEntry(
            domain="mqtt", title="", source="user", unique_id=None, version=2, minor_version=1,
            data={"broker": "127.0.0.1", "port": self.port, "protocol": "5"}, options={},
            discovery_keys=MappingProxyType({}), subentries_data=None)
        await hass.config_entries.async_add(entry)
        self.equal("the integration", entry.state.value, "loaded")
        await hass.async_start()

    async def listen(self):
        """A client beside Home Assistant: a board that we play, and who looks on."""
        import paho.mqtt.client as mqtt

        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.configs = {}

        def message(_client, _data, message):
            payload = message.payload.decode()
            if message.topic.endswith("/config"):
                self.configs.pop(message.topic, None)
                if payload:
                    self.configs[message.topic] = payload
            self.published.append((message.topic, payload, message.retain))

        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = message
        self.client.on_subscribe = lambda *_: loop.call_soon_threadsafe(ready.set)
        self.client.connect("127.0.0.1", self.port)
        self.client.subscribe("#", qos=1)
        self.client.loop_start()
        await ready.wait()

    def say(self, topic, payload, retain=False):
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def state(self, entity):
        state = self.hass.states.get(entity)
        return state and state.state

    def schemas(self):
        """Each announcement, by the schemas that Home Assistant uses when it comes."""
        import importlib

        from homeassistant.components.mqtt import discovery, schemas

        for topic, payload in list(self.configs.items()):
            match = discovery.TOPIC_MATCHER.match(topic.removeprefix("homeassistant/"))
            self.check(f"{topic} is a discovery topic", match and match["object_id"])
            config = discovery.MQTTDiscoveryPayload(json.loads(payload))
            discovery._replace_all_abbreviations(config)
            try:
                config = schemas.DEVICE_DISCOVERY_SCHEMA(config)
                schemas.validate_device_discovery_components(config)
                self.check(topic, True)
            except Exception as error:
                self.check(f"{topic}: {error}", False)
                continue
            for name, component in config["components"].items():
                component = discovery.MQTTDiscoveryPayload(component)
                module = importlib.import_module(
                    "homeassistant.components.mqtt." + component.pop("platform"))
                if not component:
                    continue
                component["device"] = config["device"]
                component["origin"] = config["origin"]
                discovery._merge_common_device_options(component, config)
                # The second one takes nothing that it does not know.
                for schema in (module.DISCOVERY_SCHEMA, module.PLATFORM_SCHEMA_MODERN):
                    try:
                        schema(dict(component))
                        self.check(f"{topic} {name}", True)
                    except Exception as error:
                        self.check(f"{topic} {name}: {error}", False)

    def templates(self, samples):
        """What Home Assistant makes of each payload, and of garbage."""
        from homeassistant.components.mqtt.models import MqttValueTemplate, PayloadSentinel
        from homeassistant.helpers.template import Template

        config = json.loads(self.configs["homeassistant/device/aldis__board/config"])
        components = config["components"]
        garbage = ["", "garbage", "null", "7", '"x"', "[]", "{}", "true", "{",
                   '{"t":true,"h":null,"age_ms":0}', '{"t":"1","h":[],"age_ms":"0"}',
                   '{"t":1,"h":2,"age_ms":{}}', '{"uptime_s":"1","reset":["x"],"free":{}}',
                   '{"reconnects":5,"dropped":[],"reset":{},"outbox":true}']
        for name, component in components.items():
            if "value_template" not in component:
                continue
            template = MqttValueTemplate(Template(component["value_template"], self.hass))
            topic = component["state_topic"].removeprefix("aldis/board/")

            def render(payload):
                return template.async_render_with_possible_json_value(
                    payload, PayloadSentinel.DEFAULT)

            for sample in samples:
                if sample["topic"] == topic and name in sample["expected"]:
                    what = f"{name} of {sample['payload']}"
                    self.equal(what, render(sample["payload"]), sample["expected"][name])
            for payload in garbage:
                try:
                    found = render(payload)
                except Exception as error:
                    self.check(f"{name} of {payload}: {error}", False)
                    continue
                unknown = name == "message_text" or found in ("", "None")
                self.check(f"{name} of {payload}: {found!r}", unknown)

    async def call(self, domain, service, **data):
        await self.hass.services.async_call(domain, service, data, blocking=True)

    async def life(self, samples):
        """A virtual device, and a board that we play, as their owner sees them."""
        from homeassistant.helpers import device_registry, entity_registry

        devices = device_registry.async_get(self.hass)
        entities = entity_registry.async_get(self.hass)

        def device(name):
            return next((device for device in devices.devices
                         if ("mqtt", name) in device.identifiers), None)

        # The virtual device is there, with its readings.
        await self.until("the lamp", lambda: self.state("switch.kitchen_lamp") == "off")
        number = re.compile(r"^-?\d+\.\d$")
        await self.until("a temperature", lambda: number.match(
            self.state("sensor.kitchen_temperature") or ""))
        await self.until("a humidity", lambda: number.match(
            self.state("sensor.kitchen_humidity") or ""))
        await self.until("the sensor's state", lambda: self.state("sensor.kitchen_sensor") == "ok")
        self.equal("the name", device("aldis__kitchen").name, "kitchen")
        # It says it each minute.
        await self.until("a version", lambda: device("aldis__kitchen").sw_version, 90)
        self.check("no signal strength where there is no radio",
                   entities.async_get("sensor.kitchen_signal_strength") is None)

        # It obeys, and its echo is the state.
        await self.call("switch", "turn_on", entity_id="switch.kitchen_lamp")
        await self.until("the lamp lit", lambda: self.state("switch.kitchen_lamp") == "on")
        await self.call("switch", "toggle", entity_id="switch.kitchen_lamp")
        await self.until("the lamp dark", lambda: self.state("switch.kitchen_lamp") == "off")
        for said in ("dinner is ready", '{"text":1}', "b'x'", " {", "é" * 200, "\n".join("ab")):
            before = len(self.published)
            await self.call("notify", "send_message", entity_id="notify.kitchen_message",
                            message=said)
            await self.until(f"the device has {said[:20]!r}", lambda: any(
                topic == "aldis/kitchen/message/state" and '"received"' in payload
                for topic, payload, _ in self.published[before:]))
            sent = [json.loads(payload)["text"] for topic, payload, _ in self.published[before:]
                    if topic == "aldis/kitchen/message/set"]
            self.equal("what was sent", sent, [said.encode()[:256].decode(errors="ignore")])
        await self.call("text", "set_value", entity_id="text.kitchen_message_text", value="come")
        await self.until("the text", lambda: self.state("text.kitchen_message_text") == "come")
        self.check("no message was refused", not any(
            topic == "aldis/kitchen/message/state" and "refused" in payload
            for topic, payload, _ in self.published))
        self.check("no command was retained", not any(
            retain for topic, _, retain in self.published if topic.endswith("/set")))

        # It restarts when it is told, and is back by itself.
        await self.until("the restart button", lambda: self.state("button.kitchen_restart"), 90)
        before = len(self.published)
        await self.call("button", "press", entity_id="button.kitchen_restart")
        await self.until("it started again", lambda: any(
            topic == "aldis/kitchen/diag" and json.loads(payload).get("reset") == "software"
            for topic, payload, _ in self.published[before:]))
        await self.until("the lamp is back", lambda: self.state("switch.kitchen_lamp") == "off")

        # A board that we play: more sensors, those that change often switched off.
        def board(topic, payload, retain=False):
            self.say(f"aldis/board/{topic}", payload, retain)

        board("status", "online", True)
        board("sensor", "ok", True)
        diags = [sample for sample in samples if sample["topic"] == "diag"]
        board("diag", diags[-1]["payload"])
        await self.until("the board", lambda: device("aldis__board"))
        off = entity_registry.RegistryEntryDisabler.INTEGRATION
        for name, disabled in (("signal_strength", off), ("uptime", off), ("free_memory", off),
                               ("least_free_memory", off), ("reset_reason", None),
                               ("reconnects", None), ("readings_waiting", None),
                               ("dropped", None), ("sensor", None)):
            entry = entities.async_get(f"sensor.board_{name}")
            self.check(f"{name} is there", entry)
            if entry:
                self.equal(name, entry.disabled_by, disabled)
                self.equal(name, str(entry.entity_category), "diagnostic")
        await self.until(
            "the reset reason",
            lambda: self.state("sensor.board_reset_reason") == diags[-1]["expected"]["reset"],
            again=lambda: board("diag", diags[-1]["payload"]))
        await self.until("reconnects", lambda: self.state("sensor.board_reconnects") == "3")
        reading = '{"seq":1,"boot":1,"age_ms":0,"t":21.5,"h":40.0}'
        await self.until("21.5", lambda: self.state("sensor.board_temperature") == "21.5",
                         again=lambda: board("climate", reading))
        board("climate", '{"seq":2,"boot":1,"age_ms":3600000,"t":99.0,"h":99.0}')
        board("climate", "garbage")
        board("sensor", "stale", True)
        await self.until("stale", lambda: self.state("sensor.board_sensor") == "stale")
        self.equal("an old reading goes by", self.state("sensor.board_temperature"), "21.5")
        self.schemas()
        self.templates(samples)

        # Contact lost, and back.
        board("status", "offline", True)
        await self.until("unavailable", lambda: self.state(
            "sensor.board_temperature") == "unavailable")
        self.equal("the lamp of the other", self.state("switch.kitchen_lamp"), "off")
        board("status", "online", True)
        await self.until("available", lambda: self.state("sensor.board_temperature") == "21.5")

        # There is a button, as the firmware says that it can.
        button = "button.board_restart"
        if await self.until("the button", lambda: entities.async_get(button), 90):
            await self.until("its state", lambda: self.state(button) == "unknown")
            await self.call("button", "press", entity_id=button)
            await self.until("the press", lambda: ("aldis/board/restart", "restart", False)
                             in self.published)
        # A change within a minute waits; then what this firmware does not say is gone.
        board("diag", '{"version":"9.9.9"}')
        await self.until("no reset reason", lambda: entities.async_get(
            "sensor.board_reset_reason") is None, 90)
        self.equal("the version", device("aldis__board").sw_version, "9.9.9")

        # Home Assistant starts again.
        before = len(self.published)
        self.say("homeassistant/status", "online")
        await self.until("all announced again", lambda: sum(
            topic.endswith("/config") for topic, _, _ in self.published[before:]) == 2, 30)

        # Deleted by its owner there: it stays away until Home Assistant starts again.
        topic = "homeassistant/device/aldis__board/config"
        self.log.deleting = True
        devices.async_remove_device(device("aldis__board").id)
        await self.until("the announcement goes", lambda: topic not in self.configs)
        board("climate", reading)
        await asyncio.sleep(8)
        self.log.deleting = False
        self.check("it stays away", topic not in self.configs and not device("aldis__board"))
        self.say("homeassistant/status", "online")
        await self.until("it comes back", lambda: device("aldis__board"))

        # Switched off.
        print("! withdraw", flush=True)
        await self.until("nothing is left", lambda: not self.configs)
        await self.until("no device", lambda: not device("aldis__kitchen")
                         and not device("aldis__board"))
        self.check("no entity", not [entry for entry in entities.entities.values()
                                     if entry.platform == "mqtt"])

    async def judge(self, samples):
        await self.start()
        await self.life(samples)
        for complaint in self.log.complaints:
            self.check(f"Home Assistant complains: {complaint}", False)
        self.checks += 1
        await self.hass.async_stop(force=True)
        self.client.loop_stop()
        from homeassistant.const import __version__

        print(f"Home Assistant {__version__}: {self.checks} checks, {len(self.faults)} wrong")
        return 1 if self.faults else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, metavar="DIR",
                        default=REPOSITORY / "target/homeassistant",
                        help="where Home Assistant is installed (default: %(default)s)")
    parser.add_argument("--aldis", metavar="FILE",
                        help="the program `aldis`, for the virtual device (default: built)")
    parser.add_argument("--judge", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--samples", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.judge is None:
        return outside(arguments)
    samples = [json.loads(line) for line in arguments.samples.read_text().splitlines()]
    return asyncio.run(Judge(arguments.judge).judge(samples))


if __name__ == "__main__":
    sys.exit(main())
