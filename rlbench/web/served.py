"""What is served under a name: the greedy policy of a run's agent, or a stored model, each in its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench import modelling
from rlbench.envs.discretize import UniformBins, bin_indices, n_dimensions
from rlbench.errors import RlbenchError, StoreError, UsageError
from rlbench.modelling.kinds import COMPONENTS, GROUPS, RATINGS, TEXTS
from rlbench.modelling.model import explained
from rlbench.modelling.stored import SNAPSHOT
from rlbench.plots.data import visits_of
from rlbench.training.finding import find_run
from rlbench.training.parents import bins_of_run
from rlbench.training.run import Run
from rlbench.web.tensors import BYTES, datatype_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from rlbench.envs.discretize import Bins
    from rlbench.modelling import Model
    from rlbench.store import SnapshotInfo, Store

    Array = NDArray[Any]

KEPT = 4  # versions of a name that are served side by side, unless more are asked for
FEATURES = "features"  # all columns of a model in one input


class Tensor(NamedTuple):
    """A tensor that is taken or given."""

    name: str
    datatype: str
    shape: tuple[int, ...]  # -1: any number


class Answer(NamedTuple):
    """What is answered to a batch."""

    outputs: dict[str, Array]
    rows: Array | None  # one for each decision, as the store keeps them: states, or columns; None: texts
    kept: Array | None  # likewise: actions, numbers, or the places of classes
    out_of_range: int = 0  # rows beyond the bins that the agent learnt in
    unseen: int | None = None  # rows in states that were never observed in training; None: unknown

    @property
    def decisions(self) -> int:
        """The number of decisions."""
        return len(next(iter(self.outputs.values())))


class OutOfRange(UsageError):  # noqa: N818  (it tells what is wrong with an observation)
    """Observations that the agent cannot take; `count` says how many."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


class ServedAgent:
    """The greedy policy of a run's agent: answers what its `predict` answers, whole batches at once."""

    is_quick = True  # a look into a table

    def __init__(self, run: Run) -> None:
        agent = run.agent
        if agent.greedy_policy() is None:
            raise UsageError(f"run {run.id} is of {run.agent_name}, which has no greedy policy: name another run")
        self.run = self.source = run
        self.record = run.id
        self.name, self.version = run.id, str(agent.episodes)
        self._n_states = agent.n_states
        self._actions: NDArray[np.int64] = agent.predict(np.arange(agent.n_states))[0]
        self._values: NDArray[np.float64] | None = getattr(agent, "q_table", None)
        self._bins = bins_of_run(run)
        self._is_seen = _seen(run, agent.n_states)
        self.inputs = [Tensor("observation", "INT64", (-1,))]
        if self._bins is not None:
            self.inputs = [Tensor("observation", "FP64", (-1, n_dimensions(self._bins)))]
        self.outputs = [Tensor("action", "INT64", (-1,))]
        if self._values is not None:
            self.outputs.append(Tensor("values", "FP64", (-1, agent.n_actions)))
        self.about: dict[str, dict[str, Any]] = {}

    @property
    def title(self) -> str:
        """What it is, in words."""
        return f"{self.run.agent_name} on {self.run.env_id}"

    def answer(self, inputs: Mapping[str, Array], names: Iterable[str]) -> Answer:
        """Returns the outputs with these names for a batch of observations.

        Raises:
            UsageError: they are malformed; OutOfRange: some are no states, or not finite.
        """
        observations = _only(inputs, "observation")
        states = self._states(observations) if self._bins is None else self._binned(self._bins, observations)
        actions = self._actions[states]
        outputs: dict[str, Array] = {"action": actions}
        if "values" in names and self._values is not None:
            outputs["values"] = np.asarray(self._values[states])
        unseen = None if self._is_seen is None else len(states) - int(np.count_nonzero(self._is_seen[states]))
        beyond = self._beyond(self._bins, observations) if isinstance(self._bins, UniformBins) else 0
        return Answer(outputs, states, actions, beyond, unseen)

    def _states(self, observations: Array) -> NDArray[np.int64]:
        if observations.ndim != 1 or observations.dtype.kind not in "iu":
            raise UsageError(
                f"observation must be whole numbers of shape [n], a state each, "
                f"got {datatype_of(observations)} of shape {list(observations.shape)}"
            )
        states = observations.astype(np.int64, copy=False)
        if int(states.view(np.uint64).max(initial=0)) >= self._n_states:  # one below 0 is large
            wrong = states.view(np.uint64) >= self._n_states
            raise OutOfRange(
                f"an observation must be a whole number from 0 to {self._n_states - 1}, got {observations[wrong][0]}",
                int(np.count_nonzero(wrong)),
            )
        return states

    def _binned(self, bins: Bins, observations: Array) -> NDArray[np.int64]:
        size = n_dimensions(bins)
        if observations.ndim != 2 or observations.shape[1] != size or observations.dtype.kind not in "iuf":  # noqa: PLR2004
            raise UsageError(
                f"observation must be numbers of shape [n, {size}], "
                f"got {datatype_of(observations)} of shape {list(observations.shape)}"
            )
        is_whole = np.isfinite(observations).all(axis=1)
        if not is_whole.all():
            raise OutOfRange("an observation must be finite numbers", int(np.count_nonzero(~is_whole)))
        return bin_indices(bins, observations)

    @staticmethod
    def _beyond(bins: UniformBins, observations: Array) -> int:
        """Counts the observations outside of bins of equal width; they fall into the outermost."""
        is_split = bins.counts > 1  # a single bin takes everything
        outside = (observations < bins.low) | (observations > bins.high)
        return int(np.count_nonzero((outside & is_split).any(axis=1)))


