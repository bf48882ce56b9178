"""The report of a run, or of several: a self-contained HTML page, and the short form shown in notebooks."""

from __future__ import annotations

import base64
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from rlbench.envs.actions import action_name
from rlbench.errors import UsageError
from rlbench.files import written
from rlbench.plots import evaluation as draw_evaluation
from rlbench.plots.data import evaluation_of
from rlbench.plots.fitting import fit
from rlbench.plots.style import new_figure, styled
from rlbench.replaying import command_of, program_of
from rlbench.reports.parts import (
    EVALUATION,
    PICTURES,
    attempt,
    document,
    image_of,
    note,
    number,
    picture_of,
    pictures_of,
    said,
    section,
    table_of,
    text,
    tiles_of,
)
from rlbench.reports.several import page_of_several
from rlbench.store.records import row_of
from rlbench.viewer.rides import pace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rlbench.envs.layouts import Layout
    from rlbench.evaluation import Evaluation
    from rlbench.store import Episode
    from rlbench.training import Run

ENDINGS = (".html", ".htm")
HEAD, TAIL = 60, 20  # steps listed from the two ends of a long episode
FILM_FRAMES = 200  # of an animation
SLOW_FRAMES = 40  # likewise, for an env that renders itself: some take 10 ms per frame
FILM = 360  # pixels: the longer side


def report(data: Run | Sequence[Run], path: str | Path = "report.html") -> Path:
    """Writes the report of a run, or of several in one env, to a self-contained HTML page, replacing an existing file.

    Of one run it shows the configuration, curves, maps of the learnt table, evaluation and exact regret, the best and
    the worst episode, and how to reproduce it. Of several, those that differ only in their seed are one candidate:
    their curves are aggregated, and candidates are compared. Anything that cannot be shown is listed with the reason.

    Raises:
        UsageError: matplotlib is missing, the name does not end in .html, the folder does not exist, or there is no run
            or their envs differ.
        StoreError: the file cannot be written.
    """
    path = check_path(path)
    runs = list({run.id: run for run in (data if isinstance(data, Iterable) else [data])}.values())
    with written(path, overwrite=True) as draft:
        draft.write_text(page(runs[0]) if len(runs) == 1 else page_of_several(runs), encoding="utf-8")
    return path


