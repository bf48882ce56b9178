"""What steps and exploration rates of a run follow from: the table of its env, the schedule of its agent."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents.compiled import rules
from rlbench.envs.tabular import read_model
from rlbench.store import CUT_OFF, EpisodeChunk
from rlbench.store.documents import COUNTS, MOST_TABLE, chunk_row
from rlbench.store.schedules import KINDS, Schedule
from rlbench.store.walks import Table, Walk, action_dtype, table_of

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray


def known_table(env: gym.Env[Any, Any]) -> Table | None:
    """Returns the table of an env; None without one, or if it is larger than a store keeps.

    Whether the env follows it is for others to see: each chunk of steps is compared with the table, or the world.
    """
    try:
        model = read_model(env)
        table = table_of(model.n_actions, model.offsets, model.successor, model.reward, model.terminated)
        return table if len(table.blob) <= MOST_TABLE else None
    except Exception:  # noqa: BLE001  (whatever a foreign env raises: then its steps are stored as they are)
        return None


def schedule_of(exploration: Any, episodes: int, timesteps: int) -> Schedule | None:
    """Returns the schedule of an agent's exploration rates in a run; None if a function of its own gives them.

    Args:
        exploration: what the agent takes them from.
        episodes: how many came before the run.
        timesteps: likewise.
    """
    if not isinstance(exploration, rules.Schedule):
        return None
    kind, per_step, initial, final, rate = exploration
    return Schedule(KINDS[kind], per_step, initial, final, rate, timesteps if per_step else episodes)


def is_table(world: Any, table: Table | None) -> bool:
    """Returns whether a compiled world is this very table: then each of its steps follows from it."""
    if world is None or table is None:
        return False
    from rlbench.envs._worlds import DeterministicWorld  # noqa: PLC0415  (numba)

    if not isinstance(world, DeterministicWorld) or world.outcome.shape != (table.n_states, table.n_actions):
        return False
    outcome, reward = world.outcome.ravel(), world.rewards[world.reward.ravel()]
    return (
        np.array_equal(outcome >> 1, table.successor)
        and np.array_equal(outcome & 1, table.terminated)
        and np.array_equal(reward.view(np.int64), table.reward.view(np.int64))
    )


def walked(chunk: EpisodeChunk, table: Table | None) -> EpisodeChunk:
    """Returns a chunk with its steps as a walk, if they follow from the table."""
    if table is None or chunk.steps is None or isinstance(chunk.steps, Walk):
        return chunk
    walk = Walk.of(table, chunk.steps, chunk.lengths, chunk.terminations)
    return chunk if walk is None else replace(chunk, steps=walk)


@cache
def compile_packing(n_actions: int, most_outcomes: int) -> None:
    """Compiles what packs recorded steps, or loads it from numba's cache, by packing one step; once in a process.

    `most_outcomes` are those of an action in a state of the table; 0: there is no table.
    """
    offsets = most_outcomes * np.arange(n_actions + 1)
    nothing = np.zeros(offsets[-1], np.int32), np.zeros(offsets[-1]), np.zeros(offsets[-1], np.bool_)
    table = Table(n_actions, offsets, *nothing) if most_outcomes else None
    steps = {
        "observations": np.zeros(2, np.int32),
        "actions": np.zeros(1, action_dtype(n_actions)),
        "rewards": np.zeros(1),
        "explored": np.zeros(1, np.bool_),
    }
    figures: dict[str, NDArray[Any]] = {
        "return": np.zeros(1),
        "explored": np.zeros(1, np.int32),
        "action_counts": np.zeros((1, n_actions), np.int32),
    }
    chunk = EpisodeChunk(0, 0, np.ones(1, np.int64), np.full(1, CUT_OFF, np.uint8), figures, steps)
    chunk_row({"id": "", **dict.fromkeys(COUNTS, 0)}, walked(chunk, table))
