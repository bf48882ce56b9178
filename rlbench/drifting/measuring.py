"""Drift: what comes in, compared with what was learnt from, and what the difference costs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench.drifting.comparing import ColumnDrift, compare
from rlbench.drifting.monitor import ROWS_PER_ALARM, Monitor, State, rows_of
from rlbench.drifting.samples import (
    Sample,
    batches_of,
    file_sample,
    frame_sample,
    in_bins_of,
    in_columns_of,
    in_stretches,
    reference_of_model,
    reference_of_run,
    rows_sample,
    sample_of_run,
)
from rlbench.drifting.transitions import Transitions, compare_transitions
from rlbench.envs.tabular import TabularModel
from rlbench.errors import RlbenchError, UsageError
from rlbench.modelling import Model
from rlbench.training import Run

if TYPE_CHECKING:
    from os import PathLike

ALPHA = 0.05
LEAST_EFFECT = 0.1


@dataclass(frozen=True, eq=False)
class Drift:
    """How far data have drifted from what a policy or a model was made on.

    Attributes:
        target: what is served, in words.
        reference, data: the samples compared.
        columns: by column, in the reference's order.
        transitions: against the table of the run's env; None if there is none.
        why_not: why there are no transitions; "" if there are.
        alarms: what a monitor says of the data as a stream.
        budget: its rows to a false alarm.
        alpha, least_effect: what counts as drift.
    """

    target: str
    reference: Sample
    data: Sample
    columns: tuple[ColumnDrift, ...]
    transitions: Transitions | None
    why_not: str
    alarms: State
    budget: int
    alpha: float
    least_effect: float

    @property
    def drifted(self) -> bool:
        """Whether any column drifted, or any transition."""
        return any(column.drifted for column in self.columns) or (
            self.transitions is not None and self.transitions.drifted
        )

    @property
    def lost_return(self) -> float | None:
        """The exact return that solving the env again would bring, due to drift; None where no table is known."""
        return None if self.transitions is None else self.transitions.lost_return

    def summary(self) -> dict[str, Any]:
        """Returns everything as a JSON-able dict."""
        return {
            "target": self.target,
            "reference": {
                "source": self.reference.source,
                "rows": len(self.reference),
                "units": self.reference.n_units,
            },
            "data": {"source": self.data.source, "rows": len(self.data), "units": self.data.n_units},
            "columns": [{**column._asdict(), "interval": list(column.interval)} for column in self.columns],
            "drifted": self.drifted,
            "transitions": None if self.transitions is None else self.transitions.summary(),
            "why_no_transitions": self.why_not,
            "lost_return": self.lost_return,
            "alarms": {
                **self.alarms._asdict(),
                "columns": list(self.alarms.columns),
                "rows_per_false_alarm": self.budget,
            },
            "alpha": self.alpha,
            "least_effect": self.least_effect,
        }


def drift(
    target: Run | Model,
    data: Run | str | PathLike[str] | Any,
    *,
    reference: Run | str | PathLike[str] | None = None,
    alpha: float = ALPHA,
    least_effect: float = LEAST_EFFECT,
    rows_per_alarm: int = ROWS_PER_ALARM,
    seed: int = 0,
) -> Drift:
    """Compares data with what a run's agent or a model was made on.

    A column has drifted if its p-value, by permutation of whole episodes or rows and corrected for the number of
    columns, is at most `alpha`, and its effect at least `least_effect`.

    Args:
        target: a run, or a model.
        data: a run, the path of a CSV or Parquet file, a data frame, or rows: (n,) states or (n, columns) numbers.
        reference: a run or a file to compare with. By default the training rows of a model; of a run the last episodes
            of training if the data explore too, else greedy episodes of its agent in its own env.
        alpha: the probability of calling any column (and any transition) drifted where none is.
        least_effect: in standard deviations of the reference for numbers, Cramer's V for categories.
        rows_per_alarm: the budget of the alarm: rows to a false one.
        seed: of samples, permutations and resamples.

    Raises:
        UsageError: the data lack a column, or hold another kind; the target keeps nothing to compare with.
        StoreError: a run or its env cannot be read.
    """
    _check(target, alpha, least_effect)
    given = sample_of_run(data) if isinstance(data, Run) else None
    known = reference_sample(target, reference, explores=given is not None and given.explores, seed=seed)
    sample = _data_sample(data, known, seed) if given is None else given
    sample = in_bins_of(target, sample, known) if isinstance(target, Run) else in_columns_of(target, sample)
    sample = in_stretches(sample, known) if given is not None else sample
    columns = compare(known, sample, alpha=alpha, least_effect=least_effect, seed=seed)
    transitions, why_not = _transitions(target, data, alpha)
    monitor = Monitor(known, rows_per_alarm=rows_per_alarm, seed=seed)
    return Drift(
        target=_title(target),
        reference=known,
        data=sample,
        columns=tuple(columns),
        transitions=transitions,
        why_not=why_not,
        alarms=monitor.observe(rows_of(sample, known)),
        budget=monitor.budget,
        alpha=alpha,
        least_effect=least_effect,
    )


def monitor_of(target: Run | Model, *, rows_per_alarm: int = ROWS_PER_ALARM, seed: int = 0) -> Monitor:
    """Returns a monitor for what is served: states or columns, as the run's policy or the model takes them.

    Raises:
        UsageError, StoreError: as of `drift`.
    """
    return Monitor(reference_sample(target, None, explores=False, seed=seed), rows_per_alarm=rows_per_alarm, seed=seed)


def reference_sample(
    target: Run | Model, reference: Run | str | PathLike[str] | None, *, explores: bool, seed: int
) -> Sample:
    """Returns what data are compared with; see `drift`."""
    if isinstance(target, Model):
        return _reference_of_model(target, reference, seed)
    if reference is None:
        return reference_of_run(target, explores=explores, seed=seed)
    if isinstance(reference, Run):
        return in_bins_of(target, sample_of_run(reference), reference_of_run(target, explores=True))
    return file_sample(Path(reference), reference_of_run(target, explores=False), seed=seed)


def _reference_of_model(model: Model, reference: Run | str | PathLike[str] | None, seed: int) -> Sample:
    if reference is None:
        return reference_of_model(model)
    if isinstance(reference, Run):
        return in_columns_of(model, sample_of_run(reference))
    return file_sample(Path(reference), None, features=model.features, seed=seed)


def _data_sample(data: Any, reference: Sample, seed: int) -> Sample:
    if isinstance(data, str | Path) or hasattr(data, "__fspath__"):
        return file_sample(data, reference, seed=seed)
    if hasattr(data, "columns"):
        return frame_sample("the data frame", data, reference)
    return rows_sample("the data", reference.names, data)


def _transitions(target: Run | Model, data: Any, alpha: float) -> tuple[Transitions | None, str]:
    """Returns the transitions of a stored run against the table of the target's env, or None and why not."""
    if not isinstance(target, Run):
        return None, "a model has no env"
    if not isinstance(data, Run):
        return None, "the data are no stored run, only observations"
    policy = target.agent.greedy_policy() if target.has_agent else None
    if policy is None:
        return None, f"{target.agent_name} has no greedy policy"
    try:
        with closing(target.make_same_env(target.agent)) as env:
            model = TabularModel.from_env(env)
    except RlbenchError as error:
        return None, str(error)
    found = compare_transitions(batches_of(data), model, policy, alpha=alpha, source=f"run {data.id}")
    return replace(found, layout=target.layout(), actions=target.action_names()), ""


def _title(target: Run | Model) -> str:
    if isinstance(target, Run):
        return f"{target.agent_name} on {target.env_id}, run {target.id}"
    return f"{target.kind} on {target.about['data']['source']}" + (
        f", {target.name}@{target.version}" if target.name else ""
    )


def _check(target: Any, alpha: float, least_effect: float) -> None:
    if not isinstance(target, Run | Model):
        raise UsageError(
            f"drift is of a run or a model, got {target!r:.80}: load_run or modelling.load_model reads one"
        )
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise UsageError(f"alpha must be a probability between 0 and 1, got {alpha!r}")
    if isinstance(least_effect, bool) or not isinstance(least_effect, int | float) or not least_effect >= 0:
        raise UsageError(f"least_effect must be 0 or more, got {least_effect!r}")
