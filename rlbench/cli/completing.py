"""What the shell completes: runs, envs, agents, parameters, wrappers, presets, models and files.

Numba is never imported, and Gymnasium only for what it alone knows: a person waits for the Tab key.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from rlbench.names import AGENT_NAMES, PLOT_KINDS, SHORT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rlbench.store import RunRecord, Store

    Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

MOST = 50  # runs, the newest


def _completer(known: Callable[[click.Context, str], Iterable[str | CompletionItem]]) -> Completer:
    """Makes a completer of what yields all that is known; whatever goes wrong, nothing is printed between the keys."""

    @wraps(known)
    def found(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        items: list[CompletionItem] = []
        with suppress(Exception):  # a store may be damaged, a module missing
            for one in known(context, incomplete):
                items.append(one if isinstance(one, CompletionItem) else CompletionItem(one))  # noqa: PERF401  (what came before is kept)
        return [item for item in items if str(item.value).startswith(incomplete)]

    return found


def words(*known: str) -> Completer:
    """Returns a completer of these words."""
    return _completer(lambda _context, _incomplete: known)


def file(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Lets the shell complete the name of a file."""
    return [CompletionItem(incomplete, type="file")]


def choices(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the words that an option shows: auto|compiled|python."""
    return words(*(parameter.metavar or "").split("|"))(context, parameter, incomplete)


def _either(*completers: Completer) -> Completer:
    def found(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [item for completer in completers for item in completer(context, parameter, incomplete)]

    return found


agents = words(*AGENT_NAMES)
several_agents = words(*AGENT_NAMES)
plots = words(*PLOT_KINDS)


@_completer
def runs(context: click.Context, _incomplete: str) -> Iterable[CompletionItem]:
    """The words for runs and the ids in the store, with what they are."""
    yield CompletionItem("latest", help="the newest run")
    yield CompletionItem("best", help="the highest evaluation")
    for record in _records(context):
        tags = f", {' '.join(record.tags)}" if record.tags else ""
        yield CompletionItem(record.id, help=f"{record.agent_name} on {record.env_id}{tags}")


@_completer
def tags(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The tags of the runs in the store."""
    return sorted({tag for record in _records(context) for tag in record.tags})


@_completer
def studies(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The names of the studies in the store."""
    with _opened(context) as store:
        return [info.name for info in store.snapshots("study")]


@_completer
def tokens(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The ids of the tokens in the store."""
    with _opened(context) as store:
        return [info.name for info in store.snapshots("token")]


@_completer
def settings(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The columns and the settings of the runs in the store."""
    from rlbench.store.conditions import values_of  # noqa: PLC0415  (NumPy)

    return dict.fromkeys(name for record in _records(context) for name in values_of(record))


@_completer
def models(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The names of the models in the store."""
    from rlbench.modelling import models as stored  # noqa: PLC0415  (NumPy)

    with _opened(context) as store:
        return ["latest", *dict.fromkeys(entry.name for entry in stored(store))]


@_completer
def model_kinds(_context: click.Context, _incomplete: str) -> Iterable[str]:
    """The kinds of models."""
    from rlbench.modelling.kinds import KINDS  # noqa: PLC0415  (NumPy)

    return KINDS


@_completer
def envs(_context: click.Context, incomplete: str) -> Iterable[str]:
    """Our short names and the envs with a preset; of those that begin otherwise, all that Gymnasium knows."""
    from rlbench.presets import preset_envs  # noqa: PLC0415  (TOML)

    known = [*SHORT_NAMES, *sorted(preset_envs())]
    if not incomplete or any(name.startswith(incomplete) for name in SHORT_NAMES):
        return known
    import gymnasium  # noqa: PLC0415  (0.3 s)

    return [*known, *sorted(gymnasium.registry.keys() - known)]


@_completer
def presets(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The presets of the env that is named before."""
    from rlbench.presets import preset_names  # noqa: PLC0415  (TOML)

    env = _env(context)
    return preset_names(SHORT_NAMES.get(env, env))


@_completer
def parameters(context: click.Context, _incomplete: str) -> Iterable[CompletionItem]:
    """The parameters of the agent that is named before, each with the sign for its value."""
    from dataclasses import fields  # noqa: PLC0415  (with the agents)

    from rlbench.agents import AGENTS  # noqa: PLC0415  (Gymnasium)

    for field in fields(AGENTS[context.params.get("agent") or "q-learning"].Parameters):
        yield CompletionItem(f"{field.name}=", help=field.metadata["help"])


@_completer
def arguments(context: click.Context, _incomplete: str) -> Iterable[CompletionItem]:
    """The arguments of the env that is named before, each with the sign for its value."""
    from rlbench.envs.describing import describe  # noqa: PLC0415  (Gymnasium)
    from rlbench.envs.making import make_env  # noqa: PLC0415  (Gymnasium)

    for argument in describe(make_env(_env(context))).arguments:
        yield CompletionItem(f"{argument.name}=", help=argument.help)


@_completer
def wrappers(_context: click.Context, _incomplete: str) -> Iterable[str]:
    """The wrappers that may be put round an env."""
    from rlbench.envs.wrapping import names  # noqa: PLC0415  (Gymnasium)

    return names()


@_completer
def commands(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The commands below those that are named before."""
    found = context.find_root()
    for word in context.params.get("words") or ():
        command = found.command.get_command(found, word) if isinstance(found.command, click.Group) else None
        if command is None:
            return []
        found = click.Context(command, info_name=word, parent=found)
    return found.command.list_commands(found) if isinstance(found.command, click.Group) else []


def bins(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The words for bins that are fitted, else a file."""
    fitted = words("kmeans:", "quantile:")(context, parameter, incomplete)
    return fitted or file(context, parameter, incomplete)


runs_and_studies = _either(runs, studies)
several_runs = _either(words("all"), runs, studies)
runs_and_envs = _either(runs, envs)
runs_and_models = _either(runs, models)
policies = _either(words("random"), runs)


def _env(context: click.Context) -> str:
    """Returns the env that is named before; click leaves it among the rest where an option waits for its value."""
    return str(context.params.get("env") or context.args[0])


def _records(context: click.Context) -> list[RunRecord]:
    with _opened(context) as store:
        return store.runs(limit=MOST, on_damaged=lambda *_: None)


def _opened(context: click.Context) -> Store:
    """Opens the store that is named before, if it is a file: a server may be slow, or away."""
    from rlbench.store import open_store  # noqa: PLC0415  (NumPy)

    url = str(context.params.get("store") or os.environ.get("RLBENCH_STORE") or "rlbench.db")
    if not Path(url.removeprefix("sqlite:///")).is_file():
        raise FileNotFoundError(url)
    return open_store(url, create=False, read_only=True)
