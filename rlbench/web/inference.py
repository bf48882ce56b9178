"""Serving: runs and models behind the Open Inference Protocol (V2), with health, metrics and an OpenAPI text."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rlbench._version import __version__
from rlbench.errors import RlbenchError, UsageError, unknown_name
from rlbench.web.app import application, guarded
from rlbench.web.decisions import link_of
from rlbench.web.metrics import CONTENT_TYPE, Metrics
from rlbench.web.openapi import document_of
from rlbench.web.served import OutOfRange, Tensor
from rlbench.web.tensors import HEADER, Asked, read_request, write_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from rlbench.store import Store
    from rlbench.web.decisions import Book, Log
    from rlbench.web.guards import Grant
    from rlbench.web.metrics import Meter
    from rlbench.web.served import Served, Shelf
    from rlbench.web.watching import Watch

MOST = 2**24  # bytes of a request's body
QUICK = 2**14  # bytes of a request for a look into a table: a thread of its own would take longer
SECONDS = 2.0  # between two looks for newer versions
RAW_HEADER = HEADER.encode()
IN_JSON = [(b"content-type", b"application/json")]
IN_BINARY = [(b"content-type", b"application/octet-stream")]
HEADERS = {"x-content-type-options": "nosniff"}  # no answer is a page
EXTENSIONS = ["binary_tensor_data", "sequence"]


class Tools(NamedTuple):
    """What a version is served with."""

    meter: Meter
    book: Book | None  # None: its decisions are not stored
    watch: Watch | None  # None: it is not watched for drift


class Desk:
    """What the requests are answered from: what is served, its metrics and its log.

    Args:
        shelf: what is served.
        log: stores the decisions; None: they are not stored.
        tell: called with a line for whoever runs the server.
        watching: watch what comes in for drift.
    """

    def __init__(self, shelf: Shelf, log: Log | None, tell: Callable[[str], object], *, watching: bool = False) -> None:
        self.shelf, self.metrics, self._log, self._tell, self._watching = shelf, Metrics(), log, tell, watching
        self._tools: dict[tuple[str, str], Tools] = {}
        for name in shelf.names():
            for version in shelf.versions(name):
                served = shelf.find(name, version)
                if served is not None:
                    self._prepare(served)

    def _prepare(self, served: Served) -> None:
        """Makes what a version needs before its first request."""
        meter = self.metrics.of(served)
        book = None if self._log is None else self._log.open(served, meter.dropped)
        watch = self._watch(served) if self._watching else None
        meter.monitor = None if watch is None else watch.monitor
        self._tools[served.name, served.version] = Tools(meter, book, watch)

    def _watch(self, served: Served) -> Watch | None:
        from rlbench.web.watching import Watch  # noqa: PLC0415  (on demand alone)

        try:
            return Watch(served, self._tell)
        except RlbenchError as error:
            self._tell(f"{served.name}, version {served.version}, is not watched: {error}")
            return None

    def tools_of(self, served: Served) -> Tools:
        """Returns the metrics, the log and the watch of a version."""
        return self._tools[served.name, served.version]

    def reload(self) -> None:
        """Serves newer versions that the store has got; what cannot be loaded is told, and the older goes on."""
        try:
            for served in self.shelf.refresh(self._prepare):
                self._tell(f"serving {served.name}, version {served.version}")
        except Exception as error:  # noqa: BLE001  (an env may raise anything, and the server goes on)
            self._tell(f"no newer version was loaded: {error}")

    @asynccontextmanager
    async def at_work(self, _app: Any) -> AsyncIterator[None]:
        """Looks for newer versions while the server runs."""
        looking = asyncio.create_task(self._look())
        yield
        looking.cancel()

    def look(self) -> None:
        """Looks at what came in, for drift."""
        for tools in list(self._tools.values()):
            if tools.watch is not None:
                tools.watch.look()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await run_in_threadpool(self.reload)
            await run_in_threadpool(self.look)


def serving(
    store: Store,
    desk: Desk,
    *,
    grant_of: Callable[[str], Grant | None] | None = None,
    hosts: frozenset[str] | None = None,
) -> ASGIApp:
    """Returns the application that answers for what is on a desk.

    Args:
        store: where it comes from.
        desk: what is served.
        grant_of: returns what a token allows, None for an unknown one; without it everybody may ask.
        hosts: the names by which requests may call the server; None: any.
    """
    app = application(store, ROUTES, _told, lifespan=desk.at_work)
    app.state.desk = desk
    return guarded(app, grant_of, hosts, MOST, HEADERS)


def _told(_request: Request, status: int, words: str) -> Response:
    return JSONResponse({"error": words}, status)


# ---------------------------------------------------------------------- inference


class Infer:
    """Answers a batch of observations or rows; an ASGI application, for Starlette's requests take longer than this."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads a request whole, and answers it."""
        served = _asked_for(scope)
        desk: Desk = scope["app"].state.desk
        wants_all = _wants_all(scope["query_string"])
        length = next((value.decode("latin-1") for name, value in scope["headers"] if name == RAW_HEADER), None)
        body = await _whole(receive)
        if body is None:
            return
        began = perf_counter()
        if served.is_quick and len(body) <= QUICK:
            content, head = _answer(desk, served, body, length, began, wants_all=wants_all)
        else:
            content, head = await run_in_threadpool(_answer, desk, served, body, length, began, wants_all=wants_all)
        headers = IN_JSON if head is None else [*IN_BINARY, (RAW_HEADER, b"%d" % head)]
        headers = [*headers, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _whole(receive: Receive) -> bytes | None:
    """Returns the body of a request; None if the client has gone."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _wants_all(query: bytes) -> bool:
    """Returns whether ?values=1 asks for all outputs."""
    value = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)).get("values", "0") if query else "0"
    if value not in ("0", "1"):
        raise UsageError(f"values must be 0 or 1, got {value[:100]!r}")
    return value == "1"


def _answer(
    desk: Desk, served: Served, body: bytes, length: str | None, began: float, *, wants_all: bool
) -> tuple[bytes, int | None]:
    """Returns the body of the answer to a request, and how many bytes of it are JSON; None if all are."""
    meter, book, watch = desk.tools_of(served)
    try:
        asked = read_request(body, length)
        names = _outputs(served, asked, wants_all=wants_all)
        answer = served.answer(asked.inputs, names)
        link = link_of(asked.parameters, answer.decisions) if asked.parameters else None
    except UsageError as error:
        meter.refused(error.count if isinstance(error, OutOfRange) else 0)
        raise
    known: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
    if asked.id:
        known["id"] = asked.id
    if book is not None and answer.rows is not None and answer.kept is not None and answer.decisions:
        known["parameters"] = {"decision_id": book.take(answer.rows, answer.kept, link)}
    if watch is not None and answer.rows is not None:
        watch.take(answer.rows)
    content, head = write_response(known, answer.outputs, names, served.about)
    meter.answered(answer, perf_counter() - began)
    return content, head


def _outputs(served: Served, asked: Asked, *, wants_all: bool) -> Mapping[str, bool]:
    """Returns the names of the outputs that are wanted, each in binary or not.

    Raises:
        UsageError: one is not known.
    """
    if not asked.outputs and not wants_all:
        return {served.outputs[0].name: asked.in_binary}
    known = [tensor.name for tensor in served.outputs]
    for name in asked.outputs:
        if name not in known:
            raise unknown_name("output", name, known)
    return asked.outputs or dict.fromkeys(known, asked.in_binary)


# ---------------------------------------------------------------------- what is served


def _asked_for(scope: Scope) -> Served:
    """Returns what a request asks for.

    Raises:
        HTTPException: it is not served (404), or not for the bearer of this token (403).
    """
    desk: Desk = scope["app"].state.desk
    name, version = scope["path_params"]["name"], scope["path_params"].get("version")
    served = desk.shelf.find(name, version)
    if served is None:
        known = ", ".join(desk.shelf.versions(name)) or ", ".join(desk.shelf.names())
        wanted = f"version {version!r} of {name!r}" if desk.shelf.versions(name) else f"model {name!r}"
        raise HTTPException(404, f"there is no {wanted} here; known: {known}"[:500])
    grant: Grant = scope["grant"]
    if (grant.env_id or grant.tag) and not _is_in_scope(grant, served):
        raise HTTPException(403, f"this token is not for {name}")
    return served


def _is_in_scope(grant: Grant, served: Served) -> bool:
    if served.run is None:  # a model has neither an env nor tags
        return False
    return grant.env_id in ("", served.run.env_id) and (not grant.tag or grant.tag in served.run.record.tags)


async def model(request: Request) -> Response:
    """Tells the inputs and outputs of what is served."""
    served = _asked_for(request.scope)
    desk: Desk = request.app.state.desk
    return JSONResponse(
        {
            "name": served.name,
            "versions": desk.shelf.versions(served.name),
            "platform": "rlbench",
            "inputs": [*map(_described, served.inputs)],
            "outputs": [*map(_described, served.outputs)],
        }
    )


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


async def model_ready(request: Request) -> Response:
    """Tells that it is served."""
    served = _asked_for(request.scope)
    return JSONResponse({"name": served.name, "ready": True})


async def server(_request: Request) -> Response:
    """Tells what the server is."""
    return JSONResponse({"name": "rlbench", "version": __version__, "extensions": EXTENSIONS})


async def live(_request: Request) -> Response:
    """Tells that the server answers."""
    return JSONResponse({"live": True})


async def ready(_request: Request) -> Response:
    """Tells that everything is loaded: the server listens no sooner."""
    return JSONResponse({"ready": True})


async def health(request: Request) -> Response:
    """Tells that the server answers, and, to those who may ask, for what."""
    desk: Desk = request.app.state.desk
    known = desk.shelf.names() if request.scope["grant"] is not None else []
    return JSONResponse({"status": "ok", "model": known[0] if known else None, "models": known})


async def metrics(request: Request) -> Response:
    """Tells what was counted."""
    desk: Desk = request.app.state.desk
    return Response(desk.metrics.text(), headers={"content-type": CONTENT_TYPE})


async def openapi(request: Request) -> Response:
    """Tells what can be asked."""
    desk: Desk = request.app.state.desk
    return JSONResponse(document_of({name: desk.shelf.versions(name) for name in desk.shelf.names()}))


NAMED = "/v2/models/{name}"
VERSIONED = NAMED + "/versions/{version}"
ROUTES = [
    *(Route(f"{path}/infer", Infer(), methods=["POST"]) for path in (NAMED, VERSIONED)),
    *(Route(path, model) for path in (NAMED, VERSIONED)),
    *(Route(f"{path}/ready", model_ready) for path in (NAMED, VERSIONED)),
    Route("/v2", server),
    Route("/v2/health/live", live),
    Route("/v2/health/ready", ready),
    Route("/health", health),
    Route("/metrics", metrics),
    Route("/openapi.json", openapi),
]
