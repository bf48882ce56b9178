"""Prediction: learning what a given policy is worth, from acting by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import Agent, LookingAhead, TableAgent
from rlbench.agents.compiled import rules
from rlbench.agents.given import UNIFORM, GivenPolicy, probabilities_of
from rlbench.agents.parameters import Parameters, UpdateParameters, among, parameter
from rlbench.forms import Numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.forms import Form

VALUES = ("v", "q")


@dataclass(frozen=True, kw_only=True)
class PredictionParameters(UpdateParameters):
    """Parameters of learning what a given policy is worth."""

    policy: GivenPolicy = parameter(  # noqa: RUF009  (it declares a field)
        UNIFORM, "in Python also an action, (n_states,) actions, (n_states, n_actions) probabilities, a run", UNIFORM
    )
    values: str = parameter("v", "v: of states; q: of states and actions", "v or q")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        among(self, values=VALUES)

    def exploration_rates(self) -> Any:
        """Returns the compiled Schedule of epsilon: a given policy does not explore."""
        return rules.Schedule(rules.CONSTANT, False, 0.0, 0.0, 0.0)

    def compiled_policy(self, n_states: int, n_actions: int) -> Any:
        """Returns the compiled policy."""
        return rules.new_given(probabilities_of(self.policy, n_states, n_actions), per_action=self.values == "q")


class Prediction(TableAgent):
    """An agent that acts by a given policy and learns the values of its states, or of its states and actions."""

    Parameters: ClassVar[type[Parameters]] = PredictionParameters
    parameters: PredictionParameters  # type: ignore[assignment]  # what it shares with others, a policy beside it

    @property
    def n_columns(self) -> int:
        """How many values the table holds for each state."""
        return self.n_actions if self.parameters.values == "q" else 1

    def column(self, action: int) -> int:
        """Returns the column of the table that holds the value of an action: the only one if it is of states."""
        return action if self.parameters.values == "q" else 0

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The given policy: the probability of each action in each state, (n_states, n_actions)."""
        found: NDArray[np.float64] = self.policy.probabilities
        return found

    def allow(self, allowed: NDArray[np.bool_]) -> None:
        """Restricts the policy to allowed actions: in proportion, or evenly where it takes none of them."""
        Agent.allow(self, allowed)
        kept = self.probabilities * allowed
        kept = np.where(kept.any(axis=1, keepdims=True), kept, allowed)
        kept /= kept.sum(axis=1, keepdims=True)
        self.policy = rules.new_given(kept, per_action=self.parameters.values == "q")

    _barred = None  # its policy weighs values, and -inf has no weight

    @property
    def state_values(self) -> NDArray[np.float64]:
        """What the policy is worth from each state, as far as it has learnt, (n_states,)."""
        values = self._values()
        return values[:, 0] if self.parameters.values == "v" else (self.probabilities * values).sum(axis=1)

    @property
    def q_table(self) -> NDArray[np.float64]:
        """The action values, float64 (n_states, n_actions), if it learns these: a view to read and to assign to."""
        if self.parameters.values == "v":
            raise AttributeError(f"{self.name} learns the values of states: see state_values, or give values='q'")
        return super().q_table

    @q_table.setter
    def q_table(self, values: NDArray[np.float64]) -> None:
        TableAgent.q_table.fset(self, values)  # type: ignore[attr-defined]  # a property

    @property
    def kept_as(self) -> tuple[str, tuple[int, ...]]:
        """The name and the shape of the table in `state_dict`."""
        return super().kept_as if self.parameters.values == "q" else ("state_values", (self.n_states,))

    def greedy_policy(self) -> NDArray[np.int64] | None:
        """Returns the action that the given policy takes in every state, shape (n_states,); None if it draws any."""
        is_certain = (self.probabilities.max(axis=1) == 1.0).all()
        return self.probabilities.argmax(axis=1) if is_certain else None

    def _act(self, observation: int, *, explore: bool) -> int:
        """Returns an action of the given policy, whatever the values; where it is certain, nothing is drawn for it."""
        action = int(self.probabilities[observation].argmax())
        if explore or self.probabilities[observation, action] < 1.0:
            return super()._act(observation, explore=True)
        return action

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns from one step, as the agent that it is made of does of a table with one column or with more."""
        super()._learn(observation, self.column(action), reward, next_observation, terminated)

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return super().learner()

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        return {**super().state_dict(), "policy": self.probabilities.copy()}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        return {**super().state_form(), "policy": Numbers(np.float64, (self.n_states, self.n_actions), 0.0, 1.0)}


class LookingAheadPrediction(Prediction, LookingAhead):
    """The same of an agent whose update needs the next action."""

    def _look_ahead(self, next_observation: int, terminated: bool) -> int:  # noqa: FBT001
        """Chooses the next action; returns its column of the table."""
        return self.column(super()._look_ahead(next_observation, terminated))

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return super().learner()
