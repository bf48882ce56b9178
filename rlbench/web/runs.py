"""The table of all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from rlbench.web.pages import page, store_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def table(request: Request) -> Response:
    """Shows the last runs."""
    return page(request, "runs.html", runs=store_of(request).runs(limit=50))


routes = [Route("/", table)]
