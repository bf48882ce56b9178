"""n-step Sarsa: between one step and the whole episode (Cichosz, 1995; van Seijen, 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import LookingAhead, TableAgent
from rlbench.agents.compiled import learners, returns
from rlbench.agents.parameters import LearningParameters, Parameters, parameter, within
from rlbench.forms import Numbers, UpTo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.forms import Form

MOST_STEPS = 2**20  # in a return: they are kept, and added up for every step


@dataclass(frozen=True, kw_only=True)
class NStepParameters(LearningParameters):
    """Parameters of learning from n steps at a time."""

    n_steps: int = parameter(4, "rewards in a return before bootstrapping", f"1 to {MOST_STEPS:,}")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        within(self, 1, MOST_STEPS, "n_steps")


class NStep(TableAgent):
    """An agent that learns from the latest n steps of an episode at once, and therefore keeps them."""

    parameters: NStepParameters

    def build(self) -> None:
        """Makes room for the latest n steps."""
        super().build()
        self.steps = returns.new_steps(self.parameters.n_steps)

    def drop_episode(self) -> None:
        """Forgets an interrupted episode."""
        super().drop_episode()
        self.steps.cursor[:] = 0

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers, the oldest step first."""
        at, names = self._places(), ("states", "actions", "rewards")
        return {**super().state_dict(), **{f"steps/{name}": getattr(self.steps, name)[at] for name in names}}

    def _places(self) -> NDArray[np.int64]:
        """Returns where the steps are in the ring, the oldest first."""
        start, count = self.steps.cursor
        return (start + np.arange(count)) % self.parameters.n_steps  # type: ignore[no-any-return]  # compiled

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        steps = (UpTo("steps", self.parameters.n_steps - 1),)
        return {
            **super().state_form(),
            "steps/states": Numbers(np.int64, steps, 0, self.n_states - 1),
            "steps/actions": Numbers(np.int64, steps, 0, self.n_columns - 1),
            "steps/rewards": Numbers(np.float64, steps),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        count = len(state["steps/rewards"])
        for name in ("states", "actions", "rewards"):
            getattr(self.steps, name)[:count] = state[f"steps/{name}"]
        self.steps.cursor[:] = 0, count


class NStepSarsa(NStep, LookingAhead):
    """Learns from n rewards and the value of the action that follows them (Sutton & Barto, 2018, 7.2)."""

    name: ClassVar[str] = "n-step-sarsa"
    source: ClassVar[str] = "Sutton & Barto 2018, 7.2"
    Parameters: ClassVar[type[Parameters]] = NStepParameters
    parameters: NStepParameters

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Remembers the step; learns from the one n steps ago, or from all remaining ones if the episode terminated."""
        learning_rate = self.learning_rate
        self.timesteps += 1
        returns.n_step_update(
            self.table,
            self.steps,
            observation,
            action,
            reward,
            next_observation,
            self._look_ahead(next_observation, terminated),
            terminated,
            learning_rate,
            self.parameters.gamma,
        )

    def end_episode(self) -> None:
        """Learns from the remaining steps of a truncated episode, bootstrapping from the next action's value."""
        if self.steps.cursor[1] > 0:
            last, column = self.ahead[0], self.column(self.ahead[1])
            gamma = self.parameters.gamma
            returns.n_step_finish(self.table, self.steps, last, column, False, self.learning_rate, gamma)
        super().end_episode()

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.NStepSarsaLearner(self.core(), self.ahead, self.steps)
