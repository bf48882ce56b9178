"""The comparison of some runs: their curves over each other, their scores with intervals, and in what they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rlbench.errors import RlbenchError, UsageError
from rlbench.evaluation.comparison import METRICS, differing, group_runs, scored, settings_of
from rlbench.plots.comparing import letter
from rlbench.plots.series import X_AXES
from rlbench.reports.parts import said
from rlbench.web import curves
from rlbench.web.pages import page, run_named
from rlbench.web.run import pixels_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from rlbench.training import Run

MOST = 200  # runs in one comparison
MOST_PAIRED = 10  # candidates of which each is compared with each other


def show(request: Request) -> Response:
    """Shows the comparison of the runs that the address names."""
    runs = _runs(request)
    try:
        groups, problem = group_runs(runs), ""
    except UsageError as error:
        groups, problem = [], str(error)
    settings = [settings_of(group.runs[0]) for group in groups]
    names = differing(settings)
    rows = [
        (letter(i), group, [said(one[name]) if name in one else "-" for name in names])
        for i, (group, one) in enumerate(zip(groups, settings, strict=True))
    ]
    return page(
        request,
        "compare.html",
        runs=runs,
        rows=rows,
        names=names,
        problem=problem,
        axes=X_AXES,
        query=request.url.query,
        running=any(run.status == "running" for run in runs),
        env=runs[0].env_id,
    )


def lines(request: Request) -> Response:
    """Returns the curves of the runs that the address names, as the page draws them."""
    groups, x = group_runs(_runs(request)), request.query_params.get("x", "episodes")
    return JSONResponse(curves.of_groups(groups, pixels_of(request), x))


def scores(request: Request) -> Response:
    """Shows how good the candidates are, and how probable it is that one beats another."""
    metric = request.query_params.get("metric", "training")
    if metric not in METRICS:
        raise HTTPException(400, f"a metric is {' or '.join(METRICS)}")
    groups = group_runs(_runs(request))
    for run in (run for group in groups for run in group.runs):
        run.figures = {"return": curves.whole(run).y}  # a comparison needs no others, and the curves have them
    found: Any = None
    try:
        found, problem = scored(groups, metric, pairs=1 < len(groups) <= MOST_PAIRED), ""
    except RlbenchError as error:
        problem = str(error)
    return page(
        request,
        "scores.html",
        found=found,
        problem=problem,
        metric=metric,
        query=request.url.query,
        letters=[letter(i) for i in range(len(groups))],
        most=MOST_PAIRED,
    )


def _runs(request: Request) -> list[Run]:
    """Returns the runs that an address names, each once."""
    named = [run_id for value in request.query_params.getlist("run") for run_id in value.split(",") if run_id]
    ids = list(dict.fromkeys(named))
    if not 1 <= len(ids) <= MOST:
        raise HTTPException(400, f"a comparison takes 1 to {MOST} runs, got {len(ids)}")
    return [run_named(request, run_id) for run_id in ids]


routes = [Route("/compare", show), Route("/compare/curves", lines), Route("/compare/scores", scores)]
