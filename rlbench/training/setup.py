"""Turns the arguments of `train` into what training needs: an agent, a world, a record; and checks them."""

from __future__ import annotations

import inspect
import platform
from dataclasses import fields
from functools import cache, wraps
from importlib.metadata import version
from types import FunctionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rlbench.agents import AGENTS, Agent, make_agent
from rlbench.agents.base import restrict, sizes_of
from rlbench.agents.functions import ByFunction
from rlbench.checks import whole_number
from rlbench.envs.compiled import compiled_world
from rlbench.envs.making import id_of
from rlbench.envs.own_tables import why_not_compiled
from rlbench.errors import ALIASES, UnknownNameError, UsageError, unknown_name
from rlbench.store.config import AgentConfig, EnvConfig, EvaluatingConfig, RunConfig
from rlbench.training.budgets import budget_config
from rlbench.training.callbacks import described, known_of
from rlbench.training.code import code_of
from rlbench.training.parents import at_final_exploration, check_keeps_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import gymnasium as gym
    import numpy as np

    from rlbench.presets import Preset
    from rlbench.training.budgets import Budget

P = ParamSpec("P")
R = TypeVar("R")
ENGINES = ("auto", "compiled", "python")
RECORDS = ("all", "none")
ALGORITHM_VERSION = 1  # raised whenever the same seed gives another result


def naming_unknown(function: Callable[P, R]) -> Callable[P, R]:
    """Lets a function refuse an argument that it does not have in one line, which says what is meant."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        _check_names(function, kwargs)
        return function(*args, **kwargs)

    return checked


def all_arguments(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a function by name, those that are not given by default; refuses what it has not."""
    _check_names(function, given)
    return {**_defaults(function), **given}


def _check_names(function: Callable[..., Any], given: Iterable[str]) -> None:
    for name in given:
        if name not in _parameters(function):
            raise _unknown_argument(function.__name__, name, list(_parameters(function)))


@cache
def _defaults(function: Callable[..., Any]) -> Mapping[str, Any]:
    return {name: one.default for name, one in _parameters(function).items() if one.default is not one.empty}


@cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _unknown_argument(function: str, name: str, known: list[str]) -> UnknownNameError:
    parameters = {f.name for cls in AGENTS.values() for f in fields(cls.Parameters)}
    meant = [own for own in (name, *ALIASES.get(name, ())) if own in parameters]
    if not meant or "agent_kwargs" not in known:
        return unknown_name(f"argument of {function}", name, known)
    given = " or ".join(f'agent_kwargs={{"{own}": ...}}' for own in meant)
    return UnknownNameError(f"unknown argument of {function} {name!r}; did you mean {given}?")


def check_record(record: str) -> None:
    """Refuses a word that is not among RECORDS."""
    if record not in RECORDS:
        raise unknown_name("record", record, RECORDS)


def check_engine(engine: str) -> None:
    """Refuses a word that is not among ENGINES."""
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)


def check_seed(seed: int | None) -> None:
    """Refuses anything but None, for which a seed is drawn, and whole numbers from 0."""
    if seed is not None:
        whole_number("seed", seed, least=0)


def check_fit(agent: Agent, env: gym.Env[Any, Any]) -> None:
    """Refuses an env of another size than the agent's: compiled code does not check its indices."""
    counts = sizes_of(env, agent.name)
    if counts != (agent.n_states, agent.n_actions):
        raise UsageError(
            f"the agent is for {agent.n_states} states and {agent.n_actions} actions, the env has {counts}"
        )


def evaluating_of(every: int | None, episodes: int, spec: str | None) -> EvaluatingConfig | None:
    """Returns how to evaluate while training, checked; None for not at all."""
    if every is None:
        return None
    if spec is None:
        raise UsageError("eval_every needs an env that can be made again: give its id, or register it and give that")
    return EvaluatingConfig(whole_number("eval_every", every), whole_number("eval_episodes", episodes))


def check_kwargs(**given: Any) -> None:
    """Refuses keyword arguments that are not a dict of names and values."""
    for name, value in given.items():
        if value is not None and not (isinstance(value, dict) and all(isinstance(key, str) for key in value)):
            raise UsageError(f"{name} must be a dict of names and values, got {value!r}")


