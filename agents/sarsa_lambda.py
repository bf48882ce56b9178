"""Sarsa(lambda): TD control with eligibility traces (Rummery, 1995; Singh and Sutton, 1996)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import LookingAhead, TableAgent
from rlbench.agents.compiled import learners, returns
from rlbench.agents.parameters import LearningParameters, Parameters, among, in_unit, parameter
from rlbench.errors import UsageError, unknown_name
from rlbench.forms import Numbers, UpTo

if TYPE_CHECKING:
    from rlbench.forms import Form

TRACES = ("replacing", "accumulating", "dutch")


@dataclass(frozen=True, kw_only=True)
class SarsaLambdaParameters(LearningParameters):
    """Parameters of learning with eligibility traces."""

    trace_decay: float = parameter(0.8, "lambda; 0 is Sarsa", "[0, 1]")
    traces: str = parameter(
        "replacing",
        "what a second visit does to a trace; dutch: true online",
        "replacing, accumulating or dutch",
    )
    trace_floor: float = parameter(0.01, "traces that decay to this are dropped; 0 keeps all", "[0, 1]")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        in_unit(self, "trace_decay", "trace_floor")
        if self.traces not in TRACES:
            raise unknown_name("kind of traces", self.traces, TRACES)


class Traced(TableAgent):
    """An agent with eligibility traces."""

    parameters: SarsaLambdaParameters

    def build(self) -> None:
        """Makes room for the traces."""
        super().build()
        self.traces = returns.new_traces(self.n_states, self.n_actions)

    def drop_episode(self) -> None:
        """Forgets the traces of a finished or interrupted episode."""
        super().drop_episode()
        returns.drop_traces(self.traces)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        count = self.traces.held[0]
        lists = {name: getattr(self.traces, name)[:count].copy() for name in ("states", "actions", "strengths")}
        return {**super().state_dict(), **{f"traces/{name}": values for name, values in lists.items()}}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        traces = (UpTo("traces", self.n_states * self.n_columns),)
        return {
            **super().state_form(),
            "traces/states": Numbers(np.int64, traces, 0, self.n_states - 1),
            "traces/actions": Numbers(np.int64, traces, 0, self.n_columns - 1),
            "traces/strengths": Numbers(np.float64, traces),
        }

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state that has the form of this agent's, with one trace per pair at most."""
        found = super().checked_state(state)
        pairs = found["traces/states"] * self.n_actions + found["traces/actions"]
        if len(np.unique(pairs)) < len(pairs):
            raise UsageError("the state is damaged: traces/states and traces/actions name a pair twice")
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        returns.drop_traces(self.traces)
        count = len(state["traces/states"])
        for name in ("states", "actions", "strengths"):
            getattr(self.traces, name)[:count] = state[f"traces/{name}"]
        self.traces.places[state["traces/states"], state["traces/actions"]] = np.arange(count)
        self.traces.held[0] = count


class SarsaLambda(Traced, LookingAhead):
    """Applies each error to all preceding pairs in proportion to their traces (Sutton & Barto, 2018, 12.7)."""

    name: ClassVar[str] = "sarsa-lambda"
    source: ClassVar[str] = "Rummery 1995; Sutton & Barto 2018, 12.7"
    Parameters: ClassVar[type[Parameters]] = SarsaLambdaParameters
    parameters: SarsaLambdaParameters

    def build(self) -> None:
        """Makes room for what true online learning compares with."""
        super().build()
        self.old = np.zeros(1)  # true online: what the present pair was worth before the last step

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Moves all values by the step's error times their traces."""
        learning_rate, p = self.learning_rate, self.parameters
        self.timesteps += 1
        next_action = self._look_ahead(next_observation, terminated)
        step = observation, action, reward, next_observation, next_action, terminated
        rates = learning_rate, p.gamma, p.trace_decay
        if p.traces == "dutch":
            returns.true_online_update(self.table, self.traces, self.old, *step, *rates, p.trace_floor)
        else:
            returns.sarsa_lambda_update(self.table, self.traces, *step, *rates, p.traces == "replacing", p.trace_floor)

    def drop_episode(self) -> None:
        """Forgets the traces of a finished or interrupted episode."""
        super().drop_episode()
        self.old[0] = 0.0

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        kept, p = (self.core(), self.ahead, self.traces), self.parameters
        if p.traces == "dutch":
            return learners.TrueOnlineLearner(*kept, self.old, p.trace_decay, p.trace_floor)
        return learners.SarsaLambdaLearner(*kept, p.trace_decay, p.traces == "replacing", p.trace_floor)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        old = {"traces/old": self.old.copy()} if self.parameters.traces == "dutch" else {}
        return {**super().state_dict(), **old}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        old: Form = {"traces/old": Numbers(np.float64, (1,))} if self.parameters.traces == "dutch" else {}
        return {**super().state_form(), **old}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.old[:] = state.get("traces/old", 0.0)


@dataclass(frozen=True, kw_only=True)
class TrueOnlineParameters(SarsaLambdaParameters):
    """Parameters of learning with dutch traces."""

    traces: str = parameter("dutch", "what a second visit does to a trace", "dutch")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        among(self, traces=("dutch",))


class TrueOnlineSarsaLambda(SarsaLambda):
    """Learns at every step what lambda-returns up to it would have taught (Sutton & Barto, 2018, 12.7).

    It is `sarsa-lambda` with dutch traces.
    """

    name: ClassVar[str] = "true-online-sarsa-lambda"
    source: ClassVar[str] = "van Seijen et al. 2016; Sutton & Barto 2018, 12.7"
    Parameters: ClassVar[type[Parameters]] = TrueOnlineParameters
    parameters: TrueOnlineParameters
