"""Recording: a wrapper that stores the episodes of whoever steps an env: another library, a script, a person."""

from __future__ import annotations

import json
import os
import sys
import warnings
import weakref
from itertools import compress, pairwise
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding

from rlbench.checks import whole_number
from rlbench.envs.again import lasting_spec
from rlbench.envs.making import id_of, step_limit
from rlbench.errors import StoreError, UsageError
from rlbench.store import CUT_OFF, OPEN, EpisodeChunk, Store, open_store
from rlbench.store.codec import to_json
from rlbench.store.columns import NUMBER_BYTES, Layout
from rlbench.store.config import EXTERNAL, AgentConfig, EnvConfig, RunConfig
from rlbench.store.records import CHUNK_BYTES, CHUNK_STEPS, RESERVE, end_code
from rlbench.training.code import code_of
from rlbench.training.run import Run
from rlbench.training.setup import versions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH = 3  # places of a row: action, observation, reward
FLUSH_SECONDS = 5.0  # before a chunk is written between two episodes; twice as long within one
SHOWN = 100  # characters of a value in an error
MISFITS = (
    UsageError,
    TypeError,
    ValueError,
    LookupError,
    OverflowError,
)  # of a value that does not fit its space
OPTIONS = object()  # in place of the env's generator: what options do at a reset is not recorded
BROKEN = object()  # likewise: something was drawn that no stored episode shows


class RecordEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Stores every episode that is played through it as one run, and passes everything on unchanged.

        with rlbench.RecordEpisodes(gym.make("CartPole-v1"), "rlbench.db", agent_name="sb3-dqn") as env:
            DQN("MlpPolicy", env, seed=0).learn(50_000)
        print(env.run)

    Observations and actions are of Discrete, Box, MultiDiscrete, MultiBinary, Dict and Tuple spaces, and are stored
    exactly, with the dtype in which they come. Steps are written by the chunk; `flush` and `close` write the rest.
    The run is "finished" when the env is closed, and "interrupted" if that happens on the way out of an exception, or
    never; an env that is closed before its first reset leaves none. An episode that `reset` or `close` cuts off is
    stored as neither terminated nor truncated; one without a step is not stored.

    Episodes can be verified if the env's randomness is its `np_random`, a NumPy Generator; those begun by
    `reset(options=...)` with options cannot, because options are not stored. `spec` is that of the env underneath: who
    makes the env again from it does not record.

    Args:
        env: a Gymnasium env; of a vector env, wrap each env before they are put together: each leaves a run, from
            the processes of an AsyncVectorEnv too, if `store` is a path or URL.
        store: a URL, path or open store, which stays open for `run`; None keeps the run in memory.
        agent_name: who steps the env, for the run's record.
        seed: for the run's record; None takes that of the first reset, or what the env drew for itself (0: unknown).
        tags: of the run.
        max_chunk_steps: steps that are held in memory before they are written, at most.
        max_chunk_bytes: about how much memory they may take.

    Raises:
        UsageError: a space cannot be stored; while stepping: a reward is not finite, or a value does not fit its space.
            Then what came before is kept, that episode is not, and the recording ends.
        StoreError: the store cannot be opened or written; while stepping, before the env takes the step.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        store: str | Path | Store | None = "rlbench.db",
        *,
        agent_name: str = "external",
        seed: int | None = None,
        tags: Iterable[str] = (),
        max_chunk_steps: int = CHUNK_STEPS,
        max_chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        _check(env, seed, max_chunk_steps=max_chunk_steps, max_chunk_bytes=max_chunk_bytes)
        super().__init__(env)
        layouts = Layout(env.observation_space, "observations"), Layout(env.action_space, "actions")
        row_bytes = layouts[0].row_bytes + layouts[1].row_bytes + NUMBER_BYTES
        most = max(1, min(max_chunk_steps, max_chunk_bytes // row_bytes))
        self._base = env.unwrapped
        self._seed = seed
        self._store = store if isinstance(store, Store) else open_store(store if store is not None else "memory://")
        about: dict[str, Any] = {"seed": seed or 0, "tags": tags, "config": _config(env, agent_name)}
        made = self._store.create_run(id_of(env), agent_name, **about, what="record")
        self._tape = _Tape(self._store, made.id, layouts, most, _reserve(env, most))
        self._copy_action = layouts[1].copy
        self._abandon = weakref.finalize(self, self._tape.abandon)

    @property
    def run_id(self) -> str:
        """The id of the run: 12 hexadecimal digits."""
        return self._tape.run_id

    @property
    def run(self) -> Run:
        """The run as far as it is written."""
        return Run(self._store.run(self.run_id), self._store, trust=True)

    @property
    def spec(self) -> gym.envs.registration.EnvSpec | None:  # type: ignore[override]  # as in gym.Wrapper
        """The spec of the env underneath: it does not record."""
        return self.env.spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode; one that is not at its end is cut off."""
        tape = self._tape
        tape.check_running()
        tape.cut_off()
        generator = _generator(self._base)
        if options:
            tape.prepare(OPTIONS, None)
        elif seed is not None:
            tape.prepare(BROKEN, _seeded_state(seed) if generator is not None else None)
        else:
            tape.prepare(generator, _state(generator))
        observation, info = self.env.reset(seed=seed, options=options)
        tape.begin(observation, OPTIONS if options else _generator(self._base))
        self._note_seed(seed)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step and notes it."""
        tape = self._tape
        if len(tape.rows) >= tape.stop or monotonic() > tape.overdue:
            tape.make_room()
        try:
            kept = self._copy_action(action)  # before the env can change it
        except MISFITS as error:
            raise UsageError(f"expected an action of {self.env.action_space}, got {_shown(action)}: {error}") from error
        outcome = self.env.step(action)
        observation, reward, terminated, truncated, _ = outcome
        tape.take(kept, observation, reward)
        if terminated or truncated:
            tape.end(end_code(bool(terminated), bool(truncated)))
        return outcome

    def flush(self) -> None:
        """Writes what has been recorded so far, an unfinished episode included."""
        self._tape.flush()

    def finish(self) -> None:
        """Writes the rest and ends the run, but leaves the env open."""
        self._finish("finished" if sys.exc_info()[0] is None else "interrupted")

    def close(self) -> None:
        """Writes the rest, ends the run and closes the env; closing twice does no harm."""
        try:
            self.finish()
        finally:
            super().close()

    def __exit__(self, *error: object) -> Literal[False]:
        try:
            self._finish("finished" if error[0] is None else "interrupted")
        finally:
            super().close()
        return False

    def _finish(self, status: str) -> None:
        self._abandon.detach()
        self._tape.finish(status)

    def _note_seed(self, seed: int | None) -> None:
        """Notes the seed of the first reset for the run's record, unless one was given."""
        if self._seed is None:
            self._seed = _drawn_seed(self._base) if seed is None else seed
            self._tape.progress["seed"] = self._seed


class _Tape:
    """The current chunk of a run, and its way into the store.

    Its rows lie in one flat list: action, observation, reward, action, ... A segment begins with a row that has only an
    observation. So each row is added at once, whatever interrupts, and each column is a slice.

    Args:
        store: the writer of the run.
        run_id: of the run.
        layouts: of observations and actions.
        most: steps in a chunk.
        reserve: so many must be free in it when an episode begins.
    """

    def __init__(self, store: Store, run_id: str, layouts: tuple[Layout, Layout], most: int, reserve: int) -> None:
        self.run_id = run_id
        self.progress: dict[str, Any] = {}  # what the next write says of the run, beside its counts
        self.rows: list[Any] = []
        self.stop = 0  # the length of rows at which there must be room made for a step; 0 outside of an episode
        self._store = store
        self._observations, self._actions = layouts
        self._copy_observation = layouts[0].copy
        self._most, self._reserve = most, reserve
        self._process = os.getpid()
        self._started: float | None = None  # at the first reset
        self._is_over = False
        self._generator: Any = BROKEN  # that the episodes in the chunk drew from, one after the other
        self._noted: Any = None  # the state of the generator before the latest reset
        self._ends: list[tuple[int, int]] = []  # of segments that ended: how long rows was, the code
        self._begin_chunk(0, 0, 0.0)

    def _begin_chunk(self, first_episode: int, first_step: int, before: float) -> None:
        self._first = (first_episode, first_step)
        self._before = before  # the return of the first episode up to here
        self._env_rng = None if first_step else self._noted
        self._due = monotonic() + FLUSH_SECONDS
        self.overdue = self._due + FLUSH_SECONDS

    # ------------------------------------------------------------------ what happens to the env

    @property
    def _begun(self) -> int:
        """Where in rows the segment that has not ended begins."""
        return self._ends[-1][0] if self._ends else 0

    @property
    def _is_open(self) -> bool:
        """Whether there is an unfinished episode."""
        return len(self.rows) > self._begun

    @property
    def _open_steps(self) -> int:
        """How many steps of the unfinished episode are in the chunk."""
        return max(0, (len(self.rows) - self._begun) // WIDTH - 1)

    @property
    def _n_steps(self) -> int:
        """How many steps are in the chunk."""
        return len(self.rows) // WIDTH - len(self._ends) - self._is_open

    def check_running(self) -> None:
        """Refuses to go on after the end."""
        if self._is_over:
            raise UsageError("this recording is over: wrap the env again to begin another run")

    def make_room(self) -> None:
        """Writes a chunk that is full or old, to go on with the episode; refuses a step outside of one."""
        if not self.stop:
            self.check_running()
            raise UsageError("there is no episode to step in: call reset() first, and after the end of each episode")
        if self._open_steps:
            self.flush()

    def cut_off(self) -> None:
        """Ends an unfinished episode; one without a step is forgotten."""
        if self._is_open and (self._open_steps or (self._first[1] and not self._ends)):
            self.end(CUT_OFF)
        elif self._is_open:
            del self.rows[self._begun :]
            self._generator = BROKEN  # what its reset drew is not seen
        self.stop = 0

    def prepare(self, generator: Any, state: Any) -> None:
        """Begins a new chunk before a reset if the one in hand is full, old or cannot be re-executed through it."""
        self._noted = state
        is_full = self._n_steps + self._reserve > self._most
        is_chained = generator is self._generator and generator is not BROKEN and not self._first[1]
        if is_full or not is_chained or monotonic() > self._due:
            self.flush()
        if not self.rows:
            self._env_rng = state
        self._generator = BROKEN  # until the reset comes back

    def begin(self, observation: Any, generator: Any) -> None:
        """Notes the first observation of an episode, and the generator that it draws from."""
        if self._started is None:
            self._started = monotonic()
        try:
            self.rows.extend((None, self._copy_observation(observation), 0.0))
        except MISFITS as error:
            raise self._misfit(observation, error) from error
        self._generator = generator
        self._set_stop()

    def _set_stop(self) -> None:
        self.stop = (self._most + len(self._ends) + 1) * WIDTH

    def take(self, action: Any, observation: Any, reward: Any) -> None:
        """Notes a step."""
        try:
            row = action, self._copy_observation(observation), float(reward)
        except MISFITS as error:
            raise self._misfit(observation, error, reward) from error
        if not isfinite(row[2]):
            raise self._refused(f"the reward must be finite, got {row[2]}")
        self.rows += row

    def end(self, code: int) -> None:
        """Notes how an episode ended."""
        self.stop = 0
        self._ends.append((len(self.rows), code))

    def _misfit(self, observation: Any, error: Exception, reward: Any = 0.0) -> UsageError:
        return self._refused(
            f"expected an observation of {self._observations.space} and a number as reward, "
            f"got {_shown(observation)} and {_shown(reward)} ({error})"
        )

    def _refused(self, reason: str) -> UsageError:
        """Ends the recording without the episode in hand."""
        episode = self._first[0] + len(self._ends)
        step = self._open_steps + (0 if self._ends else self._first[1])
        del self.rows[self._begun :]
        self.finish("interrupted")
        return UsageError(f"episode {episode}, step {step}: {reason}; what came before this episode is stored")

    # ------------------------------------------------------------------ its way into the store

    def flush(self) -> None:
        """Writes what there is; an unfinished episode goes on in the next chunk."""
        if self._ends or self._open_steps:
            self._write()

    def finish(self, status: str) -> None:
        """Writes the rest and ends the run, once; a run that nothing was asked of leaves no trace."""
        if self._is_over:
            return
        if self._started is None:
            self._store.delete_run(self.run_id)
        else:
            self.cut_off()
            self._write(status=status)
        self._is_over = True

    def abandon(self) -> None:
        """Does so for an env that nobody closed."""
        if os.getpid() != self._process:
            return  # a copy in a forked process: the original goes on
        try:
            self.finish("interrupted")
        except StoreError as error:
            warnings.warn(f"the last steps of run {self.run_id} are lost: {error}", RuntimeWarning, stacklevel=2)

    def _write(self, **progress: Any) -> None:
        seconds = 0.0 if self._started is None else monotonic() - self._started
        chunk = self._checked_chunk() if self._ends or self._open_steps else None
        self._store.append(self.run_id, chunk, seconds=seconds, **self.progress, **progress)
        self.progress.clear()
        if chunk is not None:
            self._go_on(chunk)

    def _checked_chunk(self) -> EpisodeChunk:
        try:
            return self._chunk()
        except UsageError:  # these rows have no columns: the run ends before them
            self.rows, self._ends = [], []
            self.finish("interrupted")
            raise

    def _go_on(self, chunk: EpisodeChunk) -> None:
        """Begins the next chunk with what is left open."""
        ended, steps, was_open = len(self._ends), self._open_steps, self._is_open
        before = total(np.array([0.0 if ended else self._before, *self.rows[self._begun + 2 :: WIDTH]]))
        self.rows, self._ends = [None, self.rows[-2], 0.0] if was_open else [], []
        self._begin_chunk(chunk.first_episode + ended, steps + (0 if ended else self._first[1]), before)
        if self.stop:
            self._set_stop()

    def _chunk(self) -> EpisodeChunk:
        """Returns the steps in hand as a chunk; an episode that has just begun is left for the next."""
        stops, codes = ([*column] for column in zip(*self._ends, strict=True)) if self._ends else ([], [])
        if self._open_steps:
            stops, codes = [*stops, len(self.rows)], [*codes, OPEN]
        rows = self.rows[: stops[-1]]
        begins = np.array([0, *stops[:-1]]) // WIDTH
        is_step = np.ones(len(rows) // WIDTH, np.bool_)
        is_step[begins] = False
        chosen = is_step.tolist()
        rewards = np.array(rows[2::WIDTH], np.float64)[is_step]
        lengths = np.diff(begins, append=len(is_step)) - 1
        return EpisodeChunk(
            first_episode=self._first[0],
            first_step=self._first[1],
            lengths=lengths,
            ends=np.array(codes, np.uint8),
            figures=self._figures(rewards, lengths[: len(self._ends)]),
            steps={
                **self._observations.columns(rows[1::WIDTH]),
                **self._actions.columns([*compress(rows[::WIDTH], chosen)]),
                "rewards": rewards,
            },
            env_rng=self._env_rng and json.loads(to_json(self._env_rng)),
        )

    def _figures(self, rewards: NDArray[np.float64], lengths: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Returns the figures of the episodes that end here, of which the first may have begun earlier."""
        rewards = np.concatenate(([self._before], rewards))
        stops = (np.cumsum(lengths) + 1).tolist()
        returns = [total(rewards[start:stop]) for start, stop in pairwise([0, *stops])]
        earlier = self._first[1] * (np.arange(len(lengths)) == 0)
        return {"return": np.array(returns, np.float64), "length": lengths + earlier}


def total(rewards: NDArray[np.float64]) -> float:
    """Adds rewards up one after the other, as `Episode.total_return` does: `sum` and `np.sum` round otherwise."""
    with np.errstate(over="ignore"):
        return float(np.cumsum(rewards)[-1])


def _shown(value: Any) -> str:
    """Returns a value as one line of an error may show it."""
    line = " ".join(repr(value).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def _check(env: Any, seed: Any, **limits: Any) -> None:
    if not isinstance(env, gym.Env):
        raise UsageError(
            f"RecordEpisodes wraps a Gymnasium env, got {type(env).__name__}: make it with gym.make, "
            "and wrap the envs of a vector env before they are put together"
        )
    for name, value, least in (("seed", 0 if seed is None else seed, 0), *((*limit, 1) for limit in limits.items())):
        whole_number(name, value, least=least)


def _reserve(env: gym.Env[Any, Any], most: int) -> int:
    """Returns how many steps must be free in a chunk when an episode begins, so that few are split."""
    return max(1, min(step_limit(env) or RESERVE, RESERVE, most // 4))


def _config(env: gym.Env[Any, Any], agent_name: str) -> RunConfig:
    return RunConfig(
        env=EnvConfig(id_of(env), lasting_spec(env)),
        agent=AgentConfig(agent_name, n_states=_size(env.observation_space), n_actions=_size(env.action_space)),
        preset="",
        engine=EXTERNAL,
        record="all",
        versions=versions(),
        code=code_of(env),
    )


def _size(space: gym.Space[Any]) -> int | None:
    """Returns how many values a Discrete space that begins at 0 has: who learns from the steps may not have the env."""
    return int(space.n) if isinstance(space, gym.spaces.Discrete) and space.start == 0 else None


def _generator(base: gym.Env[Any, Any]) -> np.random.Generator | None:
    """Returns the env's generator, if it has one whose state can be recorded."""
    found = getattr(base, "np_random", None)
    return found if isinstance(found, np.random.Generator) else None


def _state(generator: np.random.Generator | None) -> Any:
    """Returns a generator's state as NumPy has it: cheap, and turned into JSON once a chunk."""
    return None if generator is None else generator.bit_generator.state


def _seeded_state(seed: int) -> Any:
    """Returns the state of a generator after reset(seed=seed), and the seed; None for what the env will refuse."""
    try:
        return {**seeding.np_random(seed)[0].bit_generator.state, "seed": seed}
    except gym.error.Error:
        return None


def _drawn_seed(base: gym.Env[Any, Any]) -> int:
    """Returns the seed that an env drew for itself, 0 if that is not known."""
    seed = getattr(base, "np_random_seed", None)
    return seed if isinstance(seed, int) and seed >= 0 else 0
