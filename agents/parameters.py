"""Hyper-parameters of the agents: declared, checked, and turned into schedules and policies."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np

from rlbench.agents.compiled import rules
from rlbench.agents.functions import ByFunction
from rlbench.agents.given import plain_policy
from rlbench.errors import UsageError, unknown_name

EXPLORATIONS = ("epsilon-greedy", "softmax", "ucb")
TIES = ("first", "random")
ACTIONS = ("allowed", "masked")
RATES = ("time", "visits")
SCHEDULES = ("exponential", "multiplicative", "linear", "constant")
DECAYS = {"exponential": 1e-3, "multiplicative": 0.995}  # per episode or step
UNITS = {"exponential": "episode", "multiplicative": "episode", "linear": "step", "constant": "episode"}


def parameter(default: Any, text: str, values: str = "", *, later: bool = False) -> Any:
    """Declares a hyper-parameter.

    Args:
        default: its value unless one is given.
        text: the help line that `rlbench agents` prints.
        values: those it takes, in words.
        later: added after the first version: runs do not name it at its default, so that older runs are still found.
    """
    return field(default=default, metadata={"help": text, "values": values, "later": later})


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Hyper-parameters of an agent; all checks are made here, once."""

    actions: str = parameter(
        "allowed",
        "which it chooses from: all that the env allows; masked: of these the ones that its action_mask marks",
        "allowed or masked",
        later=True,
    )

    def __post_init__(self) -> None:
        """Checks ranges and combinations."""
        among(self, actions=ACTIONS)

    @classmethod
    def of(cls, given: dict[str, Any], agent: str) -> Self:
        """Builds an agent's parameters from keyword arguments; for an unknown name, the error suggests the nearest."""
        known = {f.name for f in fields(cls)}
        for name in given:
            if name not in known:
                raise unknown_name(f"parameter of {agent}", name, known)
        return cls(**{f.name: _typed(f.name, f.type, given[f.name]) for f in fields(cls) if f.name in given})

    def named(self) -> dict[str, Any]:
        """Returns the parameters that identify a run: all except later ones at their default."""
        values = [(f, getattr(self, f.name)) for f in fields(self)]
        named = {f.name: value for f, value in values if not f.metadata.get("later") or value != f.default}
        return {name: _as_json(value) for name, value in named.items()}

    def by_function(self) -> dict[str, ByFunction]:
        """Returns the rates that are given by a function."""
        return {name: value for name, value in vars(self).items() if isinstance(value, ByFunction)}


