"""Budgets: how long training lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlbench.checks import whole_number
from rlbench.errors import UsageError
from rlbench.store.config import BudgetConfig

if TYPE_CHECKING:
    from rlbench.agents import Agent
    from rlbench.presets import Preset

UNLIMITED = 2**62


@dataclass
class Budget:
    """When training ends, in the agent's absolute counts; `stop` asks it to end with the episode under way."""

    episodes: int = UNLIMITED
    timesteps: int = UNLIMITED  # the episode that reaches it is played to its end
    pause: int = UNLIMITED  # after this many episodes the compiled loop comes back, to be looked at
    stop: bool = False
    abort: bool = False  # asks it to end at once, at the next look

    def after(self, agent: Agent) -> Budget:
        """Returns the same budget for an agent that has played before, counted from where it stands."""
        episodes, timesteps = self.episodes + agent.episodes, self.timesteps + agent.timesteps
        return Budget(min(UNLIMITED, episodes), min(UNLIMITED, timesteps))

    def left(self, agent: Agent) -> int:
        """Returns how many episodes an agent may play yet at most: each takes a step or more."""
        return max(0, min(self.episodes - agent.episodes, self.timesteps - agent.timesteps))

    def is_spent(self, agent: Agent) -> bool:
        """Whether no further episode may begin."""
        return self.stop or agent.episodes >= self.episodes or agent.timesteps >= self.timesteps


def budget_of(episodes: int | None, total_timesteps: int | None, preset: Preset, env_id: str) -> Budget:
    """Returns the budget that was asked for, or the preset's."""
    for name, value in (("episodes", episodes), ("total_timesteps", total_timesteps)):
        if value is not None:
            whole_number(name, value)
    if episodes is None and total_timesteps is None:
        episodes, total_timesteps = preset.episodes, preset.total_timesteps
    if episodes is None and total_timesteps is None:
        raise UsageError(f"{env_id} has no default budget: give episodes= or total_timesteps=")
    return Budget(int(episodes or UNLIMITED), int(total_timesteps or UNLIMITED))


def budget_config(budget: Budget) -> BudgetConfig:
    """Returns a budget as a run's record stores it."""
    return BudgetConfig(_limit_of(budget.episodes), _limit_of(budget.timesteps))


def _limit_of(limit: int) -> int | None:
    return None if limit == UNLIMITED else limit
