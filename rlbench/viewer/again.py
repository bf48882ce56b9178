"""Replays stored episodes step by step, until they diverge from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.compiled import compiled_world
from rlbench.envs.making import remembers
from rlbench.errors import StoreError
from rlbench.replaying.verification import player_of
from rlbench.store.columns import check_columns, flatten, unflatten
from rlbench.training.again import needs_only_np_random

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store import Episode
    from rlbench.training import Run


def play_again(env: gym.Env[Any, Any], episode: Episode, begin: Callable[[], Any]) -> Iterator[int]:
    """Replays an episode for as long as it matches the stored one; yields the current step, from 0.

    Args:
        env: the env to replay it in.
        episode: the stored episode.
        begin: brings the env to the episode's start and returns the first observation.
    """
    actions = columns_of(episode.actions, "actions")
    check_columns(env.action_space, actions, "actions")
    try:
        observation = begin()
    except StoreError:
        return
    for step in range(len(episode) + 1):
        if step:
            observation = env.step(unflatten(env.action_space, actions, "actions", step - 1))[0]
        if not _is_stored(env, observation, episode, step):
            return
        yield step


def _is_stored(env: gym.Env[Any, Any], observation: Any, episode: Episode, step: int) -> bool:
    stored = columns_of(episode.observations, "observations")
    found = flatten(env.observation_space, observation, "observations")
    return found.keys() == stored.keys() and all(np.array_equal(found[name], stored[name][step]) for name in stored)


def columns_of(tree: Any, name: str) -> dict[str, NDArray[Any]]:
    """Returns observations or actions under their column names in the store: one column, or one per part."""
    return {f"{name}/{part}": rows for part, rows in tree.items()} if isinstance(tree, dict) else {name: tree}


def begin_stored(run: Run, env: gym.Env[Any, Any], index: int) -> Any:
    """Replays what precedes an episode of a run, then resets; returns the first observation.

    Its chunk is enough for most envs; one that draws from a generator of its own is played from its first reset.

    Raises:
        StoreError: the state of the env's generator is not recorded.
    """
    player = player_of(env)
    for chunk in run.store.chunks(run.id, figures=False, episodes=_played_before(run, env, index)):
        if not player.stands_at(chunk):
            raise StoreError("the state of the env's generator before this episode is not recorded")
        segment = index - chunk.first_episode
        if 0 <= segment < len(chunk.lengths) and (segment or not chunk.first_step):
            player.play(chunk.head(segment))
            return player.reset(chunk, segment)
        player.play(chunk)
    raise StoreError(f"run {run.id} has no episode {index}")


def _played_before(run: Run, env: gym.Env[Any, Any], index: int) -> Iterable[int]:
    """Returns the episodes whose chunks must be played to reach an episode."""
    is_known = compiled_world(env, own=False) is not None and not remembers(env)
    is_enough = is_known or needs_only_np_random(run.make_env(), run.store, run.id, index)
    return [index] if is_enough else range(index + 1)
