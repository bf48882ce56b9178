"""What stands between a browser and the pages: headers, names, tokens, the size and the pace of requests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from rlbench.store.audit import asked_by

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 2**20  # bytes of a request's body
BODY_PATIENCE = 30.0  # seconds for a client to send one
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
SAFE = ("GET", "HEAD", "OPTIONS")
PAGE_HEADER = "x-rlbench-page"  # what a page sends along to show that it is ours
COOKIE = "rlbench-token"
ELSEWHERE = ("cross-site", "same-site")  # what a browser says of a request that another page makes
OPEN_PATHS = ("/static/", "/health", "/v2/health/", "/login")  # they tell nothing of what is stored


@dataclass(frozen=True)
class Grant:
    """What a token allows."""

    role: str = "admin"  # or "write", "read"
    env_id: str = ""  # only runs of this env
    tag: str = ""  # only runs with this tag
    token: str = field(default="", compare=False)  # its id


def with_headers(app: ASGIApp, headers: Mapping[str, str] = HEADERS) -> ASGIApp:
    """Adds headers to every answer: those of a page forbid it to load anything from elsewhere, and to be framed."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [name for name, _ in message["headers"]]
                message["headers"] = [*message["headers"], *(one for one in raw if one[0] not in given)]
            await send(message)

        await app(scope, receive, tell)

    return guarded


def named(app: ASGIApp, hosts: frozenset[str] | None) -> ASGIApp:
    """Answers only requests that call the server by one of these names; None: by any."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and hosts is not None and _host_of(scope) not in hosts:
            refusal: ASGIApp = PlainTextResponse("this server is not called that", 421)
            await refusal(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarded


def _host_of(scope: Scope) -> str:
    """Returns the name in a request's Host header, without a port."""
    host = next((value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"), "")
    name, _, port = host.rpartition(":")
    return name if port.isdigit() else host


def bounded(app: ASGIApp, most: int = MOST) -> ASGIApp:
    """Refuses a body of more than `most` bytes, and one that does not come in time."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        left, is_whole, end = most, False, asyncio.get_running_loop().time() + BODY_PATIENCE

        async def limited() -> Message:
            nonlocal left, is_whole
            if is_whole:  # what comes now is the end of the connection, whenever that is
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise _refusal(408, f"the body of the request did not come within {BODY_PATIENCE:g} s") from None
            left -= len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if left < 0:
                raise _refusal(413, f"a request has at most {most:,} bytes")
            return message

        await app(scope, limited, send)

    return guarded


def _refusal(status: int, words: str) -> HTTPException:
    return HTTPException(status, words, {"connection": "close"})


def admitted(app: ASGIApp, grant_of: Callable[[str], Grant | None] | None) -> ASGIApp:
    """Lets in whoever has a token, and tells the pages what it allows as `scope["grant"]`; None: lets in everybody.

    The token comes as `Authorization: Bearer ...`, or, from a browser, in a cookie, which `/login` sets.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or grant_of is None:
            await app({**scope, "grant": Grant()}, receive, send)
            return
        request = Request(scope)
        grant = grant_of(_token_of(request))
        if grant is None and not request.url.path.startswith(OPEN_PATHS):
            await _turned_away(request)(scope, receive, send)
            return
        with asked_by("" if grant is None else grant.token):
            await app({**scope, "grant": grant}, receive, send)

    return guarded


def _token_of(request: Request) -> str:
    return bearer_of(request) or request.cookies.get(COOKIE, "")


def bearer_of(request: Request) -> str:
    """Returns the token in the Authorization header of a request; "" without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _turned_away(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/login", 303)
    words = "a token is needed: Authorization: Bearer ... (`rlbench token create` makes one)"
    return PlainTextResponse(words, 401, {"www-authenticate": "Bearer"})


def from_pages(app: ASGIApp, secret: str) -> ASGIApp:
    """Changes something only for a page of this server, which knows its secret, or for a bearer of a token.

    Either must be allowed to write.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        refusal: ASGIApp | None = None
        if scope["type"] == "http" and scope["method"] not in SAFE and scope["path"] != "/login":
            refusal = _refused(Request(scope), secret)
        await (refusal or app)(scope, receive, send)

    return guarded


def _refused(request: Request, secret: str) -> Response | None:
    given = request.headers.get(PAGE_HEADER, "")
    is_ours = compare_digest(given.encode(), secret.encode()) and is_from_here(request)
    # a page elsewhere cannot send a bearer's header: its browser asks first, and no answer of ours allows it
    if not is_ours and not bearer_of(request):
        return PlainTextResponse("the page is out of date, or not of this server: load it again", 403)
    if request.scope["grant"] is None or request.scope["grant"].role == "read":
        return PlainTextResponse("this token can only read", 403)
    return None


def is_from_here(request: Request) -> bool:
    """Returns whether no page of another site made a request, as far as its browser tells."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return request.headers.get("sec-fetch-site") not in ELSEWHERE and origin in (None, own)
