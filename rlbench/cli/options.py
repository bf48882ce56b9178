"""What the commands share: options, the values of --set, how a run is named."""

from __future__ import annotations

import importlib
import re
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rlbench.cli import completing
from rlbench.cli.output import say
from rlbench.errors import UsageError
from rlbench.keys import NAME_KEY_FILE, using
from rlbench.names import SHORT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.store import RunRecord, Store

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

VERSIONED = re.compile(r"-v\d+$")
SEEDS = re.compile(r"(\d{1,15})(?::(\d{1,15}))?")
MOST_SEEDS = 10_000


def _use_key(context: click.Context, _: click.Parameter, path: str | None) -> None:
    """Gives the stores that a command opens their key, and the processes that it starts."""
    if path is not None:
        context.with_resource(using(path))


key_option: Decorator = click.option(
    "--key-file",
    metavar="FILE",
    shell_complete=completing.file,
    expose_value=False,
    callback=_use_key,
    help="The key of an encrypted store; or set RLBENCH_KEY_FILE. See `rlbench store key`.",
)
name_key_option: Decorator = click.option(
    "--name-key-file",
    metavar="FILE",
    shell_complete=completing.file,
    expose_value=False,
    callback=lambda context, _, path: path and context.with_resource(using(path, NAME_KEY_FILE)),
    help="The key that hashes names; by default that of the store, or RLBENCH_NAME_KEY_FILE.",
)
_store_option: Decorator = click.option(
    "--store",
    default="rlbench.db",
    envvar="RLBENCH_STORE",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    shell_complete=completing.file,
    help="Where runs are kept: a path, mongodb://host/name, s3://bucket/prefix, or memory:// for nowhere.",
)


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for a store and its key."""
    return _store_option(key_option(command))


json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
seed_option: Decorator = click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="The same seed gives the same result.",
)
wrapper_option: Decorator = click.option(
    "--wrapper",
    "wrappers",
    multiple=True,
    metavar="NAME[:K=V,...]",
    shell_complete=completing.wrappers,
    help="A wrapper from Gymnasium or ours, such as ClipReward:min_reward=-1,max_reward=1; may be repeated.",
)
bins_option: Decorator = click.option(
    "--bins",
    metavar="BINS",
    shell_complete=completing.bins,
    help="Bins for Box observations: N,N,... (a number for each dimension), kmeans:K, quantile:K, or a JSON FILE.",
)
env_set_option: Decorator = click.option(
    "--env-set",
    "env_settings",
    multiple=True,
    metavar="K=V",
    shell_complete=completing.arguments,
    help="An argument of the env; may be repeated.",
)
set_option: Decorator = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="K=V",
    shell_complete=completing.parameters,
    help="A parameter of the agent; may be repeated.",
)
preset_option: Decorator = click.option(
    "--preset",
    metavar="NAME|FILE",
    shell_complete=completing.presets,
    default="default",
    show_default=True,
    help="Tuned parameters: a name, see `rlbench envs`, or a TOML file from `rlbench tune --save-preset`.",
)
engine_option: Decorator = click.option(
    "--engine",
    metavar="auto|compiled|python",
    shell_complete=completing.choices,
    default="auto",
    show_default=True,
    help="Which loop runs; the result is the same.",
)
trust_option: Decorator = click.option(
    "--trust",
    is_flag=True,
    help="Make the env even if that runs code that the store names: only if you know who wrote it.",
)
limit_option: Decorator = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=20, show_default=True, help="At most this many."
)
force_option: Decorator = click.option("--force", is_flag=True, help="Replace what is there already.")
env_filter_option: Decorator = click.option(
    "--env",
    "env_filter",
    metavar="ENV",
    shell_complete=completing.envs,
    help="Only runs of this env: an id, or module:id.",
)


study_filter_option: Decorator = click.option(
    "--study",
    "study_filter",
    metavar="STUDY",
    shell_complete=completing.studies,
    help="Only runs of this study; all: of any and of none. Without it, runs that a study made are left out.",
)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the filters of `Store.runs`; the command takes those that are given as `selection`."""

    @env_filter_option
    @click.option(
        "--agent", "agent_filter", metavar="NAME", shell_complete=completing.agents, help="Only runs of this agent."
    )
    @click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="TAG",
        shell_complete=completing.tags,
        help="Only runs with this tag; may be repeated.",
    )
    @click.option(
        "--where",
        multiple=True,
        metavar="NAME=VALUE",
        shell_complete=completing.settings,
        help="Only runs with this setting, such as seed=3 or 'gamma>=0.9'; !=, <, <=, > too; may be repeated.",
    )
    @study_filter_option
    @wraps(command)
    def selecting(
        *arguments: Any,
        env_filter: str | None,
        agent_filter: str | None,
        tags: tuple[str, ...],
        where: tuple[str, ...],
        study_filter: str | None,
        **options: Any,
    ) -> Any:
        given = {
            "env_id": env_id_of(env_filter),
            "agent_name": agent_filter,
            "tag": "".join(tags[:1]),
            "study": study_filter,
            "where": (*(f"tags={tag}" for tag in tags[1:]), *where),
        }
        selection = {name: value for name, value in given.items() if value}
        return command(*arguments, selection=selection, **options)

    return selecting


