"""Bandits: agents that judge an action by its own reward alone (Sutton & Barto, 2018, chapter 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.compiled import learners, rules
from rlbench.agents.parameters import LearningParameters, Parameters, among, parameter
from rlbench.agents.q_learning import QLearning
from rlbench.errors import UsageError
from rlbench.forms import MOST, Numbers

if TYPE_CHECKING:
    from rlbench.agents.functions import ByFunction
    from rlbench.forms import Form

METHODS = ("values", "gradient")
BASELINES = ("average", "none")


@dataclass(frozen=True, kw_only=True)
class BanditParameters(LearningParameters):
    """Parameters of learning from rewards alone, in the defaults of the book's chapter 2."""

    exploration_schedule: str | ByFunction = parameter(  # noqa: RUF009  (it declares a field)
        "constant", "how epsilon falls; in Python also a function", "exponential, multiplicative, linear or constant"
    )
    exploration_initial_eps: float = parameter(0.1, "epsilon at the start", "[0, 1]")
    gamma: float = parameter(0.0, "values: discount; 0 judges an action by its own reward alone", "[0, 1]")
    method: str = parameter(
        "values",
        "values: the mean reward of each action; gradient: preferences, drawn by softmax",
        "values or gradient",
    )
    baseline: str = parameter(
        "average", "gradient: what a reward is compared with, the average of those before or 0", "average or none"
    )

    def __post_init__(self) -> None:
        """Checks ranges and combinations."""
        super().__post_init__()
        among(self, method=METHODS, baseline=BASELINES)
        if self.is_gradient and self.exploration != "epsilon-greedy":
            raise UsageError(f"gradient draws by its preferences: leave out exploration, got {self.exploration!r}")

    @property
    def is_gradient(self) -> bool:
        """Whether preferences are learnt, not values."""
        return self.method == "gradient"

    def compiled_policy(self, n_states: int, n_actions: int) -> Any:
        """Returns the compiled exploration policy."""
        return rules.Softmax(n_actions, 1.0) if self.is_gradient else super().compiled_policy(n_states, n_actions)

    def exploration_rates(self) -> Any:
        """Returns the compiled Schedule of epsilon, or the function that gives it: 1 for preferences."""
        return rules.Schedule(rules.CONSTANT, False, 1.0, 1.0, 0.0) if self.is_gradient else super().exploration_rates()


class Bandit(QLearning):
    """Learns the mean reward of every action, or by gradient ascent how much to prefer each (2.4 to 2.8).

    Values are those of Q-learning that looks no further than the reward. In an env of several states each is learnt
    separately.
    """

    name: ClassVar[str] = "bandit"
    source: ClassVar[str] = "Williams 1992; Sutton & Barto 2018, 2"
    off_policy: ClassVar[bool] = False  # preferences are not
    Parameters: ClassVar[type[Parameters]] = BanditParameters
    parameters: BanditParameters

    def build(self) -> None:
        """Makes room for the average rewards that preferences need."""
        super().build()
        self.averages = rules.new_averages(self.n_states)

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Moves the value of an action, or the preferences of all, by its reward."""
        if not self.parameters.is_gradient:
            super()._learn(observation, action, reward, next_observation, terminated)
            return
        step, has_baseline = (observation, action, reward), self.parameters.baseline == "average"
        rules.preference_update(self.table, self.averages, self.policy, *step, self.learning_rate, has_baseline)
        self.timesteps += 1

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        if not self.parameters.is_gradient:
            return super().learner()
        return learners.PreferenceLearner(self.core(), self.averages, self.parameters.baseline == "average")

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        means, counts = self.averages
        return {**super().state_dict(), "averages/means": means.copy(), "averages/counts": counts.copy()}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        states = (self.n_states,)
        averages = {
            "averages/means": Numbers(np.float64, states),
            "averages/counts": Numbers(np.int64, states, 0, MOST),
        }
        return {**super().state_form(), **averages}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.averages.means[:], self.averages.counts[:] = state["averages/means"], state["averages/counts"]
