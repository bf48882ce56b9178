"""One stretch of training: what the loops, the clock and the store share."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import step_limit
from rlbench.errors import StoreAway, StoreError, UsageError
from rlbench.training.budgets import Budget
from rlbench.training.checkpoints import checkpoint_of
from rlbench.training.hooks import Evaluator, Hooks
from rlbench.training.loops import compiled_loop, readable_loop
from rlbench.training.monitor import Monitor, stopping_on_signal
from rlbench.training.recorder import Recorder
from rlbench.training.tables import compile_packing, is_table, known_table, schedule_of
from rlbench.training.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.store import Checkpoint, EpisodeChunk, RunRecord, Store
    from rlbench.store.schedules import Schedule
    from rlbench.store.walks import Table
    from rlbench.training.repeating import Stored

CHECKPOINT_SECONDS = 1.0  # at least, between two checkpoints
CHECKPOINT_RATE = 10e6  # bytes a second that checkpoints may cost
FLUSH_SECONDS = 2.0  # before episodes are stored, however few: so a killed run in a slow env loses little


@dataclass
class Session:
    """One stretch of training of one run, from where agent and env stand."""

    store: Store
    run: RunRecord
    env: gym.Env[Any, Any]
    agent: Agent
    budget: Budget
    stored: Stored | None = None  # what the run stored beyond where agent and env stand
    seed: int | None = None  # of the env's first reset; None where env and agent go on
    callbacks: Sequence[Any] = ()
    seconds: float = field(default=0.0, init=False)  # of training alone, earlier stretches included
    figures: dict[str, NDArray[Any]] | None = field(default=None, init=False)  # of all episodes, if in a single chunk
    _hooks: Hooks | None = field(default=None, init=False)  # None, so that nobody looks, if nothing is due
    _failed: bool = field(default=False, init=False)  # something could not be stored
    _checkpointed: float = field(default=0.0, init=False)
    _flushed: float = field(default=0.0, init=False)
    _interval: float = field(default=CHECKPOINT_SECONDS, init=False)

    def train(self, world: Any, *, progress: bool | Callable[[float], object]) -> None:
        """Runs the loop and leaves the run finished or interrupted, with a checkpoint of the agent."""
        recording = self.run.config.keeps_steps
        table = known_table(self.env) if recording else None
        self._monitor = Monitor(self.agent, self.budget, shown=progress)
        self._recorder = Recorder(
            self.agent.n_actions,
            recording=recording,
            episode_steps=step_limit(self.env),
            sink=self._take,
            episodes=self.budget.left(self.agent) + 1,  # room for one more: a full tape would not wait for the end
            first_episode=self._first_episode,
            exploration=self._exploration,
            table=table if is_table(world, table) else None,
            judged=self.agent.judged,
            judge=self.agent.judge,
        )
        status, rest = "interrupted", None
        self._begin_clock()
        with (
            stopping_on_signal(self.budget) as stopping,
            Writer(self.store, self.run.id, table) as self._writer,
        ):
            try:
                self._hooks = self._hooks_of()
                if world is None or self._hooks is not None:  # an episode, or a callback, may take its time
                    self._writer.keep_alive()
                self._compile(world, table)
                if self.stored is not None and not self.budget.stop:
                    self._repeat(world, self.stored)
                with stopping.between_looks(world):
                    self._loop(world, self.budget)
                    if recording:  # writing the steps is part of such training
                        self._settle()
                self.seconds = self._elapsed()
                rest = self._rest()
                status = "interrupted" if self.budget.stop and not self._stopped else "finished"
            except BaseException:
                self.seconds = self._elapsed()
                if not self._failed:
                    rest = self._rest()
                raise
            finally:
                self._monitor.close()
                self._close(status, rest)

    @property
    def _first_episode(self) -> int:
        return self.run.episodes if self.stored is None else self.stored.first_episode

    @property
    def _exploration(self) -> Schedule | None:
        """The schedule of the agent's exploration rate, by what came before each episode of the run."""
        timesteps = self.run.timesteps if self.stored is None else self.stored.first_timestep
        ahead = self.agent.episodes - self._first_episode, self.agent.timesteps - timesteps
        return schedule_of(getattr(self.agent, "exploration", None), *ahead)

    @property
    def _stopped(self) -> str:
        """The callback that ended the training; empty if none did."""
        return "" if self._hooks is None else self._hooks.stopped

    def _hooks_of(self) -> Hooks | None:
        """Returns what is due between episodes; None if nothing is."""
        config = self.run.config
        if not self.callbacks and config.evaluating is None:
            return None
        evaluator = None
        if config.evaluating is not None:
            evaluator = Evaluator(str(config.env.spec), self.run.seed, **asdict(config.evaluating))
        before = self.store.figures(self.run.id, ("return", "length"))
        returns, lengths = (before[name][: self._first_episode] for name in ("return", "length"))
        return Hooks(self.callbacks, evaluator, self.agent, returns, lengths)

    def _compile(self, world: Any, table: Table | None) -> None:
        """Compiles the loop and what packs its steps, or loads it, so that the seconds are of training alone."""
        if self.run.config.keeps_steps and not self._recorder.packs:
            compile_packing(self.agent.n_actions, 0 if table is None else table.most_outcomes)
        if world is not None:
            from rlbench.training._compiled import compile_for  # noqa: PLC0415  (numba)

            compile_for(world, self.agent, self._recorder)
        self._begin_clock()

    def _begin_clock(self) -> None:
        self._started = self._checkpointed = self._flushed = time.perf_counter()
        if self._hooks is not None:
            self._hooks.seconds = 0.0

    def _elapsed(self) -> float:
        evaluating = 0.0 if self._hooks is None else self._hooks.seconds
        return self.run.seconds + time.perf_counter() - self._started - evaluating

    def _settle(self) -> None:
        """Waits until everything that was recorded is stored."""
        rest = self._rest()
        with self._noting_failure():
            self._writer.write(rest, seconds=self._elapsed())

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Notes that something was not stored: nothing after it may be stored either."""
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def _repeat(self, world: Any, stored: Stored) -> None:
        """Trains again to the end of the last stored episode, and begins the clock there."""
        repeated = stored.episodes - stored.first_episode
        if not repeated:
            return  # the first reset, and its seed, are still to come
        budget = Budget(episodes=self.agent.episodes + repeated)
        with stopping_on_signal(budget) as stopping, stopping.between_looks(world):
            self._loop(world, budget)
        self._settle()
        self.budget.stop = self.budget.stop or budget.stop
        if self._stopped and not stored.is_repeated:
            raise StoreError(
                f"run {self.run.id} cannot be resumed: {self._stopped} ends it before the end of what it stored, so "
                "the callback is not the same any more; nothing was changed"
            )
        self._begin_clock()

    def _loop(self, world: Any, budget: Budget) -> None:
        if self._hooks is not None:
            budget.pause = self._hooks.pause()
        look = partial(self._look, budget)
        seed, self.seed = self.seed, None  # the first reset alone is seeded
        if world is None:
            readable_loop(self.env, self.agent, budget, self._recorder, look, seed=seed)
        else:
            compiled_loop(world, self.env, self.agent, budget, self._recorder, look, seed=seed)

    def _look(self, budget: Budget) -> None:
        if budget.abort:
            raise KeyboardInterrupt
        self._monitor.look()
        if not (self._recorder.is_between_episodes and budget.is_spent(self.agent)):
            self._writer.keep_alive()
        if not self._recorder.is_between_episodes:
            return
        if self._hooks is not None:
            self._hooks.look(self._recorder, budget)
        if time.perf_counter() - self._flushed > FLUSH_SECONDS:
            self._recorder.flush()

    def _take(self, chunk: EpisodeChunk) -> None:
        """Passes a chunk on to the store, now and then with a checkpoint."""
        with self._noting_failure():
            new = self._accepted(chunk)
            if new is not None:
                due = self._recorder.is_between_episodes and self._flushed - self._checkpointed >= self._interval
                self._writer.put(new, self._checkpoint() if due else None, seconds=self._elapsed())

    def _rest(self) -> EpisodeChunk | None:
        """Takes what is left on the tape, once all before it is written; returns what is to be stored of it."""
        left: list[EpisodeChunk] = []
        with self._noting_failure():
            self._writer.wait()
            self._recorder.flush(left.append)
            return self._accepted(left[0]) if left else None

    def _accepted(self, chunk: EpisodeChunk) -> EpisodeChunk | None:
        """Returns what is to be stored of a chunk; None if all of it is."""
        self._monitor.hear(_checked(chunk))
        chunk = chunk if self._hooks is None else self._hooks.with_points(chunk)
        self._flushed = time.perf_counter()
        is_whole = self.stored is None and (chunk.first_episode, chunk.first_step) == (0, 0)
        self.figures = chunk.figures if is_whole else None
        return chunk if self.stored is None else self.stored.take(chunk)

    def _checkpoint(self) -> Checkpoint:
        checkpoint = checkpoint_of(self.env, self.agent, unfinished_episode=not self._recorder.is_between_episodes)
        size = sum(array.nbytes for array in checkpoint.arrays.values())
        self._interval = max(CHECKPOINT_SECONDS, size / CHECKPOINT_RATE)
        self._checkpointed = time.perf_counter()
        return checkpoint

    def _close(self, status: str, rest: EpisodeChunk | None) -> None:
        """Writes the end of the run, and with it what is left to store."""
        try:
            if not self._failed:
                self._finish(status, rest)
        except StoreAway:
            raise  # what the store lacks is in a spool
        except BaseException:
            self._failed = True
            raise
        finally:
            if self._failed:  # what the agent learnt from is not stored, so its state is not either
                with suppress(StoreError):  # the failure itself is on its way
                    self._writer.close()
                    self.store.append(self.run.id, status="interrupted", seconds=self.seconds)

    def _finish(self, status: str, rest: EpisodeChunk | None) -> None:
        is_behind = self.stored is not None and not self.stored.is_repeated
        checkpoint = None if is_behind else self._checkpoint()
        progress: dict[str, Any] = {"status": status, "seconds": self.seconds}
        if self._stopped:
            progress["config"] = replace(self.run.config, stopped=self._stopped)
        # kept when finished: a longer run goes on from it
        self._writer.finish(rest, checkpoint, keep=status == "finished", **progress)


def _checked(chunk: EpisodeChunk) -> EpisodeChunk:
    bad = np.flatnonzero(~np.isfinite(chunk.figures["return"]))
    if len(bad):
        episode = chunk.first_episode + int(bad[0])
        raise UsageError(f"the rewards of episode {episode} add up to no finite return: expected smaller ones")
    return chunk
