"""What a study is asked for, as a record that is stored, checked and taken up again."""

from __future__ import annotations

import hashlib
import json
import math
import re
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import gymnasium as gym
import numpy as np

from rlbench.agents import AGENTS
from rlbench.agents.base import sizes_of
from rlbench.agents.saving import BELIEVED
from rlbench.checks import flag
from rlbench.envs.flattening import flattened
from rlbench.envs.making import full_id, make_env
from rlbench.envs.trust import checked_spec
from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.names import means_runs
from rlbench.presets import Preset, told_preset
from rlbench.studies.axes import Axis, check_axes
from rlbench.studies.objectives import aggregate_of, is_exact, objective_of
from rlbench.training.binning import in_bins
from rlbench.training.budgets import budget_of
from rlbench.training.many import checked_seeds
from rlbench.training.setup import agent_for, check_kwargs, check_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rlbench.agents import Agent

MOST_COMBINATIONS = 100_000  # unless the user says so
MOST_RUNS = 10_000_000  # of a study: ten bytes of memory each
ENV = "env."  # begins the name of an argument of the env
FITTED = re.compile(r"(kmeans|quantile):\d{1,4}")  # bins that no file describes
NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,80}")


class Combination(NamedTuple):
    """An agent and a value of each parameter that the study varies."""

    agent: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """A study as it was asked for: all that decides its values, and what is kept of its runs."""

    env: str
    agents: tuple[str, ...]
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    episodes: int | None
    total_timesteps: int | None
    preset: str | dict[str, Any]  # see `lasting_preset`
    agent_kwargs: dict[str, Any]
    env_kwargs: dict[str, Any]
    bins: Any
    objective: str
    aggregate: str
    record: str

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Reads the document of settings; whatever it raises, the document is not one."""
        names = [one.name for one in fields(cls)]
        if document.keys() != set(names):
            raise ValueError(f"expected {', '.join(names)}")
        axes = tuple(
            Axis(str(name), tuple(values), flag("is_log", is_log)) for name, values, is_log in document["axes"]
        )
        found = cls(
            **{**document, "agents": tuple(document["agents"]), "axes": axes, "seeds": tuple(document["seeds"])}
        )
        if not all(isinstance(text, str) for text in (found.env, *found.agents)):
            raise TypeError("expected texts")
        if not isinstance(found.preset, str | dict):
            raise TypeError("expected a preset")
        if not found.agents:
            raise ValueError("expected agents")
        check_axes(axes)
        objective_of(found.objective), aggregate_of(found.aggregate), checked_seeds(found.seeds)
        check_kwargs(agent_kwargs=found.agent_kwargs, env_kwargs=found.env_kwargs)
        return found

    def document(self) -> dict[str, Any]:
        """Returns the settings as JSON values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @property
    def digest(self) -> str:
        """A hash of all that decides the values of the study."""
        decides = {name: value for name, value in self.document().items() if name != "record"}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def default_name(self) -> str:
        """The env's name and the beginning of the digest."""
        env = re.sub(r"[^a-z0-9]+", "-", self.env.rpartition("/")[2].rpartition(":")[2].lower()).strip("-")
        return f"{env[:40] or 'study'}-{self.digest[:8]}"

    @property
    def tuned(self) -> Preset:
        """The preset for what is not asked for; UsageError if there is none of its name."""
        return told_preset(full_id(self.env), self.preset)

    # ------------------------------------------------------------------ combinations

    @property
    def grid(self) -> int:
        """How many combinations there are for each agent."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def combinations(self) -> int:
        """How many combinations there are."""
        return len(self.agents) * self.grid

    @property
    def runs(self) -> int:
        """How many runs there are: each combination with each seed."""
        return self.combinations * len(self.seeds)

    def combination(self, index: int) -> Combination:
        """Returns a combination by its number: agent by agent, the last parameter changing fastest."""
        agent, place = divmod(index, self.grid)
        chosen: dict[str, Any] = {}
        for axis in reversed(self.axes):
            place, value = divmod(place, len(axis.values))
            chosen[axis.name] = axis.values[value]
        return Combination(self.agents[agent], dict(reversed(chosen.items())))

    def variants(self, axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
        """Yields what these of its axes may be, together: all of it is checked before the study begins."""
        for values in product(*(axis.values for axis in axes)):
            yield dict(zip((axis.name for axis in axes), values, strict=True))

    def request(self, combination: Combination) -> dict[str, Any]:
        """Returns the arguments of `train` for a combination, except its seed and store."""
        varied = combination.parameters.items()
        env = {name.removeprefix(ENV): value for name, value in varied if name.startswith(ENV)}
        agent = {name: value for name, value in varied if not name.startswith(ENV)}
        return {
            "env": self.env,
            "agent": combination.agent,
            "episodes": self.episodes,
            "total_timesteps": self.total_timesteps,
            "preset": self.preset,
            "bins": self.bins,
            "record": self.record,
            "agent_kwargs": {**self.agent_kwargs, **agent},
            "env_kwargs": {**self.env_kwargs, **env},
        }


def id_with_module(env: str) -> str:
    """Returns the full id of an env, after the module that registers it, if that was named."""
    return ":".join([*env.split(":")[:-1], full_id(env)])


def how_to_go_on(study: str, env: str) -> str:
    """Returns what goes on with a study that was stopped, in words: `resume` imports no module."""
    return "the same command" if ":" in env else f"`rlbench resume {study}`"


# ---------------------------------------------------------------------- checks


def check_name(name: str) -> str:
    """Returns the name of a study; UsageError if it can be none."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UsageError(f"the name of a study is 1 to 80 letters, digits, dots, - or _, got {str(name)!r:.80}")
    if means_runs(name):
        raise UsageError(
            f"{name!r} would be taken for a run (latest, best, all, or the beginning of an id, 0-9 and a-f): "
            "choose another name"
        )
    return name


