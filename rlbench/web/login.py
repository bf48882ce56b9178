"""The page where a browser shows its token, which it keeps in a cookie that no script reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rlbench.web.guards import COOKIE, is_from_here
from rlbench.web.pages import form_of, page

if TYPE_CHECKING:
    from starlette.requests import Request


def show(request: Request) -> Response:
    """Asks for a token."""
    return page(request, "login.html", problem="")


async def enter(request: Request) -> Response:
    """Lets a browser in that shows a token, or asks again."""
    if not is_from_here(request):
        raise HTTPException(403, "a token is shown on this server's own page")
    token, grant_of = dict(await form_of(request)).get("token", ""), request.app.state.grant_of
    if grant_of is not None and await run_in_threadpool(grant_of, token) is None:
        return page(request, "login.html", 401, problem="This token is unknown, has expired or was revoked.")
    answer = RedirectResponse("/", 303)
    if grant_of is not None:
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


routes = [Route("/login", show), Route("/login", enter, methods=["POST"])]
