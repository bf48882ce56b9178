"""A study as a notebook shows it: its table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rlbench.settings import write_setting

if TYPE_CHECKING:
    from rlbench.studies.study import Row, Study

MOST = 30  # rows


def study_html(study: Study) -> str:
    """Returns the best combinations of a study as an HTML table."""
    head = ["agent", *(axis.name for axis in study.settings.axes), "seeds", study.settings.objective, "95% interval"]
    rows = [_cells(study.row(number)) for number in study.ranking[:MOST].tolist()]
    table = "".join([_line(head, "th"), *(_line(row, "td") for row in rows)])
    return f"<p>{escape(repr(study))}</p><table>{table}</table>"


def _cells(row: Row) -> list[str]:
    interval = "" if row.interval is None else "{:.4g} to {:.4g}".format(*row.interval)
    value = f"{row.value:.4g}" if row.pruned is None else f"pruned: {row.pruned}"
    return [row.agent, *map(write_setting, row.parameters.values()), str(row.seeds), value, interval]


def _line(cells: list[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
