"""The work of a study: what is missing is done in batches, here or elsewhere, and stored now and then."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import ProcessError, StoreError
from rlbench.processes import Outcome, Pool
from rlbench.studies import executors
from rlbench.studies.keeping import delete_broken_off, save
from rlbench.studies.trials import Batch, Trial, try_batch, try_elsewhere
from rlbench.training.monitor import Bar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from rlbench.store import Store
    from rlbench.studies.study import Study

MOST_SEEDS = 100  # that a process takes at a time: they share an env and its table
SHARES = 2  # of what is left for each process: the last parts are small, so that all end together
TRIES = 3  # of batches whose process was killed
SAVE_SECONDS = 5.0  # between two times that a study is stored; longer if that takes long
SAVE_SHARE = 0.05  # of the time, that storing it may take


class Part(NamedTuple):
    """Some seeds of a combination, by their places."""

    combination: int
    places: NDArray[np.int64]


def missing(study: Study, workers: int = 1) -> Iterator[Part]:
    """Yields what is not known of a study yet, in order, in parts for some workers."""
    left = study.left
    for combination, wanted in study.wanted():
        places = wanted
        while len(places):
            size = min(MOST_SEEDS, max(1, left // (SHARES * workers)))
            part, places = places[:size], places[size:]
            left -= len(part)
            yield Part(combination, part)


def work(
    study: Study,
    address: str | Path | Store | None,
    workers: int,
    executor: Executor | None = None,
    *,
    progress: bool,
) -> None:
    """Does what is missing of a study; Ctrl-C ends it with the episodes under way.

    Args:
        study: takes the results, and is stored now and then and in the end.
        address: of the study's store, for other processes.
        workers: how many processes; 1: this one. Or how many batches the executor works on at a time.
        executor: tries the batches in place of processes of our own.
        progress: show a bar.

    Raises:
        StoreError: the store failed.
        ProcessError: the processes cannot start, or the executor ended.
        UsageError: a worker of the executor has other versions.
    """
    study.forget_failures()
    with Worker(study, address, workers, executor, shown=progress).working() as worker:
        worker.finish(study)
    if study.is_done and not study.failed.any():
        delete_broken_off(study.store, study.name)


class Worker:
    """Has done what is missing of a study, keeps the count, and stores the study now and then."""

    def __init__(
        self, study: Study, address: Any, workers: int, executor: Executor | None = None, *, shown: bool
    ) -> None:
        self.study, self.address, self.workers, self.executor = study, address, workers, executor
        self._kept = self._shown = study
        self._pool = Pool(workers)
        self._bar = Bar(study.settings.runs, shown=shown)
        self._begun_with = study.done
        self._under_way: dict[int, Part] = {}  # by the number of the task
        self._shares: dict[int, float] = {}  # that are done of them
        self._saved = self._started = time.perf_counter()
        self._interval = SAVE_SECONDS

    @contextmanager
    def working(self) -> Iterator[Worker]:
        """Stores the study in the end, however it ends, and counts the time."""
        try:
            with self._pool, suppress(KeyboardInterrupt):
                yield self
        except BaseException:
            with suppress(StoreError):  # what went wrong is on its way
                self.save()
            raise
        else:
            self.save()
        finally:
            self._bar.close()

    def finish(self, study: Study, *, of: Study | None = None) -> bool:
        """Does what is missing of the study, or of a part of it; returns whether that is done: no signal came.

        The bar shows how far this part is, or what it is part `of`.
        """
        self.study, shown = study, of or study
        if shown is not self._shown:
            self._shown, self._begun_with, self._started = shown, shown.done, time.perf_counter()
        for _ in range(TRIES):
            killed = self._do_what_is_missing()
            if not killed:
                return next(missing(study), None) is None
        for part in missing(study):
            study.take(*part, [Trial(reason=f"{killed}, {TRIES} times")] * len(part.places))
        return True

    def _do_what_is_missing(self) -> str:
        """Returns how a process was killed whose batch is still to be done; empty if none was, or a signal came."""
        killed, is_ended = "", False
        for number, trials, error in self._outcomes():
            part = self._under_way.pop(number)
            self._shares.pop(number, None)
            if isinstance(error, ProcessError):
                killed = str(error)
            elif error is not None:
                raise error
            else:
                self.study.take(*part, trials)
                is_ended |= len(trials) < len(part.places)
                self._look()
        return "" if is_ended or self._under_way else killed

    def _outcomes(self) -> Iterator[Outcome]:
        if self.executor is not None:
            store = executors.address_for_workers(self.address)
            yield from executors.each(self.executor, self.workers, store, self._batches(), self._hear)
        elif self.workers > 1:
            items = ((self.address, batch) for batch in self._batches())
            yield from self._pool.each(try_elsewhere, items, self._hear)
        else:
            yield from self._done_here()

    def _done_here(self) -> Iterator[Outcome]:
        for number, batch in enumerate(self._batches()):
            trials = try_batch(self.study.store, batch, lambda share: self._hear(number, share))  # noqa: B023  called now
            yield Outcome(number, trials)
            if len(trials) < len(batch.seeds):
                return

    def _batches(self) -> Iterator[Batch]:
        study = self.study
        self._under_way.clear()
        for number, part in enumerate(missing(study, self.workers)):
            self._under_way[number] = part
            seeds = tuple(study.settings.seeds[place] for place in part.places)
            yield Batch(study.name, study.objective, study.request(part.combination), seeds)

    def _hear(self, number: int, share: float) -> None:
        """Notes which share of a task is done, and draws the bar."""
        self._shares[number] = share * len(self._under_way[number].places)
        if self._bar.is_due():
            shown = self._shown
            done = shown.done + (sum(self._shares.values()) if shown is self.study else 0)
            self._bar.draw(done, shown.due, self._status(done))

    def _status(self, done: float) -> str:
        study = self._shown
        combinations = int(study.ended.sum())
        rate = (done - self._begun_with) / (time.perf_counter() - self._started)
        value = study.scores[study.ranking[0]] if combinations else math.nan
        best = "" if math.isnan(value) else f"best {value:.4g}  "
        return f"{combinations:,} of {study.settings.combinations:,} {study.unit}  {best}{rate:.0f} runs/s"

    def _look(self) -> None:
        """Stores the study if that is due."""
        if time.perf_counter() - self._saved > self._interval:
            self.save()

    def save(self) -> None:
        """Stores the study."""
        before = time.perf_counter()
        self._kept.seconds += before - self._saved
        self._saved = before
        save(self._kept)
        self._interval = max(SAVE_SECONDS, (time.perf_counter() - before) / SAVE_SHARE)
