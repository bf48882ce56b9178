"""The MongoDB driver: its clients and databases, their addresses, and its errors in one line."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rlbench.errors import StoreAway, StoreError, UsageError
from rlbench.files import require
from rlbench.store.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database

    from rlbench.store.documents import Document

NAME = "rlbench"  # the database, if neither a URL nor a client names one
TIMEOUTS = {  # defaults for the URL; the driver adds up to half a second to the first
    "serverSelectionTimeoutMS": 3000,
    "connectTimeoutMS": 3000,
    "socketTimeoutMS": 30_000,
}
MAJORITY_TIMEOUT = 10_000  # ms to wait for a majority of the servers
EXPLANATIONS = {  # server error code: explanation
    13: "this user lacks permission; ask for the role readWrite on the database",
    18: "authentication failed; check user, password and authSource",
    10334: "a record is larger than MongoDB allows",
}
HOSTS: dict[str, Callable[[Any], Iterable[tuple[str, int | None]]]] = {  # package: the servers of one of its clients
    "pymongo": lambda client: sorted(client.topology_description.server_descriptions()),
    "mongomock": lambda client: [client.address],
}


def place_of(given: Any) -> tuple[MongoClient[Document], str, str]:
    """Returns the client, the name of the database, and the address of a client or database that was given.

    Raises:
        UsageError: it is something else.
    """
    found = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(given).__mro__}
    package = next((package for package, name in found if package in HOSTS and name in ("MongoClient", "Database")), "")
    if not package:
        raise UsageError(
            "a store is opened by a path, a URL, or a MongoClient or Database of pymongo or mongomock, "
            f"got {type(given).__module__}.{type(given).__qualname__}"
        )
    driver()  # mongomock does without, we do not
    database = given if (package, "Database") in found else given.get_default_database(NAME)
    hosts = ",".join(_written(*host) for host in HOSTS[package](database.client))
    return database.client, database.name, f"mongodb://{hosts}/{database.name}"


def _written(host: str, port: int | None) -> str:
    """Returns a host as a URL has it: a socket has no port, an IPv6 address has brackets."""
    return quote(host, safe="") if port is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def driver() -> Any:
    """Returns the module pymongo; UsageError if it is not installed."""
    return require("pymongo", "mongo", "a MongoDB store")


def parsed_url(url: str) -> tuple[str, dict[str, Any]]:
    """Returns the name of the database and the timeouts that the URL does not set."""
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415

    parsed = parse_uri(url, warn=False, connect_timeout=TIMEOUTS["serverSelectionTimeoutMS"] / 1000)
    if parsed["collection"]:
        raise ValueError("the name of the database contains a dot")
    given = {name.lower() for name in parsed["options"]}
    return parsed["database"] or NAME, {name: ms for name, ms in TIMEOUTS.items() if name.lower() not in given}


def durable(client: MongoClient[Document], name: str) -> Database[Document]:
    """Returns a database that reads from the primary and acknowledges only durable writes, whatever its client does."""
    from bson.codec_options import DEFAULT_CODEC_OPTIONS  # noqa: PLC0415
    from pymongo import ReadPreference, WriteConcern  # noqa: PLC0415

    concern = WriteConcern("majority", wtimeout=MAJORITY_TIMEOUT, j=True)
    return client.get_database(name, DEFAULT_CODEC_OPTIONS, ReadPreference.PRIMARY, concern)


def is_standalone(client: MongoClient[Document]) -> bool:
    """Returns whether a server is standalone: no other can take over without its last writes."""
    with suppress(NotImplementedError):  # an in-memory mock
        hello = client.admin.command("hello")
        others = sum(len(hello.get(role, [])) for role in ("hosts", "passives", "arbiters")) - 1
        return others <= 0 and hello.get("msg") != "isdbgrid"
    return True


def hasty(collection: Collection[Document]) -> Collection[Document]:
    """Returns the collection for writes that a crash may lose, unless a later write is waited for."""
    from pymongo import WriteConcern  # noqa: PLC0415

    return collection.with_options(write_concern=WriteConcern(1))


@contextmanager
def addressed(url: str) -> Iterator[None]:
    """Turns errors in an address into a StoreError, which omits the reason if the address may hold a secret."""
    from pymongo.errors import PyMongoError  # noqa: PLC0415

    try:
        yield
    except OSError as error:  # a file of certificates
        raise StoreError(f"cannot open {redact(url)}: {error.strerror} ({error.filename}): check its path") from None
    except (PyMongoError, ValueError, UnicodeError) as error:
        reason = "" if redact(url) != url or "@" in url else f" ({_line(error)})"
        raise StoreError(
            f"cannot open {redact(url)}: its address is malformed{reason}; "
            "write mongodb://user:password@host:port/name, the characters :/?#[]@% in a password as %3A, %2F and so on"
        ) from None  # the cause may contain the password


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turns errors of the driver and the server into a one-line StoreError that says what to do."""
    from bson.errors import BSONError  # noqa: PLC0415
    from pymongo import errors  # noqa: PLC0415

    try:
        yield
    except (errors.ConnectionFailure, errors.WTimeoutError) as error:
        raise StoreAway(
            f"cannot reach the store {place}: {_line(error)}; start its server, or check the address"
        ) from error
    except errors.OperationFailure as error:
        reason = EXPLANATIONS.get(error.code or 0) or _line(error)
        raise StoreError(f"cannot use the store {place}: {reason}") from error
    except errors.DocumentTooLarge as error:
        raise StoreError(f"cannot use the store {place}: {EXPLANATIONS[10334]}") from error
    except (errors.PyMongoError, BSONError, OverflowError, UnicodeError) as error:
        raise StoreError(f"cannot use the store {place}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """Returns the start of a message on one line, without the driver's description of timeouts and topology."""
    message = str(error)
    for noise in (" (configured timeouts", ", Timeout: ", ", Topology Description", ", full error"):
        message = message.partition(noise)[0]
    return " ".join(message.split())[:300]
