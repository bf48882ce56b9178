"""A cluster of Dask as an executor: only over TLS, or on this machine, unless the user insists."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from rlbench.errors import ProcessError, UsageError
from rlbench.files import require
from rlbench.studies.executors import check_versions
from rlbench.training.setup import versions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

URL = re.compile(r"(tcp|tls)://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")
SECONDS = 3  # until a scheduler must have answered
TLS = "DASK_DISTRIBUTED__COMM__TLS__"  # begins the environment variables by which Dask knows certificates


@contextmanager
def connected(url: str, store: str, *, insecure: bool = False) -> Iterator[tuple[Executor, int]]:
    """Connects to the scheduler of a cluster; yields its executor, and how many batches it works on at a time.

    Args:
        url: of the scheduler: tls://HOST:PORT, or tcp://HOST:PORT on this machine.
        store: the address of the study's store: a file only serves workers of this machine.
        insecure: agree to plain tcp to another machine, on which whoever reaches the scheduler can run programs.

    Raises:
        UsageError: the URL, the store, the certificates, or the versions on a worker will not do.
        MissingPackageError: distributed is missing.
        ProcessError: the cluster is away, or has no workers.
    """
    _check(url, store, insecure=insecure)
    distributed = require("distributed", "cluster", "a cluster")
    _quiet()
    with _client(distributed, url) as client:
        _check_workers(client, url)
        yield client.get_executor(pure=False), sum(client.nthreads().values())


def _check(url: str, store: str, *, insecure: bool) -> None:
    found = URL.fullmatch(url)
    if found is None:
        raise UsageError(f"a cluster is tls://HOST:PORT, or tcp://127.0.0.1:PORT on this machine, got {url!r:.200}")
    is_here = _is_loopback(found[2] or found[3])
    if found[1] == "tcp" and not is_here and not insecure:
        raise UsageError(
            f"{url} is neither encrypted nor this machine, and whoever reaches such a scheduler can run programs on "
            "it: use tls://, or add --insecure in a network that you trust"
        )
    if not is_here and not store.startswith("mongodb"):
        raise UsageError(
            f"the workers of {url} cannot open a file of this machine: name a store as mongodb://HOST/NAME"
        )


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


@contextmanager
def _client(distributed: Any, url: str) -> Iterator[Any]:
    """Connects a client, and closes it again, without a word if the cluster is gone by then."""
    _check_certificates(distributed, url)
    try:
        client = distributed.Client(url, timeout=SECONDS, set_as_default=False)
    except Exception as error:  # whatever comes of it: another kind of server may answer anything
        told = str(error)[:200] or type(error).__name__
        raise ProcessError(f"no scheduler answers at {url}: start it with `dask scheduler` ({told})") from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=SECONDS)


def _check_certificates(distributed: Any, url: str) -> None:
    if url.startswith("tls:"):
        try:
            context = distributed.security.Security().get_connection_args("client").get("ssl_context")
        except (OSError, ValueError) as error:
            raise UsageError(f"the certificates for {url} cannot be read: {error}") from error
        if context is None:
            raise UsageError(
                f"{url} needs certificates: set {TLS}CA_FILE, {TLS}CLIENT__CERT and {TLS}CLIENT__KEY to their files"
            )


def _check_workers(client: Any, url: str) -> None:
    found = client.run(versions, on_error="return")
    if not found:
        raise ProcessError(f"the cluster at {url} has no workers: start some with `dask worker {url} --nthreads 1`")
    for address, there in found.items():
        if isinstance(there, Exception):
            told = " ".join(f"{type(there).__name__}: {there}".split())
            raise UsageError(f"the worker {address} cannot work for rlbench ({told:.200}): install it there")
        check_versions(versions(), there, f"the worker {address}")


def _quiet() -> None:
    """Keeps what Dask logs on a connection that is lost off the terminal: an error says it."""
    for name in ("distributed", "distributed.client"):  # the second has a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)
