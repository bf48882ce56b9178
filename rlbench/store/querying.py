"""Pages of a listing: of any number of runs, only the fields that a condition or an order needs are read."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import StoreError, unknown_name
from rlbench.store import codec
from rlbench.store.conditions import UNDECIDING
from rlbench.store.config import RunConfig
from rlbench.store.documents import is_abandoned, is_ours, record, studies_of
from rlbench.store.records import latest
from rlbench.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rlbench.store.backend import Backend
    from rlbench.store.conditions import Condition
    from rlbench.store.documents import Document
    from rlbench.store.records import RunRecord

    Told = Callable[[Document], Any]

CONFIGS = 2**14  # whose settings are kept: runs of a study share a few
EVALUATIONS = 2**17  # whose figures are kept: some 50 MB where there are as many
FIGURES = ("mean_return", "regret")
MISSING: Any = object()  # the value of what a run lacks
GROUPED = ("id", "env_id", "agent_name", "config", "evaluation")


class Query(NamedTuple):
    """Which runs are asked for, and in which order."""

    filters: Mapping[str, str]  # as a backend takes them
    conditions: Sequence[Condition] = ()
    sort: str | None = None  # the name of a value, "-NAME" from the highest; None: the last created first

    @property
    def names(self) -> set[str]:
        """The names of the values that it takes to answer."""
        sort = [] if self.sort is None else [self.sort.removeprefix("-")]
        return {*(one.name for one in self.conditions), *sort}


class Page(NamedTuple):
    """Some of the runs that fit."""

    runs: list[RunRecord]
    total: int  # of all that fit
    damaged: list[tuple[str, str]]  # of this page: the id of each, and what is wrong with it


class Group(NamedTuple):
    """Runs that differ only in their seed."""

    newest: RunRecord
    ids: tuple[str, ...]  # the last created first
    returns: tuple[float, ...]  # of those that were evaluated
    regrets: tuple[float, ...]


class Groups(NamedTuple):
    """Some of the groups of the runs that fit."""

    groups: list[Group]
    total: int


class Names(NamedTuple):
    """What the runs of a store are of, sorted."""

    envs: list[str]
    agents: list[str]
    tags: list[str]
    studies: list[str]


# ---------------------------------------------------------------------- values of a run, by few of its fields


def _evaluated(name: str) -> Told:
    return lambda run: _figures(run["evaluation"]).get(name, MISSING)


def _or_missing(value: list[str]) -> Any:
    return value or MISSING


def _status(run: Document) -> str:
    return "interrupted" if is_abandoned(run, run["now"]) else escaped(run["status"])


def _tags(run: Document) -> Any:
    return _or_missing([escaped(tag) for tag in run["tags"] if not is_ours(tag)])


VALUES: dict[str, tuple[tuple[str, ...], Told]] = {  # what `values_of` tells: the fields it takes, and how
    "run": (("id",), lambda run: run["id"]),
    "env": (("env_id",), lambda run: escaped(run["env_id"])),
    "agent": (("agent_name",), lambda run: escaped(run["agent_name"])),
    "seed": (("seed",), lambda run: int(run["seed"])),
    "status": (("status", "writer", "beat"), _status),
    "episodes": (("episodes",), lambda run: run["episodes"]),
    "steps": (("timesteps",), lambda run: run["timesteps"]),
    "seconds": (("seconds",), lambda run: run["seconds"]),
    "return": (("evaluation",), _evaluated("mean_return")),
    "regret": (("evaluation",), _evaluated("regret")),
    "started": (("created_at",), lambda run: escaped(run["created_at"])[:26].replace("T", " ")),
    "tags": (("tags",), _tags),
    "studies": (("tags",), lambda run: _or_missing(list(studies_of(run)))),
}


def value_of(name: str, run: Document) -> Any:
    """Returns what `values_of` tells of a run by this name, from its fields; MISSING without one, or if damaged."""
    try:
        return VALUES[name][1](run) if name in VALUES else settings(run["config"]).get(name, MISSING)
    except (AttributeError, TypeError, ValueError, StoreError):
        return MISSING


@lru_cache(CONFIGS)
def settings(config: str) -> dict[str, Any]:
    """Returns the settings of a stored configuration; none of a damaged one."""
    return _config(config).settings


@lru_cache(CONFIGS)
def _deciding(config: str) -> str:
    """Returns what decides a run but its env, agent and seed, as text."""
    found = _config(config)
    named = {**found.settings, **asdict(found.budget)}
    return json.dumps({name: value for name, value in named.items() if name not in UNDECIDING}, sort_keys=True)


def _config(config: str) -> RunConfig:
    try:
        found = codec.from_json(config)
    except (TypeError, ValueError, RecursionError):
        found = None
    return RunConfig.of(found if type(found) is dict else {})


@lru_cache(EVALUATIONS)
def _figures(text: str) -> dict[str, float]:
    """Returns the figures of the latest evaluation of a run in its own env; none of a damaged one."""
    found = latest(codec.from_json(text)) or {}
    return {name: found[name] for name in FIGURES if type(found.get(name)) in {int, float}}


# ---------------------------------------------------------------------- pages


def page(backend: Backend, query: Query, limit: int, offset: int = 0) -> Page:
    """Returns some of the runs that a query asks for.

    Raises:
        UnknownNameError: no run has a value of a name.
    """
    if query.names:
        found = _answered(backend, query)
        ids, total = [run["id"] for run in found[offset : offset + limit]], len(found)
    else:
        rows = backend.select_fields(query.filters, ("id",), limit, offset)
        ids, total = [str(row[0]) for row in rows], backend.count_runs(query.filters)
    runs, damaged = _read(backend, ids)
    return Page(runs, total, damaged)


def names(backend: Backend) -> Names:
    """Returns what the runs of a store are of; what is damaged is left out."""
    found: tuple[set[str], ...] = set(), set(), set(), set()
    for env, agent, tags in set(map(_hashable, backend.select_fields({}, ("env_id", "agent_name", "tags")))):
        run = {"env_id": env, "agent_name": agent, "tags": tags}
        for name, known in zip(("env", "agent", "tags", "studies"), found, strict=True):
            value = value_of(name, run)
            known.update([] if value is MISSING else value if isinstance(value, list) else [value])
    return Names(*map(sorted, found))


def _hashable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


def groups(backend: Backend, query: Query, limit: int, offset: int = 0) -> Groups:
    """Returns some of the groups of the runs that a query asks for.

    They are sorted by a mean ("return", "regret"), their number of "runs", or a value of their newest run.

    Raises:
        UnknownNameError: no run has a value of a name.
    """
    by_runs = query.sort in ("runs", "-runs")
    asked = query._replace(sort=None) if by_runs else query
    together: dict[Any, list[Document]] = {}
    for run in _matching(backend, asked, GROUPED):
        together.setdefault((run["env_id"], run["agent_name"], _deciding(run["config"])), []).append(run)
    found = list(together.values())
    if query.sort is not None:
        name = query.sort.removeprefix("-")
        found = ordered(found, lambda runs: _value_of_group(name, runs), query.sort)
    shown = [_group(backend, runs) for runs in found[offset : offset + limit]]
    return Groups([group for group in shown if group is not None], len(found))


def _value_of_group(name: str, runs: Sequence[Document]) -> Any:
    if name == "runs":
        return len(runs)
    if name not in ("return", "regret"):
        return value_of(name, runs[0])
    known = _known(name, runs)
    return sum(known) / len(known) if known else MISSING


def _known(name: str, runs: Sequence[Document]) -> tuple[float, ...]:
    return tuple(value for value in (value_of(name, run) for run in runs) if value is not MISSING)


def _group(backend: Backend, runs: Sequence[Document]) -> Group | None:
    ids = [run["id"] for run in runs]
    newest = next(chain.from_iterable(_read(backend, [run_id])[0] for run_id in ids), None)
    if newest is None:
        return None
    return Group(newest, tuple(ids), _known("return", runs), _known("regret", runs))


def ordered(found: Sequence[Any], value: Callable[[Any], Any], sort: str) -> list[Any]:
    """Returns things in the order of a value, "-NAME" from the highest; those without it come last."""
    known = [(value(one), one) for one in found]
    has = [pair for pair in known if pair[0] is not MISSING]
    has.sort(key=lambda pair: _rank(pair[0]), reverse=sort.startswith("-"))
    return [one for _, one in (*has, *(pair for pair in known if pair[0] is MISSING))]


def _rank(value: Any) -> tuple[bool, float, str]:
    """Returns a key by which numbers come before anything else, which is sorted as text."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0.0, "" if is_number else str(value)


