"""The page of a run: what the report tells, while it still trains; its curve, and a run as a file."""

from __future__ import annotations

import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from rlbench.exchange import export
from rlbench.plots.series import X_AXES
from rlbench.reports import telling
from rlbench.reports.page import key_figures
from rlbench.settings import write_setting
from rlbench.web import curves
from rlbench.web.pages import page, run_of
from rlbench.web.runs import names_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

FILES = {  # what a run is exported as: what, and how the file ends
    "episodes.csv": ("episodes", ".csv", "every step, CSV"),
    "curve.csv": ("results", ".csv", "a row an episode, CSV"),
    "run.json": ("episodes", ".json", "the whole run, JSON"),
    "episodes.parquet": ("episodes", ".parquet", "every step, Parquet"),
}

EXTREMES: dict[str, Callable[[Any], Any]] = {"best": np.argmax, "worst": np.argmin}


def show(request: Request) -> Response:
    """Shows a run; to a page that shows it already, nothing while it is the same."""
    run = run_of(request)
    seen = blake2b(repr(run.record).encode(), digest_size=8).hexdigest()
    if request.query_params.get("seen") == seen:
        return Response(status_code=204)
    document = telling.run_document(run)
    origins = document["parameters_from"]
    return page(
        request,
        "run.html",
        run=run,
        record=run.record,
        seen=seen,
        document=document,
        tiles=key_figures(run, run.record.evaluation),
        parameters=[
            (name, write_setting(value), origins.get(name, "default"))
            for name, value in run.record.config.agent.parameters.items()
        ],
        made=[*telling.made(run), *telling.asked(run), *telling.watched(run)],
        judged=list(telling.judged(run)),
        lineage=telling.ancestors(run.store, run.record)["parents"],
        figures=curves.FIGURES,
        axes=X_AXES,
        files=FILES,
        tags=names_of(request).tags,
    )


def curve(request: Request) -> Response:
    """Returns a curve of a run, or a part of it, as the page draws it."""
    run, query = run_of(request), request.query_params
    found = curves.whole(run, query.get("figure", "return"), query.get("x", "episodes"))
    drawn = curves.of_run(found, pixels_of(request), _place(request, "from"), _place(request, "to"))
    return JSONResponse({**drawn, "episodes": len(found.x), "running": run.status == "running"})


def pixels_of(request: Request) -> int:
    """Returns how many columns of pixels a page has for a curve."""
    text = request.query_params.get("pixels", str(curves.PIXELS))
    if not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= curves.MOST_PIXELS):  # noqa: PLR2004
        raise HTTPException(400, f"pixels must be 1 to {curves.MOST_PIXELS:,}")
    return int(text)


def _place(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    try:
        return None if text is None else float(text)
    except ValueError:
        raise HTTPException(400, f"{name} must be a number") from None


def episode(request: Request) -> Response:
    """Leads to an episode: the "best", the "worst", or the one whose number is asked for."""
    run, asked = run_of(request), request.query_params.get("number", "")
    if asked in EXTREMES:
        returns = curves.whole(run).y
        if not len(returns):
            raise HTTPException(404, f"run {run.id} has finished no episode yet")
        asked = str(EXTREMES[asked](returns))
    if not asked.isdecimal():
        raise HTTPException(400, "an episode is named by its number, from 0 on, best or worst")
    return RedirectResponse(f"/runs/{run.id}/episodes/{int(asked[:15])}", 303)


def download(request: Request) -> Response:
    """Returns a run as a file."""
    run, name = run_of(request), request.path_params["file"]
    if name not in FILES:
        raise HTTPException(404, f"a run is exported as {', '.join(FILES)}")
    what, ending, _ = FILES[name]
    folder = tempfile.TemporaryDirectory()
    try:
        path = export(run, Path(folder.name) / f"{run.id}{ending}", what=what).path
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(path, filename=f"{run.id}-{name}", background=BackgroundTask(folder.cleanup))


routes = [
    Route("/runs/{run}", show),
    Route("/runs/{run}/curve", curve),
    Route("/runs/{run}/episode", episode),
    Route("/runs/{run}/{file}", download),
]
