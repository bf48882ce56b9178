"""Studies in a store: the settings and the values of each as a snapshot, beside its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import StoreError, unknown_name
from rlbench.studies.journal import delete_journal
from rlbench.studies.settings import Settings
from rlbench.studies.study import MOST_REASONS, Failure, Study
from rlbench.studies.tuned import Tuning, TuningSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.store import RunRecord, Store

KIND = "study"


def save(study: Study) -> None:
    """Stores what is known of a study."""
    numbers = {"settings": study.settings.document(), "seconds": study.seconds, "failures": _told(study.failures)}
    arrays = {"values": study.values, "failed": study.failed}
    if isinstance(study, Tuning):
        numbers["parameters"] = study.parameters
    if isinstance(study, Tuning) and study.test is not None:
        arrays |= {"test_values": study.test.values, "test_failed": study.test.failed}
        numbers["test_failures"] = _told(study.test.failures)
    study.store.save_snapshot(KIND, study.name, arrays, numbers)


def _told(failures: list[Failure]) -> list[dict[str, Any]]:
    return [failure._asdict() for failure in failures]


def names(store: Store) -> list[str]:
    """Returns the names of the studies in a store, the last saved first."""
    found = sorted(store.snapshots(KIND), key=lambda info: info.created_at, reverse=True)
    return [info.name for info in found]


def load_study(store: Store, name: str) -> Study:
    """Reads a study.

    Raises:
        StoreError: it is damaged, or does not exist.
    """
    check_exists(store, name)
    arrays, numbers = store.load_snapshot(KIND, name)
    try:
        return _study(store, name, arrays, numbers)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise StoreError(f"the study {name} is damaged: {str(error)[:200]}") from error


def check_exists(store: Store, name: str) -> None:
    """Raises StoreError unless a store has a study of this name."""
    known = names(store)
    if name not in known:
        told = str(unknown_name("study", name, known)) if known else f"there is no study {name!r:.80}"
        raise StoreError(f"{told} in {store.url}")


def _study(store: Store, name: str, arrays: dict[str, Any], numbers: dict[str, Any]) -> Study:
    if "trials" in numbers["settings"]:
        return _tuning(store, name, arrays, numbers)
    settings = Settings.of(numbers["settings"])
    found = _results(settings, arrays["values"], arrays["failed"], numbers["failures"])
    return Study(name, settings, store, *found, float(numbers["seconds"]))


def _tuning(store: Store, name: str, arrays: dict[str, Any], numbers: dict[str, Any]) -> Tuning:
    settings, parameters = TuningSettings.of(numbers["settings"]), list(numbers["parameters"])
    if len(parameters) > settings.trials or not all(map(settings.allows, parameters)):
        raise ValueError("it has trials that were not asked for")
    found = _results(settings, arrays["values"], arrays["failed"], numbers["failures"])
    study = Tuning(name, settings, store, *found, float(numbers["seconds"]), parameters)
    if "test_failures" in numbers:
        test = study.settings.for_test()
        found = _results(test, arrays["test_values"], arrays["test_failed"], numbers["test_failures"])
        study.test = Tuning(name, test, store, *found, parameters=study.tested)
    return study


def _results(
    settings: Settings, values: Any, failed: Any, failures: list[dict[str, Any]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[Failure]]:
    """Returns what came of the runs, which are as many as the settings say."""
    shape = settings.combinations, len(settings.seeds)
    if (values.shape, values.dtype, failed.shape, failed.dtype) != (shape, np.float64, shape, np.bool_):
        raise ValueError(f"expected {shape} values")
    told = [Failure(int(one["combination"]), int(one["seed"]), str(one["reason"])) for one in failures]
    if not all(0 <= one.combination < settings.combinations for one in told):
        raise ValueError("a failure of no combination")
    if len(told) > MOST_REASONS or bool(told) != bool(failed.any()):
        raise ValueError(f"expected 1 to {MOST_REASONS} reasons if trials failed, got {len(told):,}")
    return values.copy(), failed.copy(), told


def delete_study(store: Store, name: str) -> int:
    """Deletes a study, with the runs that were made for it and belong to no other; returns how many these were.

    Raises:
        StoreError: it does not exist.
    """
    check_exists(store, name)
    deleted = 0
    for run in store.runs(study=name):
        if _is_its_own(run, name):
            store.delete_run(run.id)
            deleted += 1
        else:
            store.remove_from_study(run.id, name)
    delete_journal(store, name)
    store.delete_snapshot(KIND, name)
    return deleted


def delete_broken_off(store: Store, name: str) -> None:
    """Deletes the runs of a study that killed processes left unfinished; another has taken the place of each."""
    for run in store.broken_off(name):
        if _is_its_own(run, name):
            store.delete_run(run.id)


def _is_its_own(run: RunRecord, study: str) -> bool:
    """Returns whether a run was made for a study and belongs to no other."""
    return run.studies == (study,) and not run.is_listed
