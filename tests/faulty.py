"""An S3 server in this process, moto's, that fails where a test says."""

import threading

import pytest
from needs import package
from seaweed import BUCKET, KEYS

ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>no</Message></Error>"
LOST = "500 Internal Server Error", "InternalError"  # what a client hears in place of an answer that was lost


class Faulty:
    """Answers as moto does, unless `fault` names an error.

    Attributes:
        fault: called with the method and the path of each request; returns None, or an error's status and code.
        performs: whether what is asked for is done before an error is answered, as if the answer were lost.
        port: where it listens.
    """

    def __init__(self):
        moto, serving = package("moto.moto_server.werkzeug_app", "test"), package("werkzeug.serving", "test")
        self._app = moto.DomainDispatcherApplication(moto.create_backend_app)
        self.fault, self.performs = (lambda _method, _path: None), False
        self._server = serving.make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ, begin):
        error = self.fault(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if error is None:
            return self._app(environ, begin)
        if self.performs:
            b"".join(self._app(environ, lambda *_: None))
        status, code = error
        begin(status, [("Content-Type", "application/xml")])
        return [ERROR.format(code=code).encode()]


@pytest.fixture(scope="session")
def _faulty():
    server = Faulty()
    yield server
    server.close()


@pytest.fixture
def faulty(_faulty, monkeypatch):
    """The server, without faults yet; the environment says how to reach it."""
    _faulty.fault, _faulty.performs = (lambda _method, _path: None), False
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{_faulty.port}"}.items():
        monkeypatch.setenv(name, value)
    package("requests", "test").put(f"http://127.0.0.1:{_faulty.port}/{BUCKET}", timeout=60)
    return _faulty
