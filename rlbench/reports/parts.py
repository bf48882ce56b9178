"""The parts of a page: text, tables and pictures as self-contained markup."""

from __future__ import annotations

import base64
import html
import json
from functools import partial
from string import Template
from typing import TYPE_CHECKING, Any

from rlbench.errors import RlbenchError
from rlbench.files import packaged
from rlbench.plots import draw
from rlbench.plots.style import render
from rlbench.texts import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rlbench.training import Run

PICTURES = {
    "curve": "Returns over training",
    "exploration": "Exploration",
    "actions": "Actions",
    "td": "Temporal-difference errors",
    "values": "Values of the learnt table",
    "policy": "Learnt policy",
    "states": "States seen in training",
}
WIDE = 7.5  # inches: a wider picture has a row of its own, and a narrow screen shows a part of it, in letters to read
EVALUATION = {"evaluation": "Greedy episodes over training"}  # of runs that were evaluated while they were trained
# on a dark page pictures are inverted (page.css), but the colours of a heat map keep their meaning
HEAT = b"@media (prefers-color-scheme: dark) {image:not(#ground) {filter: invert(1) hue-rotate(180deg)}}"


def document(title: str, body: Iterable[str]) -> str:
    """Returns a page as HTML, with a content security policy that forbids all loading and scripts."""
    return Template(packaged(__package__, "page.html")).substitute(
        title=text(title), style=packaged(__package__, "page.css"), body="\n".join(body)
    )


def text(value: object) -> str:
    """Returns text with its markup and its control characters escaped."""
    return html.escape("\n".join(map(escaped, str(value).split("\n"))), quote=True)


def said(value: Any) -> str:
    """Returns a value as text, as it stands in JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def section(title: str, content: str) -> str:
    """Returns a titled section of ready markup."""
    return f"<section><h2>{text(title)}</h2>{content}</section>"


def note(words: str) -> str:
    """Returns a remark; "" for none."""
    return f'<p class="note">{text(words)}</p>' if words else ""


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of texts; its header may be empty."""
    head = f"<thead><tr>{''.join(f'<th>{text(name)}</th>' for name in header)}</tr></thead>" if header else ""
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="settings">{head}<tbody>{body}</tbody></table>'


def attempt(make: Callable[[], Any]) -> tuple[Any, str]:
    """Returns what `make` returns and "", or None and the reason it failed."""
    try:
        return make(), ""
    except RlbenchError as error:
        return None, str(error)


def tiles_of(figures: Iterable[tuple[str, str]]) -> str:
    """Returns key figures, (name, value), in boxes."""
    tiles = "".join(f'<div class="tile"><b>{text(value)}</b><span>{text(name)}</span></div>' for name, value in figures)
    return f'<div class="tiles">{tiles}</div>'


def number(value: float) -> str:
    """Returns a figure with all its digits if it is whole, else four decimals."""
    return f"{value:,.10g}" if float(value).is_integer() else f"{value:,.4f}"


def picture_of(runs: Sequence[Run], kind: str, title: str) -> str:
    """Returns a plot of runs of a kind of `rlbench.plots.KINDS`, with a heading of its own."""
    figure = draw(runs, kind, title="" if len(runs) == 1 else None)  # the page has it as heading
    for ax in figure.axes:
        if ax.get_title(loc="left"):
            ax.set_title("", loc="left")
    return image_of(figure, title)


def pictures_of(runs: Sequence[Run], titles: dict[str, str]) -> str:
    """Returns plots of runs by kind; lists those that cannot be drawn below, with the reason."""
    shown, left_out = [], []
    for kind, title in titles.items():
        picture, why_not = attempt(partial(picture_of, runs, kind, title))
        shown += [picture] if picture else []
        left_out += [f"{title}: {why_not}"] if why_not else []
    return f'<div class="pictures">{"".join(shown)}</div>' + "".join(map(note, left_out))


def image_of(figure: Any, title: str) -> str:
    """Returns a figure as an inline image: scripts in an image do not run."""
    data = base64.b64encode(on_dark(render(figure, ".svg"))).decode()
    caption = f"<figcaption>{text(title)}</figcaption>" if title else ""
    kind = "plot wide" if figure.get_size_inches()[0] > WIDE else "plot"
    return f'<figure class="{kind}">{caption}<img alt="{text(title)}" src="data:image/svg+xml;base64,{data}"></figure>'


def on_dark(picture: bytes) -> bytes:
    """Returns an SVG whose heat maps keep their colours where a dark page inverts it."""
    return picture.replace(b"</style>", HEAT + b"</style>", 1)
