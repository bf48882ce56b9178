"""What the commands share: options, the values of --set, tables, JSON."""

from __future__ import annotations

import json
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import click

from rlbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rlbench.store import RunRecord, Store

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

store_option: Decorator = click.option(
    "--store",
    default="rlbench.db",
    envvar="RLBENCH_STORE",
    show_default="./rlbench.db",
    show_envvar=True,
    metavar="URL",
    help="Where runs are kept: a path, sqlite:///path or memory://.",
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
seed_option: Decorator = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same result."
)
env_set_option: Decorator = click.option(
    "--env-set", "env_settings", multiple=True, metavar="K=V", help="An argument of the env; may be given often."
)
env_filter_option: Decorator = click.option("--env", "env_filter", metavar="ENV", help="Only runs of this env.")


def parse_settings(settings: Iterable[str], option: str) -> dict[str, Any]:
    """Reads K=V pairs; a value is read as TOML (numbers, true, [lists]), else it is text."""
    parsed: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{option} takes K=V, got {setting!r}")
        parsed[name.strip()] = _value(text.strip())
    return parsed


def _value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if list(table) == ["value"] else text


def print_json(document: dict[str, Any]) -> None:
    """Prints one JSON object; what is not finite was made null before."""
    click.echo(json.dumps(document, allow_nan=False))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Prints an aligned table; columns named in `right` are flush right."""
    from rich.console import Console  # noqa: PLC0415  (only where a table is printed)
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name == header[0])
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table) if console.is_terminal else Console(width=200, highlight=False).print(table)


def find_run(store: Store, ref: str, env_id: str | None = None) -> RunRecord:
    """Returns a run by id, unique prefix, "latest", or "best": the highest evaluation in one env.

    Raises:
        StoreError: there is none; the message says what to do.
    """
    from rlbench.envs import SHORT_NAMES  # noqa: PLC0415

    env_id = SHORT_NAMES.get(env_id, env_id) if env_id else None
    if ref == "latest" and env_id:
        found = store.runs(env_id=env_id, limit=1)
        if not found:
            raise StoreError(f"no run of {env_id} in {store.url}: start one with `rlbench train {env_id}`")
        return found[0]
    if ref != "best":
        return store.run(ref)
    env_id = env_id or store.run("latest").env_id
    judged = [run for run in store.runs(env_id=env_id) if run.evaluation]
    if not judged:
        raise StoreError(f"no run of {env_id} has been evaluated: `rlbench evaluate RUN` first")
    return max(judged, key=_merit)


def _merit(run: RunRecord) -> float:
    figures = run.evaluation or {}
    exact = figures.get("exact_return")
    return float(exact if exact is not None else figures["mean_return"])


def is_terminal() -> bool:
    """Returns whether a person looks at what is printed."""
    return sys.stdout.isatty()
