"""Where the server listens, and whom it lets in."""

import asyncio
import signal
import socket
from threading import Event
from unittest.mock import Mock

import httpx
import pytest
import uvicorn
from click.testing import CliRunner
from clients import Client, run_apart, serving
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rlbench.cli.ui import ui
from rlbench.errors import UsageError
from rlbench.web import curves, door, guards
from rlbench.web.app import application, dashboard, guarded
from rlbench.web.door import Door, check
from rlbench.web.guards import MOST, PAGE_HEADER, Grant

GRANTS = {"reader": Grant("read"), "writer": Grant("write")}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_needs_no_token(host):
    check(Door(host), has_tokens=False)


@pytest.mark.parametrize(
    ("host", "has_tokens", "lacking"),
    [
        ("0.0.0.0", False, "a token.* and TLS"),  # noqa: S104
        ("::", True, "that takes TLS"),
        ("example.org", True, "that takes TLS"),
    ],
)
def test_other_machines_need_a_token_and_tls_unless_it_is_meant_to_be_insecure(host, has_tokens, lacking):
    with pytest.raises(UsageError, match=lacking):
        check(Door(host), has_tokens=has_tokens)
    check(Door(host, insecure=True), has_tokens=has_tokens)


def test_a_certificate_takes_its_key_and_both_must_be_there(tmp_path):
    with pytest.raises(UsageError, match="give both --tls-cert and --tls-key"):
        check(Door(tls_cert=tmp_path / "a"), has_tokens=False)
    with pytest.raises(UsageError, match="there is no file"):
        check(Door(tls_cert=tmp_path / "a", tls_key=tmp_path / "b"), has_tokens=False)


def test_a_certificate_that_is_none_is_said_in_one_line(tmp_path):
    file = tmp_path / "pair.pem"
    file.write_text("nothing")
    with pytest.raises(UsageError, match=r"cannot use .*pair\.pem with the key .*pair\.pem: \[SSL\]"):
        door.serve(None, Door(port=0, tls_cert=file, tls_key=file), ready=pytest.fail)


@pytest.mark.parametrize("path", ["/", "/static/rlbench.css", "/nowhere"])
def test_every_answer_forbids_to_load_from_elsewhere_and_to_be_framed(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:8800", 200), ("[::1]", 200), ("LOCALHOST", 200), ("evil.example", 421)]
)
def test_a_page_that_points_its_own_name_here_is_not_answered(store, host, status):
    client = Client(dashboard(store, hosts=Door().hosts))
    assert client.get("/", headers={"host": host}).status_code == status


def test_what_changes_something_must_come_from_a_page_of_ours(client):
    assert client.post("/nowhere").status_code == 403
    assert client.post("/nowhere", headers={PAGE_HEADER: "guess"}).status_code == 403
    assert client.post("/nowhere", page=True).status_code == 404
    assert client.post("/nowhere", page=True, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/nowhere", page=True, headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/runs/tag", "/login", "/nowhere"])
def test_no_browser_is_told_that_a_page_elsewhere_may_send_a_token(client, path):
    asked = {
        "origin": "http://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    headers = client.request("OPTIONS", path, headers=asked).headers
    assert [name for name in headers if name.startswith("access-control")] == []


def test_a_token_is_asked_for_and_its_role_is_kept(store):
    client = Client(dashboard(store, grant_of=GRANTS.get))
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"accept": "text/html"}).headers["location"] == "/login"
    assert client.get("/static/rlbench.css").status_code == 200
    for token, status in (("reader", 403), ("writer", 404), ("other", 401)):
        assert client.post("/nowhere", headers={"authorization": f"Bearer {token}"}).status_code == status
    assert client.get("/", headers={"cookie": "rlbench-token=reader"}).status_code == 200


