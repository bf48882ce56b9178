"""Checkpoints: everything that a run needs to go on from where it stands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlbench.agents.saving import state_of
from rlbench.envs.making import check_env_rng, env_rng, set_env_rng
from rlbench.errors import StoreError, UsageError
from rlbench.store import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym

    from rlbench.agents import Agent
    from rlbench.store import CheckpointInfo, Store


def checkpoint_of(env: gym.Env[Any, Any], agent: Agent, *, unfinished_episode: bool) -> Checkpoint:
    """Returns everything needed to go on from here, if here is between two episodes."""
    arrays, numbers = state_of(agent)
    where = {"env_rng": env_rng(env), "unfinished_episode": unfinished_episode}
    return Checkpoint(agent.episodes, agent.timesteps, arrays, {"agent": numbers, **where})


def restore(env: gym.Env[Any, Any], agent: Agent, checkpoint: Checkpoint) -> None:
    """Restores agent and env from a checkpoint; on an error both stay as they are.

    Raises:
        StoreError: the state is damaged, or of another agent.
    """
    state = checkpoint.numbers.get("env_rng")
    with _explained(checkpoint, "the run"):
        if state is not None:
            check_env_rng(state)
        agent.load_state_dict(_state_in(checkpoint))
    if state is not None:
        set_env_rng(env, state)


def load(agent: Agent, checkpoint: Checkpoint, owner: str) -> None:
    """Restores an agent from a checkpoint.

    Raises:
        StoreError: the state is damaged, or of another agent.
    """
    with _explained(checkpoint, owner):
        agent.load_state_dict(_state_in(checkpoint))


def _state_in(checkpoint: Checkpoint) -> dict[str, Any]:
    numbers = checkpoint.numbers.get("agent")
    return {**(numbers if isinstance(numbers, dict) else {}), **checkpoint.arrays}


@contextmanager
def _explained(checkpoint: Checkpoint, owner: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise StoreError(f"{owner}, checkpoint at step {checkpoint.timesteps}: {error}") from error


def last_whole_checkpoint(store: Store, run_id: str) -> CheckpointInfo | None:
    """Returns the last checkpoint that a run can go on from: one that was not taken within an episode."""
    checkpoints = store.checkpoints(run_id)
    last = store.checkpoint(run_id) if checkpoints else None
    if last is not None and last.numbers.get("unfinished_episode", True):
        checkpoints = checkpoints[:-1]
    return checkpoints[-1] if checkpoints else None
