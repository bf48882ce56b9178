"""The other clouds: Azure in Azurite, its emulator, where npm installs it; Google's in a stub of its XML calls.

No emulator of Google Cloud Storage was found that speaks XML, as obstore does: the stub here answers what the store
asks for, and shows that requests have the form that Google documents, not that Google answers them so.
"""

import base64
import hmac
import json
import shutil
import subprocess
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import httpx
import pytest
from contracts import stores
from needs import MARK, package
from seaweed import _free
from waiting import until

from rlbench.errors import StoreError
from rlbench.store import checking, copying, open_store

package("obstore.store", "cloud")

ACCOUNT = "devstoreaccount1"  # Azurite's, with the key that everybody knows
SECRET = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # noqa: S105
VERSION = "2021-08-06"


# ---------------------------------------------------------------- Azure


def _azurite(folder):
    """Azurite's program, installed if need be."""
    found = shutil.which("azurite-blob")
    if found is None and (npm := shutil.which("npm")) is not None:
        subprocess.run([npm, "install", "--silent", "--prefix", folder, "azurite@3.35"], check=False, timeout=600)
        found = shutil.which("azurite-blob", path=folder / "node_modules" / ".bin")
    if found is None:
        pytest.skip(f"{MARK}Azurite (npm install azurite)")
    return found


def _make_container(address, name):
    date = formatdate(usegmt=True)
    told = f"x-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signed = hmac.digest(base64.b64decode(SECRET), ("PUT" + "\n" * 12 + told).encode(), "sha256")
    headers = {
        "x-ms-date": date,
        "x-ms-version": VERSION,
        "Content-Type": "",
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}",
    }
    try:
        return httpx.put(f"{address}/{name}?restype=container", headers=headers).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def az_url(tmp_path, monkeypatch):
    """The address of a store that is not there yet, in Azurite."""
    [port] = _free(1)
    address = f"http://127.0.0.1:{port}/{ACCOUNT}"
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--blobPort", str(port)]
    with subprocess.Popen([_azurite(tmp_path / "azurite"), *options], cwd=tmp_path) as process:
        try:
            until(lambda: _make_container(address, "lab"))
            monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
            monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
            monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", address)
            yield "az://lab/runs"
        finally:
            process.kill()


# ---------------------------------------------------------------- Google


class Stub(BaseHTTPRequestHandler):
    """Answers what the store asks of Google's XML interface: objects with generations, conditions, ranges, lists."""

    protocol_version, wbufsize = "HTTP/1.1", -1
    objects: dict
    lock: threading.Lock

    def log_message(self, *_):
        pass

    @property
    def name(self):
        return unquote(urlsplit(self.path).path).removeprefix("/lab").removeprefix("/")

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def told(self, generation):
        about = {"ETag": f'"{generation}"', "x_goog_generation": generation}
        return {**about, "Last_Modified": formatdate(generation, usegmt=True)}

    def do_PUT(self):
        blob, wanted = self.rfile.read(int(self.headers["Content-Length"])), self.headers["x-goog-if-generation-match"]
        with self.lock:
            there = self.objects.get(self.name, (0, b""))[0]
            if wanted is not None and int(wanted) != there:
                self.answer(412)
                return
            self.objects[None] = generation = self.objects.get(None, 0) + 1
            self.objects[self.name] = generation, blob
        self.answer(200, **self.told(generation))

    def do_GET(self):
        if not self.name:
            self.answer(200, self.listed(parse_qs(urlsplit(self.path).query)))
            return
        generation, blob = self.objects.get(self.name, (0, b""))
        if not generation:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        unit, _, span = self.headers.get("Range", "").partition("=")
        if not unit:
            self.answer(200, blob, **self.told(generation))
            return
        first, last = (int(number) for number in span.split("-"))
        if first >= len(blob):
            self.answer(416)
            return
        last = min(last, len(blob) - 1)
        told = {**self.told(generation), "Content_Range": f"bytes {first}-{last}/{len(blob)}"}
        self.answer(206, blob[first : last + 1], **told)

    def do_HEAD(self):
        self.do_GET()

    def do_DELETE(self):
        with self.lock:
            self.answer(204 if self.objects.pop(self.name, None) else 404)

    def listed(self, asked):
        prefix, after = (asked.get(name, [""])[0] for name in ("prefix", "start-after"))
        names = sorted(name for name in self.objects if name and name.startswith(prefix) and name > after)
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(self.objects[name][1])}</Size>"
            f"<ETag>{self.objects[name][0]}</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name in names
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()


@pytest.fixture
def gs_url(tmp_path, monkeypatch):
    """The address of a store that is not there yet, in the stub."""
    stub = type("OneStub", (Stub,), {"objects": {}, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    account = {"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": ""}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps({**account, "private_key_id": ""}))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    yield "gs://lab/runs"
    server.shutdown()
    server.server_close()


# ---------------------------------------------------------------- both


def assert_there_and_back(url, tmp_path, monkeypatch):
    """Runs go to a bucket and back, are changed there and deleted, and of two that copy at once one is refused."""
    with open_store(tmp_path / "a.db") as source, open_store(url) as target:
        run, other = (stores.fill(source, seed=seed, tags=["a"]) for seed in (0, 1))
        commit = target.backend.commit

        def overtaken(*arguments):
            monkeypatch.setattr(target.backend, "commit", commit)
            with open_store(url) as again:
                copying.copy(source, again)
            return commit(*arguments)

        monkeypatch.setattr(target.backend, "commit", overtaken)
        with pytest.raises(StoreError, match=f"another process is copying run .* to {url}: wait for it"):
            copying.copy(source, target)
        assert {result.action for result in copying.copy(source, target)} == {"equal"}
        assert stores.everything(target) == stores.everything(source)
        target.update_run(run.id, note="seen")
        target.delete_run(other.id)
    with open_store(url, create=False) as target, open_store(tmp_path / "b.db") as back:
        copying.copy(target, back)
        assert [each.note for each in back.runs()] == ["seen"]
        assert stores.everything(back) == stores.everything(target)
        assert list(checking.check(target)) == []


@pytest.mark.long
def test_runs_go_to_azure_and_back(az_url, tmp_path, monkeypatch):
    assert_there_and_back(az_url, tmp_path, monkeypatch)


def test_runs_go_to_google_and_back_as_far_as_a_stub_shows(gs_url, tmp_path, monkeypatch):
    assert_there_and_back(gs_url, tmp_path, monkeypatch)
