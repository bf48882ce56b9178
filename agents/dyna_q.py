"""Dyna-Q: Q-learning that also learns from a model of what it has seen (Sutton, 1990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import TableAgent
from rlbench.agents.compiled import learners, models, rules
from rlbench.agents.parameters import LearningParameters, Parameters, among, parameter, within
from rlbench.errors import UsageError
from rlbench.forms import MOST, Numbers, UpTo, Whole

if TYPE_CHECKING:
    from rlbench.forms import Form

PLANNINGS = ("random", "prioritized")
MOST_OUTCOMES = 16  # of an action: 20 bytes each
MOST_PLANNING = 2**20  # updates after one step


@dataclass(frozen=True, kw_only=True)
class PlanningParameters(LearningParameters):
    """Parameters of learning from steps and from a model."""

    planning_steps: int = parameter(
        5, "updates from the model after each real step; 0 is Q-learning", f"0 to {MOST_PLANNING:,}"
    )

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        within(self, 0, MOST_PLANNING, "planning_steps")


@dataclass(frozen=True, kw_only=True)
class DynaQParameters(PlanningParameters):
    """Parameters of learning from steps and from a model, at random or by the largest errors."""

    planning: str = parameter(
        "random",
        "which pairs are learnt again; prioritized sweeping: the largest errors first",
        "random or prioritized",
    )
    outcomes: int = parameter(
        1,
        "how many outcomes of an action the model knows: 1, the latest; more, drawn as often as each came",
        f"1 to {MOST_OUTCOMES}",
        later=True,
    )
    priority_threshold: float = parameter(1e-4, "prioritized: errors up to this are ignored", "0 or more")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        among(self, planning=PLANNINGS)
        within(self, 1, MOST_OUTCOMES, "outcomes")
        if self.planning == "prioritized" and self.outcomes > 1:
            raise UsageError(f"prioritized planning knows the latest outcome alone: leave out outcomes={self.outcomes}")
        if self.planning == "prioritized" and self.planning_steps == 0:
            raise UsageError("prioritized planning learns by planning_steps alone, got 0: give 1 or more")
        if not 0 <= self.priority_threshold < np.inf:
            raise UsageError(f"priority_threshold must be 0 or more, got {self.priority_threshold}")


class Modelling(TableAgent):
    """An agent with a model: the latest outcome of every action that it has tried."""

    parameters: PlanningParameters

    def build(self) -> None:
        """Makes an empty model."""
        super().build()
        self.model = models.new_model(self.n_states, self.n_actions)

    @property
    def updates(self) -> int:
        """How many updates of a value were made so far, from steps and from the model: what figure 8.4 counts."""
        return self.timesteps * (1 + self.parameters.planning_steps)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        return {**super().state_dict(), **{f"model/{name}": a.copy() for name, a in self.model._asdict().items()}}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        states, most_states, most_actions = (self.n_states,), self.n_states - 1, self.n_actions - 1
        return {
            **super().state_form(),
            "model/rewards": self.per_pair(np.float64),
            "model/outcomes": self.per_pair(np.int32, -1, 2 * most_states + 1),
            "model/states": Numbers(np.int32, states, 0, most_states),
            "model/tried": self.per_pair(np.int32, 0, most_actions),
            "model/n_tried": Numbers(np.int32, states, 0, self.n_actions),
            "model/n_seen": Numbers(np.int32, (1,), 0, self.n_states),
        }

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state that has the form of this agent's, with a model that agrees with itself."""
        found = super().checked_state(state)
        model = models.Model(*(found[f"model/{name}"] for name in models.Model._fields))
        seen = np.sort(model.states[: model.n_seen[0]])
        listed = np.arange(self.n_actions) < model.n_tried[:, None]  # (n_states, n_actions): places in use
        tried = np.zeros_like(listed)
        tried[np.nonzero(listed)[0], model.tried[listed]] = True
        agrees = np.array_equal(tried, model.outcomes >= 0) and np.array_equal(tried.sum(axis=1), model.n_tried)
        if not agrees or not np.array_equal(seen, np.flatnonzero(model.n_tried)):
            raise UsageError("the state is damaged: the entries of model/ contradict one another")
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        for name, values in self.model._asdict().items():
            values[:] = state[f"model/{name}"]


