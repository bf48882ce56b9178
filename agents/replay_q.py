"""Replay-buffer Q-learning: tabular Q-learning on minibatches of remembered steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from rlbench.agents.base import TableAgent
from rlbench.agents.exploration import LearningParameters, Parameters, parameter
from rlbench.buffers import ReplayBuffer
from rlbench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ReplayQParameters(LearningParameters):
    """Learning from a uniform replay buffer."""

    buffer_size: int = parameter(10_000, "transitions that the buffer holds")
    learning_starts: int = parameter(1_000, "steps before the first minibatch")
    batch_size: int = parameter(32, "transitions in a minibatch")
    train_freq: int = parameter(1, "steps from one minibatch to the next")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        for name in ("buffer_size", "batch_size", "train_freq"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.learning_starts < 0:
            raise UsageError(f"learning_starts must be 0 or more, got {self.learning_starts}")


class ReplayQ(TableAgent):
    """Stores every step in a uniform buffer and applies Q-learning's rule to minibatches drawn from it (Lin, 1992)."""

    name: ClassVar[str] = "replay-q"
    source: ClassVar[str] = "Lin 1992; Mnih et al. 2015"
    Parameters: ClassVar[type[Parameters]] = ReplayQParameters
    parameters: ReplayQParameters

    def __init__(
        self,
        observation_space: spaces.Space[Any] | int,
        action_space: spaces.Space[Any] | int,
        *,
        seed: int | np.random.SeedSequence | None = None,
        **parameters: Any,
    ) -> None:
        sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        own, buffers = sequence.spawn(2)
        super().__init__(observation_space, action_space, seed=own, **parameters)
        discrete = spaces.Discrete(self.n_states), spaces.Discrete(self.n_actions)
        self.buffer = ReplayBuffer(self.parameters.buffer_size, *discrete, seed=buffers)

    def update(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Remembers the step, and every `train_freq` steps learns from a minibatch."""
        learning_rate = self.learning_rate
        self.buffer.add(observation, action, reward, next_observation, terminated)
        self.timesteps += 1
        if self.timesteps >= self.parameters.learning_starts and self.timesteps % self.parameters.train_freq == 0:
            batch = self.buffer.sample(self.parameters.batch_size)
            self._rules.q_update_batch(self.table, *batch[:5], learning_rate, self.parameters.gamma)

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own table and buffer."""
        from rlbench.agents._learners import ReplayQLearner, sfc64_words  # noqa: PLC0415

        p = self.parameters
        return ReplayQLearner(
            self.learning_rates,
            self.exploration,
            self.table,
            p.gamma,
            self.buffer.rows,
            self.buffer.cursor,
            sfc64_words(self.buffer.rng),
            p.learning_starts,
            p.batch_size,
            p.train_freq,
        )

    def take_back(self, learner: Any) -> None:
        """Puts the buffer's generator where the compiled loop left it."""
        from rlbench.agents._learners import set_sfc64_words  # noqa: PLC0415

        set_sfc64_words(self.buffer.rng, learner.buffer_rng)

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's whole state, its buffer included, as plain arrays and numbers."""
        buffer = {f"buffer/{name}": value for name, value in self.buffer.state_dict().items()}
        return {**super().state_dict(), **buffer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that `state_dict` returned."""
        super().load_state_dict(state)
        self.buffer.load_state_dict(
            {name.removeprefix("buffer/"): value for name, value in state.items() if name.startswith("buffer/")}
        )
