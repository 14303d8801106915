#!/usr/bin/env python3
"""Fuzzes the dashboard's API by its own description: no answer may be a 5xx, each must be as described.

    pip install schemathesis
    cargo build -p aldis-dashboard --example serve
    hub/dashboard/tests/fuzz_api.py [--serve target/debug/examples/serve] [--examples 100] [--seed N]

It starts the example with made-up devices, signs in, and has schemathesis ask. What is after `--` is
given to schemathesis.
"""

import argparse
import http.cookiejar
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent

# What cannot be said in a schema: the length of a text in bytes, `from` before `to`, a filter's
# form, a body that is too long for one request.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "404", "413", "422", "429"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "413", "415", "422", "429"]
# Signing out would end the run; streams do not end.
[[operations]]
include-name = "GET /api/live"
enabled = false
[[operations]]
include-name = "GET /api/topics/live"
enabled = false
[[operations]]
include-name = "DELETE /api/session"
enabled = false
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", default=HERE.parents[2] / "target/debug/examples/serve")
    parser.add_argument("--examples", default="100")
    parser.add_argument("--seed")
    parser.add_argument("rest", nargs="*")
    arguments = parser.parse_args()
    beside = pathlib.Path(sys.executable).with_name("schemathesis")
    schemathesis = str(beside) if beside.exists() else shutil.which("schemathesis")
    if schemathesis is None:
        sys.exit("schemathesis is not there: pip install schemathesis")
    serve = subprocess.Popen([arguments.serve, "--days", "2"], stdout=subprocess.PIPE, text=True)
    try:
        told = dict(serve.stdout.readline().split() for _ in range(3))
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        request = urllib.request.Request(
            told["dashboard"] + "/api/session",
            json.dumps({"password": told["password"]}).encode(),
            {"Content-Type": "application/json"},
        )
        csrf = json.load(browser.open(request))["csrf"]
        session = "".join(cookie.value for cookie in jar)
        # Until the made-up devices have spoken.
        end = time.monotonic() + 20
        while len(json.load(browser.open(told["dashboard"] + "/api/devices"))["devices"]) < 5:
            if time.monotonic() > end:
                sys.exit("the example's devices do not speak")
            time.sleep(0.2)
        with tempfile.TemporaryDirectory() as dir:
            config = pathlib.Path(dir) / "schemathesis.toml"
            keys = {"session": session, "csrf": csrf}
            keys = "".join(f'[auth.openapi.{name}]\napi_key = "{key}"\n' for name, key in keys.items())
            config.write_text(CONFIG + keys)
            command = [
                schemathesis, "--config-file", config, "run", told["dashboard"] + "/api/openapi.json",
                "--max-examples", arguments.examples, "--continue-on-failure",
                "--checks", "all", "--request-timeout", "20", *arguments.rest,
            ]
            if arguments.seed:
                command += ["--seed", arguments.seed]
            outcome = subprocess.run(command, cwd=dir).returncode
        if serve.poll() is not None:
            sys.exit("the server ended")
        sys.exit(outcome)
    finally:
        serve.terminate()
        serve.wait()


main()