def _seen(run: Run, n_states: int) -> NDArray[np.bool_] | None:
    """Returns which states were observed in training; None if the run kept no steps."""
    try:
        return visits_of(run, n_states) > 0
    except RlbenchError:
        return None


class ServedModel:
    """A stored model: answers what its `predict` answers, and class probabilities if it knows them."""

    is_quick = False
    run = None

    def __init__(self, model: Model) -> None:
        self.model = self.source = model
        self.record = f"model {model.id}"
        self.name, self.version = model.name, str(model.version)
        self._takes_texts = model.task in (TEXTS, RATINGS)
        self._classes = getattr(model.estimator, "classes_", None)
        self.inputs = [Tensor(name, self._datatype(name), (-1,)) for name in model.features]
        self.outputs = [Tensor("prediction", "INT64" if model.task == GROUPS else "FP64", (-1,))]
        if model.task == COMPONENTS:
            self.outputs = [Tensor("prediction", "FP64", (-1, len(model.estimator.components_)))]
        self.about: dict[str, dict[str, Any]] = {}
        if self._classes is not None:
            self.outputs = [Tensor("prediction", datatype_of(_widest(self._classes)), (-1,))]
        if self._classes is not None and hasattr(model.estimator, "predict_proba"):
            self.outputs.append(Tensor("probabilities", "FP64", (-1, len(self._classes))))
            self.about["probabilities"] = {"classes": [str(one) for one in self._classes]}

    def _datatype(self, feature: str) -> str:
        return BYTES if self._takes_texts or feature in self.model.hashes else "FP64"

    @property
    def title(self) -> str:
        """What it is, in words."""
        return f"{self.model.kind} on {self.model.about['data']['source']}"

    def answer(self, inputs: Mapping[str, Array], names: Iterable[str]) -> Answer:
        """Returns the outputs with these names for a batch of rows.

        Raises:
            UsageError: a column is missing or too many, or a value is none that the model takes.
        """
        rows = self._rows(inputs)
        if not len(rows):
            raise UsageError("the inputs must have one row or more, got none")
        asked: Any = rows.ravel().tolist() if self.model.task == TEXTS else rows
        predicted = _widest(self.model.predict(asked))
        outputs = {"prediction": predicted}
        if "probabilities" in names:
            with explained():
                prepared = asked if self.model.task == TEXTS else self.model.prepared(rows)
                outputs["probabilities"] = np.asarray(self.model.estimator.predict_proba(prepared))
        kept = predicted if self._classes is None else np.searchsorted(self._classes, predicted)
        return Answer(outputs, None if self._takes_texts else rows, kept)

    def _rows(self, inputs: Mapping[str, Array]) -> Array:
        """Returns one row for each prediction, (n, columns)."""
        names = self.model.features
        if set(inputs) == {FEATURES} and FEATURES not in names:
            rows = inputs[FEATURES]
            rows = rows[:, None] if rows.ndim == 1 and len(names) == 1 else rows
        else:
            rows = self._stacked(inputs, names)
        if rows.ndim != 2 or rows.shape[1] != len(names):  # noqa: PLR2004  (a table)
            raise UsageError(f"{FEATURES} must have the shape [n, {len(names)}], got {list(rows.shape)}")
        if self._takes_texts:
            return rows.astype(object)
        if rows.dtype.kind == "O":
            raise UsageError("the inputs must be numbers, got texts")
        return rows.astype(np.float64)

    def _stacked(self, inputs: Mapping[str, Array], names: tuple[str, ...]) -> Array:
        if set(inputs) != set(names):
            missing = [name for name in names if name not in inputs] or [name for name in inputs if name not in names]
            raise UsageError(f"the inputs must be {FEATURES}, or {', '.join(names)}: see {missing[0]!r}"[:500])
        columns = [self._column(name, inputs[name].ravel()) for name in names]
        if len({len(column) for column in columns}) > 1:
            raise UsageError("the inputs must have one value for each row, all the same number")
        return np.stack(columns, axis=1)

    def _column(self, name: str, values: Array) -> Array:
        """Returns a column with hashes in place of texts, if it is of numbers."""
        if self._takes_texts or name not in self.model.hashes:
            return values
        return np.array([self.model.hashed(name, value) for value in values.tolist()], np.float64)


