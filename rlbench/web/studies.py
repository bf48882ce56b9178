"""The pages of studies: what each asked for and came to, its figure, parallel coordinates, importance and trials."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from rlbench.errors import RlbenchError
from rlbench.plots.style import render
from rlbench.reports.parts import on_dark
from rlbench.studies import Study, Tuning, load_study
from rlbench.studies.figure import label_of
from rlbench.studies.importance import importances
from rlbench.studies.keeping import names
from rlbench.web.pages import page, whole_number, whole_store
from rlbench.web.parallel import parallel_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from rlbench.store import Store

LISTED, ROWS = 50, 100  # studies, and combinations, on a page
PLOTTING = Lock()  # matplotlib's settings are those of the process


class Listed(NamedTuple):
    """A study in the list; one that cannot be read says why."""

    name: str
    study: Study | None
    problem: str = ""


def table(request: Request) -> Response:
    """Lists the studies, the last saved first."""
    store, begin = whole_store(request), whole_number(request, "from", 0)
    known = names(store)
    shown = [_listed(store, name) for name in known[begin : begin + LISTED]]
    return page(request, "studies.html", shown=shown, begin=begin, count=len(known), most=LISTED)


def _listed(store: Store, name: str) -> Listed:
    try:
        return Listed(name, load_study(store, name))
    except RlbenchError as error:
        return Listed(name, None, str(error))


def show(request: Request) -> Response:
    """Shows a study."""
    study, begin = _study(request), whole_number(request, "from", 0)
    rows = [study.row(number) for number in study.ranking[begin : begin + ROWS].tolist()]
    return page(
        request,
        "study.html",
        study=study,
        label=label_of(study.settings),
        is_tuning=isinstance(study, Tuning),
        parallel=parallel_of(study),
        importances=importances(study),
        failures=_failures(study),
        rows=rows,
        begin=begin,
        most=ROWS,
    )


def _failures(study: Study) -> list[tuple[str, int, str]]:
    told = [(study.combination(one.combination), one) for one in study.failures]
    return [(str({"agent": agent, **found}), one.seed, one.reason) for (agent, found), one in told]


def figure(request: Request) -> Response:
    """Draws the figure of a study, as SVG."""
    study = _study(request)
    with PLOTTING:
        drawn = on_dark(render(study.plot(), ".svg"))
    return Response(drawn, media_type="image/svg+xml", headers={"cache-control": "no-store"})


def _study(request: Request) -> Study:
    store, name = whole_store(request), request.path_params["study"]
    if name not in names(store):
        raise HTTPException(404, f"there is no study {name!r:.80} in this store")
    return load_study(store, name)


routes = [
    Route("/studies", table),
    Route("/studies/{study}", show),
    Route("/studies/{study}/figure.svg", figure),
]