@dataclass(frozen=True, kw_only=True)
class ExplorationParameters(Parameters):
    """How to explore: epsilon-greedy, softmax or upper confidence bounds.

    Epsilon-greedy draws an action uniformly with probability epsilon (Sutton & Barto, 2018, 2.2), else it takes the
    best: among equals the first, or a random one, selected by the same draw. Softmax draws each action in proportion to
    exp(q / temperature); the temperature decays with epsilon (2.8). Upper confidence bounds maximise
    q + c sqrt(ln N(s) / N(s, a)), with separate counts per state and no epsilon (2.7).
    """

    exploration: str = parameter(
        "epsilon-greedy", "how to explore; ucb: upper confidence bounds", "epsilon-greedy, softmax or ucb"
    )
    ties: str = parameter(
        "first", "epsilon-greedy: which of equally good actions it takes", "first or random", later=True
    )
    temperature: float = parameter(1.0, "softmax: the temperature at epsilon 1; it decays with epsilon", "above 0")
    ucb_confidence: float = parameter(2.0, "ucb: c, the bonus for rarely tried actions", "0 or more")
    exploration_schedule: str | ByFunction = parameter(  # noqa: RUF009  (it declares a field)
        "exponential", "how epsilon falls; in Python also a function", "exponential, multiplicative, linear or constant"
    )
    exploration_initial_eps: float = parameter(1.0, "epsilon at the start", "[0, 1]")
    exploration_final_eps: float = parameter(0.01, "final epsilon", "[0, 1]")
    exploration_decay: float | None = parameter(
        None, "exponential: rate (1e-3); multiplicative: factor (0.995), up to 1; per exploration_unit", "0 or more"
    )
    exploration_unit: str | None = parameter(
        None, "what epsilon falls by; the default is step for linear, else episode", "episode or step"
    )
    exploration_steps: float | None = parameter(
        None, "linear: the number of units after which epsilon is final", "above 0"
    )
    exploration_fraction: float | None = parameter(None, "linear: the same as a fraction of total_timesteps", "[0, 1]")

    def __post_init__(self) -> None:
        """Checks ranges and combinations."""
        super().__post_init__()
        among(self, exploration=EXPLORATIONS, ties=TIES)
        if not isinstance(self.exploration_schedule, ByFunction):
            among(self, exploration_schedule=SCHEDULES)
        if not 0 < self.temperature < math.inf:
            raise UsageError(f"temperature must be above 0, got {self.temperature}")
        if not 0 <= self.ucb_confidence < math.inf:
            raise UsageError(f"ucb_confidence must be 0 or more, got {self.ucb_confidence}")
        if self.exploration_unit not in (None, "episode", "step"):
            raise UsageError(f"exploration_unit must be episode or step, got {self.exploration_unit!r}")
        in_unit(self, "exploration_initial_eps", "exploration_final_eps", "exploration_fraction")
        if self.exploration_decay is not None and not 0 <= self.exploration_decay < math.inf:
            raise UsageError(f"exploration_decay must be 0 or more, got {self.exploration_decay}")
        if self.exploration_schedule == "multiplicative" and (self.exploration_decay or 0.0) > 1:
            raise UsageError(f"a multiplicative exploration_decay must be in [0, 1], got {self.exploration_decay}")
        if self.exploration_steps is not None and not 0 < self.exploration_steps < math.inf:
            raise UsageError(f"exploration_steps must be above 0, got {self.exploration_steps}")
        if self.exploration_schedule == "linear" and (self.exploration_steps is None) == (
            self.exploration_fraction is None
        ):
            raise UsageError("a linear exploration schedule takes either exploration_steps or exploration_fraction")

    def compiled_policy(self, n_states: int, n_actions: int) -> Any:
        """Returns the compiled exploration policy."""
        if self.exploration == "softmax":
            return rules.Softmax(n_actions, float(self.temperature))
        if self.exploration == "ucb":
            return rules.new_ucb(n_states, n_actions, float(self.ucb_confidence))
        return rules.EpsilonGreedy(n_actions) if self.ties == "first" else rules.EpsilonGreedyRandomTies(n_actions)

    def exploration_rates(self) -> Any:
        """Returns the compiled Schedule of epsilon, or the function that gives it.

        Raises:
            UsageError: exploration_fraction without a known budget of timesteps.
        """
        if self.exploration == "ucb":
            return rules.Schedule(rules.CONSTANT, False, 0.0, 0.0, 0.0)

        kind = self.exploration_schedule
        if isinstance(kind, ByFunction):
            return kind
        if kind == "linear" and self.exploration_steps is None:
            raise UsageError(
                "exploration_fraction is a share of total_timesteps: give that budget, or exploration_steps"
            )
        decay = DECAYS.get(kind, 0.0) if self.exploration_decay is None else self.exploration_decay
        rate = self.exploration_steps if kind == "linear" else decay
        per_step = (self.exploration_unit or UNITS[kind]) == "step"
        initial, final = float(self.exploration_initial_eps), float(self.exploration_final_eps)
        return rules.Schedule(rules.KINDS[kind], per_step, initial, final, float(rate or 0.0))


