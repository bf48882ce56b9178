"""A proxy before a server, that passes bytes on in pieces, holds them up, or lets connections break off."""

import contextlib
import socket
import threading


class Proxy:
    """Passes connections on to a port of this machine.

    Args:
        port: of the server.

    Attributes:
        port: its own.
        piece: bytes that are passed on at once.
        is_open: an event: while it is not set, nothing is passed on to the server.
        most: bytes for the server until it breaks off, and every connection from then on; None: never.
    """

    def __init__(self, port, piece=2**16):
        self._server, self.piece, self.most, self.passed = port, piece, None, 0
        self.is_open, self._lock = threading.Event(), threading.Lock()
        self.is_open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def close(self):
        """Takes no more connections."""
        self.is_open.set()
        self._listener.close()

    def _start(self, work, *arguments):
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._server))
                except OSError:
                    client.close()
                    continue
                self._start(self._pass_on, client, server, self._may_pass)
                self._start(self._pass_on, server, client, lambda _size: True)

    def _may_pass(self, size):
        """Waits until bytes may go to the server; returns whether they ever may."""
        self.is_open.wait()
        with self._lock:
            self.passed += size
            return self.most is None or self.passed <= self.most

    def _pass_on(self, source, target, may_pass):
        with contextlib.suppress(OSError):
            while (data := source.recv(self.piece)) and may_pass(len(data)):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
