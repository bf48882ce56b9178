"""The page of an episode: drawn step by step, with what the agent knew, and played again on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rlbench.replaying import verify
from rlbench.web.pages import page, run_of, whole_number
from rlbench.web.scenes import SPAN, Scene, World
from rlbench.web.shelf import Shelf

if TYPE_CHECKING:
    from starlette.requests import Request

    from rlbench.replaying import Verification
    from rlbench.store import Episode
    from rlbench.training import Run

LONGEST = 80  # characters of an observation
WORLDS: Shelf[tuple[Any, ...], World] = Shelf(4)
SCENES: Shelf[tuple[Any, ...], Scene] = Shelf(4)


def show(request: Request) -> Response:
    """Shows an episode."""
    run, episode = _found(request)
    figures = figures_of(run, episode.index)
    return page(request, "episode.html", run=run, episode=episode, rate=figures.get("exploration_rate"))


def scene(request: Request) -> Response:
    """Returns what the page needs once to draw an episode, with its first steps."""
    return JSONResponse(_scene(request).head())


def steps(request: Request) -> Response:
    """Returns a span of steps."""
    found = _scene(request)
    start = _step(request, "from", found)
    return JSONResponse(found.steps(start, start + SPAN, then=_is_then(request)))


def values(request: Request) -> Response:
    """Returns the learnt values of the panel of a map."""
    found = _scene(request).panel(whole_number(request, "panel"), then=_is_then(request))
    if found is None:
        raise HTTPException(404, "no values are known there")
    return JSONResponse(found)


def frame(request: Request) -> Response:
    """Returns the env's own picture of a step."""
    found = _scene(request)
    picture = found.picture(_step(request, "step", found))
    return Response(picture, media_type="image/png", headers={"cache-control": "private, max-age=300"})


def verified(request: Request) -> Response:
    """Plays an episode again, and says whether it is the same."""
    run, episode = _found(request)
    found = verify(run, episodes=[episode.index])
    return JSONResponse(_judged(found))


def _judged(found: Verification) -> dict[str, Any]:
    """Returns whether an episode is the same again, in words, and the step at which it differs."""
    if found.unverifiable:
        words = "It cannot be played again: where the env's generator stood before it was not recorded."
        return {"same": None, "step": None, "words": words}
    if not found.mismatched:
        return {"same": True, "step": None, "words": f"The same again, all {found.steps:,} steps."}
    differs = found.mismatches[0]
    was, now = (str(value)[:LONGEST] for value in (differs.stored, differs.found))
    words = f"It differs: the {differs.field} is {now}, stored is {was}."
    return {"same": False, "step": differs.step, "words": words}


def figures_of(run: Run, index: int) -> dict[str, Any]:
    """Returns the figures of an episode."""
    *_, chunk = run.store.chunks(run.id, episodes=[index])
    row = index - chunk.first_episode
    return {name: column[row].tolist() for name, column in chunk.figures.items()}


def _found(request: Request) -> tuple[Run, Episode]:
    """Returns the run and the episode that an address names."""
    run, index = run_of(request), request.path_params["episode"]
    try:
        return run, run.store.episodes(run)[index]
    except IndexError as error:
        raise HTTPException(404, str(error)) from None


def _scene(request: Request) -> Scene:
    run, index = run_of(request), request.path_params["episode"]
    known = run.store.writer, run.id, run.episodes, run.record.checkpoints

    def made() -> Scene:
        return Scene(WORLDS.get(known, lambda: World(run)), _found(request)[1])

    return SCENES.get((*known, index), made)


def _is_then(request: Request) -> bool:
    """Returns whether the action values are asked for as they were while the episode was played."""
    return request.query_params.get("values") == "then"


def _step(request: Request, name: str, found: Scene) -> int:
    step = whole_number(request, name)
    if step > len(found.episode):
        raise HTTPException(404, f"the episode has the steps 0 to {len(found.episode)}, not {step}")
    return step


ROOT = "/runs/{run}/episodes/{episode:int}"
routes = [
    Route(ROOT, show),
    Route(f"{ROOT}/scene", scene),
    Route(f"{ROOT}/steps", steps),
    Route(f"{ROOT}/values", values),
    Route(f"{ROOT}/frame", frame),
    Route(f"{ROOT}/verify", verified, methods=["POST"]),
]