def _answered(backend: Backend, query: Query) -> list[Document]:
    found = _matching(backend, query)
    if query.sort is None:
        return found
    name = query.sort.removeprefix("-")
    return ordered(found, lambda run: value_of(name, run), query.sort)


def _matching(backend: Backend, query: Query, more: Iterable[str] = ()) -> list[Document]:
    """Returns the fields that it takes of the runs for which all conditions hold, the last created first."""
    fields = list({"id": None, **dict.fromkeys(more), **dict.fromkeys(chain(*map(_fields, query.names)))})
    rows, moment = backend.select_fields(query.filters, fields), backend.now()
    runs = [{**dict(zip(fields, row, strict=True)), "now": moment} for row in rows]
    _check_names(query, runs)
    return [run for run in runs if all(_holds(one, run) for one in query.conditions)]


def _fields(name: str) -> tuple[str, ...]:
    return VALUES[name][0] if name in VALUES else ("config",)


def _holds(one: Condition, run: Document) -> bool:
    value = value_of(one.name, run)
    return one.holds({} if value is MISSING else {one.name: value})


def _check_names(query: Query, runs: Iterable[Document]) -> None:
    asked = query.names - VALUES.keys()
    if not asked:
        return
    known = set(chain.from_iterable(map(settings, {run["config"] for run in runs})))
    for name in asked - known if known else ():
        raise unknown_name("column or setting", name, known | VALUES.keys())


def _read(backend: Backend, ids: Iterable[str]) -> tuple[list[RunRecord], list[tuple[str, str]]]:
    """Returns the records of runs, and which are damaged; leaves out those that were deleted meanwhile."""
    runs, damaged = [], []
    for document in chain.from_iterable(backend.select_runs({"id": run_id}, 1) for run_id in ids):
        try:
            runs.append(record(document, backend.now()))
        except StoreError as error:
            damaged.append((str(document.get("id")), str(error)))
    return runs, damaged