def check_path(path: str | Path) -> Path:
    """Returns the path of a report; UsageError if it does not end in .html."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"a report must end in .html, got {str(path)!r}")
    return path


def page(run: Run) -> str:
    """Returns the report as HTML, with a content security policy that forbids all loading and scripts."""
    evaluation, why_not = attempt(lambda: evaluation_of(run))
    title = f"{run.agent_name} on {run.env_id}"
    body = [
        f"<h1>{text(title)}</h1>",
        f'<p class="about">{text(_about(run))}</p>',
        tiles_of(key_figures(run, evaluation)),
        section("Training", _pictures(run)),
        section("Evaluation", _evaluated(evaluation, run, why_not)),
        section("Best and worst episode", _episodes(run)),
        section("Configuration", _configuration(run)),
        section("How to reproduce it", _reproduction(run)),
    ]
    return document(f"{title}, run {run.id}", body)


def run_html(run: Run) -> str:
    """Returns the HTML of a run for notebooks: its key figures and, with matplotlib, its learning curve.

    It raises none of this package's errors: a notebook would show a traceback in place of the run.
    """
    figures, _ = attempt(lambda: key_figures(run, run.record.evaluation))
    picture, _ = attempt(lambda: picture_of([run], "curve", ""))
    rows = table_of((), figures or [])
    return (
        f'<div style="max-width: 40rem"><b>{text(run.agent_name)} on {text(run.env_id)}</b><br>{text(_about(run))}'
        f"{rows}{picture or ''}</div>"
    )


# ------------------------------------------------------------------------------------------------------- sections


def _about(run: Run) -> str:
    record = run.record
    tags = f", tagged {', '.join(record.tags)}" if record.tags else ""
    parents = f", learnt from {', '.join(record.parents)}" if record.parents else ""
    begun = record.created_at[:19].replace("T", " ")
    ended = f", ended by {record.config.stopped}" if record.config.stopped else ""
    return f"run {run.id}, seed {run.seed}, {run.status}{ended}, begun {begun} UTC{tags}{parents}"


def key_figures(run: Run, evaluation: Evaluation | dict[str, Any] | None) -> list[tuple[str, str]]:
    """Returns the key figures as (name, value)."""
    known = evaluation if isinstance(evaluation, dict) else evaluation.summary() if evaluation else {}
    counted = [("episodes", f"{run.episodes:,}"), ("steps", f"{run.timesteps:,}"), ("training", f"{run.seconds:.2f} s")]
    return [*counted, *((title, form(known[name])) for name, title, form in KEY_FIGURES if known.get(name) is not None)]


KEY_FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("mean_return", "mean return of greedy episodes", number),
    ("success_rate", "of them succeed", "{:.0%}".format),
    ("exact_return", "exact return", number),
    ("optimal_return", "best possible return", number),
    ("regret", "regret", "{:.4g}".format),
)


def _pictures(run: Run) -> str:
    """Draws all pictures of a run."""
    return pictures_of([run], PICTURES | ({} if run.record.config.evaluating is None else EVALUATION))


def _evaluated(evaluation: Evaluation | None, run: Run, why_not: str) -> str:
    if evaluation is None:
        stored = run.record.evaluation or {}
        return note(f"not evaluated for this page: {why_not}") + table_of((), _rows(_flat(stored)))
    with styled():
        figure = new_figure()
        ax = draw_evaluation(evaluation, figure.subplots())
        ax.set_title(f"{len(evaluation.returns)} episodes from seed {evaluation.seed}")
        fit(figure)
    picture, table = image_of(figure, "Returns of greedy episodes"), table_of((), _judged(evaluation))
    return f'<div class="pictures">{picture}<div>{table}</div></div>'


def _judged(found: Evaluation) -> list[tuple[str, str]]:
    """Returns an evaluation as rows of text."""
    low, high = found.interval
    rows = [
        ("mean return", f"{found.mean_return:.4f} over {len(found.returns)} episodes, played greedily"),
        ("95 % interval", f"{low:.4f} to {high:.4f} (bootstrap)"),
        ("lengths", f"{found.lengths.min()} to {found.lengths.max()} steps, {found.lengths.mean():.1f} on average"),
    ]
    if found.success_rate is not None:
        rows.append(("success", f"{found.success_rate:.0%} of them"))
    if found.unfinished:
        rows.append(("cut off", f"{found.unfinished} of them: the policy loops"))
    if found.regret is None:
        return [*rows, ("exact value", f"unknown: {found.inexact}")]
    optimal = [] if found.optimal_states is None else [("optimal action", f"in {found.optimal_share}")]
    return [
        *rows,
        ("exact return", f"{found.exact_return:.6f}, the expectation over all starts"),
        ("best possible", f"{found.optimal_return:.6f}"),
        ("regret", f"{found.regret:.6g}"),
        *optimal,
    ]


def _episodes(run: Run) -> str:
    """Shows the best and the worst stored episodes, step by step."""
    if not len(run.returns):
        return note("no episode has ended")
    layout, names = run.layout(), run.action_names()
    named = {"best": int(run.returns.argmax()), "worst": int(run.returns.argmin())}
    tables = []
    for name, index in named.items():
        episode, why_not = attempt(partial(_stored_episode, run, index))
        if episode is None:
            return note(why_not)
        film, why_not = attempt(partial(_film, run, name, episode))
        is_open = "" if film else " open"
        steps = f"<details{is_open}><summary>step by step</summary>{_steps(episode, layout, names)}</details>"
        tables.append(f"<div><h3>{text(_headed(name, episode))}</h3>{film or note(why_not)}{steps}</div>")
    return f'<div class="episodes">{"".join(tables)}</div>'


def _film(run: Run, name: str, episode: Episode) -> str:
    """Returns an episode as an inline animation; of a long one, the first steps.

    Raises:
        UsageError: the extra `viewer` is missing, or the env cannot render.
        StoreError: the env cannot be made.
    """
    steps, gif = _gif(run, episode.index)
    shown = f'<p class="aside">Its first {steps:,} steps.</p>' if len(episode) > steps else ""
    data = base64.b64encode(gif).decode()
    return f'<figure class="film"><img alt="the {name} episode" src="data:image/gif;base64,{data}">{shown}</figure>'


def _gif(run: Run, index: int) -> tuple[int, bytes]:
    """Returns the number of steps that a GIF shows, and the GIF."""
    try:
        # a warning means that only text can be shown, and the page lists the steps anyway
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("error", RuntimeWarning)
            path = Path(folder) / "episode.gif"
            return _filmed(run, index, path), path.read_bytes()
    except (gym.error.Error, RuntimeWarning) as error:
        raise UsageError(f"the episode cannot be drawn: {error}") from error


def _filmed(run: Run, index: int, path: Path) -> int:
    """Writes an episode to a file; returns the number of steps written."""
    from rlbench.viewer.clips import StoredClips  # noqa: PLC0415  (pygame only when filming)
    from rlbench.viewer.files import save  # noqa: PLC0415  (likewise)
    from rlbench.viewer.stages import CityStage, frames  # noqa: PLC0415  (likewise)

    clips = StoredClips(run)
    clip = clips[index]
    steps = min(FILM_FRAMES if isinstance(clip.stage, CityStage) else SLOW_FRAMES, len(clip.episode))
    save(path, frames(clip.stage, list(clip.captions)[: steps + 1], FILM), fps=pace_of(clips.env))
    return steps


def _stored_episode(run: Run, index: int) -> Episode:
    return run.store.episodes(run)[index]


def _headed(name: str, episode: Episode) -> str:
    what = f"return {episode.total_return:,.10g}, {len(episode)} steps, {episode.end}"
    return f"The {name}: episode {episode.index:,}, {what}"


def _steps(episode: Episode, layout: Layout | None, names: Sequence[str]) -> str:
    """Returns an episode as a table, one row per step; of a long one, its beginning and end."""
    totals = episode.rewards.cumsum()
    shown = (t for t in range(len(episode)) if t < HEAD or t >= len(episode) - TAIL)
    rows = [_step(episode, layout, names, t, totals) for t in shown]
    if len(episode) > HEAD + TAIL:
        rows.insert(HEAD, f'<tr><td colspan="5">... {len(episode) - HEAD - TAIL:,} steps ...</td></tr>')
    last = f"<tr><td></td><td>{text(place(layout, row_of(episode.observations, -1)))}</td><td>{episode.end}</td></tr>"
    return (
        '<table><thead><tr><th class="number">step</th><th>state</th><th>action</th><th class="number">reward</th>'
        f'<th class="number">return</th></tr></thead><tbody>{"".join(rows)}{last}</tbody></table>'
        + ("<p>With a star: drawn at random.</p>" if episode.explored is not None and episode.explored.any() else "")
    )


def _step(episode: Episode, layout: Layout | None, names: Sequence[str], t: int, totals: Any) -> str:
    explored = episode.explored is not None and bool(episode.explored[t])
    name = action_name(names, row_of(episode.actions, t)) + " *" * explored
    return (
        f'<tr{" class=explored" if explored else ""}><td class="number">{t + 1}</td>'
        f"<td>{text(place(layout, row_of(episode.observations, t)))}</td><td>{text(name)}</td>"
        f'<td class="number">{episode.rewards[t]:g}</td><td class="number">{totals[t]:.10g}</td></tr>'
    )


def place(layout: Layout | None, observation: Any) -> str:
    """Returns a state in words if it is on a map, else the observation."""
    found = layout.describe(observation) if layout is not None and isinstance(observation, int) else ""
    return f"{found} ({observation})" if found else str(observation)


def _configuration(run: Run) -> str:
    """Shows the settings of the run and the parameters of its agent."""
    config = run.record.config
    agent = asdict(config.agent)
    parameters = _flat(agent.pop("parameters")) + _flat({name: part for name, part in agent.items() if name != "name"})
    others = {name: part for name, part in config.document().items() if name not in ("agent", "env")}
    named = {
        "env": run.env_id,
        "agent": run.agent_name,
        "seed": run.seed,
        "tags": ", ".join(run.record.tags),
        "note": run.record.note,
        "learnt from": ", ".join(run.record.parents),
        "store": run.store.url,
        "env spec": config.env.spec,
    }
    of_run = [(name, value) for name, value in named.items() if value not in ("", None)] + _flat(others)
    tables = (("Run", of_run), ("Parameters of the agent", parameters))
    shown = (f"<div><h3>{text(title)}</h3>{table_of((), _rows(rows))}</div>" for title, rows in tables if rows)
    return f'<div class="pictures">{"".join(shown)}</div>'


def _rows(leaves: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, said(value)) for name, value in leaves]


def _flat(value: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """Returns the leaves of a nested dict, each with its path; omits None."""
    leaves: list[tuple[str, Any]] = []
    for name, part in value.items():
        where = f"{path} {name}".strip()
        leaves += _flat(part, where) if isinstance(part, dict) else [] if part is None else [(where, part)]
    return leaves


def _reproduction(run: Run) -> str:
    command, why_not = attempt(lambda: command_of(run))
    if not command:
        return note(why_not)
    program, _ = attempt(lambda: program_of(run))
    versions = ", ".join(f"{name} {version}" for name, version in run.record.config.versions.items())
    return (
        f"<pre>{text(command)}</pre><p>or</p><pre>{text(program)}</pre>"
        f"<p>The same seed gives the same steps and the same table, bit for bit; made with {text(versions)}.</p>"
    )
