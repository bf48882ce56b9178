"""Pages: templates that escape whatever they are given, and errors told in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse

from rlbench._version import __version__
from rlbench.errors import StoreError, UsageError
from rlbench.settings import write_setting
from rlbench.texts import escaped
from rlbench.training import Run

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from rlbench.store import Store

MOST_FIELDS = 10_000  # of a form
NAVIGATION = (("Runs", "/"), ("Studies", "/studies"), ("Models", "/models"), ("Buffers", "/buffers"))
WHOLE = re.compile(r"[0-9]{1,15}")


def _plain(value: Any) -> Any:
    """Returns a text without control characters, which would turn the page's own text round."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(escaped, value.split("\n")))
    return value


TEMPLATES = Environment(
    loader=PackageLoader("rlbench.web"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_plain,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["setting"] = write_setting
TEMPLATES.globals |= {"navigation": NAVIGATION, "version": __version__}


def page(request: Request, template: str, /, status: int = 200, **known: Any) -> HTMLResponse:
    """Returns a page made from a template."""
    state = request.app.state
    here = {"store": state.store, "secret": state.secret, "path": request.url.path, "grant": request.scope["grant"]}
    made = TEMPLATES.get_template(template).render({**here, **known})
    return HTMLResponse(made, status, {"cache-control": "no-store"})


def error_page(request: Request, status: int, words: str) -> Response:
    """Returns a page that tells an error in one line; JSON for a script that asks for that."""
    if request.headers.get("accept") == "application/json":
        return JSONResponse({"error": words}, status)
    return page(request, "error.html", status, words=words)


def store_of(request: Request) -> Store:
    """Returns the store that the pages show; StoreError if it is gone, so that none shows what it was."""
    store: Store = request.app.state.store
    store.backend.check_place()
    return store


def run_of(request: Request) -> Run:
    """Returns the run that an address names by `{run}`, if the grant allows to see it."""
    return run_named(request, request.path_params["run"])


def run_named(request: Request, ref: str) -> Run:
    """Returns a run by its id, or the beginning of one, if the grant allows to see it."""
    store, grant = store_of(request), request.scope["grant"]
    try:
        record = store.run(ref)
    except StoreError as error:
        raise HTTPException(404, str(error)) from None
    if (grant.env_id and grant.env_id != record.env_id) or (grant.tag and grant.tag not in record.tags):
        raise HTTPException(403, "this token does not open that run")
    return Run(record, store)


async def form_of(request: Request) -> list[tuple[str, str]]:
    """Returns the names and values of a form that was sent, without blanks around them."""
    body = (await request.body()).decode(errors="replace")
    try:
        return [(name, value.strip()) for name, value in parse_qsl(body, max_num_fields=MOST_FIELDS)]
    except ValueError as error:
        raise UsageError(f"a form has at most {MOST_FIELDS:,} fields") from error


def whole_store(request: Request) -> Store:
    """Returns the store, to show what belongs to no run; HTTPException if the grant is for some runs alone."""
    grant = request.scope["grant"]
    if grant.env_id or grant.tag:
        raise HTTPException(403, "this token opens only some runs")
    return store_of(request)


def whole_number(request: Request, name: str, default: int | None = None) -> int:
    """Returns a whole number, 0 or more, among the parameters of a request."""
    text = request.query_params.get(name, "" if default is None else str(default))
    if not WHOLE.fullmatch(text):
        raise HTTPException(400, f"{name} must be a whole number, 0 or more, got {text[:40]!r}")
    return int(text)
