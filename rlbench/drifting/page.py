"""The report of a drift: one self-contained HTML page, in the manner of a run's report."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rlbench.envs.actions import action_name
from rlbench.files import written
from rlbench.plots.drifts import drift_distributions, drift_effects
from rlbench.plots.style import new_figure, styled
from rlbench.reports.page import check_path, place
from rlbench.reports.parts import attempt, document, image_of, note, number, section, table_of, text, tiles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from rlbench.drifting.comparing import ColumnDrift
    from rlbench.drifting.measuring import Drift
    from rlbench.drifting.transitions import Impossible, PairDrift, Transitions

MOST = 40  # columns in a picture, the largest effects
UNITS = {"Wasserstein": ", in standard deviations of the reference"}
DISTRIBUTIONS = 6  # columns drawn, the largest effects
SIZE = (5.5, 3.3)  # inches
COLUMNS = ("column", "measure", "effect", "95 % interval", "p", "p (Holm)", "PSI", "drifted")
PAIRS = ("state", "action", "steps", "effect", "p (Holm)", "drifted")
COSTS = ("", "exact return", "best possible", "regret")
SHOWN = 20  # transitions


def drift_report(found: Drift, path: str | Path = "drift.html") -> Path:
    """Writes a drift to a self-contained HTML page, replacing an existing file.

    Raises:
        UsageError: the name does not end in .html, or the folder does not exist.
        StoreError: the file cannot be written.
    """
    path = check_path(path)
    with written(path, overwrite=True) as draft:
        draft.write_text(page(found), encoding="utf-8")
    return path


def page(found: Drift) -> str:
    """Returns the report as HTML, with a content security policy that forbids all loading and scripts."""
    about = f"{found.data.source}, compared with {found.reference.source}"
    body = [
        f"<h1>{text(f'Drift: {found.target}')}</h1>",
        f'<p class="about">{text(about)}</p>',
        tiles_of(_key_figures(found)),
        section("Columns", _columns(found)),
        section("Transitions", _transitions(found)),
        section("As a stream", table_of((), alarm_rows(found))),
        section("How this was decided", _explained(found)),
    ]
    return document(f"Drift: {found.target}", body)


def _key_figures(found: Drift) -> list[tuple[str, str]]:
    drifted = sum(column.drifted for column in found.columns)
    figures = [
        ("verdict", "drifted" if found.drifted else "no drift"),
        ("columns drifted", f"{drifted} of {len(found.columns)}"),
        ("rows", f"{len(found.data):,}"),
    ]
    if found.transitions is not None:
        impossible = sum(one.steps for one in found.transitions.impossible)
        figures += [
            ("impossible steps", f"{impossible:,}"),
            ("exact return lost", number(found.transitions.lost_return)),
        ]
    return figures


def _columns(found: Drift) -> str:
    largest = sorted(found.columns, key=lambda column: -column.effect)
    pictures = [
        *(_attempted(partial(_effects, found, part), f"Effects: {part[0].measure}") for part in _by_measure(largest)),
        *(_attempted(partial(_distribution, found, one), one.name) for one in largest[:DISTRIBUTIONS]),
    ]
    table = _wide(COLUMNS, map(column_cells, found.columns))
    return f'<div class="pictures">{"".join(pictures)}</div>{table}'


def _by_measure(columns: Sequence[ColumnDrift]) -> Iterable[list[ColumnDrift]]:
    for measure in dict.fromkeys(column.measure for column in columns):
        yield [column for column in columns if column.measure == measure]


def _attempted(draw: Callable[[Axes], Axes], title: str) -> str:
    picture, why_not = attempt(partial(_picture, draw, title))
    return picture or note(why_not)


def _picture(draw: Callable[[Axes], Axes], title: str) -> str:
    with styled():
        figure = new_figure(SIZE)
        draw(figure.subplots())
    return image_of(figure, title)


def _effects(found: Drift, columns: Sequence[ColumnDrift], ax: Axes) -> Axes:
    shown = sorted(columns, key=lambda column: column.effect)[-MOST:]
    drawn = drift_effects(
        [column.name for column in shown],
        [column.effect for column in shown],
        [column.interval for column in shown],
        ax,
        drifted=[column.drifted for column in shown],
        least_effect=found.least_effect,
    )
    drawn.set_xlabel(shown[0].measure + UNITS.get(shown[0].measure, ""))
    return drawn


def _distribution(found: Drift, column: ColumnDrift, ax: Axes) -> Axes:
    name = column.name
    return drift_distributions(found.reference.columns[name], found.data.columns[name], ax, name=name)


def column_cells(column: ColumnDrift) -> list[str]:
    """Returns a column as cells of text."""
    low, high = column.interval
    p = (f"{column.p:.2g}", f"{column.p_holm:.2g}")
    effects = (f"{column.effect:.3f}", f"{low:.3f} to {high:.3f}")
    return [column.name, column.measure, *effects, *p, f"{column.psi:.3f}", "yes" if column.drifted else "no"]


def alarm_rows(found: Drift) -> list[tuple[str, str]]:
    """Returns what the monitor says, as (name, value)."""
    state = found.alarms
    return [
        ("rows", f"{state.rows:,}"),
        ("windows compared", f"{state.windows:,}"),
        ("alarms", f"{state.alarms:,}"),
        ("budget", f"one false alarm in {found.budget:,} rows"),
    ]


def _transitions(found: Drift) -> str:
    compared = found.transitions
    if compared is None:
        return note(f"not compared: {found.why_not}")
    parts = [
        f"<p>{compared.steps:,} steps over {compared.visited:,} pairs of state and action; "
        f"{len(compared.pairs):,} of them have several outcomes and were tested.</p>",
        _impossible(compared),
        _pairs(compared),
        f"<h3>What it costs</h3>{_wide(COSTS, cost_rows(compared))}",
    ]
    return "".join(parts)


def _impossible(compared: Transitions) -> str:
    if not compared.impossible:
        return "<p>No step that the table rules out.</p>"
    head = ("state", "action", "reward", "next state", "terminated", "steps")
    rows = [
        [
            *pair_cells(compared, one),
            f"{one.reward:g}",
            place(compared.layout, one.next_state),
            "yes" if one.terminated else "no",
            f"{one.steps:,}",
        ]
        for one in compared.impossible[:SHOWN]
    ]
    return f"<h3>Impossible by the table</h3>{_wide(head, rows)}{_more(compared.impossible)}"


def _pairs(compared: Transitions) -> str:
    if not compared.pairs:
        return ""
    rows = [
        [
            *pair_cells(compared, one),
            f"{one.steps:,}",
            f"{one.effect:.3f}",
            f"{one.p_holm:.2g}",
            "yes" if one.drifted else "no",
        ]
        for one in compared.pairs[:SHOWN]
    ]
    return f"<h3>Outcomes of a pair</h3>{_wide(PAIRS, rows)}{_more(compared.pairs)}"


def pair_cells(compared: Transitions, one: Impossible | PairDrift) -> tuple[str, str]:
    """Returns a state and an action, in words where the env has any."""
    return place(compared.layout, one.state), action_name(compared.actions, one.action)


def _wide(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table that a narrow screen scrolls sideways."""
    return f'<div class="wide">{table_of(header, rows)}</div>'


def _more(rows: Sequence[object]) -> str:
    return f"<p>and {len(rows) - SHOWN:,} more</p>" if len(rows) > SHOWN else ""


def cost_rows(compared: Transitions) -> list[list[str]]:
    """Returns the policy's scores before and now, as cells of text."""
    return [
        [name, *(number(value) for value in (score.exact_return, score.optimal_return, score.regret))]
        for name, score in (("by the known table", compared.before), ("with the observed outcomes", compared.now))
    ]


def _explained(found: Drift) -> str:
    return (
        f"<p>A column has drifted if its p-value, corrected for the number of columns (Holm), is at most "
        f"{found.alpha:g} and its effect at least {found.least_effect:g}: with many rows, every difference is "
        "significant, and only some matter. "
        "p-values come from permutations and intervals from resamples of whole episodes or rows. "
        f"Compared were {len(found.reference):,} rows ({found.reference.n_units:,} that are independent) with "
        f"{len(found.data):,} ({found.data.n_units:,}).</p>"
    )