def test_a_browser_shows_its_token_once_and_keeps_it_where_no_script_reads_it(store):
    client = Client(dashboard(store, grant_of=GRANTS.get))
    asked = client.get("/login")
    assert (asked.status_code, store.url in asked.text) == (200, False)
    wrong = client.post("/login", data={"token": "guess"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    assert client.post("/login", data={"token": "reader"}, headers={"origin": "http://evil.example"}).status_code == 403
    right = client.post("/login", data={"token": "reader"})
    cookie = right.headers["set-cookie"]
    assert all(part in cookie.lower() for part in ("httponly", "samesite=strict", "path=/"))
    assert client.get("/", headers={"cookie": cookie.partition(";")[0]}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/vendor"]
)
def test_only_static_files_are_handed_out(client, path):
    assert client.get(path).status_code == 404


def test_it_takes_a_free_port_answers_and_ends_when_asked_to(database):
    with serving("ui", "--store", database, "--port", 0, "--no-browser") as (address, process):
        assert httpx.get(address).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert ": audit head " in process.stderr.readline()
        assert process.stderr.read() == ""


def test_what_is_read_aside_has_ended_before_the_store_closes(database, monkeypatch):
    asked, read = Event(), []

    def warm(store):
        asked.wait()
        read.extend(store.runs() for _ in range(100))

    def serve(application, door, *, ready):
        ready("http://here")
        asked.set()

    monkeypatch.setattr(curves, "warm", warm)
    monkeypatch.setattr(door, "serve", serve)
    assert CliRunner().invoke(ui, ["--store", str(database), "--no-browser"]).exit_code == 0
    assert len(read) == 100


def test_what_is_written_is_sent_at_once():
    with door._listening(Door(port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at


def test_a_port_that_is_taken_is_said_in_one_line(database):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(AssertionError, match=f"Error: cannot listen at 127.0.0.1, port {port}: .*--port 0"),
            serving("ui", "--store", database, "--port", port, "--no-browser"),
        ):
            pass


class Loop:
    """Stands in for an event loop, and for a timer of it: time passes when the test says so."""

    def __init__(self):
        self.due = None

    def call_later(self, seconds, act):
        self.due = act
        return self

    def cancel(self):
        self.due = None

    def create_task(self, coroutine):
        coroutine.close()
        return Mock()


class Transport(Mock):
    """A connection that is hung up once it is aborted."""

    def get_extra_info(self, name, default=None):
        return None


def test_a_client_that_does_not_end_its_head_in_time_is_hung_up_on():
    loop, transport = Loop(), Transport()
    connection = door.Punctual(uvicorn.Config(None, lifespan="off"), uvicorn.server.ServerState(), {}, _loop=loop)
    connection.connection_made(transport)
    connection.data_received(b"GET / HTTP/1.1\r\nx: ")
    loop.due()
    transport.abort.assert_called_once_with()


def test_a_client_that_ends_its_head_in_time_is_not_waited_for():
    loop = Loop()
    connection = door.Punctual(uvicorn.Config(None, lifespan="off"), uvicorn.server.ServerState(), {}, _loop=loop)
    connection.connection_made(Transport())
    assert loop.due
    connection.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    assert loop.due is None


async def _echo(request):
    return PlainTextResponse(await request.body())


def _echoing(store):
    app = application(
        store, [Route("/", _echo, methods=["POST"])], lambda _, status, words: PlainTextResponse(words, status)
    )
    return guarded(app)


def test_a_body_that_is_too_large_is_refused_and_the_largest_is_not(store):
    client = Client(_echoing(store))
    assert client.post("/", content=b"x" * MOST).content == b"x" * MOST
    answer = client.post("/", content=b"x" * (MOST + 1))
    assert (answer.status_code, answer.text) == (413, "a request has at most 1,048,576 bytes")


def test_a_body_that_does_not_come_is_not_waited_for(store, monkeypatch):
    monkeypatch.setattr(guards, "BODY_PATIENCE", 0.0)
    sent = []

    async def request():
        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        await _echoing(store)(scope, asyncio.Event().wait, send)

    run_apart(request())
    assert sent[0]["status"] == 408
