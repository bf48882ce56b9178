"""A real MongoDB server that wants TLS, a client's certificate and a password: who may read, write and delete."""

import itertools
import subprocess
from urllib.parse import unquote

import pytest
from contracts import stores
from mongod import FLAGS, GIVEN, Mongod, _binary, client_of
from pymongo.errors import OperationFailure
from waiting import HANG, until

from rlbench.errors import StoreAway, StoreError
from rlbench.store import audit, checking, open_store

pytestmark = pytest.mark.skipif(bool(GIVEN), reason="the server that is given has users of its own")

PASSWORD = "s3cr3t%2Fp%40ss"  # noqa: S105  as an address has it
PATIENCE = 1000 * HANG  # ms, until a server that runs is found
ADDS = ["find", "insert", "listCollections", "createCollection", "createIndex", "listIndexes"]
CHANGED = ("meta", "runs", "chunks", "checkpoints", "snapshots", "parts", "tables")  # not the audit log
MAY = {  # the user: the roles, as docs/security.md gives them
    "owner": [{"role": "readWrite", "db": "lab"}],
    "reader": [{"role": "read", "db": "lab"}],
    "writer": [{"role": "rlbenchWriter", "db": "admin"}],
}


class GuardedMongod(Mongod):
    """A standalone server with TLS and users."""

    def __init__(self, binary, folder):
        super().__init__(binary, str(folder))
        import trustme

        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
        for name in ("server", "client"):
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
        flags = {name: value for name, value in FLAGS.items() if name not in ("--replSet", "--oplogSize")}
        place = {"--port": str(self.port), "--dbpath": str(folder), "--unixSocketPrefix": str(folder)}
        tls = {
            "--tlsMode": "requireTLS",
            "--tlsCertificateKeyFile": str(folder / "server.pem"),
            "--tlsCAFile": str(folder / "ca.pem"),
        }
        self._command = [binary, "--auth", *itertools.chain.from_iterable({**flags, **place, **tls}.items())]

    def start(self):
        with (self.folder / "mongod.log").open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        with client_of(self.address_for()) as client:  # as nobody, the first time
            until(lambda: client.admin.command("hello").get("isWritablePrimary"), lambda: "no server")
            make = {"pwd": "root", "roles": ["root"]}
            client.admin.command("createUser", "root", **make)
        with client_of(self.address_for("root", "root")) as client:
            allowed = [{"resource": {"db": "lab", "collection": ""}, "actions": ADDS}]
            for name in CHANGED:
                allowed += [{"resource": {"db": "lab", "collection": f"rlbench_{name}"}, "actions": ["update"]}]
            client.admin.command("createRole", "rlbenchWriter", privileges=allowed, roles=[])
            for user, roles in MAY.items():
                client.admin.command("createUser", user, pwd=unquote(PASSWORD), roles=roles)

    def address_for(self, user="", password=PASSWORD, ca="ca.pem", certificate="client.pem", tls="true"):
        who = f"{user}:{password}@" if user else ""
        files = f"tlsCAFile={self.folder / ca}"
        files += f"&tlsCertificateKeyFile={self.folder / certificate}" if certificate else ""
        return f"mongodb://{who}{self.address}/lab?authSource=admin&tls={tls}&serverSelectionTimeoutMS={PATIENCE}" + (
            f"&{files}" if tls == "true" else ""
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = GuardedMongod(_binary(), tmp_path_factory.mktemp("mongod"))
    try:
        server.start()
        yield server
    finally:
        if server._process is not None:
            server.kill9()


def test_each_user_may_do_what_the_role_allows(server):
    with open_store(server.address_for("owner")) as store:
        run = stores.fill(store, seed=0)
        store.save_snapshot("buffer", "a", {})
        expected = stores.everything(store)
    with open_store(server.address_for("reader")) as store:
        assert stores.everything(store) == expected
        assert list(checking.check(store)) == []
        for attempt in (
            lambda: store.create_run("Taxi-v4", "random", seed=0),
            lambda: store.update_run(run.id, tags=["x"]),
            lambda: store.delete_run(run.id),
            lambda: store.save_snapshot("buffer", "b", {}),
        ):
            with pytest.raises(StoreError, match="this user lacks permission; ask for the role readWrite") as refused:
                attempt()
            assert "s3cr3t" not in str(refused.value)
        store.enter("export", run.id)
        assert [entry.what for entry in store.entries()] == ["train"]
    with open_store(server.address_for("writer")) as store:
        assert stores.everything(store) == expected
        written = stores.fill(store, seed=1)
        store.save_snapshot("buffer", "b", {})
        for attempt in (
            lambda: store.delete_run(run.id),
            lambda: store.delete_run(written.id),
            lambda: store.delete_snapshot("buffer", "a"),
        ):
            with pytest.raises(StoreError, match="this user lacks permission"):
                attempt()
        assert len(store.runs()) == 2
        assert [entry.what for entry in store.entries()] == ["train", "train"]
        for act in (lambda log: log.update_one({"_id": 1}, {"$set": {"who": "x"}}), lambda log: log.delete_one({})):
            with pytest.raises(OperationFailure, match="not authorized"):
                act(store.backend._collections.audit)
    with open_store(server.address_for("owner")) as store:
        assert list(checking.check(store)) == []
        store.delete_run(written.id)
        store.backend.compact()
        assert stores.everything(store)[0] == expected[0]
        store.delete_run(run.id)
        assert [entry.what for entry in store.entries()] == ["train", "train", "delete", "delete"]
        assert list(audit.problems(store.entries())) == []


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"user": "owner", "password": "wrong"},
            StoreError,
            "authentication failed; check user, password and authSource",
        ),
        ({"user": ""}, StoreError, "this user lacks permission"),
        ({"user": "owner", "ca": "other-ca.pem"}, StoreAway, "cannot reach the store .*certificate verify failed"),
        ({"user": "owner", "certificate": ""}, StoreAway, "cannot reach the store"),
        ({"user": "owner", "tls": "false"}, StoreAway, "cannot reach the store"),
        (
            {"user": "owner", "ca": "missing.pem"},
            StoreError,
            r"No such file or directory \(.*missing.pem\): check its path",
        ),
    ],
)
def test_who_is_not_let_in_is_told_why_in_a_line_without_the_password(server, given, error, said):
    address = server.address_for(**given).replace(f"={PATIENCE}", "=300" if error is StoreAway else f"={PATIENCE}")
    with pytest.raises(error, match=said) as refused:
        open_store(address)
    assert "\n" not in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
