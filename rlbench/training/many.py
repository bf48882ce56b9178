"""`train_many`: the same training with many seeds, and any list of trainings, in several processes."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.checks import whole_number
from rlbench.errors import RlbenchError, UsageError
from rlbench.processes import in_processes, packed, unpacked
from rlbench.store import Store, open_store
from rlbench.training.monitor import Bar
from rlbench.training.run import Run
from rlbench.training.running import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rlbench.agents import Agent

    Request = dict[str, Any]  # the arguments of one `train`, except its store


class Trained(NamedTuple):
    """What came of a request: a run, or an error."""

    number: int  # of the request
    run: Run | None = None
    error: RlbenchError | None = None


def train_many(
    env: str,
    agent: str | type[Agent] = "q-learning",
    *,
    seeds: Iterable[int],
    workers: int = 1,
    store: str | Path | Store | None = None,
    progress: bool = False,
    then: Callable[[Run], object] | None = None,
    **arguments: Any,
) -> list[Run]:
    """Trains with each of many seeds, in several processes: each run is bit for bit that of `train` with its seed.

        runs = rlbench.train_many("safecab", seeds=range(8), workers=2, store="rlbench.db")

    A program that does this with several workers does it under `if __name__ == "__main__":`, since they import it.
    Ctrl-C ends the trainings under way with their episode and begins no other; what was learnt is stored, and the
    same call goes on from there.

    Args:
        env: an id or a short name, as in `train`.
        agent: a name or a class.
        seeds: one for each run.
        workers: how many processes train at a time; 1: this one alone.
        store: as in `train`; several workers need a file or a server.
        progress: show a bar on a terminal, for anything over a second.
        then: called with each run in the process that trained it, such as to evaluate it; a function of a module.
        arguments: of `train`, the same for all.

    Returns:
        The runs, in the order of the seeds; fewer if Ctrl-C ended it.

    Raises:
        UsageError: an argument is wrong, or cannot go to another process.
        ProcessError: the env or the agent failed in another process, or that was killed; the other runs are stored.
        StoreError: as in `train`.
    """
    if not isinstance(env, str) or not isinstance(agent, str | type):
        raise UsageError("train_many takes the id of an env and the name or class of an agent: objects keep a state")
    requests = [{"env": env, "agent": agent, **arguments, "seed": seed} for seed in checked_seeds(seeds)]
    found = sorted(trainings(requests, store, workers=workers, progress=progress, then=then))
    for one in found:
        if one.error is not None:
            seed, stored = requests[one.number]["seed"], sum(other.run is not None for other in found)
            one.error.args = (f"seed {seed}: {one.error}; {stored} of {len(requests)} runs are stored",)
            raise one.error
    return [one.run for one in found if one.run is not None]


def checked_seeds(seeds: Iterable[int]) -> list[int]:
    """Returns seeds as a list, each a whole number that is given once."""
    found = [whole_number("seed", seed, least=0) for seed in seeds]
    if not found:
        raise UsageError("seeds must be at least one, got none")
    if len(set(found)) < len(found):
        twice = next(seed for number, seed in enumerate(found) if seed in found[:number])
        raise UsageError(f"seeds must be different, got {twice} twice")
    return found


def check_shared(store: str | Path | Store | None) -> None:
    """Refuses a store that other processes do not have."""
    if (store.url if isinstance(store, Store) else str(store or "memory:")).startswith("memory:"):
        raise UsageError("a store in memory belongs to one process: name a file as store, or take workers=1")


def trainings(
    requests: Sequence[Request],
    store: str | Path | Store | None,
    *,
    workers: int,
    progress: bool = False,
    then: Callable[[Run], object] | None = None,
) -> Iterator[Trained]:
    """Trains what is requested, and yields what comes of it as it comes; see `train_many`.

    Args:
        requests: the arguments of each `train`.
        store: as in `train`; all runs that are yielded share an open one.
        workers: how many processes; 1: this one.
        progress: show a bar.
        then: called with each run where it was trained.
    """
    if whole_number("workers", workers) > 1:
        check_shared(store)
    with closing(Bar(len(requests), "trainings", shown=progress)) as bar:
        if workers == 1:
            yield from _one_by_one(requests, store, then, bar)
        else:
            yield from _at_once(requests, store, then, bar, workers)


def _one_by_one(
    requests: Sequence[Request], store: str | Path | Store | None, then: Callable[[Run], object] | None, bar: Bar
) -> Iterator[Trained]:
    with ExitStack() as opened:
        trainer = opened.enter_context(closing(Trainer()))
        for number, request in enumerate(requests):
            try:
                run = trainer.train(**request, store=store, progress=partial(bar.hear, number))
                if then is not None:
                    then(run)
            except RlbenchError as error:
                yield Trained(number, error=error)
                return
            if store is not run.store:
                store = run.store
                opened.enter_context(store.writing_behind())
            record = run.record if then is None else store.run(run.id)
            yield Trained(number, Run(record, store, run.cache, run.cached_episodes, trust=True))
            if run.status == "interrupted":
                return


def _at_once(
    requests: Sequence[Request], store: Any, then: Callable[[Run], object] | None, bar: Bar, workers: int
) -> Iterator[Trained]:
    items = _items(requests, store, then)  # a URL keeps its password, an open store does not
    for number, told, error in in_processes(_train, items, workers=workers, hear=bar.hear):
        bar.hear(number, 1.0)
        if told is not None:
            store = store if isinstance(store, Store) else open_store(store, create=False)
        yield Trained(number, None if told is None else _again(store, *told), error)


def _items(requests: Sequence[Request], store: Any, then: Any) -> Iterator[tuple[bytes, int | None]]:
    """Yields what each process needs to know of a request: what it shares with the one before, packed, and its seed."""
    before: Request | None = None
    for request in requests:
        shared = {name: value for name, value in request.items() if name != "seed"}
        if before is None or not _are_alike(shared, before):
            before, data = shared, packed((shared, store, then))
        yield data, request.get("seed")


def _are_alike(one: Request, other: Request) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


class _Place:
    """Where a process trains: what it prepared for the seeds of a request, and the store that it opened."""

    def __init__(self, data: bytes) -> None:
        self._request, self._store, self._then = unpacked(data)
        self._trainer = Trainer()

    def train(self, seed: int | None, tell: Callable[[float], None]) -> Run:
        """Trains with a seed."""
        run = self._trainer.train(**self._request, seed=seed, store=self._store, progress=tell)
        self._store = run.store
        if self._then is not None:
            self._then(run)
        return run

    def close(self) -> None:
        """Closes what it opened."""
        self._trainer.close()
        if isinstance(self._store, Store):
            self._store.close()


_PLACES: dict[bytes, _Place] = {}  # of this process: the last


def _train(item: tuple[bytes, int | None], tell: Callable[[float], None]) -> tuple[str, str, int]:
    data, seed = item
    if data not in _PLACES:
        while _PLACES:
            _PLACES.popitem()[1].close()
        _PLACES[data] = _Place(data)
    run = _PLACES[data].train(seed, tell)
    return run.id, run.cache, run.cached_episodes


def _again(store: Store, run_id: str, cache: str, cached_episodes: int) -> Run:
    return Run(store.run(run_id), store, cache=cache, cached_episodes=cached_episodes, trust=True)
