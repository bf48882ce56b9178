"""Dyna-Q+: Dyna-Q for worlds that change, which comes back to what it has not tried for long (Sutton, 1990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.compiled import learners, models, rules
from rlbench.agents.dyna_q import Modelling, PlanningParameters
from rlbench.agents.parameters import Parameters, parameter
from rlbench.errors import UsageError
from rlbench.forms import MOST

if TYPE_CHECKING:
    from rlbench.forms import Form


@dataclass(frozen=True, kw_only=True)
class DynaQPlusParameters(PlanningParameters):
    """Parameters of learning from steps, and from a model that is doubted the longer the more."""

    kappa: float = parameter(1e-3, "weight of the bonus kappa * sqrt(steps since an action was tried)", "0 or more")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        if not 0 <= self.kappa < np.inf:
            raise UsageError(f"kappa must be 0 or more, got {self.kappa}")


class DynaQPlus(Modelling):
    """Learns as Dyna-Q does, but a step of the model earns more the longer ago its action was tried.

    Sutton & Barto (2018), 8.3. In a state that was seen, actions never tried are learnt from too: as if they led back
    to it, for no reward but the bonus.
    """

    name: ClassVar[str] = "dyna-q-plus"
    source: ClassVar[str] = "Sutton 1990; Sutton & Barto 2018, 8.3"
    Parameters: ClassVar[type[Parameters]] = DynaQPlusParameters
    parameters: DynaQPlusParameters

    def build(self) -> None:
        """Makes room for when each action was tried."""
        super().build()
        self.tried_at = np.zeros((self.n_states, self.n_actions), np.int64)

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns from the step, records it in the model, and learns `planning_steps` times from the model."""
        step, now = (observation, action, reward, next_observation, terminated), self.timesteps + 1
        rates, draws = (self.learning_rate, self.parameters.gamma), self.rng.random(self.parameters.planning_steps)
        rules.q_update(self.table, *step, *rates)
        models.learn_curious_model(self.table, self.model, self.tried_at, *step, now)
        models.plan_curiously(self.table, self.model, self.tried_at, draws, *rates, now, self.parameters.kappa)
        self.timesteps = now

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        planning_steps, kappa = self.parameters.planning_steps, self.parameters.kappa
        return learners.DynaQPlusLearner(self.core(), self.model, planning_steps, self.tried_at, kappa)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        return {**super().state_dict(), "tried_at": self.tried_at.copy()}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        return {**super().state_form(), "tried_at": self.per_pair(np.int64, 0, MOST)}

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state that has the form of this agent's, with no try later than its steps."""
        found = super().checked_state(state)
        if (found["tried_at"] > found["timesteps"]).any():
            raise UsageError("the state is damaged: tried_at names a step later than timesteps")
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.tried_at[:] = state["tried_at"]
