"""The random agent: uniform actions, no learning; the baseline that every learner must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import Agent
from rlbench.agents.compiled import learners, rules

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RandomAgent(Agent):
    """Draws every action uniformly from its own generator."""

    name: ClassVar[str] = "random"
    source: ClassVar[str] = "the baseline"

    among: Any = None  # the allowed actions, as lists; None: all

    def allow(self, allowed: NDArray[np.bool_]) -> None:
        """Restricts the actions to choose from; see `Agent.allow`."""
        super().allow(allowed)
        self.among = rules.new_allowed(allowed)

    def act(self, observation: int, *, explore: bool = True) -> int:  # noqa: ARG002
        """Returns a random action, even with `explore=False`: it has no greedy one."""
        observation = self._state(observation)
        self.explored = True
        if self.among is None:
            return int(self.rng.random() * self.n_actions)
        return int(self.among.actions[observation, int(self.rng.random() * self.among.counts[observation])])

    def update(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: ARG002, FBT001
        """Learns nothing."""
        self.timesteps += 1

    @property
    def exploration_rate(self) -> float:
        """Always 1."""
        return 1.0

    def greedy_policy(self) -> None:
        """Returns None: it has no greedy policy."""

    def behaving_policy(self) -> NDArray[np.float64]:
        """Returns the same probability for every allowed action, shape (n_states, n_actions)."""
        allowed = np.ones((self.n_states, self.n_actions)) if self.allowed is None else self.allowed
        shares: NDArray[np.float64] = allowed / allowed.sum(axis=1, keepdims=True)
        return shares

    def learner(self) -> Any:
        """Returns the compiled counterpart."""
        never, always = (rules.Schedule(rules.CONSTANT, False, value, value, 0.0) for value in (0.0, 1.0))
        core = learners.Rates(never, always)
        return learners.RandomLearner(core) if self.among is None else learners.MaskedRandomLearner(core, self.among)
