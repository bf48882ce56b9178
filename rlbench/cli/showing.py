"""All that is known of a run, in lines of 80 characters: how it was made, how good it is, how to make it again."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from rlbench.cli.output import is_terminal, say
from rlbench.settings import write_setting

if TYPE_CHECKING:
    from rlbench.training import Run

WIDTH = 80
NAME = 12  # characters, of what a line tells
MARKS = {"set": "set", "preset": "preset", "default": ""}


def print_run(run: Run) -> None:
    """Prints all that is known of a run."""
    from rlbench.reports import telling  # noqa: PLC0415  (Gymnasium)

    say(f"run {run.id}: {run.agent_name} on {run.env_id}, seed {run.seed}")
    for name, told in (*telling.made(run), *telling.asked(run)):
        _print(name, told)
    document = telling.run_document(run)
    _print_parameters(run, document["parameters_from"])
    for name, told in (*telling.watched(run), *telling.judged(run)):
        _print(name, told)
    if document["command"] is None:
        _print("made again", f"not possible: {document['not_reproducible']}")
    else:
        _print("made again", document["command"], wrapped=False)
    if document["program"]:
        _print("in Python", document["program"].strip(), wrapped=False)


def _print_parameters(run: Run, origins: dict[str, str]) -> None:
    parameters, preset = run.record.config.agent.parameters, run.record.config.preset
    _print("parameters", (f"preset {preset}" if preset else "no preset") if parameters else "none")
    widths = [
        max(map(len, column), default=0) for column in ((*parameters,), (*map(write_setting, parameters.values()),))
    ]
    for name, value in parameters.items():
        mark = MARKS.get(origins.get(name, ""), "")
        say(f"    {name:<{widths[0]}}  {write_setting(value):<{min(widths[1], 24)}}  {mark}".rstrip())


def _print(name: str, told: str, *, wrapped: bool = True) -> None:
    """Prints what a line tells below its name; what is to be copied stays in one piece."""
    width = min(WIDTH, shutil.get_terminal_size().columns) if is_terminal() else WIDTH
    lines = textwrap.wrap(told, max(20, width - NAME - 2)) if wrapped else told.splitlines()
    for number, line in enumerate(lines):
        say(f"  {'' if number else name:<{NAME}}{line}".rstrip())