def agent_for(
    agent: str | type[Agent] | Agent,
    env: gym.Env[Any, Any],
    agent_kwargs: dict[str, Any] | None,
    preset: Preset,
    budget: Budget,
    seed: np.random.SeedSequence,
    *,
    goes_on: bool = False,
) -> Agent:
    """Makes the agent for an env, or checks that it fits; one that goes on explores as at the end of its training."""
    if isinstance(agent, Agent):
        if goes_on:
            raise UsageError("an agent brings values of its own: give its name or class to go on from a parent")
        if agent_kwargs:
            raise UsageError("agent_kwargs go with an agent's name or class: give them to the agent where it is made")
        check_fit(agent, env)
        restrict(agent, env)
        return agent
    if not isinstance(agent, str) and not (isinstance(agent, type) and issubclass(agent, Agent)):
        raise UsageError(f"agent must be a name, an Agent or a subclass of it, got {agent!r}")
    name = agent if isinstance(agent, str) else agent.name
    parameters = preset.parameters(name, agent_kwargs or {})
    if goes_on:
        check_keeps_values(name if isinstance(agent, str) else agent)
        parameters = at_final_exploration(parameters, agent_kwargs or {})
    return make_agent(agent, env, seed=seed, **_in_budget(parameters, budget))


def _in_budget(parameters: dict[str, Any], budget: Budget) -> dict[str, Any]:
    """Completes what depends on the length of training: exploration_fraction, and rates by a function."""
    limits = budget_config(budget)
    found = {
        name: ByFunction.within(value, limits.episodes, limits.total_timesteps) if callable(value) else value
        for name, value in parameters.items()
    }
    fraction = found.get("exploration_fraction")
    if fraction is None or limits.total_timesteps is None:
        return found
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
        raise UsageError(f"exploration_fraction must be a number in [0, 1], got {fraction!r}")
    return {**found, "exploration_fraction": None, "exploration_steps": fraction * limits.total_timesteps}


def world_for(env: gym.Env[Any, Any], agent: Agent, engine: str) -> Any:
    """Returns the compiled world to train in, or None for the readable loop."""
    functions = list(agent.parameters.by_function())
    if functions and engine == "compiled":
        raise UsageError(f"engine='compiled' is not possible: {functions[0]} is a function; use engine='auto'")
    if functions or engine == "python":
        return None
    world = compiled_world(env) if agent.learner() is not None else None
    if world is None and engine == "compiled":
        raise UsageError(f"engine='compiled' is not possible: {_why_readable(env, agent)}; use engine='auto'")
    return world


def _why_readable(env: gym.Env[Any, Any], agent: Agent) -> str:
    if agent.learner() is None:
        return f"the agent {agent.name} has no compiled counterpart"
    return why_not_compiled(env) or f"the env {id_of(env)} has no compiled counterpart"


def config_of(
    env_id: str,
    spec: str | None,
    env: gym.Env[Any, Any],
    agent: Agent,
    budget: Budget,
    preset: str,
    record: str,
    *,
    compiled: bool,
    initial_table: str | None = None,
    callbacks: Sequence[Any] = (),
    evaluating: EvaluatingConfig | None = None,
) -> RunConfig:
    """Returns the configuration that a run's record stores."""
    return RunConfig(
        env=EnvConfig(env_id, spec),
        agent=agent_config(agent),
        budget=budget_config(budget),
        preset=preset,
        engine="compiled" if compiled else "python",
        record=record,
        versions=versions(),
        code=code_of(env, agent, [*known_of(callbacks), *_functions_of(agent)]),
        initial_table=initial_table,
        callbacks=[described(one) for one in callbacks] or None,
        evaluating=evaluating,
    )


def _functions_of(agent: Agent) -> list[FunctionType]:
    """Returns the functions by which an agent's rates are given, if they have a name: their code decides a result."""
    functions = [rate.function for rate in agent.parameters.by_function().values()]
    return [one for one in functions if isinstance(one, FunctionType)]


def agent_config(agent: Agent) -> AgentConfig:
    """Returns an agent as a run's record stores it."""
    return AgentConfig(agent.name, agent.config(), agent.n_states, agent.n_actions)


def versions() -> dict[str, Any]:
    """Returns what a result may depend on: versions of the packages, and of our algorithms."""
    packages = {name: _installed(name) for name in ("rlbench", "gymnasium", "numpy", "numba")}
    return {**packages, "python": platform.python_version(), "algorithm": ALGORITHM_VERSION}


@cache
def _installed(package: str) -> str:
    return version(package)  # reads and parses a file
