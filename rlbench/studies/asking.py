"""Which trials a tuning tries: Optuna is asked for them in rounds, and told what came of them in their order."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import StoreError
from rlbench.files import require
from rlbench.studies.journal import Journal
from rlbench.studies.searching import distribution, value_of
from rlbench.studies.study import DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench.studies.tuned import Tuning


class Asking:
    """The trials of a tuning in Optuna's hands, which keeps them in the store.

    What Optuna answers depends on the seed and on what it was told before, and on nothing else: a sampler is made for
    each trial, seeded by the study's seed and the trial's number. A round is asked for and told at once.
    """

    def __init__(self, study: Tuning) -> None:
        """Opens the journal, and takes up what it knows.

        Raises:
            StoreError: it is damaged.
        """
        self._optuna = require("optuna", "tune", "tuning")
        self._study, self._settings = study, study.settings
        self._journal = Journal(study.store, study.name)
        self._space = {
            axis.name: distribution(self._optuna, axis, is_range=axis.name in self._settings.ranges)
            for axis in self._settings.axes
        }
        self._order = self._settings.order() if self._settings.sampler == "grid" else []
        try:
            self._trials = self._begun()
            self._take_up()
        except StoreError:
            raise
        except Exception as error:  # whatever Optuna makes of what it did not write
            raise StoreError(f"the journal of the study {study.name} is damaged: {str(error)[:200]}") from error

    def _begun(self) -> Any:
        optuna, name = self._optuna, self._study.name
        storage = optuna.storages.JournalStorage(self._journal)
        if storage.get_all_studies():
            return optuna.load_study(study_name=name, storage=storage)
        direction = "minimize" if self._study.objective.is_loss else "maximize"
        with self._journal.at_once(), _quiet(optuna):
            return optuna.create_study(study_name=name, storage=storage, direction=direction)

    def _take_up(self) -> None:
        """Gives the study the parameters of all trials that were asked for."""
        known = [self._parameters(trial) for trial in self._trials.get_trials(deepcopy=False)]
        if len(known) > self._settings.trials or not all(map(self._settings.allows, known)):
            raise ValueError("it has trials that were not asked for")
        if known[: self._study.asked] != self._study.parameters:
            raise ValueError("its trials are not those of the study")
        self._study.parameters[:] = known

    def _parameters(self, trial: Any) -> dict[str, Any]:
        axes, ranges = self._settings.axes, self._settings.ranges
        return {axis.name: value_of(axis, trial.params[axis.name], is_range=axis.name in ranges) for axis in axes}

    # ------------------------------------------------------------------ rounds

    def go_on(self) -> bool:
        """Tells what came of all trials, and asks for the next round; returns whether there is one.

        Raises:
            StoreError: another process works on the study.
        """
        size = min(self._settings.round, self._settings.trials - self._study.asked)
        with self._journal.at_once():
            self._tell()
            asked = [self._ask(self._study.asked + place) for place in range(size)]
        self._study.parameters += asked
        return size > 0

    def _tell(self) -> None:
        state = self._optuna.trial.TrialState
        for trial in self._trials.get_trials(deepcopy=False, states=[state.RUNNING]):
            value = _rounded(self._study.scores[trial.number])
            pruned = self._study.pruned(trial.number)
            if pruned is not None:
                step = int(self._study.stopped[trial.number])
                self._optuna.trial.Trial(self._trials, trial._trial_id).report(_rounded(pruned.value), step)  # noqa: SLF001  (it has no other name)
                self._trials.tell(trial.number, state=state.PRUNED)
            elif math.isnan(value):
                self._trials.tell(trial.number, state=state.FAIL)
            else:
                self._trials.tell(trial.number, value)

    def _ask(self, number: int) -> dict[str, Any]:
        samplers, seed = self._optuna.samplers, np.random.SeedSequence([self._settings.seed, number])
        kind = samplers.TPESampler if self._settings.sampler == "tpe" else samplers.RandomSampler
        self._trials.sampler = kind(seed=int(seed.generate_state(1)[0]))
        if self._order:
            self._trials.enqueue_trial(self._on_grid(self._order[number]))
        return self._parameters(self._trials.ask(self._space))

    def _on_grid(self, number: int) -> dict[str, Any]:
        return {name: json.dumps(value) for name, value in self._settings.combination(number).parameters.items()}


def _rounded(value: float) -> float:
    return float(format(value, DIGITS))  # the same on any machine


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Lets Optuna not say that it has begun a study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
