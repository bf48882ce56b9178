"""Monte Carlo control: learning from whole episodes, without bootstrapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import TableAgent
from rlbench.agents.compiled import learners, returns
from rlbench.agents.parameters import LearningParameters, Parameters, among, parameter, within
from rlbench.forms import MOST, Numbers, UpTo, Whole

if TYPE_CHECKING:
    from rlbench.forms import Form

AVERAGES = ("sample", "exponential")
VISITS = ("first", "every")
MOST_STEPS = 2**22  # of a horizon: 100 MB


@dataclass(frozen=True, kw_only=True)
class MonteCarloParameters(LearningParameters):
    """Parameters of learning from whole episodes."""

    average: str = parameter(
        "sample", "sample: the mean of all returns; exponential: weighted by learning_rate", "sample or exponential"
    )
    visits: str = parameter("first", "which visits of an episode count", "first or every", later=True)
    horizon: int = parameter(
        10_000, "longer episodes are learnt in segments of this many steps", f"1 to {MOST_STEPS:,}"
    )

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        within(self, 1, MOST_STEPS, "horizon")
        among(self, average=AVERAGES, visits=VISITS)


class MonteCarlo(TableAgent):
    """Averages the returns that follow the first visit to each pair (Sutton & Barto, 2018, 5.4).

    If an episode is cut off, by its step limit or `horizon`, the expected value of the last state under the policy
    replaces the missing rewards.
    """

    name: ClassVar[str] = "monte-carlo"
    source: ClassVar[str] = "Sutton & Barto 2018, 5.4"
    Parameters: ClassVar[type[Parameters]] = MonteCarloParameters
    parameters: MonteCarloParameters

    def build(self) -> None:
        """Makes room for the counts of returns and for one episode."""
        super().build()
        self.counts = np.zeros((self.n_states, self.n_actions), np.int64)  # returns averaged
        self.episode = returns.new_episode(self.n_states, self.n_actions, self.parameters.horizon)

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Remembers the step; learns if the horizon is reached."""
        learning_rate = self.learning_rate
        self.timesteps += 1
        returns.remember_step(self.episode, observation, action, reward, next_observation, terminated)
        if self.episode.cursor[0] == self.parameters.horizon:
            self._learn_episode(learning_rate)

    def end_episode(self) -> None:
        """Learns from the episode."""
        self._learn_episode(self.learning_rate)
        super().end_episode()

    def _learn_episode(self, learning_rate: Any) -> None:
        p = self.parameters
        rate = returns.returns_rate(learning_rate, p.average == "sample")
        value = returns.value_after(self.episode, self.policy, self.table, self.exploration_rate)
        every = p.visits == "every"
        returns.monte_carlo_update(self.table, self.counts, self.episode, value, rate, p.gamma, every)

    def drop_episode(self) -> None:
        """Forgets an interrupted episode."""
        self.episode.first[:] = -1
        self.episode.cursor[:] = 0, -1

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        averaging, every = self.parameters.average == "sample", self.parameters.visits == "every"
        return learners.MonteCarloLearner(self.core(), self.counts, self.episode, averaging, every)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        count, last = self.episode.cursor.tolist()
        steps = {name: getattr(self.episode, name)[:count].copy() for name in ("states", "actions", "rewards")}
        unfinished = {f"episode/{name}": values for name, values in steps.items()}
        return {**super().state_dict(), "counts": self.counts.copy(), **unfinished, "last": last}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        steps = (UpTo("steps", self.parameters.horizon - 1),)
        return {
            **super().state_form(),
            "counts": self.per_pair(np.int64, 0, MOST),
            "episode/states": Numbers(np.int64, steps, 0, self.n_states - 1),
            "episode/actions": Numbers(np.int64, steps, 0, self.n_columns - 1),
            "episode/rewards": Numbers(np.float64, steps),
            "last": Whole(-1, self.n_states - 1),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.drop_episode()
        self.counts[:] = state["counts"]
        names = ("episode/states", "episode/actions", "episode/rewards")
        for s, a, r in zip(*(state[name] for name in names), strict=True):
            returns.remember_step(self.episode, s, a, r, 0, False)
        self.episode.cursor[1] = state["last"]


class Weighing(MonteCarlo):
    """An agent that weighs the returns of an episode by how likely its actions were."""

    def build(self) -> None:
        """Makes room for the ratios of one episode and their sums."""
        super().build()
        self.ratios = returns.new_ratios(self.n_states, self.n_columns, self.parameters.horizon)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        ratios = {"episode/ratios": self.ratios.of_steps[: self.episode.cursor[0]].copy()}
        return {**super().state_dict(), **ratios, "weights": self.ratios.sums.copy()}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        steps = (UpTo("steps", self.parameters.horizon - 1),)
        return {
            **super().state_form(),
            "episode/ratios": Numbers(np.float64, steps, 0.0),
            "weights": Numbers(np.float64, (self.n_states, self.n_columns), 0.0),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.ratios.of_steps[: len(state["episode/ratios"])] = state["episode/ratios"]
        self.ratios.sums[:] = state["weights"]
