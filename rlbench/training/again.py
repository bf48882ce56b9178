"""Plays stored actions again in an env: to compare the outcomes, or to bring the env back to where it stood."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import set_env_rng
from rlbench.errors import StoreError
from rlbench.store.columns import check_columns, flatten, unflatten
from rlbench.store.records import has_last_row

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store import EpisodeChunk, Store

    Columns = dict[str, NDArray[Any]]

COMPARED = ("rewards",)  # and the observations
ANOTHER_SEED = 0


class Player:
    """Plays chunks again in an env, each from where the env's generators stood before its first reset.

    The state of `np_random` is recorded in every chunk. A generator of the env's own is known only after a reset whose
    seed was recorded, and from there on for as long as chunk follows chunk.

    Args:
        env: the env to play in.
        seeded: give a reset the seed that was recorded for it.
    """

    def __init__(self, env: gym.Env[Any, Any], *, seeded: bool = True) -> None:
        self.env, self._seeded = env, seeded
        self._is_lost = True  # it is not known where the env stands
        self._next = -1  # the episode before which the env stands
        self._observation: Any = None  # the last

    def stands_at(self, chunk: EpisodeChunk) -> bool:
        """Brings the env to where it stood at the beginning of a chunk; returns False if that is unknown."""
        if chunk.first_step == 0:
            self._is_lost = not self._put_back(chunk)
        return not self._is_lost

    def _put_back(self, chunk: EpisodeChunk) -> bool:
        if chunk.env_rng is None:
            return False
        if "state" not in chunk.env_rng:
            return not self._is_lost and self._next == chunk.first_episode
        set_env_rng(self.env, chunk.env_rng)
        return True

    def play(self, chunk: EpisodeChunk) -> Columns:
        """Returns the columns that a chunk's actions lead to: step columns, "terminated" and "truncated" (steps,).

        A player that compares them itself returns none where all of them are as stored.
        """
        found = expected(chunk)
        steps, n, row = chunk.steps or {}, 0, 0
        check_columns(self.env.action_space, steps, "actions")
        check_columns(self.env.observation_space, steps, "observations", in_range=False)
        for segment, length in enumerate(chunk.lengths.tolist()):
            if segment or not chunk.first_step:
                self._observation = self.reset(chunk, segment)
            self._write_observation(found, row)
            for k in range(length):
                action = unflatten(self.env.action_space, steps, "actions", n + k)
                self._observation, reward, terminated, truncated, _ = self.env.step(action)
                self._write_observation(found, row + k + 1)
                _write(found, n + k, {"rewards": reward, "terminated": terminated, "truncated": truncated})
                if (terminated or truncated) and k + 1 < length:
                    break  # too early: the rest cannot be played
            n, row = n + length, row + length + 1
        self._next = chunk.first_episode + chunk.episodes
        return found

    def _write_observation(self, columns: Columns, row: int) -> None:
        _write(columns, row, flatten(self.env.observation_space, self._observation, "observations"))

    def reset(self, chunk: EpisodeChunk, segment: int) -> Any:
        """Resets the env as before a segment of a chunk, up to which all is played; returns the observation."""
        seed = (chunk.env_rng or {}).get("seed") if self._seeded and segment == 0 else None
        return self.env.reset(seed=seed)[0]


def difference(player: Player, chunks: Iterable[EpisodeChunk]) -> str:
    """Plays chunks again; returns how the outcome differs from what is stored, or "" if it does not."""
    for chunk in chunks:
        episodes = f"episodes {chunk.first_episode} to {chunk.first_episode + len(chunk.lengths) - 1}"
        if not player.stands_at(chunk):
            return f"where its generators stood before the {episodes} is not known"
        try:
            found = player.play(chunk)
        except Exception as error:  # noqa: BLE001  (whatever a foreign env raises where it never was before)
            return f"playing the {episodes} again raised {type(error).__name__}: {error}"
        stored = compared(chunk)
        if any(unequal(stored[name], column).any() for name, column in found.items()):
            return f"the {episodes}, played again, differ from what is stored"
    return ""


def needs_only_np_random(twin: gym.Env[Any, Any], store: Store, run_id: str, episode: int) -> bool:
    """Returns whether an env repeats a stored episode, and those before it in its chunk, from `np_random` alone.

    It has another seed behind it, and no earlier episodes: what it keeps beside `np_random` would show.
    """
    try:
        twin.reset(seed=ANOTHER_SEED)
        return not difference(Player(twin, seeded=False), store.chunks(run_id, figures=False, episodes=[episode]))
    finally:
        twin.close()


def expected(chunk: EpisodeChunk) -> Columns:
    """Returns copies of the compared columns."""
    return {name: column.copy() for name, column in compared(chunk).items()}


def compared(chunk: EpisodeChunk) -> Columns:
    """Returns the stored columns that playing again must lead to, and "terminated" and "truncated" of each step."""
    steps = {name: column for name, column in (chunk.steps or {}).items() if name in COMPARED or has_last_row(name)}
    return {
        **steps,
        "rewards": steps["rewards"].astype(np.float64, copy=False),
        "terminated": chunk.on_last_steps(chunk.terminations),
        "truncated": chunk.on_last_steps(chunk.truncations),
    }


def unequal(stored: NDArray[Any], found: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns which rows differ in any bit."""
    width = stored.dtype.itemsize * int(np.prod(stored.shape[1:]))
    word = math.gcd(width, 8)  # bytes compared at a time
    bits = [np.ascontiguousarray(array.astype(stored.dtype, copy=False)) for array in (stored, found)]
    a, b = (array.view(f"u{word}").reshape(len(stored), width // word) for array in bits)
    rows: NDArray[np.bool_] = a[:, 0] != b[:, 0] if width == word else (a != b).any(axis=1)
    return rows


def _write(columns: Columns, row: int, values: dict[str, Any]) -> None:
    try:
        for name, value in values.items():
            columns[name][row] = value
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        told = f"the stored {name} cannot hold what the env gives ({value!s:.80})"
        raise StoreError(f"{told}: they are of another env") from error
