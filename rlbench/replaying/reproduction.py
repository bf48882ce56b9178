"""Reproduction: the command and the program that reproduce a stored run, bit for bit."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from rlbench.agents import AGENTS
from rlbench.agents.functions import ByFunction
from rlbench.envs.trust import WRAPPERS
from rlbench.errors import StoreError, UsageError
from rlbench.presets import DEFAULT, Preset, load_preset
from rlbench.settings import write_call, write_setting
from rlbench.training.callbacks import SHIPPED, label
from rlbench.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_LIMIT = -1  # to gym.make


def command_of(run: Run, seeds: Sequence[int] = ()) -> str:
    """Returns the command line that reproduces a run.

    Args:
        run: the run.
        seeds: of a trained run and of those that differ from it only in their seed: the command trains with each.

    Raises:
        UsageError: it was not made by training or retraining, or with an env or agent that has no name.
    """
    if run.record.config.was_retrained:
        return shlex.join(["rlbench", "retrain", *run.record.parents, *_options(retraining_arguments(run))])
    arguments = training_arguments(run)
    if len(seeds) > 1:
        del arguments["seed"]
        arguments["seeds"] = _written(seeds)
    return shlex.join(["rlbench", "train", arguments.pop("env"), *_options(arguments)])


def _written(seeds: Sequence[int]) -> str:
    """Returns seeds as `rlbench train --seeds` takes them: "0:8", or "1,2,5"."""
    first, last = min(seeds), max(seeds)
    is_range = sorted(seeds) == list(range(first, last + 1))
    return f"{first}:{last + 1}" if is_range else ",".join(map(str, sorted(seeds)))


def program_of(run: Run) -> str:
    """Returns the Python program that reproduces a run; UsageError as in `command_of`."""
    if run.record.config.was_retrained:
        arguments = retraining_arguments(run)
        loaded = f"store = rlbench.open_store({run.store.url!r})\n"
        loaded += f"parents = [rlbench.load_run(store, ref) for ref in {list(run.record.parents)!r}]\n"
        return f"import rlbench\n\n{loaded}run = rlbench.retrain(parents, {_keywords(arguments)}).run\n"
    arguments = training_arguments(run)
    parent = arguments.pop("parent", None)
    loaded = "" if parent is None else f", parent=rlbench.load_run({run.store.url!r}, {parent!r})"
    return f"import rlbench\n\nrun = rlbench.train({_keywords(arguments)}{loaded})\n"


def training_arguments(run: Run) -> dict[str, Any]:
    """Returns the keyword arguments of `train` that reproduce a run, without those that its preset already sets.

    Raises:
        UsageError: it was not trained here, or with an env or agent that has no name.
    """
    config = run.record.config
    _check_callbacks(run)
    budget = _budget(run)
    if not budget or config.was_recorded:
        raise UsageError(f"run {run.id} was recorded or imported, not trained here: no command reproduces it")
    kwargs, wrapped = _env_arguments(run), _wrapped(run)
    known = _preset(run.env_id, config.preset)
    return {
        "env": run.env_id,
        "agent": run.agent_name,
        **budget,
        "seed": run.seed,
        **({} if config.preset == DEFAULT else {"preset": config.preset}),
        "env_kwargs": {name: value for name, value in kwargs.items() if known.env.get(name) != value},
        **{name: value for name, value in wrapped.items() if (name, value) != ("bins", known.bins)},
        "agent_kwargs": _parameters(run, known),
        **({"parent": _first_parent(run)} if config.initial_table else {}),
        **_evaluations(run),
    }


def retraining_arguments(run: Run) -> dict[str, Any]:
    """Returns the keyword arguments of `retrain` that reproduce a run from its parents; UsageError if none do."""
    config = run.record.config
    if config.retraining is None:
        raise UsageError(f"run {run.id} was not learnt from stored steps: `retrain` does not reproduce it")
    known = _preset(run.env_id, config.preset)
    return {
        "agent": run.agent_name,
        "passes": config.retraining.passes,
        "seed": run.seed,
        **({} if config.preset == DEFAULT else {"preset": config.preset}),
        **_new_wrapping(run),
        "agent_kwargs": _parameters(run, known),
    }


def _first_parent(run: Run) -> str:
    if not run.record.parents:
        raise UsageError(f"run {run.id} does not name the run that it learnt from: no command reproduces it")
    return run.record.parents[0]


def _new_wrapping(run: Run) -> dict[str, Any]:
    """Returns the wrappers and the bins through which retraining saw the steps of a run's parents."""
    try:
        parent = Run(run.store.run(_first_parent(run)), run.store)
    except StoreError:
        return {}
    if parent.record.config.env.spec == run.record.config.env.spec:
        return {}
    had, has = _wrapped(parent), _wrapped(run)
    wrappers = has.pop("wrappers", [])[len(had.get("wrappers", [])) :]
    return {**({"wrappers": wrappers} if wrappers else {}), **({} if has == {"bins": had.get("bins")} else has)}


def _check_callbacks(run: Run) -> None:
    """Raises UsageError for a run trained with callbacks other than rlbench's: they may have changed it."""
    foreign = [one for one in run.record.config.callbacks or () if one["name"] not in SHIPPED]
    if foreign:
        raise UsageError(f"run {run.id} was trained with the callback {label(foreign[0])}: no command can name it")


def _evaluations(run: Run) -> dict[str, int]:
    evaluating = run.record.config.evaluating
    return {} if evaluating is None else {"eval_every": evaluating.every, "eval_episodes": evaluating.episodes}


