"""What the commands share: options, the values of --set, how a run is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rlbench.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.store import RunRecord, Store

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

store_option: Decorator = click.option(
    "--store",
    default="rlbench.db",
    envvar="RLBENCH_STORE",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where runs are kept: a path, sqlite:///path, mongodb://host/name, or memory:// for nowhere.",
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
seed_option: Decorator = click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="0 or more; the same seed gives the same result.",
)
env_set_option: Decorator = click.option(
    "--env-set", "env_settings", multiple=True, metavar="K=V", help="An argument of the env; may be repeated."
)
set_option: Decorator = click.option(
    "--set", "settings", multiple=True, metavar="K=V", help="A parameter of the agent; may be repeated."
)
preset_option: Decorator = click.option(
    "--preset", metavar="NAME", default="default", show_default=True, help="Tuned parameters; see `rlbench envs`."
)
engine_option: Decorator = click.option(
    "--engine",
    metavar="auto|compiled|python",
    default="auto",
    show_default=True,
    help="Which loop runs; the result is the same.",
)
trust_option: Decorator = click.option(
    "--trust", is_flag=True, help="Make the env even if the store names code for it: only if you know who wrote it."
)
env_filter_option: Decorator = click.option(
    "--env", "env_filter", metavar="ENV", help="Only runs of this env: an id, or module:id."
)


def examples(*lines: str) -> str:
    """Returns the end of a command's help: lines to copy."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \b: click, leave the lines alone


def env_id_of(name: str | None) -> str | None:
    """Returns the id that a short name or "module:id" stands for, whose module is imported; anything else as it is."""
    if name is None:
        return None
    from rlbench.envs.making import SHORT_NAMES, full_id  # noqa: PLC0415  (Gymnasium, which `rlbench --help` goes without)

    return full_id(name) if ":" in name else SHORT_NAMES.get(name, name)


def find_run(store: Store, ref: str, env: str | None = None) -> RunRecord:
    """Returns a run by id, unique prefix, "latest", or "best": the highest evaluation in one env.

    Args:
        store: where to look.
        ref: which run.
        env: an id or short name: only runs of this env.

    Raises:
        StoreError: there is none; the message says what to do.
    """
    env_id, word = env_id_of(env), ref.strip().lower()
    if word == "best":
        return _best(store, env_id or store.run("latest").env_id)
    if word == "latest" and env_id:
        return _runs_of(store, env_id, limit=1)[0]
    found = store.run(ref)
    if env_id not in (None, found.env_id):
        raise StoreError(f"run {found.id} is of {found.env_id}, not of {env_id}: leave out --env, or name another run")
    return found


def _best(store: Store, env_id: str) -> RunRecord:
    judged = [run for run in _runs_of(store, env_id) if run.evaluation]
    if not judged:
        raise StoreError(f"no run of {env_id} in {store.url} has been evaluated: `rlbench evaluate RUN` does it")
    return max(judged, key=_merit)  # of equals the newest


def _runs_of(store: Store, env_id: str, limit: int | None = None) -> list[RunRecord]:
    found = store.runs(env_id=env_id, limit=limit)
    if not found:
        raise StoreError(f"there is no run of {env_id} in {store.url}: `rlbench train {env_id}` makes one")
    return found


def _merit(run: RunRecord) -> float:
    """Returns the exact value where it is known, else the mean of the sample."""
    figures = run.evaluation or {}
    known = [figures[name] for name in ("exact_return", "mean_return") if figures.get(name) is not None]
    return float(known[0]) if known else -float("inf")
