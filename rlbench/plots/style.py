"""The style of plots and how they are written, without changes to matplotlib's global settings."""

from __future__ import annotations

import io
import math
import os
import sys
import warnings
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench.checks import whole_number
from rlbench.errors import UsageError
from rlbench.files import require, written
from rlbench.texts import CONTROLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): distinct with any colour vision
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
LINE_COLORS = tuple(color for color in COLORS if color != YELLOW)  # a thin yellow line fades on white
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)))
FONT = 9.0  # points
STYLE: dict[str, Any] = {
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "figure.autolayout": False,  # a figure without a layout is drawn as it is
    "figure.constrained_layout.use": False,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,  # text stays text in a PDF
    "svg.fonttype": "none",  # and in an SVG
    "svg.hashsalt": "rlbench",  # equal figures give equal files
}
FIGURE_SIZE = (5.5, 3.3)  # inches: the text width of a page
DPI = 200  # of a PNG
LEAST_DPI, MOST_DPI = 20, 2400
MOST_PIXELS = 10**8  # of a PNG: 400 MB of memory while it is drawn
PICTURE_FORMATS = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
LONGEST_LABEL = 80  # characters of a name in a plot
FEW_DECADES = 200  # high / low: below this, powers of ten alone give too few ticks
SMALLEST, LARGEST = 1e-3, 1e6  # ticks in this range are written in digits
SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


_font: ContextVar[float] = ContextVar("font", default=FONT)


@contextmanager
def styled(font: float | None = None) -> Iterator[None]:
    """Applies our style to everything drawn inside the context.

    Args:
        font: the size of text in points; by default that of the context around this one.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib, outer = _matplotlib(), _font.set(font or _font.get())
    size = _font.get()
    sizes = {"font.size": size, "axes.titlesize": size, "figure.titlesize": size} | dict.fromkeys(
        ("legend.fontsize", "legend.title_fontsize"), size - 1
    )
    try:
        with matplotlib.rc_context(STYLE | sizes), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from font", UserWarning)  # names in other scripts
            yield
    finally:
        _font.reset(outer)


def _matplotlib() -> Any:
    """Imports matplotlib even if MPLBACKEND names a backend that it refuses: writing a file needs none."""
    backend = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        matplotlib = require("matplotlib", "plots", "a picture")
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend  # as matplotlib itself does
    return matplotlib


def rc_params() -> Any:
    """Returns matplotlib's settings."""
    import matplotlib as mpl  # noqa: PLC0415  (an extra)

    return mpl.rcParams


def axes_or_new(ax: Axes | None, size: tuple[float, float] = FIGURE_SIZE) -> Axes:
    """Returns the given axes, else those of a new pyplot figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # noqa: PLC0415  (only if no axes are given)

    try:
        _, made = plt.subplots(figsize=size, layout="constrained")
    except ImportError:  # MPLBACKEND names a backend that is not installed, or that needs a display
        made = new_figure(size).subplots()
    return made


def new_figure(size: tuple[float, float] = FIGURE_SIZE) -> Figure:
    """Returns a figure for a file, not registered with pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (an extra)
    from matplotlib.figure import Figure  # noqa: PLC0415  (likewise)

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # it keeps what it measured of a text, where a figure without a canvas measures it anew
    return figure


def check_path(path: str | Path) -> Path:
    """Returns the path of a plot, checked.

    Raises:
        UsageError: the extension is not that of a picture.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURE_FORMATS:
        raise UsageError(f"a picture must end in .png, .svg or .pdf, got {str(path)!r}")
    return path


def check_dpi(dpi: int) -> int:
    """Returns dots per inch, checked; UsageError if they are no whole number or out of range."""
    return whole_number("dpi", dpi, least=LEAST_DPI, most=MOST_DPI)


def save(figure: Figure, path: str | Path, *, dpi: int = DPI) -> Path:
    """Writes a figure as SVG, PDF or PNG, by the extension, replacing an existing file.

    Args:
        figure: to write.
        path: where to; ends in .svg, .pdf or .png.
        dpi: dots per inch of a PNG, and of what an SVG or PDF holds as dots: maps of many squares.

    Raises:
        UsageError: another extension, a missing folder, a path that exists but is not a file, or too many dots.
        StoreError: the file cannot be written.
    """
    path = check_path(path)
    width, height = figure.get_size_inches() * check_dpi(dpi)
    if path.suffix.lower() == ".png" and width * height > MOST_PIXELS:
        raise UsageError(f"a PNG of {width:,.0f} x {height:,.0f} dots is too large: choose a smaller size or dpi")
    with written(path, overwrite=True) as draft:
        draft.write_bytes(render(figure, path.suffix.lower(), dpi))
    return path


def render(figure: Figure, suffix: str, dpi: int = DPI) -> bytes:
    """Returns a figure as the bytes of a .png, .svg or .pdf; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with styled(), _laid_out_once(figure):
        figure.savefig(buffer, format=suffix[1:], dpi=dpi, metadata=PICTURE_FORMATS[suffix])
    return buffer.getvalue()


def lay_out(figure: Figure) -> None:
    """Runs the layout of a figure, unless nothing in it has changed since: each time takes as long as drawing."""
    engine = figure.get_layout_engine()
    if engine is not None and figure.stale:
        engine.execute(figure)
        for ax in figure.axes:
            if ax.get_axes_locator() is None:  # a colour bar has one
                ax.apply_aspect()
        figure.stale = False  # as after drawing: whatever is changed from here on sets it again


@contextmanager
def _laid_out_once(figure: Figure) -> Iterator[None]:
    """Runs the layout now, unless nothing has changed since it ran, and not again while the figure is written."""
    engine = figure.get_layout_engine()
    lay_out(figure)
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def line_style(number: int) -> dict[str, Any]:
    """Returns the colour and the dashes of a line: the first differ in colour, those after them in dashes too."""
    return {
        "color": LINE_COLORS[number % len(LINE_COLORS)],
        "linestyle": DASHES[number // len(LINE_COLORS) % len(DASHES)],
    }


def whole_numbers(axis: Any) -> None:
    """Restricts the ticks of an axis to whole numbers."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  (an extra)

    axis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10]))


def logarithmic(axis: Any, low: float, high: float) -> None:
    """Puts ticks at powers of ten, and between them if there are few; avoids matplotlib's slow mathtext."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415  (an extra)

    few = high < FEW_DECADES * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(lambda value, _: power_of_ten(value))
    axis.set_minor_locator(NullLocator())


def power_of_ten(value: float) -> str:
    """Returns a tick label: "0.05", "2,000", or "10⁻⁸" if that is shorter."""
    exponent = math.log10(value)
    if SMALLEST <= value <= LARGEST or not exponent.is_integer():
        return f"{value:,.7g}"
    return "10" + str(int(exponent)).translate(SUPERSCRIPTS)


def plain(text: object, longest: int = LONGEST_LABEL) -> str:
    """Returns text that matplotlib draws literally: no mathtext, no control characters, cut if long."""
    text = CONTROLS.sub(" ", str(text))
    text = text if len(text) <= longest else text[: longest - 3] + "..."
    text = " " + text if text.startswith("_") else text  # a legend skips labels that start with _
    return text.replace("$", r"\$")
