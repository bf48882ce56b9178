"""The random agent: uniform actions, no learning; the baseline that every learner must beat."""

from __future__ import annotations

from typing import Any, ClassVar

from rlbench.agents.base import Agent
from rlbench.agents.compiled import learners, rules


class RandomAgent(Agent):
    """Draws every action uniformly from its own generator."""

    name: ClassVar[str] = "random"
    source: ClassVar[str] = "the baseline"

    def act(self, observation: int, *, explore: bool = True) -> int:  # noqa: ARG002
        """Returns a random action, even with `explore=False`: it has no greedy one."""
        self._state(observation)
        self.explored = True
        return int(self.rng.random() * self.n_actions)

    def update(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: ARG002, FBT001
        """Learns nothing."""
        self.timesteps += 1

    @property
    def exploration_rate(self) -> float:
        """Always 1."""
        return 1.0

    def greedy_policy(self) -> None:
        """Returns None: it has no greedy policy."""

    def learner(self) -> Any:
        """Returns the compiled counterpart."""
        never, always = (rules.Schedule(rules.CONSTANT, False, value, value, 0.0) for value in (0.0, 1.0))
        return learners.RandomLearner(learners.Rates(never, always))
