"""The random agent: every action alike, nothing learnt; the floor that any learner must leave."""

from __future__ import annotations

from typing import Any, ClassVar

from rlbench.agents.base import Agent


class RandomAgent(Agent):
    """Draws every action uniformly from its own generator."""

    name: ClassVar[str] = "random"
    source: ClassVar[str] = "the baseline"

    def act(self, observation: int, *, explore: bool = True) -> int:  # noqa: ARG002
        """Returns a random action, also when asked for the greedy one: it has no other."""
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
        """It has none."""

    def learner(self) -> Any:
        """Returns the compiled counterpart."""
        from rlbench.agents._learners import RandomLearner  # noqa: PLC0415
        from rlbench.agents._rules import CONSTANT, Schedule  # noqa: PLC0415

        return RandomLearner(Schedule(CONSTANT, False, 0.0, 0.0, 0.0), Schedule(CONSTANT, False, 1.0, 1.0, 0.0))
