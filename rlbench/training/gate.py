"""Checks what env and agent hand to each other: no observation outside its space reaches a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.checks import finite, flag, place
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.agents import Agent


EXACT = 2**53  # a float holds each whole number up to it


class Gate:
    """Lets through what the spaces promise and refuses anything else, with its episode, step and value.

    Args:
        agent: whose states and actions are counted.
        where: says where the loop is, such as "episode 3, step 17".
    """

    def __init__(self, agent: Agent, where: Callable[[], str]) -> None:
        self._n_states, self._n_actions, self._where = agent.n_states, agent.n_actions, where

    def start(self, observation: Any) -> int:
        """Returns the first observation of an episode as an int."""
        return self._checked(place, "the observation that reset returns", observation, self._n_states)  # type: ignore[no-any-return]

    def action(self, action: Any) -> int:
        """Returns the agent's action as an int."""
        if action.__class__ is int and 0 <= action < self._n_actions:
            return action  # an int: see above
        return self._checked(place, "the action that the agent chooses", action, self._n_actions)  # type: ignore[no-any-return]

    def outcome(
        self, observation: Any, reward: Any, terminated: Any, truncated: Any, _info: Any = None
    ) -> tuple[int, float, bool, bool]:
        """Returns the outcome of a step as Python numbers."""
        if observation.__class__ is not int or not 0 <= observation < self._n_states:
            observation = self._checked(place, "the observation that step returns", observation, self._n_states)
        if reward.__class__ is int and -EXACT < reward < EXACT:
            reward = float(reward)
        elif reward.__class__ is not float or reward - reward != 0.0:  # infinite or NaN; faster than two comparisons
            reward = self._checked(finite, "the reward", reward)
        if terminated.__class__ is not bool:
            terminated = self._checked(flag, "terminated", terminated)
        if truncated.__class__ is not bool:
            truncated = self._checked(flag, "truncated", truncated)
        return observation, reward, terminated, truncated

    def _checked(self, check: Callable[..., Any], *given: Any) -> Any:
        try:
            return check(*given)
        except UsageError as error:
            raise UsageError(f"{self._where()}: {error}") from None