Served = ServedAgent | ServedModel


def _widest(numbers: Array) -> Array:
    """Returns whole numbers as INT64, anything else as it is."""
    return numbers.astype(np.int64) if numbers.dtype.kind in "iu" else numbers


def _only(inputs: Mapping[str, Array], name: str) -> Array:
    if set(inputs) != {name}:
        raise UsageError(f"the only input must be {name!r}, got {', '.join(map(repr, inputs)) or 'none'}"[:500])
    return inputs[name]


# ---------------------------------------------------------------------- by name


class Shelf:
    """What a server serves: runs and models by name, each with the versions that are loaded.

    Args:
        store: has them.
        refs: a run's id, a prefix of it, "latest" or "best"; a model's name, which stands for its newest version,
            whichever that is at the time; or NAME@VERSION, for this version only.
        trust: make the envs of runs from whatever the store says.

    Raises:
        StoreError: one is not there, or is damaged.
        UsageError: one cannot be served.
    """

    def __init__(self, store: Store, refs: Iterable[str], *, trust: bool = False) -> None:
        self._store, self._trust = store, trust
        self._versions: dict[str, dict[str, Served]] = {}  # by name, the newest last; replaced, never changed
        self._followed: dict[str, Callable[[], Served | None]] = {}  # loads the newest version, if it is new
        self._listed: dict[str, list[SnapshotInfo]] = {}  # the models in the store when a name was last looked for
        for ref in refs:
            self._add(ref)
        self._most = {name: max(KEPT, len(versions)) for name, versions in self._versions.items()}

    def _add(self, ref: str) -> None:
        if any(ref in (entry.name, entry.title, entry.id) for entry in modelling.models(self._store)):
            self._put(ServedModel(modelling.load_model(self._store, ref)))
            if "@" not in ref:
                name = modelling.find_model(self._store, ref).name
                self._followed[name] = lambda: self._newer_model(name)
            return
        try:
            record = find_run(self._store, ref, needs="agent")
        except StoreError as error:
            raise StoreError(f"{error}; nor is there such a model (`rlbench model list`)") from None
        run_id = record.id
        self._put(ServedAgent(Run(record, self._store, trust=self._trust)))
        if record.status == "running":
            self._followed[run_id] = lambda: self._newer_agent(run_id)

    def _put(self, served: Served) -> None:
        if "/" in served.name:
            raise UsageError(f"a name that is part of an address holds no slash, got {served.name!r}: rename the model")
        versions = {**self._versions.get(served.name, {}), served.version: served}
        self._versions[served.name] = dict(sorted(versions.items(), key=lambda item: int(item[0])))

    def names(self) -> list[str]:
        """Returns the names that are served."""
        return list(self._versions)

    def record(self, name: str) -> str:
        """Returns what the audit log calls what is served by a name; "" if nothing is."""
        served = self.find(name)
        return "" if served is None else served.record

    def find(self, name: str, version: str | None = None) -> Served | None:
        """Returns what is served by this name, in this or its newest version; None if nothing is."""
        versions = self._versions.get(name)
        if not versions:
            return None
        return next(reversed(versions.values())) if version is None else versions.get(version)

    def versions(self, name: str) -> list[str]:
        """Returns the versions of a name, the newest last."""
        return list(self._versions.get(name, ()))

    def refresh(self, prepare: Callable[[Served], object]) -> list[Served]:
        """Looks for newer versions in the store, prepares them, and returns those that are served from now on.

        Raises:
            StoreError: the store does not answer, or a newer version is damaged; what was served still is.
        """
        found = [newer for load in list(self._followed.values()) if (newer := load()) is not None]
        for served in found:
            prepare(served)
            self._put(served)
            newest = list(self._versions[served.name].items())[-self._most[served.name] :]
            self._versions[served.name] = dict(newest)
        return found

    def _newer_model(self, name: str) -> ServedModel | None:
        listed = self._store.snapshots(SNAPSHOT)  # of no blob: to read all models takes long
        if listed == self._listed.get(name):
            return None
        newest = modelling.find_model(self._store, name)
        found = None
        if newest.title.partition("@")[0] == name and str(newest.version) not in self._versions[name]:
            found = ServedModel(modelling.load_model(self._store, newest.title))
        self._listed[name] = listed
        return found

    def _newer_agent(self, run_id: str) -> ServedAgent | None:
        checkpoints = self._store.checkpoints(run_id)
        if not checkpoints or str(checkpoints[-1].episodes) in self._versions[run_id]:
            return None
        return ServedAgent(Run(self._store.run(run_id), self._store, trust=self._trust))
