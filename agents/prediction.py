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
        UNIFORM, "what to follow; also an action, lists of actions or probabilities by state, in Python a run", UNIFORM
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

    def behaving_policy(self) -> NDArray[np.float64]:
        """Returns the probabilities by which it acts, (n_states, n_actions)."""
        return self.policy.probabilities.copy()  # type: ignore[no-any-return]  # an array

    def target_policy(self) -> NDArray[np.float64]:
        """Returns the probabilities of the policy whose values it learns, (n_states, n_actions)."""
        return self.policy.target.copy()  # type: ignore[no-any-return]  # an array

    def allow(self, allowed: NDArray[np.bool_]) -> None:
        """Restricts the policy to allowed actions: in proportion, or evenly where it takes none of them."""
        Agent.allow(self, allowed)
        restricted = [_restricted(one, allowed) for one in (self.policy.probabilities, self.policy.target)]
        self.policy = rules.new_given(*restricted, per_action=self.parameters.values == "q")

    _barred = None  # its policy weighs values, and -inf has no weight

    @property
    def state_values(self) -> NDArray[np.float64]:
        """What the policy is worth from each state, as far as it has learnt, (n_states,)."""
        values = self._values()
        return values[:, 0] if self.parameters.values == "v" else (self.policy.target * values).sum(axis=1)

    @property
    def q_table(self) -> NDArray[np.float64]:
        """The action values, float64 (n_states, n_actions), if it learns these: a view to read and to assign to."""
        self._check_learns_pairs()
        return super().q_table

    @q_table.setter
    def q_table(self, values: NDArray[np.float64]) -> None:
        self._check_learns_pairs()
        TableAgent.q_table.fset(self, values)  # type: ignore[attr-defined]  # a property

    def _check_learns_pairs(self) -> None:
        if self.parameters.values == "v":
            raise AttributeError(f"{self.name} learns the values of states: see state_values, or give values='q'")

    @property
    def kept_as(self) -> tuple[str, tuple[int, ...]]:
        """The name and the shape of the table in `state_dict`."""
        return super().kept_as if self.parameters.values == "q" else ("state_values", (self.n_states,))

    def greedy_policy(self) -> NDArray[np.int64] | None:
        """Returns the action that the given policy takes in every state, shape (n_states,); None if it draws any."""
        target = self.policy.target
        return target.argmax(axis=1) if (target.max(axis=1) == 1.0).all() else None

    def _act(self, observation: int, *, explore: bool) -> int:
        """Returns an action of the policy by which it acts, or else of the one whose values it learns.

        Where the latter takes one action, nothing is drawn for it.
        """
        if explore:
            return super()._act(observation, explore=True)
        target = self.policy.target[observation]
        if target.max() == 1.0:
            return int(target.argmax())
        return int(rules.given_action(rules.cumulative_of(target[None]), 0, self.rng.random()))

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns from one step, as the agent that it is made of does of a table with one column or with more."""
        super()._learn(observation, self.column(action), reward, next_observation, terminated)

    def compare_with(self, exact: NDArray[np.float64]) -> None:
        """Lets `judge` compare what it has learnt with exact values, (n_states, n_columns); NaN: not this one."""
        self.policy = self.policy._replace(truth=rules.new_truth(exact))

    @property
    def judged(self) -> tuple[str, ...]:
        """The names of the figures that `judge` gives of each episode: no error where the truth is not known."""
        return ("start_value", "value_error") if len(self.policy.truth.values) else ("start_value",)

    def judge(self, first: int) -> tuple[float, float]:
        """Returns the value that it has learnt of a state, and the root of the mean squared error of all of them."""
        return rules.judged(self.policy, self.table, first)  # type: ignore[no-any-return]  # compiled

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return super().learner()

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        return {**super().state_dict(), "policy": self.behaving_policy()}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        return {**super().state_form(), "policy": Numbers(np.float64, (self.n_states, self.n_actions), 0.0, 1.0)}


def _restricted(policy: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    kept = policy * allowed
    kept = np.where(kept.any(axis=1, keepdims=True), kept, allowed)
    shares: NDArray[np.float64] = kept / kept.sum(axis=1, keepdims=True)
    return shares


class LookingAheadPrediction(Prediction, LookingAhead):
    """The same of an agent whose update needs the next action."""

    def _look_ahead(self, next_observation: int, terminated: bool) -> int:  # noqa: FBT001
        """Chooses the next action; returns its column of the table."""
        return self.column(super()._look_ahead(next_observation, terminated))

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return super().learner()
