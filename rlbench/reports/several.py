"""The report of several runs: what differs between them, their curves, how they compare, and a table of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.evaluation.comparison import differing, group_runs, scored, settings_of
from rlbench.plots import KINDS, comparison_figure
from rlbench.plots.comparing import letter
from rlbench.replaying import command_of
from rlbench.reports.parts import (
    EVALUATION,
    PICTURES,
    attempt,
    document,
    image_of,
    note,
    number,
    pictures_of,
    said,
    section,
    table_of,
    text,
    tiles_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rlbench.evaluation.comparison import Candidate, Comparison, Group
    from rlbench.training import Run

SCORES = ("candidate", "runs", "mean return", "interquartile mean", "95 % interval", "regret")


def page_of_several(runs: Sequence[Run]) -> str:
    """Returns the report of several runs of one env as HTML.

    Raises:
        UsageError: there are none, or their envs differ.
    """
    groups = group_runs(runs)
    found, why_not = attempt(lambda: scored(groups))
    if found is None:
        found, _ = attempt(lambda: scored(groups, "training"))
    who = f"{groups[0].runs[0].agent_name}" if len(groups) == 1 else f"{len(groups)} candidates"
    title = f"{who} on {runs[0].env_id}, {sum(len(group.runs) for group in groups)} runs"
    body = [
        f"<h1>{text(title)}</h1>",
        f'<p class="about">{text(_about(groups))}</p>',
        tiles_of(_key_figures(groups, found)),
        *([section("What differs", _differences(groups))] if len(groups) > 1 else []),
        section("Training", _pictures(groups)),
        section("Evaluation", note(why_not) + (_compared(found) if found is not None else "")),
        section("Runs", _runs(groups, found)),
        section("How to reproduce them", _reproduction(groups)),
    ]
    return document(title, body)


def _about(groups: Sequence[Group]) -> str:
    runs = [run for group in groups for run in group.runs]
    begun = sorted(run.record.created_at[:19].replace("T", " ") for run in runs)
    return f"seeds {_numbers(run.seed for run in runs)}, begun {begun[0]} to {begun[-1]} UTC"


def _numbers(found: Iterable[int | None]) -> str:
    """Returns whole numbers in order, without repeats: "0 to 7", "1, 5, 9"."""
    known = sorted({value for value in found if value is not None})
    if len(known) > 2 and known[-1] - known[0] == len(known) - 1:  # noqa: PLR2004
        return f"{known[0]} to {known[-1]}"
    return ", ".join(map(str, known)) or "unknown"


def _key_figures(groups: Sequence[Group], found: Comparison | None) -> list[tuple[str, str]]:
    """Returns the figures of all runs together and, of a single candidate, its scores, as (name, value)."""
    runs = [run for group in groups for run in group.runs]
    counted = [
        ("runs", f"{len(runs)}"),
        ("episodes in all", f"{sum(run.episodes for run in runs):,}"),
        ("steps in all", f"{sum(run.timesteps for run in runs):,}"),
        ("training in all", f"{sum(run.seconds for run in runs):.2f} s"),
    ]
    if found is None or len(groups) > 1:
        return counted
    only = found.candidates[0]
    scores = [("interquartile mean return", number(only.iqm)), ("its 95 % interval", _range(only.interval))]
    return counted + scores + ([] if only.regret is None else [("mean regret", _figure(only.regret))])


def _differences(groups: Sequence[Group]) -> str:
    """Shows the settings in which the candidates differ, one row a candidate."""
    settings = [settings_of(group.runs[0]) for group in groups]
    names = ["agent", *differing(settings)]
    rows = ([letter(i), *(said(one.get(name, "")) for name in names)] for i, one in enumerate(settings))
    return _wide(table_of(["", *names], rows))


def _pictures(groups: Sequence[Group]) -> str:
    """Draws all pictures of a single candidate; of several those that show them side by side."""
    runs = [run for group in groups for run in group.runs]
    evaluated = EVALUATION if all(run.record.config.evaluating is not None for run in runs) else {}
    kinds = PICTURES | evaluated
    return pictures_of(runs, {kind: kinds[kind] for kind in kinds if len(groups) == 1 or KINDS[kind].takes_many})


def _compared(found: Comparison) -> str:
    """Shows the scores of the candidates and, of several, how probable it is that one beats another."""
    rows, meaning = map(_scores, found.candidates), f'<p class="aside">{text(_meaning(found))}</p>'
    if not found.improvements:
        return _wide(table_of(SCORES, rows)) + meaning
    picture = image_of(comparison_figure(found), "Interquartile means, and who beats whom")
    lettered = ([letter(i), *row, *_better(found, i)] for i, row in enumerate(rows))
    table = _wide(table_of(["", *SCORES, "beats A", "95 % interval"], lettered), "labelled")
    return f'<div class="pictures">{picture}</div>{table}{meaning}'


def _scores(one: Candidate) -> list[str]:
    figures = [number(one.mean), number(one.iqm), _range(one.interval), _figure(one.regret)]
    return [one.label, str(len(one.runs)), *figures]


def _range(interval: tuple[float, float]) -> str:
    return "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}".join(f"{end:.2f}" for end in interval)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _better(found: Comparison, index: int) -> list[str]:
    """Returns how probable it is that a candidate beats the first, and its interval."""
    if not index:
        return ["", ""]
    over = found.improvement(index, 0)
    return [f"{over.probability:.2f}", _range(over.interval)]


def _meaning(found: Comparison) -> str:
    beats = ' "beats A": the probability that a return of it is above one of A.' if found.improvements else ""
    return f"{found.basis}. Interquartile mean: of the middle half of the returns. Intervals are bootstrapped.{beats}"


def _runs(groups: Sequence[Group], found: Comparison | None) -> str:
    """Lists all runs, with the scores of each, in the order of their seeds."""
    header = ["", "run", "seed", "mean return", "regret", "episodes", "steps", "training", "status"]
    rows = []
    for i, group in enumerate(groups):
        for k, run in sorted(enumerate(group.runs), key=lambda numbered: numbered[1].seed):
            counted = [f"{run.episodes:,}", f"{run.timesteps:,}", f"{run.seconds:.2f} s"]
            own = None if found is None else found.candidates[i]
            scores = ["", ""] if own is None else [number(own.means[k]), _figure(own.regrets[k])]
            rows.append([letter(i) if len(groups) > 1 else "", run.id, str(run.seed), *scores, *counted, run.status])
    return _wide(table_of(header, rows))


def _reproduction(groups: Sequence[Group]) -> str:
    return "".join(map(_commands, groups))


def _commands(group: Group) -> str:
    """Returns the command of a candidate's first run, and the seeds of the others."""
    command, why_not = attempt(lambda: command_of(group.runs[0], [run.seed for run in group.runs]))
    if not command:
        return note(f"{group.label}: {why_not}")
    seeds = _numbers(run.seed for run in group.runs)
    others = f", with the seeds {seeds}" if len(group.runs) > 1 else ""
    return f"<p>{text(group.label)}{text(others)}</p><pre>{text(command)}</pre>"


def _wide(table: str, more: str = "") -> str:
    """Lets a table scroll where the page is narrower than it; `more` is another class, for page.css."""
    return f'<div class="wide {more}">{table}</div>'
