"""A trial: one run of a study, trained or answered from the store, and what it is worth."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import StoreError, without_passwords
from rlbench.store import Store, open_store
from rlbench.studies.objectives import Judge, Objective
from rlbench.training.running import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 300  # characters of a reason


class Batch(NamedTuple):
    """Some seeds of a combination: the task of a process."""

    study: str
    objective: Objective
    request: dict[str, Any]  # the arguments of `train`, except its seed and store
    seeds: tuple[int, ...]


class Trial(NamedTuple):
    """What came of a seed: a value, or the reason why there is none."""

    value: float = float("nan")
    reason: str = ""


def try_elsewhere(item: tuple[str | Store, Batch], tell: Callable[[float], None]) -> list[Trial]:
    """Tries a batch in another process, which opens the store by its address; see `try_batch`."""
    address, batch = item
    with address if isinstance(address, Store) else open_store(address, create=False) as store:
        return try_batch(store, batch, tell)


def try_batch(store: Store, batch: Batch, tell: Callable[[float], object]) -> list[Trial]:
    """Trains with each seed and returns what came of them, in order; fewer if a signal ended it.

    Args:
        store: keeps the runs, as those of the study.
        batch: what to try.
        tell: called with the share that is done.

    Raises:
        StoreError: the store failed; whatever else is raised is the reason of a trial.
    """
    trials: list[Trial] = []
    with (
        store.working_for(batch.study),
        store.writing_behind(),
        closing(Trainer()) as trainer,
        closing(Judge(batch.objective)) as judge,
    ):
        for seed in batch.seeds:
            trial = _try(store, batch, seed, trainer, judge)
            if trial is None:
                break
            trials.append(trial)
            tell(len(trials) / len(batch.seeds))
    return trials


def _try(store: Store, batch: Batch, seed: int, trainer: Trainer, judge: Judge) -> Trial | None:
    try:
        run = trainer.train(**batch.request, seed=seed, store=store)
        if run.status == "interrupted":
            return None
        if batch.study not in run.record.studies:
            store.add_to_study(run.id, batch.study)
        return Trial(judge.value(run))
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001  (an env or an agent may raise anything)
        return Trial(reason=_one_line(error))


def _one_line(error: Exception) -> str:
    told = " ".join(str(error).split())
    return without_passwords(f"{type(error).__name__}: {told}")[:LONGEST]
