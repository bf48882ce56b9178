"""Rates by function: of the share of the training that remains, as in Stable-Baselines3."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from rlbench.checks import finite, whole_number
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ByFunction:
    """A rate that a function gives for the share of the training that remains, from 1 to 0.

    Args:
        name: "module:function"; in angle brackets what cannot be found by its name, such as a lambda.
        function: None where a record names it, for a record holds no code.
        episodes: of the training; None for no limit.
        timesteps: likewise; the limit that is nearer counts.
    """

    def __init__(
        self, name: str, function: Callable[[float], float] | None, episodes: int | None, timesteps: int | None
    ) -> None:
        self.name, self.function, self.episodes, self.timesteps = name, function, episodes, timesteps

    @classmethod
    def within(cls, function: Callable[[float], float], episodes: int | None, timesteps: int | None) -> ByFunction:
        """Returns the rate that a function gives in a training of this length."""
        kind = type(function)
        named = isinstance(function, FunctionType)
        name = f"{function.__module__}:{function.__qualname__}" if named else f"{kind.__module__}:<{kind.__name__}>"
        return cls(name, function, episodes, timesteps)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ByFunction:
        """Returns the rate that a record describes; UsageError if it is damaged."""
        if set(document) != {"function", "episodes", "timesteps"} or not isinstance(document["function"], str):
            raise UsageError(f"a rate by function has a function, episodes and timesteps, got {document}")
        limits = [document["episodes"], document["timesteps"]]
        for limit in limits:
            whole_number("the length of the training", 1 if limit is None else limit)
        return cls(document["function"], None, *limits)

    def document(self) -> dict[str, Any]:
        """Returns what a record says of it."""
        return {"function": self.name, "episodes": self.episodes, "timesteps": self.timesteps}

    def rate(self, episodes: int, timesteps: int) -> float:
        """Returns the rate after some episodes and steps of the training.

        Raises:
            UsageError: the function is not known, or gives no number from 0 to 1.
        """
        if self.function is None:
            raise UsageError(f"the function {self.name} is not kept with the run: train with it again")
        spent = [count / most for count, most in ((episodes, self.episodes), (timesteps, self.timesteps)) if most]
        remaining = max(0.0, 1.0 - max(spent, default=0.0))
        rate = finite(f"what {self.name} returns", self.function(remaining))
        if not 0 <= rate <= 1:
            raise UsageError(f"{self.name} must return a number from 0 to 1, got {rate} for {remaining:.4g} remaining")
        return rate

    def __repr__(self) -> str:
        return f"the function {self.name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByFunction) and self.document() == other.document()

    def __hash__(self) -> int:
        return hash(self.name)
