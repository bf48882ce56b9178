"""Verification: stored episodes are played again, and every observation, reward and end must equal the stored one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs.compiled import compiled_world
from rlbench.envs.making import remembers, step_limit
from rlbench.errors import StoreError, UsageError
from rlbench.store import OPEN
from rlbench.store.columns import check_columns
from rlbench.store.records import has_last_row
from rlbench.training.again import Player, compared, expected, unequal
from rlbench.training.setup import check_engine

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store import EpisodeChunk
    from rlbench.training import Run

    Columns = dict[str, NDArray[Any]]

FIELDS = {"rewards": "reward", "observations": "observation"}
LISTED = 100  # mismatches that are listed one by one; all are counted


class Mismatch(NamedTuple):
    """Where an episode, played again, first differs from what is stored."""

    episode: int
    step: int  # 0 is the reset, t the outcome of the t-th action
    field: str  # "observation", "reward", "terminated" or "truncated"
    stored: Any
    found: Any

    def __str__(self) -> str:
        return f"episode {self.episode}, step {self.step}: {self.field} is {self.found}, stored {self.stored}"


@dataclass(frozen=True)
class Verification:
    """The result of playing a run again.

    Attributes:
        run_id: the run.
        episodes: how many were played again.
        steps: how many steps.
        mismatched: how many episodes differ.
        mismatches: the first difference of each, up to 100 of them.
        unverifiable: how many episodes could not be played again: the env's generator was not recorded before them.
    """

    run_id: str
    episodes: int
    steps: int
    mismatched: int
    mismatches: tuple[Mismatch, ...]
    unverifiable: int


def verify(
    run: Run, *, episodes: Iterable[int] | None = None, env: gym.Env[Any, Any] | None = None, engine: str = "auto"
) -> Verification:
    """Plays stored episodes again, from the state that the env's generators had, and compares.

    Args:
        run: whose episodes.
        episodes: which of them; all if None. Those before them in the same chunk are played too, not compared; where
            they then differ, all before them are: the env may draw from a generator that only its first reset seeded.
        env: the env to play in; the run's own, made from its stored spec, if None.
        engine: "compiled", "python" or "auto", as in `train`.

    Raises:
        UsageError: an episode does not exist, or the env's code was edited since.
        StoreError: the run kept no steps, or its env cannot be made again.
    """
    check_engine(engine)
    wanted = None if episodes is None else sorted({int(episode) for episode in episodes})
    _check(run, wanted)
    made = run.make_same_env() if env is None else env
    try:
        found = _played(run, player_of(made, engine), wanted, wanted)
        if wanted and (found.mismatched or found.unverifiable) and not _needs_no_past(made):
            found = _played(run, player_of(made, engine), wanted, range(wanted[-1] + 1))
    finally:
        if env is None:
            made.close()
    return found


def _played(run: Run, player: Player, wanted: list[int] | None, played: Iterable[int] | None) -> Verification:
    """Plays episodes of a run and compares those that are wanted; None: all."""
    tally = _Tally(wanted)
    for chunk in run.store.chunks(run.id, figures=False, episodes=played):
        if chunk.steps is None:
            raise StoreError(f"run {run.id} kept figures only: there are no steps to verify (--record all keeps them)")
        tally.take(chunk, player.play(chunk) if player.stands_at(chunk) else None)
    return tally.result(run.id)


def _needs_no_past(env: gym.Env[Any, Any]) -> bool:
    """Returns whether an env is known to go on from the state of its `np_random` alone."""
    return compiled_world(env) is not None and not remembers(env)


def _check(run: Run, wanted: list[int] | None) -> None:
    if not run.record.config.keeps_steps:
        raise StoreError(f"run {run.id} kept figures only: there are no steps to verify (--record all keeps them)")
    if wanted and not (wanted[0] >= 0 and wanted[-1] < run.record.episodes):
        missing = wanted[0] if wanted[0] < 0 else wanted[-1]
        raise UsageError(f"run {run.id} has the episodes 0 to {run.record.episodes - 1}, not {missing}")


# ------------------------------------------------------------------------------------------ playing again


class _CompiledPlayer(Player):
    """Plays chunks again in machine code; all that its worlds draw comes from `np_random`."""

    def __init__(self, env: gym.Env[Any, Any], world: Any) -> None:
        super().__init__(env)
        self.world, self.state = world, world.blank_state()
        self.limit = step_limit(env)

    def play(self, chunk: EpisodeChunk) -> Columns:
        """As `Player.play`; no columns if all of them are as stored."""
        check_columns(self.env.action_space, chunk.steps or {}, "actions")
        check_columns(self.env.observation_space, chunk.steps or {}, "observations", in_range=False)
        generator = self.env.unwrapped.np_random.bit_generator
        before = self.state, generator.state
        if self._is_as_stored(chunk):
            return {}
        self.state, generator.state = before
        return self._columns(chunk)

    def _is_as_stored(self, chunk: EpisodeChunk) -> bool:
        from rlbench.training._stored import for_world, leads_to  # noqa: PLC0415  (numba only when something is played)

        steps = chunk.steps or {}
        self.state, is_as_stored = for_world(leads_to, self.world)(
            self.world,
            self.env.unwrapped.np_random,
            self.state,
            chunk.first_step,
            self.limit,
            steps["actions"],
            chunk.lengths,
            chunk.terminations,
            chunk.truncations,
            steps["observations"],
            steps["rewards"].astype(np.float64, copy=False).view(np.int64),
        )
        return bool(is_as_stored)

    def _columns(self, chunk: EpisodeChunk) -> Columns:
        from rlbench.training._stored import for_world, play_again  # noqa: PLC0415  (numba only when something is played)

        steps, found = chunk.steps or {}, expected(chunk)
        observations = np.empty(len(steps["observations"]), np.int32)
        self.state = for_world(play_again, self.world)(
            self.world,
            self.env.unwrapped.np_random,
            self.state,
            chunk.first_step > 0,
            steps["actions"].astype(np.int64),
            chunk.lengths,
            observations,
            found["rewards"],
            found["terminated"],
        )
        offsets = _offsets(chunk)
        begins = np.cumsum(chunk.lengths) - chunk.lengths
        last = begins + self.limit - offsets - 1  # where the step limit cuts each segment
        found["truncated"][:] = False
        found["truncated"][last[(self.limit > 0) & (offsets + chunk.lengths >= self.limit)]] = True
        return {**found, "observations": observations.astype(steps["observations"].dtype, copy=False)}


def player_of(env: gym.Env[Any, Any], engine: str = "auto") -> Player:
    """Returns what plays chunks again in an env: in machine code where it can, and where a chunk needs no earlier one.

    Raises:
        UsageError: engine="compiled", and the env has no compiled counterpart.
    """
    world = None if engine == "python" or remembers(env) else compiled_world(env)
    if world is None and engine == "compiled":
        raise UsageError("engine='compiled' is not possible: this env has no compiled counterpart; use engine='auto'")
    return Player(env) if world is None else _CompiledPlayer(env, world)


def _offsets(chunk: EpisodeChunk) -> NDArray[np.int64]:
    """Returns how many steps of its episode come before each segment of a chunk."""
    offsets = np.zeros(len(chunk.lengths), np.int64)
    offsets[0] = chunk.first_step
    return offsets


# ------------------------------------------------------------------------------------------ comparing


class _Tally:
    """Counts what was played again, and notes the first difference of each episode."""

    def __init__(self, wanted: list[int] | None) -> None:
        self._wanted = wanted
        self._episodes = self._steps = self._unverifiable = 0
        self._different: dict[int, Mismatch | None] = {}  # by episode; None beyond those that are listed

    def take(self, chunk: EpisodeChunk, found: Columns | None) -> None:
        """Adds a chunk and what playing it again led to: none if that is as stored, None if it was impossible."""
        episodes = chunk.first_episode + np.arange(len(chunk.lengths))
        is_wanted = np.ones(len(episodes), np.bool_) if self._wanted is None else np.isin(episodes, self._wanted)
        ended = int(np.count_nonzero(is_wanted & (chunk.ends != OPEN)))
        if found is None:
            self._unverifiable += ended
            return
        self._episodes += ended
        self._steps += int(chunk.lengths[is_wanted].sum())
        for segment, step, field, at in _differences(chunk, found):
            episode = int(episodes[segment])
            if is_wanted[segment] and episode not in self._different:
                self._different[episode] = self._mismatch(chunk, found, episode, step, field, at)

    def _mismatch(
        self, chunk: EpisodeChunk, found: Columns, episode: int, step: int, field: str, at: int
    ) -> Mismatch | None:
        if len(self._different) >= LISTED:
            return None
        stored = compared(chunk)[field][at]
        return Mismatch(episode, step, FIELDS.get(field, field), stored.tolist(), found[field][at].tolist())

    def result(self, run_id: str) -> Verification:
        """Returns the totals."""
        listed = tuple(mismatch for mismatch in self._different.values() if mismatch is not None)
        return Verification(run_id, self._episodes, self._steps, len(self._different), listed, self._unverifiable)


def _differences(chunk: EpisodeChunk, found: Columns) -> list[tuple[int, int, str, int]]:
    """Lists (segment, step, column, row) where what was found differs from what is stored, by segment and step."""
    if not found:
        return []
    stored, starts, offsets = compared(chunk), np.cumsum(chunk.lengths) - chunk.lengths, _offsets(chunk)
    differences: list[tuple[int, int, str, int]] = []
    for name, column in stored.items():
        rows = np.flatnonzero(unequal(column, found[name]))
        last_row = int(has_last_row(name))  # T + 1 rows a segment: row 0 is the reset
        begins = starts + last_row * np.arange(len(starts))
        segments = np.searchsorted(begins, rows, side="right") - 1
        steps = offsets[segments] + rows - begins[segments] + 1 - last_row
        differences += zip(segments.tolist(), steps.tolist(), [name] * len(rows), rows.tolist(), strict=True)
    return sorted(differences, key=lambda difference: difference[:2])