def _budget(run: Run) -> dict[str, int]:
    """Returns the requested budget; for a run that was stopped before, the episodes that it played."""
    if run.status != "finished" or run.record.config.stopped:
        return {"episodes": run.episodes} if run.episodes else {}
    return {name: limit for name, limit in asdict(run.record.config.budget).items() if limit is not None}


def _env_arguments(run: Run) -> dict[str, Any]:
    """Returns the arguments that `gym.make` was given.

    Raises:
        UsageError: an id and arguments are not enough to make this env.
    """
    spec = run.record.config.env.made_with
    if not spec:
        raise UsageError(f"run {run.id} was made with an env object: no command can make that again")
    return {**spec["kwargs"], **_step_limit(run.env_id, spec.get("max_episode_steps"))}


def _wrapped(run: Run) -> dict[str, Any]:
    """Returns the wrappers and the bins of a run's env, as `train` takes them.

    Raises:
        UsageError: a wrapper is not registered under a name, or unreadable.
    """
    found = run.record.config.env.made_with.get("additional_wrappers") or []
    if not isinstance(found, list) or not all(map(_is_readable, found)):
        raise UsageError(f"run {run.id} was made in wrappers that cannot be read: no command makes them again")
    if found and found[-1]["name"] == "FlattenDiscrete":  # training adds it by itself
        found = found[:-1]
    bins = {}
    if found and found[-1]["name"] == "Discretize" and found[-1].get("kwargs"):
        bins = {"bins": {name: value for name, value in found[-1]["kwargs"].items() if value is not None}}
        found = found[:-1]
    unknown = [one["name"] for one in found if one["name"] not in WRAPPERS or one.get("kwargs") is None]
    if unknown:
        raise UsageError(f"run {run.id} was made in the wrapper {unknown[0]}: wrap the env as before, and train on it")
    return {**({"wrappers": [write_call(one["name"], one["kwargs"]) for one in found]} if found else {}), **bins}


def _is_readable(wrapper: Any) -> bool:
    return (
        isinstance(wrapper, dict)
        and isinstance(wrapper.get("name"), str)
        and isinstance(wrapper.get("kwargs"), dict | None)
    )


def _step_limit(env_id: str, stored: int | None) -> dict[str, int]:
    """Returns the argument that gives an env its step limit, if that differs from the registered one."""
    if env_id not in gym.registry or gym.registry[env_id].max_episode_steps == stored:
        return {}
    return {"max_episode_steps": NO_LIMIT if stored is None else stored}


def _preset(env_id: str, name: str) -> Preset:
    try:
        return load_preset(env_id, name)
    except UsageError:  # a preset of another version
        return Preset()


def origins_of(run: Run) -> dict[str, str]:
    """Returns where each parameter of a run's agent comes from: "set", "preset" or "default".

    It is empty for an agent that is not registered here, or has other parameters here.
    """
    preset = _preset(run.env_id, run.record.config.preset)
    try:
        asked = _set_parameters(run, preset)
    except UsageError:
        return {}
    tuned = preset.parameters(run.agent_name, asked)
    names = run.record.config.agent.parameters
    return {name: "set" if name in asked else "preset" if name in tuned else "default" for name in names}


def _parameters(run: Run, preset: Preset) -> dict[str, Any]:
    """Returns what `_set_parameters` does; UsageError if one of them is a function."""
    found = _set_parameters(run, preset)
    if any(isinstance(value, ByFunction) for value in found.values()):
        raise UsageError(f"run {run.id} was trained with a rate by a function: no command can name it")
    return found


def _set_parameters(run: Run, preset: Preset) -> dict[str, Any]:
    """Returns the parameters of a run's agent that neither its preset nor its defaults set."""
    if run.agent_name not in AGENTS:
        raise UsageError(f"run {run.id} was trained with the agent {run.agent_name!r}, which is not registered here")
    own = _all_parameters(run.agent_name, run.record.config.agent.parameters)
    usual = _all_parameters(run.agent_name, preset.parameters(run.agent_name, {}))
    rate = {} if own.get("learning_rate") == usual.get("learning_rate") else {"learning_rate": own["learning_rate"]}
    beside = _all_parameters(run.agent_name, preset.parameters(run.agent_name, rate))
    return rate | {name: value for name, value in own.items() if value != beside[name]}


def _all_parameters(agent: str, given: dict[str, Any]) -> dict[str, Any]:
    return vars(AGENTS[agent].Parameters.of(given, agent))


def _keywords(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items() if value != {})


OPTIONS = {  # named differently in the library
    "total_timesteps": "timesteps",
    "parent": "from",
    "wrappers": "wrapper",
    "eval_every": "eval-every",
    "eval_episodes": "eval-episodes",
}
PAIRS = {"env_kwargs": "--env-set", "agent_kwargs": "--set"}


def _listed(value: Any) -> list[str]:
    """Returns the values of an option: a list repeats the option for each of its items, and a dict becomes JSON."""
    if isinstance(value, list):
        return [word for part in value for word in _listed(part)]
    return [json.dumps(value) if isinstance(value, dict) else str(value)]


def _options(arguments: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in arguments.items():
        if name in PAIRS:
            words += [word for pair in value.items() for word in (PAIRS[name], f"{pair[0]}={write_setting(pair[1])}")]
        else:
            option = f"--{OPTIONS.get(name, name)}"
            words += [word for one in _listed(value) for word in (option, one)]
    return words
