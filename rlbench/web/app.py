"""The application: the pages of the dashboard over a store, behind their guards."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from rlbench.errors import RlbenchError, UsageError
from rlbench.web import buffers, comparison, episodes, guards, login, models, run, runs, studies
from rlbench.web.pages import error_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from rlbench.store import Store

    Telling = Callable[[Request, int, str], Response]

ROOMS = (login, runs, comparison, episodes, run, studies, models, buffers)
PAGES = [route for room in ROOMS for route in room.routes]
PATIENCE = 3.0  # seconds for which a change, and so the pages behind it, waits for another process to write
STATIC = Mount("/static", StaticFiles(packages=[("rlbench.web", "static")]), name="static")


def dashboard(
    store: Store, *, grant_of: Callable[[str], guards.Grant | None] | None = None, hosts: frozenset[str] | None = None
) -> ASGIApp:
    """Returns the application with all pages over a store.

    Args:
        store: whose runs it shows.
        grant_of: returns what a token allows, None for an unknown one; without it everybody may do everything.
        hosts: the names by which requests may call the server; None: any.
    """
    store.backend.wait_at_most(PATIENCE)
    secret = secrets.token_urlsafe(24)
    app = application(store, [STATIC, *PAGES], error_page)
    app.state.secret, app.state.grant_of = secret, grant_of
    return guarded(guards.from_pages(app, secret), grant_of, hosts)


def application(store: Store, routes: Iterable[BaseRoute], tell: Telling, **more: Any) -> Starlette:
    """Returns an application over a store that tells errors, as (request, status, one line), by `tell`."""

    def told(request: Request, error: Exception) -> Response:
        answer = tell(request, *_status_and_words(error))
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    handlers = dict.fromkeys((HTTPException, RlbenchError, Exception), told)
    app = Starlette(routes=list(routes), exception_handlers=handlers, **more)
    app.state.store = store
    return app


def guarded(
    app: ASGIApp,
    grant_of: Callable[[str], guards.Grant | None] | None = None,
    hosts: frozenset[str] | None = None,
    most: int = guards.MOST,
    headers: Mapping[str, str] = guards.HEADERS,
) -> ASGIApp:
    """Returns an application behind the guards that every one has; `most` is of bytes in a request's body."""
    return guards.with_headers(guards.named(guards.admitted(guards.bounded(app, most), grant_of), hosts), headers)


def _status_and_words(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, UsageError):
        return 400, str(error)
    if isinstance(error, RlbenchError):
        return 503, str(error)
    return 500, f"{type(error).__name__}: this is a fault of rlbench; the terminal shows where"