def check_size(settings: Settings, *, yes: bool) -> None:
    """Refuses a study that is too large, or larger than one asks for by mistake."""
    if settings.runs > MOST_RUNS:
        raise UsageError(f"a study has at most {MOST_RUNS:,} runs, got {settings.runs:,}: split it")
    if settings.combinations > MOST_COMBINATIONS and not yes:
        raise UsageError(f"these are {settings.combinations:,} combinations: yes=True if you want them all")


def completed(settings: Settings) -> Settings:
    """Checks settings, and chooses the objective if it is open: regret where it is exact, else return.

    Raises:
        UsageError: an agent, parameter, value, objective or budget is wrong; the message says what to do.
    """
    check_record(settings.record)
    aggregate_of(settings.aggregate)
    chosen = objective_of(settings.objective) if settings.objective else None
    for agent in settings.agents:
        _check_parameters(settings, agent)
    are_exact = [_is_exact(settings, number * settings.grid) for number in range(len(settings.agents))]
    if chosen is not None and chosen.name == "regret" and not all(are_exact):
        raise UsageError("regret needs an env whose table is known, and agents that learn: choose objective='return'")
    return replace(settings, objective=str(chosen or ("regret" if all(are_exact) else "return")))


def _check_parameters(settings: Settings, agent: str) -> None:
    """Checks each combination of an agent's parameters, without making the agent."""
    if agent not in AGENTS:
        raise unknown_name("agent", agent, AGENTS)
    axes = [axis for axis in settings.axes if not axis.name.startswith(ENV)]
    known = {one.name for one in fields(AGENTS[agent].Parameters)}
    for axis in axes:
        if axis.name not in known:
            raise unknown_name(f"parameter of {agent}", axis.name, known)
    twice = next((axis.name for axis in settings.axes if axis.name in _given(settings)), None)
    if twice is not None:
        raise UsageError(f"{twice} is varied and has a value too: give one of the two")
    tuned = settings.tuned
    for varied in settings.variants(axes):
        AGENTS[agent].Parameters.of(tuned.parameters(agent, {**settings.agent_kwargs, **varied}), agent)


def _given(settings: Settings) -> set[str]:
    return {*settings.agent_kwargs, *(ENV + name for name in settings.env_kwargs)}


def _is_exact(settings: Settings, index: int) -> bool:
    """Makes the env and the agent of a combination, and returns whether its value is exact."""
    with closing(_env_of(settings, index)) as env:
        return is_exact(env, _agent_of(settings, index, env))


def _env_of(settings: Settings, index: int) -> gym.Env[Any, Any]:
    request, tuned = settings.request(settings.combination(index)), settings.tuned
    made = make_env(full_id(settings.env), {**tuned.env, **request["env_kwargs"]})
    return flattened(in_bins(made, settings.bins, tuned.bins, None))


def _agent_of(settings: Settings, index: int, env: gym.Env[Any, Any]) -> Agent:
    request, tuned = settings.request(settings.combination(index)), settings.tuned
    budget = budget_of(settings.episodes, settings.total_timesteps, tuned, full_id(settings.env))
    return agent_for(request["agent"], env, request["agent_kwargs"], tuned, budget, np.random.SeedSequence(0))


def check_trusted(settings: Settings) -> None:
    """Refuses settings from a store that name a module or a file, or arguments that may do harm; see `envs.trust`."""
    if ":" in settings.env:
        raise StoreError(f"the study's env {settings.env} would import a module: begin it again with its own command")
    env_id = full_id(settings.env)
    if env_id not in gym.registry:
        raise StoreError(f"the study's env {settings.env!r:.80} is not registered here: resume it where it is")
    for arguments in _env_arguments(settings):
        spec = gym.spec(env_id)
        checked_spec(replace(spec, kwargs={**spec.kwargs, **arguments}).to_json())
    if isinstance(settings.bins, str) and not FITTED.fullmatch(settings.bins):
        raise StoreError(
            f"the study's bins {settings.bins!r:.80} would read a file: begin it again with its own command"
        )
    with closing(_env_of(settings, 0)) as env:
        states, actions = sizes_of(env, settings.agents[0])
    if (settings.bins or isinstance(settings.preset, dict)) and states * actions > BELIEVED:
        raise StoreError(f"the study asks for {states:,} states: begin it again with its own command")


def _env_arguments(settings: Settings) -> Iterator[dict[str, Any]]:
    axes = [axis for axis in settings.axes if axis.name.startswith(ENV)]
    for found in settings.variants(axes):
        varied = {name.removeprefix(ENV): value for name, value in found.items()}
        yield {**settings.tuned.env, **settings.env_kwargs, **varied}
