"""Batches of a study on any `concurrent.futures.Executor`: they travel as JSON text, and so does what comes of them.

Hence no object of ours, and nothing that a store holds, is unpickled anywhere; an env's module travels by the name that
the user gave.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from rlbench.errors import ProcessError, RlbenchError, StoreError, UsageError
from rlbench.processes import Outcome, packed
from rlbench.store import STORES, Store
from rlbench.store.urls import split_url
from rlbench.studies.objectives import Objective
from rlbench.studies.settings import how_to_go_on
from rlbench.studies.trials import Batch, Trial, try_elsewhere
from rlbench.training.setup import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor

AHEAD = 2  # batches a worker: the next one waits where the last one ends
ONE_AT_A_TIME = Lock()  # in a process: threads would share its core, and its global state


def each(
    executor: Executor, size: int, store: str, batches: Iterable[Batch], hear: Callable[[int, float], object]
) -> Iterator[Outcome]:
    """Tries batches on an executor, and yields what comes of each as it comes: trials, or an error.

    Args:
        executor: takes them; it stays open.
        size: how many it works on at a time.
        store: its address, which its workers open.
        batches: an iterable of any length; one is taken when it is soon to be tried.
        hear: called with the number of a batch that ended, and 1.

    Raises:
        ProcessError: the executor ended.
    """
    coming = enumerate(batches)
    under_way: dict[Future[str], tuple[int, Batch]] = {}
    try:
        while True:
            for number, batch in islice(coming, AHEAD * size - len(under_way)):
                under_way[_submitted(executor, store, batch)] = number, batch
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                number, batch = under_way.pop(future)
                hear(number, 1.0)
                yield _outcome(number, batch, future)
    finally:
        for future in under_way:
            future.cancel()


def _submitted(executor: Executor, store: str, batch: Batch) -> Future[str]:
    asked = {**batch._asdict(), "store": store, "versions": versions()}
    try:
        return executor.submit(try_text, json.dumps(asked))
    except Exception as error:  # whatever an executor raises that has ended
        raise _ended(batch, error) from error


def _outcome(number: int, batch: Batch, future: Future[str]) -> Outcome:
    try:
        told = json.loads(future.result())
    except (BrokenExecutor, CancelledError) as error:
        raise _ended(batch, error) from error
    except Exception as error:  # noqa: BLE001  (whatever an executor raises whose worker was killed)
        return Outcome(number, error=ProcessError(f"its worker failed: {type(error).__name__}: {error}"))
    if "trials" in told:
        return Outcome(number, [Trial(*trial) for trial in told["trials"]])
    kind = StoreError if told["is_of_store"] else UsageError
    return Outcome(number, error=kind(f"a worker says: {told['error']}"))


def _ended(batch: Batch, error: Exception) -> ProcessError:
    why = f"{type(error).__name__}{f': {error}' if str(error) else ''}"
    return ProcessError(
        f"the executor, or the cluster, ended ({why}); what is done is stored: "
        f"{how_to_go_on(batch.study, batch.request['env'])} goes on"
    )


# ---------------------------------------------------------------------- on a worker


def try_text(text: str) -> str:
    """Tries a batch on a worker, told as JSON text; returns what came of it as JSON text, errors of ours too."""
    asked = json.loads(text)
    store, theirs = asked.pop("store"), asked.pop("versions")
    batch = Batch(**{**asked, "objective": Objective(*asked["objective"]), "seeds": tuple(asked["seeds"])})
    try:
        check_versions(theirs, versions())
        with ONE_AT_A_TIME:
            return json.dumps({"trials": try_elsewhere((store, batch), lambda _share: None)})
    except RlbenchError as error:
        return json.dumps({"error": str(error), "is_of_store": isinstance(error, StoreError)})


def check_versions(here: dict[str, Any], there: dict[str, Any], worker: str = "this worker") -> None:
    """Refuses a worker on which a run might end otherwise than here: UsageError names what differs."""
    differing = [f"{name} {there.get(name)} in place of {here[name]}" for name in here if there.get(name) != here[name]]
    if differing:
        raise UsageError(f"{worker} has {', '.join(differing)}: install the same there")


def address_for_workers(store: Any) -> str:
    """Returns an address of a store by which workers open it, whatever their working folder.

    Raises:
        UsageError: it is in memory, or known by its client alone.
        StoreError: it is an open store, which has a password or was opened by its client.
    """
    if isinstance(store, Store):
        packed(store)  # it refuses those that another process cannot open
        store = store.url
    if not isinstance(store, str | os.PathLike):
        raise UsageError("workers elsewhere open the store by themselves: give its path or URL")
    scheme, rest = split_url(os.fspath(store), list(STORES))
    return str(Path(rest).resolve()) if scheme == "sqlite" else os.fspath(store)