def out_option(text: str, *names: str, **more: Any) -> Decorator:
    """Makes the option for the file that a command writes; `text` is its help."""
    return click.option("--out", *names, metavar="FILE", shell_complete=completing.file, help=text, **more)


def agent_option(text: str) -> Decorator:
    """Makes the option for the agent that learns; `text` is its help."""
    name = "q-learning"
    return click.option(
        "--agent", metavar="NAME", default=name, show_default=True, shell_complete=completing.agents, help=text
    )


def parse_seeds(text: str, option: str = "--seeds") -> list[int]:
    """Reads seeds: 0:8 is 0 to 7; also a number, or several of these separated by commas."""
    found: list[int] = []
    for part in map(str.strip, text.split(",")):
        match = SEEDS.fullmatch(part)
        if match is None:
            raise UsageError(f"{option} takes A:B or numbers, such as 0:8 (0 to 7) or 1,2,5, got {part!r}")
        first, stop = int(match[1]), int(match[2] or int(match[1]) + 1)
        if stop - first + len(found) > MOST_SEEDS:
            raise UsageError(f"{option} takes at most {MOST_SEEDS:,} seeds, got {text!r}")
        found += range(first, stop)
    return found


def examples(*lines: str) -> str:
    """Returns the end of a command's help: lines to copy."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \b: click, leave the lines alone


def is_versioned(name: str) -> bool:
    """Returns whether a name ends as the ids of Gymnasium's envs do: FrozenLake-v1."""
    return VERSIONED.search(name) is not None


def env_id_of(name: str | None) -> str | None:
    """Returns the id that a short name or "module:id" stands for, whose module is imported; anything else as it is."""
    if name is None:
        return None
    from rlbench.envs.making import full_id  # noqa: PLC0415  (Gymnasium, which `rlbench --help` goes without)

    return full_id(name) if ":" in name else SHORT_NAMES.get(name, name)


def find_run(store: Store, ref: str, env: str | None = None, *, needs: str = "", **selection: Any) -> RunRecord:
    """Returns a run as `rlbench.training.finding.find_run` does; says so if newer ones lack what is needed."""
    from rlbench.training.finding import NEEDS, find_run  # noqa: PLC0415  (Gymnasium, which `rlbench --help` goes without)

    env_id = env_id_of(env)
    wanted = selection if env_id is None else {**selection, "env_id": env_id}
    found = find_run(store, ref, needs=needs, **wanted)
    if ref.strip().lower() == "latest" and needs and store.run("latest").id != found.id and not wanted:
        say(f"latest{NEEDS[needs][1]}: run {found.id}", err=True)
    return found


def opened_after(outer: str, inner: str) -> Store:
    """Opens the store that was named after a subcommand, else the one before it."""
    from rlbench.store import open_store  # noqa: PLC0415  (NumPy, which `rlbench --help` goes without)

    source = click.get_current_context().get_parameter_source("store")
    return open_store(inner if source is ParameterSource.COMMANDLINE else outer, create=False)


def import_function(name: str) -> Any:
    """Returns what "module:function" names; the module may lie in the current folder.

    Raises:
        UsageError: it cannot be imported.
    """
    from rlbench.envs.making import look_here  # noqa: PLC0415  (Gymnasium, which `rlbench --help` goes without)

    module, _, function = name.partition(":")
    look_here()
    try:
        return getattr(importlib.import_module(module), function)
    except Exception as error:  # a module may raise anything
        raise UsageError(f"{name!r} cannot be imported: {error}") from error