@dataclass(frozen=True, kw_only=True)
class UpdateParameters(Parameters):
    """The parameters of what all agents with a table do: move values towards targets."""

    learning_rate: float | ByFunction = parameter(  # noqa: RUF009  (likewise)
        0.1, "step size alpha; in Python also a function", "(0, 1]"
    )
    learning_rate_final: float | None = parameter(None, "step size at learning_rate_steps, reached linearly", "[0, 1]")
    learning_rate_steps: float | None = parameter(None, "steps after which learning_rate_final is reached", "above 0")
    learning_rate_schedule: str = parameter(
        "time",
        "what the step size falls by; visits: N(s, a)^-learning_rate_power instead, each pair by its own updates",
        "time or visits",
        later=True,
    )
    learning_rate_power: float = parameter(
        1.0, "visits: the power w of N(s, a)^-w; 1: what is learnt is the mean of the targets", "[0, 1]", later=True
    )
    gamma: float = parameter(0.99, "discount", "[0, 1]")
    initial_value: float = parameter(0.0, "value before learning (high: optimistic)", "any number")

    def __post_init__(self) -> None:
        """Checks ranges and combinations."""
        super().__post_init__()
        among(self, learning_rate_schedule=RATES)
        in_unit(self, "learning_rate", "learning_rate_final", "learning_rate_power", "gamma")
        if isinstance(self.learning_rate, ByFunction) and self.learning_rate_schedule == "visits":
            raise UsageError("learning_rate is a function: leave out learning_rate_schedule")
        if isinstance(self.learning_rate, ByFunction) and self.learning_rate_final is not None:
            raise UsageError("learning_rate is a function: leave out learning_rate_final and learning_rate_steps")
        if self.learning_rate == 0:
            raise UsageError("learning_rate must be above 0, got 0: nothing would be learnt")
        if not math.isfinite(self.initial_value):
            raise UsageError(f"initial_value must be finite, got {self.initial_value}")
        if (self.learning_rate_final is None) != (self.learning_rate_steps is None):
            raise UsageError("learning_rate_final and learning_rate_steps go together: give both or neither")
        if self.learning_rate_steps is not None and not 0 < self.learning_rate_steps < math.inf:
            raise UsageError(f"learning_rate_steps must be above 0, got {self.learning_rate_steps}")

    def learning_rates(self) -> Any:
        """Returns the compiled Schedule of the step size, or the function that gives it."""
        if isinstance(self.learning_rate, ByFunction):
            return self.learning_rate
        initial, final, steps = float(self.learning_rate), self.learning_rate_final, self.learning_rate_steps
        if final is None or steps is None:
            return rules.Schedule(rules.CONSTANT, False, initial, initial, 0.0)
        return rules.Schedule(rules.LINEAR, True, initial, float(final), float(steps))


@dataclass(frozen=True, kw_only=True)
class LearningParameters(UpdateParameters, ExplorationParameters):
    """The parameters that all agents with a table of action values share."""


def among(parameters: Parameters, **known: tuple[str, ...]) -> None:
    """Raises UnknownNameError for values that are not among the known ones; it suggests the nearest."""
    for name, values in known.items():
        if getattr(parameters, name) not in values:
            raise unknown_name(name, getattr(parameters, name), values)


def in_unit(parameters: Parameters, *names: str) -> None:
    """Raises UsageError for values outside [0, 1] and for NaN."""
    for name in names:
        value = getattr(parameters, name)
        if value is not None and not isinstance(value, ByFunction) and not 0 <= value <= 1:
            raise UsageError(f"{name} must be in [0, 1], got {value}")


def at_least(parameters: Parameters, least: int, *names: str) -> None:
    """Raises UsageError for values below `least`."""
    for name in names:
        if getattr(parameters, name) < least:
            raise UsageError(f"{name} must be at least {least}, got {getattr(parameters, name)}")


def within(parameters: Parameters, least: int, most: int, *names: str) -> None:
    """Raises UsageError for values below `least` or above `most`: what takes memory or time at every step."""
    at_least(parameters, least, *names)
    for name in names:
        if getattr(parameters, name) > most:
            raise UsageError(f"{name} must be at most {most:,}, got {getattr(parameters, name)}")


LARGEST = 2**62  # compiled code counts in 64 bits
_TYPES: dict[str, tuple[type, ...]] = {"float": (float, int), "int": (int,), "str": (str,)}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(one) for one in value]
    return value.document() if isinstance(value, ByFunction) else value


def _typed(name: str, annotation: Any, value: Any) -> Any:
    """Returns the value as its declared type; the error for any other type says what is expected.

    The annotation is a string where annotations are postponed, else a class or a union.
    """
    said = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if said == "GivenPolicy":
        return plain_policy(name, value)
    wanted, *others = said.split(" | ")
    if wanted not in _TYPES:
        raise UsageError(
            f"{name} is declared as {said}: a parameter is a float, an int or a str, or one of them | None"
        )
    if value is None and "None" in others:
        return None
    if "ByFunction" in others:
        if isinstance(value, ByFunction | dict):
            return ByFunction.of(value) if isinstance(value, dict) else value
        if callable(value):
            raise UsageError(f"{name} by a function depends on the length of training: give it to train (agent_kwargs)")
    plain = _plain(value)
    if isinstance(plain, bool) or not isinstance(plain, _TYPES[wanted]):
        kinds = {"float": "a number", "int": "a whole number", "str": "a word"}
        raise UsageError(f"{name} must be {kinds[wanted]}, got {plain!r}")
    if isinstance(plain, int) and abs(plain) >= LARGEST:
        raise UsageError(f"{name} must be below 2**62, got {plain}")
    return float(plain) if isinstance(plain, int) and wanted == "float" else plain
