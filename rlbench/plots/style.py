"""How our pictures look, and how they are written: nothing of it changes matplotlib's global settings."""

from __future__ import annotations

import io
import math
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench.errors import UsageError
from rlbench.files import require, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart with any colour vision
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK = COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
GREY, PALE = "#999999", "#EBEBEB"
STYLE: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.0,
    "legend.title_fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,  # text stays text in a PDF
    "svg.hashsalt": "rlbench",  # the same picture is the same file
}
FIGURE_SIZE = (5.5, 3.3)  # inches: the width of a page's text
DPI = 200  # of a PNG
PICTURE_FORMATS = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
LONGEST_LABEL = 80  # characters of a name in a picture
FEW_DECADES = 200  # times the lowest value: up to there, powers of ten alone would be too few ticks
SMALLEST, LARGEST = 1e-3, 1e6  # what a tick says in digits
SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
UNDRAWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@contextmanager
def styled() -> Iterator[None]:
    """Lets what is drawn inside look like ours, and what is drawn outside as before.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "plots", "a picture")
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from font", UserWarning)  # a name in another script
        yield


def axes_or_new(ax: Axes | None, size: tuple[float, float] = FIGURE_SIZE) -> Axes:
    """Returns the axes that a caller gave, else those of a new pyplot figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # noqa: PLC0415  (only where nobody has made a figure)

    _, made = plt.subplots(figsize=size, layout="constrained")
    return made


def new_figure(size: tuple[float, float] = FIGURE_SIZE) -> Figure:
    """Returns a figure that pyplot does not know of, for a file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)

    return Figure(figsize=size, layout="constrained")


def check_path(path: str | Path) -> Path:
    """Returns where a picture is to be written.

    Raises:
        UsageError: no picture has this extension.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURE_FORMATS:
        raise UsageError(f"a picture is .png, .svg or .pdf, got {str(path)!r}: give its name one of these endings")
    return path


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as SVG, PDF or PNG, by the extension; a file that is there is replaced.

    Raises:
        UsageError: another extension, a folder that is not there, or a name that is taken by what is no file.
        StoreError: it cannot be written.
    """
    path = check_path(path)
    with written(path, overwrite=True) as draft:
        draft.write_bytes(render(figure, path.suffix.lower()))
    return path


def render(figure: Figure, suffix: str) -> bytes:
    """Returns a figure as the bytes of a .png, .svg or .pdf; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with styled(), _laid_out_once(figure):
        figure.savefig(buffer, format=suffix[1:], dpi=DPI, metadata=PICTURE_FORMATS[suffix])
    return buffer.getvalue()


@contextmanager
def _laid_out_once(figure: Figure) -> Iterator[None]:
    """Lays a figure out now, and not twice more while it is written: a third of the time."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def whole_numbers(axis: Any) -> None:
    """Lets an axis count: no tick between two whole numbers."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  (an extra)

    axis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10]))


def logarithmic(axis: Any, low: float, high: float) -> None:
    """Puts ticks at powers of ten, or between them where there are few; said without matplotlib's slow formulas."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415  (an extra)

    few = high < FEW_DECADES * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(lambda value, _: power_of_ten(value))
    axis.set_minor_locator(NullLocator())


def power_of_ten(value: float) -> str:
    """Returns a tick's label: "0.05", "2,000", or "10⁻⁸" where that is shorter."""
    exponent = math.log10(value)
    if SMALLEST <= value <= LARGEST or not exponent.is_integer():
        return f"{value:,g}" if value < LARGEST else f"{value:g}"
    return "10" + str(int(exponent)).translate(SUPERSCRIPTS)


def plain(text: object) -> str:
    """Returns text as matplotlib draws it letter by letter: no formula between dollars, no odd characters, not long."""
    text = UNDRAWABLE.sub(" ", str(text))
    text = text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 3] + "..."
    text = " " + text if text.startswith("_") else text  # a legend leaves out what begins so
    return text.replace("$", r"\$")
