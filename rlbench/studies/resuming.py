"""`resume_study`: a sweep or a tuning that was stopped is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.studies.keeping import load_study
from rlbench.studies.settings import check_trusted, completed
from rlbench.studies.sweeping import workers_of
from rlbench.studies.tuned import Tuning
from rlbench.studies.tuning import work_on_tuning
from rlbench.studies.working import work
from rlbench.training.tasks import kept_on_success

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from rlbench.store import Store
    from rlbench.studies.study import Study


def resume_study(
    store: str | Path | Store,
    name: str,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: bool = False,
) -> Study:
    """Finishes a study that was stopped, as if it had never been; what failed in a sweep is tried again.

    Args:
        store: an open store, or the URL or path of one that exists.
        name: of the study.
        workers: how many processes; 1: this one alone.
        executor: works in their place, as in `sweep`.
        progress: show a bar on a terminal, for anything over a second.

    Raises:
        ProcessError: the executor ended; the same call goes on.
        StoreError: the study does not exist, is damaged, or names what is only done if you ask for it yourself.
    """
    workers = workers_of(workers, executor, store)
    with kept_on_success(store, create=False) as opened:
        study = load_study(opened, name)
        check_trusted(study.settings)
        completed(study.settings)
        if isinstance(study, Tuning):
            work_on_tuning(study, store, workers, executor, progress=progress)
        else:
            work(study, store, workers, executor, progress=progress)
    return study
