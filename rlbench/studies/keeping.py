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

    from rlbench.store import RunRecord, SnapshotInfo, Store

KIND = "study"


def add(study: Study) -> bool:
    """Stores a study that is new; returns whether it is: another process may have begun one of its name."""
    study.stored = study.store.add_snapshot(KIND, study.name, *_parts(study))
    return study.stored is not None


def save(study: Study) -> None:
    """Stores what is known of a study, with what other processes found of it meanwhile.

    Raises:
        StoreError: another process has deleted it, or begun another of its name.
    """
    while not (saved := study.stored and study.store.exchange_snapshot(study.stored, *_parts(study))):
        theirs = load_study(study.store, study.name)
        if theirs.settings != study.settings:
            raise StoreError(f"another process has begun another study {study.name}: choose another name")
        study.take_over(theirs)
        study.stored = theirs.stored
    study.stored = saved


def _parts(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the numbers and arrays of a study."""
    numbers = {"settings": study.settings.document(), "seconds": study.seconds, "failures": _told(study.failures)}
    arrays = {"values": study.values, "failed": study.failed}
    if isinstance(study, Tuning):
        numbers["parameters"] = study.parameters
        arrays |= {"stopped": study.stopped} if study.settings.prune else {}
        for number, rung in enumerate(study.rungs):
            arrays |= {f"rung{number}_values": rung.values, f"rung{number}_failed": rung.failed}
            numbers[f"rung{number}_failures"] = _told(rung.failures)
    if isinstance(study, Tuning) and study.test is not None:
        arrays |= {"test_values": study.test.values, "test_failed": study.test.failed}
        numbers["test_failures"] = _told(study.test.failures)
    return numbers, arrays


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
    info = check_exists(store, name)  # before it is read: it may be replaced, but by none that knows less
    arrays, numbers = store.load_snapshot(KIND, name)
    try:
        study = _study(store, name, arrays, numbers)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise StoreError(f"the study {name} is damaged: {str(error)[:200]}") from error
    study.stored = info
    return study


def check_exists(store: Store, name: str) -> SnapshotInfo:
    """Returns the record of a study; StoreError unless a store has one of this name."""
    known = {info.name: info for info in store.snapshots(KIND)}
    if name not in known:
        told = str(unknown_name("study", name, known)) if known else f"there is no study {name!r:.80}"
        raise StoreError(f"{told} in {store.url}")
    return known[name]


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
    if settings.prune:
        study.stopped = _stopped(settings, arrays["stopped"])
    for number, rung in enumerate(study.rungs):
        parts = arrays[f"rung{number}_values"], arrays[f"rung{number}_failed"], numbers[f"rung{number}_failures"]
        rung.values, rung.failed, rung.failures = _results(rung.settings, *parts)
    if "test_failures" in numbers:
        test = study.settings.for_test()
        found = _results(test, arrays["test_values"], arrays["test_failed"], numbers["test_failures"])
        study.test = Tuning(name, test, store, *found, parameters=study.tested)
    return study


def _stopped(settings: TuningSettings, stopped: Any) -> NDArray[np.int64]:
    """Returns after which rung or look each trial was given up, 0 if not."""
    if (stopped.shape, stopped.dtype) != ((settings.trials,), np.int64):
        raise ValueError(f"expected {settings.trials} numbers of rungs or looks")
    if not 0 <= stopped.min() <= stopped.max() < settings.legs:
        raise ValueError("a trial was given up where none is")
    found: NDArray[np.int64] = stopped.copy()
    return found


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
