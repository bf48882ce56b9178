"""Brings an env back to where a checkpoint was taken, if the state of its `np_random` is not enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import remembers, set_env_rng
from rlbench.errors import StoreError
from rlbench.training.again import Player, difference, needs_only_np_random

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import gymnasium as gym

    from rlbench.store import CheckpointInfo, EpisodeChunk, RunRecord, Store

PROBED_STEPS = 1000  # to compare where no steps are stored


def goes_on_by_np_random(twin: gym.Env[Any, Any], store: Store, run: RunRecord, checkpoint: CheckpointInfo) -> bool:
    """Returns whether a run's env can go on from the state of its `np_random` alone; closes the twin that it tries.

    An env may say that it cannot (`remembers`). The twin repeats the last stored episodes after another
    seed, or, if no steps are stored, plays the same after two.
    Before the first episode nothing is needed: its reset is seeded.
    """
    if not checkpoint.episodes or remembers(twin):
        return not checkpoint.episodes
    if run.config.keeps_steps:
        return needs_only_np_random(twin, store, run.id, checkpoint.episodes - 1)
    try:
        state = _state_at(store, run, checkpoint)
        return state is not None and _walk(twin, 1, state) == _walk(twin, 2, state)
    finally:
        twin.close()


def bring_back(
    env: gym.Env[Any, Any], twin: gym.Env[Any, Any], store: Store, run: RunRecord, checkpoint: CheckpointInfo
) -> None:
    """Plays a run again from its first reset up to a checkpoint, in an env that needs it; other envs stay as they are.

    Raises:
        StoreError: the run cannot be gone on with exactly.
    """
    if goes_on_by_np_random(twin, store, run, checkpoint):
        return
    complaint = "no steps are stored to play again"
    if run.config.keeps_steps:
        chunks = store.chunks(run.id, figures=False, episodes=range(checkpoint.episodes))
        complaint = difference(Player(env), _until(chunks, checkpoint.episodes))
    if complaint:
        raise StoreError(
            f"run {run.id} cannot be resumed exactly: {run.env_id} goes on from more than its np_random, and "
            f"{complaint}; train anew"
        )


def _until(chunks: Iterable[EpisodeChunk], episodes: int) -> Iterator[EpisodeChunk]:
    """Yields chunks up to this number of episodes."""
    for chunk in chunks:
        segments = episodes - chunk.first_episode
        yield chunk if segments >= len(chunk.lengths) else chunk.head(segments)


def _state_at(store: Store, run: RunRecord, checkpoint: CheckpointInfo) -> dict[str, Any] | None:
    state = store.checkpoint(run.id, checkpoint.episodes)
    return None if state is None else state.numbers.get("env_rng")


def _walk(env: gym.Env[Any, Any], seed: int, state: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Returns the outcome of random actions, from a state of `np_random` set after a seeded reset."""
    env.reset(seed=seed)
    set_env_rng(env, state)
    actions = np.random.default_rng(0).integers(env.action_space.n, size=PROBED_STEPS)  # type: ignore[attr-defined]
    seen: list[tuple[Any, ...]] = [(env.reset()[0],)]
    for action in actions.tolist():
        observation, reward, terminated, truncated, _ = env.step(action)
        seen.append((observation, reward, terminated, truncated))
        if terminated or truncated:
            seen.append((env.reset()[0],))
    return seen