class DynaQ(Modelling):
    """Learns each step by Q-learning, records its outcome in a model, and learns again from recorded outcomes.

    Tabular Dyna-Q of Sutton & Barto (2018), 8.2. Prioritized planning starts with the largest errors (8.4).
    The model holds only the latest outcome of every action, which suits deterministic envs, or with `outcomes` how
    often each came.
    """

    name: ClassVar[str] = "dyna-q"
    source: ClassVar[str] = "Sutton 1990; Moore & Atkeson 1993; Sutton & Barto 2018, 8.2, 8.4"
    off_policy: ClassVar[bool] = True
    Parameters: ClassVar[type[Parameters]] = DynaQParameters
    parameters: DynaQParameters

    def build(self) -> None:
        """Makes a queue if planning is prioritized, and room for outcomes if there may be several."""
        super().build()
        sizes, outcomes = (self.n_states, self.n_actions), self.parameters.outcomes
        self.known = models.new_outcomes(*sizes, outcomes) if outcomes > 1 else None
        is_prioritized = self.parameters.planning == "prioritized"
        self.queue = models.new_queue(self.n_states, self.n_actions) if is_prioritized else None

    @property
    def updates(self) -> int:
        """How many updates of a value were made so far; prioritized sweeping makes them from the model alone."""
        return super().updates if self.queue is None else int(self.queue.updates[0])

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns from the step, records it in the model, and learns `planning_steps` times from the model."""
        step = (observation, action, reward, next_observation, terminated)
        rates = self.learning_rate, self.parameters.gamma
        if self.queue is None:
            rules.q_update(self.table, *step, *rates)
            models.learn_model(self.model, *step)
            self._plan(step, rates)
        else:
            limits = self.parameters.priority_threshold, self.parameters.planning_steps
            models.sweep(self.table, self.model, self.queue, *step, *rates, *limits)
        self.timesteps += 1

    def _plan(self, step: tuple[int, int, float, int, bool], rates: tuple[Any, float]) -> None:
        count = self.parameters.planning_steps
        if self.known is None:
            models.plan(self.table, self.model, self.rng.random(count), *rates)
        else:
            models.count_outcome(self.known, *step)
            models.plan_by_draws(self.table, self.model, self.known, self.rng.random((count, 2)), *rates)

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        fields = (self.core(), self.model, self.parameters.planning_steps)
        if self.queue is not None:
            return learners.SweepingLearner(*fields, self.queue, self.parameters.priority_threshold)
        return (
            learners.DynaQLearner(*fields) if self.known is None else learners.DrawingDynaQLearner(*fields, self.known)
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers; a queue's pairs in ascending order."""
        state = super().state_dict()
        if self.known is not None:
            state |= {f"known/{name}": values.copy() for name, values in self.known._asdict().items()}
        if self.queue is not None:
            pairs = np.sort(self.queue.heap[: self.queue.held[0]])
            queue = {"queue/pairs": pairs, "queue/priorities": self.queue.priorities[pairs]}
            state |= {**queue, "queue/updates": self.updates}
        return state

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        form = super().state_form()
        if self.known is not None:
            shape = self.known.counts.shape
            known = {
                "known/counts": Numbers(np.int64, shape, 0, MOST),
                "known/nexts": Numbers(np.int32, shape, 0, 2 * self.n_states - 1),
                "known/rewards": Numbers(np.float64, shape),
            }
            form = {**form, **known}
        if self.queue is not None:
            n_pairs = self.n_states * self.n_actions
            queued = (UpTo("queue", n_pairs),)
            form = {
                **form,
                "queue/pairs": Numbers(np.int64, queued, 0, n_pairs - 1),
                "queue/priorities": Numbers(np.float64, queued),
                "queue/updates": Whole(),
            }
        return form

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state that has the form of this agent's, of one of an earlier version too."""
        if self.queue is not None and isinstance(state, dict):
            state = {"queue/updates": 0, **state}  # earlier versions did not count them
        return super().checked_state(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        for name, values in self.known._asdict().items() if self.known is not None else ():
            values[:] = state[f"known/{name}"]
        if self.queue is not None:
            self.queue.updates[0] = state["queue/updates"]
            models.refill(self.queue, self.model, state["queue/pairs"], state["queue/priorities"])
