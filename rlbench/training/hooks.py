"""What happens between episodes: where the loops come back, whom they call, and what evaluations find there."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import make_from_spec
from rlbench.errors import UsageError
from rlbench.intervals import mean_interval
from rlbench.store.records import EVALUATION
from rlbench.training.budgets import UNLIMITED
from rlbench.training.callbacks import Progress, described, every_of, label, overridden
from rlbench.training.playing import play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.store import EpisodeChunk
    from rlbench.training.budgets import Budget
    from rlbench.training.playing import Played
    from rlbench.training.recorder import Recorder

    Hook = Callable[[Progress], bool | None]

EVALUATIONS = 2  # the key of their seeds; the env has 0 and the agent 1


@dataclass(frozen=True)
class Evaluator:
    """Plays greedy episodes now and then, in an env and with generators of its own: training notices nothing."""

    spec: str  # of the env
    run_seed: int
    every: int  # episodes of training
    episodes: int

    def play(self, agent: Agent, after: int) -> tuple[Played, tuple[float, float, float]]:
        """Returns what the agent comes to after some episodes of training, its mean return and the interval of it."""
        seed = int(np.random.SeedSequence(self.run_seed, spawn_key=(EVALUATIONS, after)).generate_state(1)[0])
        with closing(make_from_spec(self.spec, trust=True)) as env:  # the env in which the agent is being trained
            played = play(env, agent, self.episodes, seed)
        return played, (float(played.returns.mean()), *mean_interval(played.returns, seed))


class Hooks:
    """The callbacks and the evaluations of a run.

    Args:
        callbacks: checked.
        evaluator: None for no evaluations.
        agent: stands where the run has come to.
        returns: of the run's episodes so far.
        lengths: likewise.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        evaluator: Evaluator | None,
        agent: Agent,
        returns: NDArray[np.float64],
        lengths: NDArray[np.int64],
    ) -> None:
        self.stopped = ""  # which callback ended the training
        self.seconds = 0.0  # of evaluating
        self._callbacks = [(label(described(one)), one) for one in callbacks]
        self._evaluator, self._agent = evaluator, agent
        self._returns, self._lengths, self._episodes = returns.copy(), lengths.astype(np.int64), len(returns)
        self._ahead = agent.episodes - len(returns), agent.timesteps - int(lengths.sum())  # learnt before the run
        self._played: Played | None = None
        self._points: dict[int, tuple[float, float, float]] = {}  # by episode; not handed on yet
        checkpoints = [every_of(one) for one in callbacks if overridden(one, "on_checkpoint") is not None]
        ends = [1 for one in callbacks if overridden(one, "on_episode_end") is not None]
        self._rhythms = [*ends, *checkpoints, *([] if evaluator is None else [evaluator.every])]

    def pause(self) -> int:
        """Returns after how many episodes, as the agent counts them, something is due next."""
        due = min(((self._episodes // every + 1) * every for every in self._rhythms), default=UNLIMITED)
        return min(UNLIMITED, due + self._ahead[0])

    def look(self, recorder: Recorder, budget: Budget) -> None:
        """Notes the episodes that ended, and does what is due."""
        self._note(recorder)
        if self._agent.episodes < budget.pause:
            return
        for name, hook in self._due():
            goes_on = _goes_on(hook(self._progress()), name)
            self.stopped = self.stopped or ("" if goes_on else name)
        budget.stop = budget.stop or bool(self.stopped)
        budget.pause = self.pause()

    def with_points(self, chunk: EpisodeChunk) -> EpisodeChunk:
        """Returns a chunk with what was found after its episodes as figures."""
        if self._evaluator is None:
            return chunk
        found = np.full((len(EVALUATION), chunk.episodes), np.nan)
        for episode in [one for one in self._points if one < chunk.first_episode + chunk.episodes]:
            found[:, episode - chunk.first_episode] = self._points.pop(episode)
        return replace(chunk, figures={**chunk.figures, **dict(zip(EVALUATION, found, strict=True))})

    def _note(self, recorder: Recorder) -> None:
        """Takes over the figures of the episodes that have ended since: they are the last on the tape."""
        new = slice(recorder.segments - (recorder.episodes - self._episodes), recorder.segments)
        self._returns = _with(self._returns, self._episodes, recorder.tape.returns[new])
        self._lengths = _with(self._lengths, self._episodes, recorder.tape.episode_lengths[new])
        self._episodes = recorder.episodes

    def _due(self) -> Iterator[tuple[str, Hook]]:
        """Yields what is to be called after this episode, and whose it is."""
        yield from self._all("on_episode_end")
        yield from self._all("on_checkpoint")
        if self._evaluator is not None and not self._episodes % self._evaluator.every:
            self._evaluate(self._evaluator)
            yield from self._all("on_evaluation")

    def _all(self, hook: str) -> Iterator[tuple[str, Hook]]:
        for name, one in self._callbacks:
            method = overridden(one, hook)
            if method is not None and not (hook == "on_checkpoint" and self._episodes % every_of(one)):
                yield name, method

    def _evaluate(self, evaluator: Evaluator) -> None:
        started = time.perf_counter()
        self._played, point = evaluator.play(self._agent, self._episodes)
        self._points[self._episodes - 1] = point
        self.seconds += time.perf_counter() - started

    def _progress(self) -> Progress:
        returns, lengths = self._returns[: self._episodes], self._lengths[: self._episodes]
        returns.flags.writeable = lengths.flags.writeable = False
        timesteps = self._agent.timesteps - self._ahead[1]
        return Progress(self._agent, self._episodes, timesteps, returns, lengths, self._played)


def _with(column: NDArray[Any], count: int, new: NDArray[Any]) -> NDArray[Any]:
    """Returns a column whose first `count` rows are followed by new ones; its room doubles, so that this is cheap."""
    if count + len(new) > len(column):
        column = np.concatenate([column[:count], np.empty(max(count, len(new), 1024), column.dtype)])
    column[count : count + len(new)] = new
    return column


def _goes_on(answer: object, name: str) -> bool:
    if answer is None or isinstance(answer, bool | np.bool_):
        return answer is None or bool(answer)
    raise UsageError(f"a method of the callback {name} must return None, True or False (to stop), got {answer!r}")
