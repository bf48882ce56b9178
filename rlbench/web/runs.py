"""The table of all runs, or of the groups that differ only in their seed: filtered, sorted, paged by the server."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from rlbench.errors import UsageError
from rlbench.intervals import mean_interval
from rlbench.store.conditions import split, values_of
from rlbench.store.listing import FIGURES, FORMS, WHO, cell, differing
from rlbench.store.querying import Names
from rlbench.store.records import STATUSES
from rlbench.store.store import ALL
from rlbench.texts import to_cell
from rlbench.web.pages import form_of, page, run_named, store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.datastructures import QueryParams
    from starlette.requests import Request

    from rlbench.store import Store
    from rlbench.store.querying import Group
    from rlbench.web.guards import Grant

    Act = Callable[[Store, Sequence[str], Mapping[str, str]], None]

ROWS = 50  # of a page
MOST_ROWS = 10_000  # of a downloaded table
MOST_SETTINGS = 4  # columns that the page chooses by itself
FILTERS = {"env": "env_id", "agent": "agent_name", "tag": "tag", "study": "study", "status": "status"}
OFTEN_LACKING = ("tag", "study")  # a single one of them tells runs apart too
RUN_FIGURES = ("return", "regret", "episodes", "steps", "seconds", "started")
GROUP_FIGURES = ("runs", "return", "95 % interval", "regret")
NUMBERS = {*FORMS, "seed", *GROUP_FIGURES}
WORDS = {"return": "mean return"}  # the heading of a column, where it is not its name


@dataclass(frozen=True)
class Asked:
    """What the address asks for."""

    given: tuple[tuple[str, str], ...]  # parameters of the address, in order

    @classmethod
    def of(cls, query: QueryParams) -> Asked:
        """Reads an address; parameters without a value say nothing."""
        return cls(tuple((name, value.strip()) for name, value in query.multi_items() if value.strip()))

    def get(self, name: str) -> str:
        """Returns a parameter, "" without it."""
        return dict(self.given).get(name, "")

    @property
    def columns(self) -> list[str]:
        """The settings that are chosen as columns; empty: the page chooses."""
        return [value for name, value in self.given if name == "column"]

    @property
    def is_grouped(self) -> bool:
        """Whether runs that differ only in their seed share a row."""
        return self.get("group") == "seeds"

    @property
    def page(self) -> int:
        """Which page, from 1 on."""
        text = self.get("page") or "1"
        if not (text.isdecimal() and int(text[:9]) > 0):
            raise UsageError(f"a page is a number from 1 on, got {text[:40]!r}")
        return int(text[:9])

    @property
    def is_filtered(self) -> bool:
        """Whether some runs may not fit."""
        return any(self.get(name) for name in ("where", *FILTERS))

    def query(self, grant: Grant) -> dict[str, Any]:
        """Returns the arguments of `Store.page`: of what is asked for, the runs that a grant allows."""
        filters = {known: self.get(name) for name, known in FILTERS.items() if self.get(name)}
        filters |= {name: value for name, value in (("env_id", grant.env_id), ("tag", grant.tag)) if value}
        if filters.get("status", STATUSES[0]) not in STATUSES:
            raise UsageError(f"a run is {', '.join(STATUSES)}, got {filters['status'][:40]!r}")
        sort = {"sort": self.get("sort")} if self.get("sort") else {}
        return {**filters, "where": split(self.get("where")), **sort}

    def url(self, *, path: str = "/", **changes: str | None) -> str:
        """Returns the address with some parameters changed; None leaves one out."""
        kept = [(name, value) for name, value in self.given if name not in {*changes, "seen"}]
        new = [(name, value) for name, value in changes.items() if value is not None]
        return f"{path}?{urlencode([*kept, *new])}" if kept or new else path


class Cell(NamedTuple):
    """A value in the table."""

    name: str  # of its column
    text: str
    whole: str = ""  # what was cut off, if it was

    @property
    def is_number(self) -> bool:
        """Whether it stands on the right."""
        return self.name in NUMBERS or self.text.replace(".", "", 1).removeprefix("-").isdecimal()


class Row(NamedTuple):
    """A row of the table."""

    ids: tuple[str, ...]  # of the runs that it stands for
    title: str
    status: str
    cells: list[Cell]
    tags: Sequence[str] = ()


class Table(NamedTuple):
    """A page of the table."""

    columns: list[str]
    rows: list[Row]
    total: int
    known: list[str]  # settings that may become columns
    damaged: Sequence[tuple[str, str]] = ()


# ---------------------------------------------------------------------- tables


def table_of(request: Request, asked: Asked, rows: int = ROWS) -> Table:
    """Returns the page of the table that is asked for."""
    store, query = store_of(request), asked.query(request.scope["grant"])
    offset = (asked.page - 1) * rows
    if asked.is_grouped:
        groups = store.groups(**query, limit=rows, offset=offset)
        return _of_groups(groups.groups, groups.total, asked)
    runs, total, damaged = store.page(**query, limit=rows, offset=offset)
    values = list(map(values_of, runs))
    settings, known = _settings(values, asked)
    figures = [name for name in RUN_FIGURES if any(name in one for one in values)]
    columns = [*WHO, *settings, *figures]
    made = [
        Row((run.id,), run.id, run.status, [_cell(name, one) for name in columns], run.tags)
        for run, one in zip(runs, values, strict=True)
    ]
    return Table(columns, made, total, known, damaged)


def _of_groups(groups: Sequence[Group], total: int, asked: Asked) -> Table:
    values = [{name: value for name, value in values_of(one.newest).items() if name != "seed"} for one in groups]
    settings, known = _settings(values, asked)
    columns = ["env", "agent", *settings, *GROUP_FIGURES]
    rows = []
    for one, told in zip(groups, values, strict=True):
        cells = [_cell(name, told | _figures_of(one)) for name in columns]
        rows.append(Row(one.ids, one.newest.id, "", cells))
    return Table(columns, rows, total, known)


def _figures_of(group: Group) -> dict[str, Any]:
    """Returns the number of runs of a group, and the means of those that were evaluated."""
    means = {"return": group.returns, "regret": group.regrets}
    found: dict[str, Any] = {name: sum(one) / len(one) if one else None for name, one in means.items()}
    interval = "{:.2f} to {:.2f}".format(*mean_interval(group.returns, 0)) if len(group.returns) > 1 else None
    return {**found, "runs": len(group.ids), "95 % interval": interval}


def _settings(values: Sequence[Mapping[str, Any]], asked: Asked) -> tuple[list[str], list[str]]:
    """Returns the settings that are columns, and all that may be."""
    rows = [{"seed": None, **one} for one in values]
    known = [name for name in dict.fromkeys(name for one in values for name in one) if _may_be_column(name)]
    varied = [name for name in (differing(rows) if rows else []) if name in known]
    return asked.columns or varied[:MOST_SETTINGS], sorted({*known, *asked.columns})


def _may_be_column(name: str) -> bool:
    return name not in {"run", *WHO, *FIGURES}


def _cell(name: str, values: Mapping[str, Any]) -> Cell:
    value = values.get(name)
    if name == "started" and value is not None:
        return Cell(name, str(value)[:16], f"{str(value)[:19]} UTC")
    text = cell(name, value)
    return Cell(name, text, str(value) if text.endswith("…") else "")


# ---------------------------------------------------------------------- pages


def show(request: Request) -> Response:
    """Shows a page of the table; to a page that shows it already, nothing while it is the same."""
    asked = Asked.of(request.query_params)
    try:
        table, problem = table_of(request, asked), ""
    except UsageError as error:
        table, problem = Table([], [], 0, []), str(error)
    hidden = 0 if table.total or problem else _hidden(request, asked)
    seen = _digest(table, hidden)
    if request.query_params.get("seen") == seen:
        return Response(status_code=204)
    pages, names = max(1, -(-table.total // ROWS)), names_of(request)
    return page(
        request,
        "runs.html",
        asked=asked,
        table=table,
        problem=problem,
        names=names,
        choices=_choices(names, asked),
        pages=pages,
        seen=seen,
        words=WORDS,
        hidden=hidden,
        headings=[_heading(name, asked) for name in table.columns],
        is_empty=not (table.total or hidden or asked.is_filtered or problem),
    )


def _hidden(request: Request, asked: Asked) -> int:
    """Returns how many runs fit but were made for a study, and so are not shown."""
    query = asked.query(request.scope["grant"])
    return 0 if "study" in query else store_of(request).page(**query, study=ALL, limit=1).total


def _choices(names: Names, asked: Asked) -> dict[str, list[tuple[str, str]]]:
    """Returns what each filter can be set to, as values and words; one that cannot tell runs apart is left out."""
    known = zip(FILTERS, (names.envs, names.agents, names.tags, names.studies, STATUSES), strict=True)
    first = {"study": [("", "none"), (ALL, "any")]}  # runs that were made for a study show where they are asked for
    choices = {}
    for name, values in known:
        chosen, unset = asked.get(name), first.get(name, [("", "any")])
        if chosen or len(values) > (name not in OFTEN_LACKING):
            options = dict(unset) | {value: value for value in values}
            choices[name] = list((options if chosen in options else {**options, chosen: chosen}).items())
    return choices


def names_of(request: Request) -> Names:
    """Returns the names to choose from: of a grant for some runs only its own, none if only the table is asked for."""
    if request.headers.get("hx-target") == "table":
        return Names([], [], [], [])
    grant = request.scope["grant"]
    if grant.env_id or grant.tag:
        return Names([grant.env_id] if grant.env_id else [], [], [grant.tag] if grant.tag else [], [])
    return store_of(request).names()


def _digest(table: Table, hidden: int) -> str:
    return blake2b(repr((table, hidden)).encode(), digest_size=8).hexdigest()


class Heading(NamedTuple):
    """The heading of a column."""

    name: str
    words: str
    order: str  # "ascending", "descending" or "" as the rows are sorted by it
    url: str  # of the table in the other order

    @property
    def is_number(self) -> bool:
        """Whether its column stands on the right."""
        return self.name in NUMBERS


def _heading(name: str, asked: Asked) -> Heading:
    order = {name: "ascending", f"-{name}": "descending"}.get(asked.get("sort"), "")
    first, then = (name, f"-{name}") if name == "regret" or name not in NUMBERS else (f"-{name}", name)
    turned = then if asked.get("sort") == first else first
    url = "" if name == "95 % interval" else asked.url(sort=turned, page=None)
    return Heading(name, WORDS.get(name, name), order, url)


def download(request: Request) -> Response:
    """Returns the table as CSV: what is filtered and sorted so, at most MOST_ROWS rows."""
    asked = Asked.of(request.query_params)
    table = table_of(request, Asked(tuple(one for one in asked.given if one[0] != "page")), MOST_ROWS)
    made = _csv(table).encode(errors="backslashreplace")  # a setting may hold what is no text: a lone surrogate
    return Response(made, media_type="text/csv; charset=utf-8", headers=_named("runs.csv"))


def _csv(table: Table) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run", "status", "tags", *table.columns])
    for row in table.rows:
        cells = (one.whole or one.text for one in row.cells)
        writer.writerow(map(to_cell, [" ".join(row.ids), row.status, " ".join(row.tags), *cells]))
    return file.getvalue()


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


async def change(request: Request) -> Response:
    """Tags, untags, annotates or deletes the chosen runs; then the page loads itself again, or all runs."""
    form = await form_of(request)
    act = ACTS.get(request.path_params["act"])
    if act is None:
        raise HTTPException(404, "Not Found")
    ids = list(dict.fromkeys(run_id for name, value in form if name == "run" for run_id in value.split(",")))
    if not ids:
        raise UsageError("choose a run first: nothing was changed")
    await run_in_threadpool(_change, request, act, ids, dict(form))
    after = {"hx-redirect": "/"} if act is _delete else {"hx-refresh": "true"}
    return Response(status_code=204, headers=after)


def _change(request: Request, act: Act, ids: Sequence[str], form: Mapping[str, str]) -> None:
    for run_id in ids:
        run_named(request, run_id)  # refuses what the grant does not open, before anything is changed
    act(store_of(request), ids, form)


def _tag(store: Store, ids: Sequence[str], form: Mapping[str, str]) -> None:
    tag = form.get("tag", "")
    if not tag:
        raise UsageError("a tag needs a name")
    for run_id in ids:
        kept = [one for one in store.run(run_id).tags if one != tag]
        store.update_run(run_id, tags=kept if form.get("remove") else [*kept, tag])


def _note(store: Store, ids: Sequence[str], form: Mapping[str, str]) -> None:
    for run_id in ids:
        store.update_run(run_id, note=form.get("note", ""))


def _delete(store: Store, ids: Sequence[str], form: Mapping[str, str]) -> None:
    if form.get("sure") != "yes":
        raise UsageError("tick that you are sure: nothing was deleted")
    for run_id in ids:
        store.delete_run(run_id)


ACTS: dict[str, Act] = {"tag": _tag, "note": _note, "delete": _delete}

routes = [
    Route("/", show),
    Route("/runs.csv", download),
    Route("/runs/{act}", change, methods=["POST"]),
]
