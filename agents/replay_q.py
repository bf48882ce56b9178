"""Replay-buffer Q-learning: tabular Q-learning on minibatches of stored steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium import spaces

from rlbench.agents.base import TableAgent
from rlbench.agents.compiled import learners, replays, rules
from rlbench.agents.parameters import LearningParameters, Parameters, among, at_least, in_unit, parameter, within
from rlbench.buffers import PrioritizedReplayBuffer, ReplayBuffer
from rlbench.buffers.columns import range_of
from rlbench.errors import UsageError
from rlbench.random_state import new_generator

if TYPE_CHECKING:
    from rlbench.forms import Form

REPLAYS = ("uniform", "prioritized")
MOST_AT_ONCE = 2**20  # transitions in a minibatch: 80 MB
BUFFER = "buffer/"  # begins the names of the buffer's entries in a state


@dataclass(frozen=True, kw_only=True)
class ReplayQParameters(LearningParameters):
    """Parameters of learning from a replay buffer."""

    buffer_size: int = parameter(10_000, "capacity of the buffer, in transitions", "1 or more")
    learning_starts: int = parameter(1_000, "steps before the first minibatch", "0 or more")
    batch_size: int = parameter(32, "transitions in a minibatch", f"1 to {MOST_AT_ONCE:,}")
    train_freq: int = parameter(1, "steps from one minibatch to the next", "1 or more")
    n_step: int = parameter(1, "rewards in a return before bootstrapping", "1 or more")
    replay: str = parameter("uniform", "what is drawn; prioritized: larger errors more often", "uniform or prioritized")
    priority_alpha: float = parameter(0.6, "prioritized: 0 is uniform, 1 in proportion to the error", "[0, 1]")
    priority_beta: float = parameter(0.4, "prioritized: initial exponent of the importance weights", "[0, 1]")
    priority_beta_final: float = parameter(1.0, "prioritized: the exponent after priority_beta_steps", "[0, 1]")
    priority_beta_steps: int | None = parameter(
        None, "prioritized: steps until then; beta is constant without it", "1 or more"
    )
    priority_epsilon: float = parameter(1e-6, "prioritized: added to every error", "(0, 1]")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        at_least(self, 1, "buffer_size", "train_freq", "n_step")
        within(self, 1, MOST_AT_ONCE, "batch_size")
        if self.learning_starts < 0:
            raise UsageError(f"learning_starts must be 0 or more, got {self.learning_starts}")
        among(self, replay=REPLAYS)
        in_unit(self, "priority_alpha", "priority_beta", "priority_beta_final", "priority_epsilon")
        if self.priority_epsilon == 0:
            raise UsageError(
                "priority_epsilon must be above 0, got 0: transitions with zero error would never be drawn again"
            )
        if self.priority_beta_steps is not None:
            at_least(self, 1, "priority_beta_steps")

    def buffer(self, *columns: spaces.Space[Any], seed: np.random.SeedSequence) -> ReplayBuffer:
        """Returns an empty buffer for these spaces."""
        gamma = None if self.replay == "uniform" and self.n_step == 1 else self.gamma
        if self.replay == "uniform":
            return ReplayBuffer(self.buffer_size, *columns, n_step=self.n_step, gamma=gamma, seed=seed)
        return PrioritizedReplayBuffer(
            self.buffer_size,
            *columns,
            alpha=self.priority_alpha,
            beta=self.priority_beta,
            beta_final=self.priority_beta_final,
            beta_steps=self.priority_beta_steps,
            epsilon=self.priority_epsilon,
            n_step=self.n_step,
            gamma=gamma,
            seed=seed,
        )


class ReplayQ(TableAgent):
    """Stores every step in a buffer and applies Q-learning's rule to minibatches drawn from it (Lin, 1992).

    As usual, n-step returns are not corrected for being off-policy: with `n_step` above 1, the cost of exploration is
    learnt as if it were unavoidable (Sutton & Barto, 2018, 7.3 has the correction).
    """

    name: ClassVar[str] = "replay-q"
    source: ClassVar[str] = "Lin 1992; Mnih et al. 2015; Schaul et al. 2016"
    off_policy: ClassVar[bool] = True
    Parameters: ClassVar[type[Parameters]] = ReplayQParameters
    parameters: ReplayQParameters

    def build(self) -> None:
        """Makes an empty buffer; the agent and the buffer each get their own generator."""
        super().build()
        own, buffers = self.rng.bit_generator.seed_seq.spawn(2)  # type: ignore[attr-defined]  # a SeedSequence
        self.rng = new_generator(own)
        discrete = spaces.Discrete(self.n_states), spaces.Discrete(self.n_actions)
        self.buffer = self.parameters.buffer(*discrete, seed=buffers)

    @property
    def buffer(self) -> Any:
        """The replay buffer; one that is assigned must be for the agent's own states and actions."""
        return self._buffer

    @buffer.setter
    def buffer(self, buffer: Any) -> None:
        for column, size in ((buffer.observation, self.n_states), (buffer.action, self.n_actions)):
            if range_of(column) != [0, size]:  # compiled code indexes the table with what the buffer holds
                raise UsageError(
                    f"the buffer must be for {self.n_states} states and {self.n_actions} actions, "
                    "Discrete spaces counted from 0"
                )
        self._buffer = buffer

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Stores the step; learns from a minibatch every `train_freq` steps."""
        learning_rate = self.learning_rate
        self.buffer.add(observation, action, reward, next_observation, terminated)
        self.timesteps += 1
        if self.timesteps >= self.parameters.learning_starts and self.timesteps % self.parameters.train_freq == 0:
            self._replay(learning_rate)

    def _replay(self, learning_rate: Any) -> None:
        """Learns from one minibatch."""
        batch = self.buffer.sample(self.parameters.batch_size)
        if batch.discounts is None:  # single steps, drawn uniformly
            rules.q_update_batch(self.table, *batch[:5], learning_rate, self.parameters.gamma)
            return
        td_errors = np.empty(len(batch.rewards))
        weights = np.ones(len(td_errors)) if batch.weights is None else batch.weights
        rules.q_update_returns(self.table, *batch[:5], learning_rate, weights, batch.discounts, td_errors)
        if isinstance(self.buffer, PrioritizedReplayBuffer) and batch.indices is not None:
            replays.bound_errors(td_errors)
            self.buffer.update_priorities(batch.indices, td_errors)

    def end_episode(self) -> None:
        """Called after the last update of an episode: marks its end, where returns stop."""
        self.drop_episode()
        super().end_episode()

    def drop_episode(self) -> None:
        """Marks the end of an episode that did not terminate."""
        if len(self.buffer) and not self.buffer.rows["terminated"][self.buffer.cursor[0] - 1]:
            self.buffer.end_episode()

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own table and buffer."""
        p = self.parameters
        fields = (self.core(), replays.memory_of(self.buffer, p.batch_size), p.learning_starts, p.train_freq)
        if isinstance(self.buffer, PrioritizedReplayBuffer):
            return learners.PrioritizedQLearner(*fields, replays.priorities_of(self.buffer, p.batch_size))
        return learners.ReplayQLearner(*fields)

    def take_back(self, learner: Any) -> None:  # noqa: ARG002  (it shares everything it changes)
        """Tells the buffer that its rows have changed."""
        self.buffer.changed()

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state, including its buffer, as plain arrays and numbers."""
        buffer = {f"{BUFFER}{name}": value for name, value in self.buffer.state_dict().items()}
        return {**super().state_dict(), **buffer}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        buffer = {f"{BUFFER}{name}": entry for name, entry in self.buffer.state_form().items()}
        return {**super().state_form(), **buffer}

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state that has the form of this agent's and of its buffer's."""
        found = super().checked_state(state)
        buffer = {name.removeprefix(BUFFER): value for name, value in state.items() if name.startswith(BUFFER)}
        return {**found, BUFFER: self.buffer.checked_state(buffer)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.buffer.restore(state[BUFFER])
