"""Copies studies between stores, with their runs and with what Optuna noted of their trials."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rlbench.errors import StoreError
from rlbench.store import copying
from rlbench.studies import journal, keeping
from rlbench.studies.tuned import Tuning

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.store import Store
    from rlbench.store.copying import CopyResult
    from rlbench.studies.study import Study

    OnRun = Callable[[CopyResult], object]


class StudyCopy(NamedTuple):
    """The outcome of copying a study."""

    study: str  # its name
    action: str  # "copied", "completed" (by what only the source knew), "equal" or "left out"
    problem: str = ""  # why it is left out


def copy_study(
    source: Store, target: Store, name: str, *, on_run: OnRun | None = None
) -> tuple[list[CopyResult], StudyCopy]:
    """Copies a study, its runs, and the journal of a tuning; what the target knows of it beyond that stays.

    Raises:
        StoreError: it does not exist or is damaged, or the target has another study of its name.
    """
    study = keeping.load_study(source, name)
    _known(study, target)
    results = copying.copy(source, target, source.runs(study=name), on_run=on_run)
    return results, _copy_record(study, target)


def copy_all(source: Store, target: Store, *, on_run: OnRun | None = None) -> tuple[list[CopyResult], list[StudyCopy]]:
    """Copies all of a store, as `store.copying.copy` does; a study that cannot be copied is left out."""
    snapshots = [info for info in source.snapshots() if info.kind != keeping.KIND and not journal.is_one(info.kind)]
    results = copying.copy(source, target, on_run=on_run, snapshots=snapshots)
    return results, [_copy_or_leave(source, target, name) for name in reversed(keeping.names(source))]


def _copy_or_leave(source: Store, target: Store, name: str) -> StudyCopy:
    try:
        return _copy_record(keeping.load_study(source, name), target)
    except StoreError as error:
        return StudyCopy(name, "left out", str(error))


def _copy_record(study: Study, target: Store) -> StudyCopy:
    theirs = _known(study, target)
    if theirs is not None and not _adds_to(study, theirs):
        return StudyCopy(study.name, "equal")
    journal.copy_journal(study.store, target, study.name)  # before the study, which must not be ahead of it
    if theirs is None and keeping.add(replace(study, store=target)):
        return StudyCopy(study.name, "copied")
    keeping.save(replace(study, store=target, stored=None))
    return StudyCopy(study.name, "completed")


def _known(study: Study, target: Store) -> Study | None:
    """Returns what a target knows of a study; StoreError if it has another of its name."""
    if study.name not in keeping.names(target):
        return None
    theirs = keeping.load_study(target, study.name)
    if theirs.settings != study.settings or not _are_alike(study, theirs):
        raise StoreError(f"{target.url} has another study {study.name}: it was left unchanged, delete one of the two")
    return theirs


def _are_alike(one: Study, other: Study) -> bool:
    """Returns whether two tunings tried the same, as far as both went; other versions of Optuna choose others."""
    if not isinstance(one, Tuning) or not isinstance(other, Tuning):
        return True
    return all(mine == theirs for mine, theirs in zip(one.parameters, other.parameters, strict=False))


def _adds_to(study: Study, other: Study) -> bool:
    """Returns whether a study knows what another does not."""
    if study.asked > other.asked or len(study.parts) > len(other.parts):
        return True
    return any(bool((one.known & ~two.known).any()) for one, two in zip(study.parts, other.parts, strict=False))
