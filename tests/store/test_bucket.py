"""What a server of objects answers, said in a line; and what it may not do."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from needs import package

from rlbench.errors import StoreAway, StoreError
from rlbench.store import bucket
from rlbench.store.bucket import Bucket, open_bucket
from rlbench.store.objects import ObjectBackend

memory = package("obstore.store", "cloud").MemoryStore
SECRET = "hidden-secret"  # noqa: S105
AWAY = "its server is failing or busy"
ASKED = {
    "get": lambda bucket: bucket.get("a"),
    "range": lambda bucket: bucket.get_range("a", 0, 1),
    "add": lambda bucket: bucket.add("a", b"x"),
    "exchange": lambda bucket: bucket.exchange("a", b"x", {"e_tag": "1"}),
    "list": lambda bucket: bucket.list("a"),
    "delete": lambda bucket: bucket.delete(["a"]),
}


class Answer(BaseHTTPRequestHandler):
    """Answers every request alike, and quotes a secret."""

    status, code = 200, ""

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = f"<Error><Code>{self.code}</Code><Message>{SECRET}</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def server(monkeypatch):
    """A function that says what a server on this machine answers, and returns a bucket in it."""
    answer = type("OneAnswer", (Answer,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setitem(bucket.RETRIES, "max_retries", 0)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{running.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

        def answering(status, code):
            answer.status, answer.code = status, code
            return open_bucket("s3://lab/x", "lab/x")

        yield answering
        running.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (503, "SlowDown", StoreAway, rf"{AWAY} \(503 Service Unavailable, SlowDown\); try again later"),
        (500, "InternalError", StoreAway, AWAY),
        (429, "TooManyRequests", StoreAway, AWAY),
        (507, "Anything", StoreError, r"it is full \(507 Insufficient Storage, Anything\); make room and try again"),
        (400, "QuotaExceeded", StoreError, "it is full"),
        (403, "AccessDenied", StoreError, r"access is denied \(403 Forbidden, AccessDenied\); set AWS_ACCESS_KEY_ID"),
        (401, "Unauthorized", StoreError, "access is denied"),
        (404, "NoSuchBucket", StoreError, "its bucket does not exist; make it, or check the name"),
        (501, "NotImplemented", StoreError, "its server overwrites what another process has just written; use one"),
        (301, "PermanentRedirect", StoreError, "its bucket is in another region; set AWS_REGION"),
        (400, "InvalidRequest", StoreError, r"its server refuses it \(400 Bad Request, InvalidRequest\)"),
        (400, f"<{SECRET}>", StoreError, r"its server refuses it \(400 Bad Request\)"),
    ],
)
@pytest.mark.parametrize("asked", ASKED)
def test_what_a_server_answers_is_said_in_a_line_without_what_it_quotes(server, status, code, kind, said, asked):
    with pytest.raises(StoreError) as raised:
        ASKED[asked](server(status, code))
    assert type(raised.value) is kind
    assert re.fullmatch(rf"cannot use the store s3://lab/x: {said}[^\n]*", str(raised.value))
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("status", [409, 412])
def test_an_object_that_a_server_refuses_and_does_not_have_counts_for_nothing(server, monkeypatch, status):
    asked = server(status, "ConditionalRequestConflict")
    monkeypatch.setattr(asked, "has", lambda path: False)
    with pytest.raises(StoreError, match="other processes keep writing a; try again"):
        asked.add("a", b"x")


def test_a_server_without_conditional_writes_is_refused(monkeypatch):
    there = Bucket("s3://lab/x", memory())
    put = there._put
    monkeypatch.setattr(there, "_put", lambda path, blob, mode: put(path, blob, "overwrite"))
    with pytest.raises(StoreError, match="its server overwrites what another process has just written"):
        ObjectBackend(there).take_over(create=True)
    assert there.is_empty()


def test_large_objects_go_in_pieces_both_ways(monkeypatch):
    monkeypatch.setattr(bucket, "PIECE", 10)
    there, blob = Bucket("s3://lab/x", memory()), bytes(range(95))
    there.add("a", blob)
    assert there.get("a").blob == blob
    there.add("a", blob)
    assert there.get("a", 94).blob == b""
    assert there.get_beginning("a", 3).blob == blob[:3]
    assert there.get_range("a", 90, 10) == blob[90:]


def test_who_writes_last_is_told_that_another_was_faster_but_not_of_an_answer_that_was_lost():
    there = Bucket("s3://lab/x", memory())
    first = there.exchange("a", b"1", None)
    assert there.exchange("a", b"2", None) is None
    second = there.exchange("a", b"2", first)
    assert there.exchange("a", b"3", first) is None
    assert there.exchange("a", b"2", first) == second
    assert there.get("a").blob == b"2"
