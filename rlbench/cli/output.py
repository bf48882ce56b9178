"""How the commands print: tables, JSON, frames; on a terminal and into a pipe."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from rlbench.texts import escaped, strict_json, to_cell
from rlbench.viewer.colors import marked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COLUMN_GAP = 2  # blanks between two columns of a table


def say(text: str = "", *, err: bool = False) -> None:
    """Prints lines; control characters in them are written out, wherever the text comes from."""
    click.echo("\n".join(map(escaped, text.split("\n"))), err=err)


def print_json(document: dict[str, Any]) -> None:
    """Prints one JSON object, with the heads of the audit logs that have grown; what is not finite is null."""
    heads = take_heads()
    click.echo(strict_json({**document, **({"audit_heads": heads} if heads else {})}))


def say_heads() -> None:
    """Says with which hash each audit log ends that has grown, so that it can be kept elsewhere."""
    for url, head in take_heads().items():
        say(f"{url}: audit head {head}", err=True)


def take_heads() -> dict[str, str]:
    """Returns the heads of the audit logs to which this process has added since this was asked last, by URL."""
    audit = sys.modules.get("rlbench.store.audit")  # where nothing has imported it, nothing was entered
    if audit is None:
        return {}
    found = {url: head for url, head in audit.HEADS.items() if head and not url.startswith("memory:")}
    audit.HEADS.clear()
    return found


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> list[str]:
    """Prints an aligned table; returns the names of the columns that it left out.

    On a terminal that is still too narrow, its lines go on below: nothing is cut.

    Args:
        header: the names of the columns.
        rows: their cells.
        right: which columns are flush right.
        optional: which may be left out, in this order, where a terminal is too narrow.
    """
    table = [list(map(escaped, row)) for row in (header, *rows)]
    available = shutil.get_terminal_size().columns if is_terminal() else 0
    left_out = []
    for name in optional if available else ():
        if name in table[0] and _width(table) > available:
            table = _without(table, name)
            left_out.append(name)
    has_room = sum(_widths(table)[:-1]) + COLUMN_GAP * len(table[0]) < available  # for the last column, wrapped
    (_print_on_terminal if has_room else _print_plainly)(table, right)
    return left_out


def _width(table: list[list[str]]) -> int:
    return sum(_widths(table)) + COLUMN_GAP * (len(table[0]) - 1)


def _widths(table: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def _without(table: list[list[str]], name: str) -> list[list[str]]:
    at = table[0].index(name)
    return [row[:at] + row[at + 1 :] for row in table]


def _print_plainly(table: list[list[str]], right: Sequence[str]) -> None:
    widths, flush = _widths(table), [str.rjust if name in right else str.ljust for name in table[0]]
    for row in table:
        cells = [pad(cell, width) for pad, cell, width in zip(flush, row, widths, strict=True)]
        click.echo((" " * COLUMN_GAP).join(cells).rstrip())


def _print_on_terminal(table: list[list[str]], right: Sequence[str]) -> None:
    from rich.console import Console  # noqa: PLC0415  (rich: 0.1 s)
    from rich.table import Table  # noqa: PLC0415  (likewise)
    from rich.text import Text  # noqa: PLC0415  (likewise)

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, COLUMN_GAP, 0, 0))
    for name in table[0]:
        # the last column may be wrapped: it is where the sentences are
        grid.add_column(Text(name), justify="right" if name in right else "left", no_wrap=name != table[0][-1])
    for row in table[1:]:
        grid.add_row(*map(Text, row))
    Console(highlight=False).print(grid)


def print_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints comma-separated values, numbers exactly; no terminal obeys a text in them, no spreadsheet computes it."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([escaped(to_cell(name)) for name in header])
    for row in rows:
        writer.writerow([value if isinstance(value, float) else escaped(_text(value)) for value in row])


def _text(value: Any) -> str:
    return to_cell(value) if isinstance(value, str) else cell(value)


def cell(value: Any) -> str:
    """Returns a value of a database for a table: nothing for NULL, X'00' for bytes, ten digits of a float."""
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)


def confirm_deletion(what: str, rows: Sequence[Sequence[str]]) -> None:
    """Shows what would be deleted, a row each, and asks; Abort unless the answer is yes."""
    for row in rows:
        say("  ".join(row), err=True)
    click.confirm(f"Delete {f'this {what}' if len(rows) == 1 else f'these {len(rows)} {what}s'}?", abort=True, err=True)


def is_terminal() -> bool:
    """Returns whether a person looks at what is printed, on something that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show(frames: Iterable[str], delay: float) -> None:
    """Prints frames one after another; on a terminal that they fit in, each takes the place of the one before."""
    height = 0
    for number, frame in enumerate(frames):
        if height:
            click.echo(f"\x1b[{height}A\x1b[J", nl=False, color=True)
        elif number:
            click.echo()
        print_frame(frame)
        height = _height_to_go_back(frame)
        if is_terminal():
            time.sleep(delay)


def print_frame(frame: str) -> None:
    """Prints a picture, in colours where they are wanted; elsewhere the agent is marked @ instead."""
    colours = has_colours()
    click.echo(frame if colours else click.unstyle(marked(frame)), color=colours)


def say_title(text: str) -> None:
    """Prints a line in bold, where there are colours."""
    say(text) if not has_colours() else click.secho(escaped(text), bold=True, color=True)


def say_indented(text: str) -> None:
    """Prints paragraphs, indented, and no wider than a terminal."""
    width = shutil.get_terminal_size().columns if is_terminal() else sys.maxsize
    say(click.wrap_text(text, width, "  ", "  ", preserve_paragraphs=True))


def has_colours() -> bool:
    """Returns whether colours are wanted: on a terminal, or anywhere under FORCE_COLOR; nowhere under NO_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    return is_terminal() or bool(os.environ.get("FORCE_COLOR"))


def _height_to_go_back(frame: str) -> int:
    """Returns the lines of a frame; 0 if the next cannot be drawn over it."""
    lines, terminal = click.unstyle(frame).split("\n"), shutil.get_terminal_size()
    fits = len(lines) < terminal.lines and max(map(len, lines)) <= terminal.columns
    return len(lines) if is_terminal() and fits else 0
