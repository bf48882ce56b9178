"""n-step Q(sigma), and the agents at its ends: tree backup and n-step expected Sarsa (De Asis et al., 2018)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.compiled import learners, returns
from rlbench.agents.n_step_sarsa import NStep, NStepParameters
from rlbench.agents.parameters import Parameters, among, in_unit, parameter
from rlbench.forms import FINITE, Numbers, UpTo, Whole

if TYPE_CHECKING:
    from rlbench.forms import Form

TARGETS = ("greedy", "behaviour")
PATTERNS = ("constant", "alternating")


@dataclass(frozen=True, kw_only=True)
class TreeBackupParameters(NStepParameters):
    """Parameters of learning a policy's values from n steps of another."""

    target: str = parameter(
        "greedy", "the policy whose values are learnt: the best, or the one that is followed", "greedy or behaviour"
    )

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        among(self, target=TARGETS)


@dataclass(frozen=True, kw_only=True)
class QSigmaParameters(TreeBackupParameters):
    """Parameters of mixing samples and expectations."""

    sigma: float = parameter(0.5, "share of sampling: 0 is tree backup, 1 n-step Sarsa with control variates", "[0, 1]")
    sigma_pattern: str = parameter(
        "constant", "sigma from step to step; alternating: 1 and 0 in turn", "constant or alternating"
    )

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        in_unit(self, "sigma")
        among(self, sigma_pattern=PATTERNS)


class Mixed(NStep):
    """An agent whose n-step returns mix samples with expectations."""

    def build(self) -> None:
        """Makes room for how far each step counts as a sample."""
        super().build()
        self.sampling = returns.new_sampling(self.parameters.n_steps)

    @property
    @abstractmethod
    def mixing(self) -> Any:
        """What a return takes as a sample, and of which policy: a `Mixing`."""

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Remembers the step; learns from the one n steps ago, or from all remaining ones if the episode terminated."""
        learning_rate, chosen_by = self.learning_rate, self.exploration_rate
        self.timesteps += 1
        step = observation, action, reward, next_observation, terminated
        kept, epsilons = self._kept(), (chosen_by, self.exploration_rate)
        returns.q_sigma_update(*kept, *epsilons, *step, learning_rate, self.parameters.gamma)

    def _kept(self) -> tuple[Any, ...]:
        return self.table, self.steps, self.sampling, self.mixing, self.policy

    def end_episode(self) -> None:
        """Learns from the remaining steps of a truncated episode, bootstrapping from the value of the last state."""
        rates = self.learning_rate, self.parameters.gamma
        returns.q_sigma_finish(*self._kept(), self.exploration_rate, False, *rates)
        super().end_episode()

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.QSigmaLearner(self.core(), self.steps, self.sampling, self.mixing)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers, the oldest step first."""
        at, (sigmas, ratios, last) = self._places(), self.sampling
        return {**super().state_dict(), "steps/sigmas": sigmas[at], "steps/ratios": ratios[at], "last": int(last[0])}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        steps = (UpTo("steps", self.parameters.n_steps - 1),)
        return {
            **super().state_form(),
            "steps/sigmas": Numbers(np.float64, steps, 0.0, 1.0),
            "steps/ratios": Numbers(np.float64, steps, 0.0, FINITE),
            "last": Whole(0, self.n_states - 1),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        count = len(state["steps/sigmas"])
        self.sampling.sigmas[:count], self.sampling.ratios[:count] = state["steps/sigmas"], state["steps/ratios"]
        self.sampling.last[0] = state["last"]


class TreeBackup(Mixed):
    """Learns from n rewards and the expectations over the actions not taken on the way (Sutton & Barto, 2018, 7.5).

    It learns off-policy without importance sampling: an action counts by its probability under the target.
    """

    name: ClassVar[str] = "tree-backup"
    source: ClassVar[str] = "Precup, Sutton & Singh 2000; Sutton & Barto 2018, 7.5"
    Parameters: ClassVar[type[Parameters]] = TreeBackupParameters
    parameters: TreeBackupParameters

    @property
    def mixing(self) -> Any:
        """Nothing but expectations."""
        return returns.Mixing(0.0, False, self.parameters.target == "greedy", False)


class QSigma(Mixed):
    """Samples or expects at each of n steps, as far as sigma says (Sutton & Barto, 2018, 7.6).

    What is sampled counts by its importance: its probability under the target over that under the followed policy.
    """

    name: ClassVar[str] = "q-sigma"
    source: ClassVar[str] = "De Asis et al. 2018; Sutton & Barto 2018, 7.6"
    Parameters: ClassVar[type[Parameters]] = QSigmaParameters
    parameters: QSigmaParameters

    @property
    def mixing(self) -> Any:
        """As the parameters say."""
        p = self.parameters
        return returns.Mixing(p.sigma, p.sigma_pattern == "alternating", p.target == "greedy", False)


class NStepExpectedSarsa(Mixed):
    """Learns from n rewards and the expectation over the action that follows them (Sutton & Barto, 2018, 7.2)."""

    name: ClassVar[str] = "n-step-expected-sarsa"
    source: ClassVar[str] = "Sutton & Barto 2018, 7.2"
    Parameters: ClassVar[type[Parameters]] = NStepParameters
    parameters: NStepParameters

    @property
    def mixing(self) -> Any:
        """Nothing but samples, up to the last state."""
        return returns.Mixing(1.0, False, False, True)
