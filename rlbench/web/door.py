"""Where a server listens, to whom it may open, and how it runs until it is asked to end."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rlbench.errors import UsageError
from rlbench.signals import ending_by

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

PATIENCE = 10.0  # seconds for a client to send the head of a request
DRAINING = 30  # seconds for requests under way to end, once the server is asked to
CONNECTIONS = 1_000  # at once; more are answered 503
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Door:
    """An address to listen at."""

    host: str = "127.0.0.1"
    port: int = 8800  # 0: any free one
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None  # of tokens, one a line, beside those of the store
    insecure: bool = False  # listen anywhere without a token or TLS

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_open(self) -> bool:
        """Whether it takes no token and no TLS: only this machine can reach it, or it is meant to be insecure."""
        return self.is_local or self.insecure

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names by which requests may call it; None: any.

        A page elsewhere may point its own name at this machine and so read what has no token; its requests have that
        name.
        """
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset({*LOCAL_NAMES, own.lower()}) if self.is_local else None


def check(door: Door, *, has_tokens: bool) -> None:
    """Refuses a door that is open to other machines without a token and TLS, unless it is meant to be insecure.

    Raises:
        UsageError: it is, or a file is missing, or a certificate lacks its key.
    """
    if (door.tls_cert is None) != (door.tls_key is None):
        raise UsageError("TLS takes a certificate and its key: give both --tls-cert and --tls-key")
    for file in (door.tls_cert, door.tls_key, door.token_file):
        if file is not None and not file.is_file():
            raise UsageError(f"there is no file {str(file)!r}")
    if door.is_open:
        return
    lacking = [] if has_tokens else ["a token (`rlbench token create`)"]
    lacking += [] if door.tls_cert else ["TLS (--tls-cert, --tls-key)"]
    if lacking:
        raise UsageError(
            f"other machines can reach {door.host}: that takes {' and '.join(lacking)}; "
            "--insecure goes without, --host 127.0.0.1 keeps it to this machine"
        )


def serve(application: ASGIApp, door: Door, *, ready: Callable[[str], object]) -> None:
    """Serves an application until SIGTERM, SIGHUP or Ctrl-C; requests under way are answered first.

    `ready` is called with the address once it listens.

    Raises:
        UsageError: the address cannot be listened at, or the certificate or its key cannot be used.
    """
    with _listening(door) as listener:
        config = uvicorn.Config(
            application,
            http=Punctual,
            ws="none",
            lifespan="on",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=DRAINING,
            ssl_certfile=door.tls_cert,
            ssl_keyfile=None if door.tls_key is None else str(door.tls_key),
        )
        try:
            config.load()
        except OSError as error:  # that of ssl, too
            raise UsageError(f"cannot use {door.tls_cert} with the key {door.tls_key}: {error}") from error
        address = _address(door, listener)
        _Server(config, lambda: ready(address)).run(sockets=[listener])


@contextmanager
def _listening(door: Door) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
    # named, or asyncio would not send at once what it writes, and each answer would wait 40 ms for the client's word
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((door.host, door.port))
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen at {door.host}, port {door.port}: {error}; --port 0 takes a free one"
            ) from error
        yield listener


def _address(door: Door, listener: socket.socket) -> str:
    host = f"[{door.host}]" if ":" in door.host else door.host
    return f"{'https' if door.tls_cert else 'http'}://{host}:{listener.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Says when it is ready, and returns once it was asked to end: its own way would raise the signal again."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with ending_by(self.handle_exit):
            yield


class Punctual(H11Protocol):
    """Hangs up on a client that does not send the head of a request in time."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stops waiting once a head is complete."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        super().connection_lost(exc)
        self._stop()

    def _wait(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(PATIENCE, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
