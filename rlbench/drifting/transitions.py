"""Transitions against a known table: what should never happen, what happens too often, and what that costs.

Each (state, action) with several outcomes is tested on its own: exactly, by adding up all tables of counts that are no
likelier (the multinomial test), where there are at most 2,000 of them, else by chi-square with cells of at least 5
expected steps; then Holm over all that were tested.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.drifting.comparing import holm
from rlbench.drifting.samples import decided
from rlbench.errors import UsageError
from rlbench.planning import score_policy
from rlbench.store.records import is_terminated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rlbench.envs.layouts import Layout
    from rlbench.envs.tabular import TabularModel
    from rlbench.exchange.batches import Batch
    from rlbench.planning import PolicyScore

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

MOST_TABLES = 2_000  # tables of counts that are added up
LEAST_EXPECTED = 5  # steps in a cell of a chi-square
DIGITS = 9  # decimals in which rewards are compared
SHOWN = 20  # pairs and impossible transitions in a summary


class Impossible(NamedTuple):
    """A transition that the table rules out.

    Attributes:
        state, action, reward, next_state, terminated: what happened.
        steps: how often.
    """

    state: int
    action: int
    reward: float
    next_state: int
    terminated: bool
    steps: int


class PairDrift(NamedTuple):
    """A (state, action) whose outcomes were tested.

    Attributes:
        state, action: the pair.
        steps: how often it was taken.
        effect: the share of its steps that would have to end otherwise (the total variation distance).
        p, p_holm: the probability of such counts under the table; corrected for the number of pairs.
        drifted: whether p_holm is small enough.
    """

    state: int
    action: int
    steps: int
    effect: float
    p: float
    p_holm: float
    drifted: bool


@dataclass(frozen=True, eq=False)
class Transitions:
    """Observed transitions compared with a table.

    Attributes:
        steps: the number compared.
        visited: the (state, action)s among them.
        impossible: the transitions that the table rules out, the most frequent first.
        pairs: those with several outcomes, the surest drift first.
        before, now: the served policy in the table, and in what it has become.
        model: the table with the observed outcomes of the pairs that drifted.
        layout: how states lie on paper, to name them in words; None if nobody knows.
        actions: the names of the actions; empty if nobody knows.
    """

    steps: int
    visited: int
    impossible: tuple[Impossible, ...]
    pairs: tuple[PairDrift, ...]
    before: PolicyScore
    now: PolicyScore
    model: TabularModel = field(repr=False)
    layout: Layout | None = field(default=None, repr=False)
    actions: tuple[str, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether anything impossible happened, or a pair drifted."""
        return bool(self.impossible) or any(pair.drifted for pair in self.pairs)

    @property
    def lost_return(self) -> float:
        """The regret of the policy now, less the one it had: what solving the env again would bring, due to drift."""
        return self.now.regret - self.before.regret

    def summary(self) -> dict[str, Any]:
        """Returns the figures as a JSON-able dict."""
        return {
            "steps": self.steps,
            "visited": self.visited,
            "impossible_steps": sum(one.steps for one in self.impossible),
            "impossible": [one._asdict() for one in self.impossible[:SHOWN]],
            "tested": len(self.pairs),
            "pairs": [one._asdict() for one in self.pairs[:SHOWN]],
            "drifted": self.drifted,
            "before": asdict(self.before),
            "now": asdict(self.now),
        }


class _Outcomes(NamedTuple):
    """Outcomes of (state, action)s, each once, sorted by pair.

    Attributes:
        key: ((state * n_actions + action) * n_states + next_state) * 2 + terminated.
        reward: rounded.
        weights: (outcomes, 2), the probability in the table and the number of observed steps.
    """

    key: NDArray[np.int64]
    reward: Floats
    weights: Floats

    def pairs(self, n_states: int) -> NDArray[np.int64]:
        """Returns the pair of each outcome."""
        return self.key // (2 * n_states)


def compare_transitions(
    batches: Iterable[Batch], model: TabularModel, policy: Array, *, alpha: float, source: str = "the data"
) -> Transitions:
    """Compares the steps of whole episodes with a model, and values a policy in what the model has become.

    Args:
        batches: the episodes.
        model: what is known.
        policy: (n_states,), what is served.
        alpha: the probability of calling any pair drifted where none is.
        source: of the episodes, for errors.

    Raises:
        UsageError: the episodes are of another env.
    """
    found = _known(model)
    for batch in batches:
        found = _merged(found, _observed(batch, model, source))
    pair_of, steps = found.pairs(model.n_states), found.weights[:, 1]
    ruled_out = (found.weights[:, 0] == 0) & (steps > 0)
    tested = _tested(found, model, alpha)
    drifted = np.union1d(
        pair_of[ruled_out], [pair.state * model.n_actions + pair.action for pair in tested if pair.drifted]
    )
    changed = _with_observed(model, found, drifted.astype(np.int64)) if len(drifted) else model
    return Transitions(
        steps=int(steps.sum()),
        visited=len(np.unique(pair_of[steps > 0])),
        impossible=_impossible(found, model, ruled_out),
        pairs=tested,
        before=score_policy(model, policy),
        now=score_policy(changed, policy),
        model=changed,
    )


# ------------------------------------------------------------------ counting


def _known(model: TabularModel) -> _Outcomes:
    pair = np.repeat(np.arange(model.n_states * model.n_actions), np.diff(model.offsets))
    key = (pair * model.n_states + model.successor) * 2 + model.terminated
    weights = np.stack([model.probability, np.zeros(len(key))], axis=1)[model.probability > 0]
    possible = model.probability > 0
    return _grouped(key[possible], _rounded(model.reward[possible]), weights)


def _observed(batch: Batch, model: TabularModel, source: str) -> _Outcomes:
    before, after = decided(batch)
    states = _in_range(f"{source}: observations", batch.steps.get("observations"), model.n_states)
    actions = _in_range(f"{source}: actions", batch.steps.get("actions"), model.n_actions)
    ends = np.zeros(len(before), bool)
    has_steps = batch.lengths > 0
    ends[np.cumsum(batch.lengths)[has_steps] - 1] = is_terminated(batch.ends)[has_steps]
    pair = states[before] * model.n_actions + actions
    key = (pair * model.n_states + states[after]) * 2 + ends
    weights = np.stack([np.zeros(len(key)), np.ones(len(key))], axis=1)
    return _grouped(key, _rounded(batch.steps["rewards"]), weights)


def _in_range(name: str, values: Array | None, size: int) -> NDArray[np.int64]:
    if values is None or values.ndim != 1 or values.dtype.kind not in "iu":
        raise UsageError(f"{name} must be whole numbers, as of the env with the table")
    if len(values) and not 0 <= values.min() <= values.max() < size:
        raise UsageError(f"{name} must be from 0 to {size - 1}, got {values.min()} to {values.max()}: of another env?")
    return values.astype(np.int64)


def _rounded(rewards: Array) -> Floats:
    return np.asarray(np.round(rewards.astype(np.float64), DIGITS) + 0.0)  # no -0.0


def _merged(one: _Outcomes, other: _Outcomes) -> _Outcomes:
    return _grouped(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))


def _grouped(key: Array, reward: Floats, weights: Floats) -> _Outcomes:
    """Adds up the weights of equal outcomes."""
    order = np.lexsort((reward, key))
    key, reward, weights = key[order], reward[order], weights[order]
    is_new = np.ones(len(key), bool)
    is_new[1:] = (key[1:] != key[:-1]) | (reward[1:] != reward[:-1])
    starts = np.flatnonzero(is_new)
    return _Outcomes(key[starts], reward[starts], np.add.reduceat(weights, starts) if len(starts) else weights)


def _impossible(found: _Outcomes, model: TabularModel, ruled_out: NDArray[np.bool_]) -> tuple[Impossible, ...]:
    rows = np.flatnonzero(ruled_out)
    rows = rows[np.argsort(-found.weights[rows, 1], kind="stable")]
    return tuple(_named(int(found.key[i]), float(found.reward[i]), int(found.weights[i, 1]), model) for i in rows)


def _named(key: int, reward: float, steps: int, model: TabularModel) -> Impossible:
    rest, terminated = divmod(key, 2)
    pair, next_state = divmod(rest, model.n_states)
    state, action = divmod(pair, model.n_actions)
    return Impossible(state, action, reward, next_state, bool(terminated), steps)


def _with_observed(model: TabularModel, found: _Outcomes, drifted: NDArray[np.int64]) -> TabularModel:
    """Returns a model in which these pairs lead where they were observed to lead, as often."""
    pair = found.pairs(model.n_states)
    n_pairs = model.n_states * model.n_actions
    totals = np.bincount(pair, found.weights[:, 1], minlength=n_pairs)
    is_drifted = np.isin(pair, drifted)
    probability = np.where(is_drifted, found.weights[:, 1] / np.maximum(totals[pair], 1), found.weights[:, 0])
    kept = probability > 0
    key, pair = found.key[kept], pair[kept]
    return replace(
        model,
        offsets=np.concatenate([[0], np.cumsum(np.bincount(pair, minlength=n_pairs))]).astype(np.int64),
        probability=probability[kept],
        successor=(key // 2 % model.n_states).astype(np.int32),
        reward=found.reward[kept],
        terminated=key % 2 == 1,
    )


# ------------------------------------------------------------------ testing


def _tested(found: _Outcomes, model: TabularModel, alpha: float) -> tuple[PairDrift, ...]:
    """Tests every visited pair that has several outcomes in the table."""
    possible = found.weights[:, 0] > 0
    pair, weights = found.pairs(model.n_states)[possible], found.weights[possible]
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    tested = []
    for rows in np.split(np.arange(len(pair)), starts[1:]):
        probability, counts = weights[rows].T
        n = int(counts.sum())
        if len(rows) > 1 and n:
            state, action = divmod(int(pair[rows[0]]), model.n_actions)
            effect = float(np.abs(counts / n - probability).sum() / 2)
            tested.append(PairDrift(state, action, n, effect, multinomial_p(counts, probability), 1.0, drifted=False))
    adjusted = holm(np.array([one.p for one in tested]))
    judged = [one._replace(p_holm=float(p), drifted=bool(p <= alpha)) for one, p in zip(tested, adjusted, strict=True)]
    return tuple(sorted(judged, key=lambda one: (one.p, -one.effect)))


def multinomial_p(counts: Floats, probability: Floats) -> float:
    """Returns the probability of counts that are no likelier than these, exactly or by chi-square (see above)."""
    n, k = int(counts.sum()), len(counts)
    if math.comb(n + k - 1, k - 1) > MOST_TABLES:
        return _chi_square_p(counts, probability)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    logs = np.log(probability)
    likelihood = factorials[n] - factorials[_tables(n, k)].sum(axis=1) + _tables(n, k) @ logs
    observed = factorials[n] - factorials[counts.astype(np.int64)].sum() + counts @ logs
    return float(min(1.0, np.exp(likelihood[likelihood <= observed + 1e-9]).sum()))


def _tables(n: int, k: int) -> NDArray[np.int64]:
    """Returns all ways to put n steps into k cells, (tables, k): stars and bars."""
    bars = np.array(list(combinations(range(n + k - 1), k - 1)), np.int64)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, n + k - 1)))
    return np.diff(edges, axis=1) - 1


def _chi_square_p(counts: Floats, probability: Floats) -> float:
    order = np.argsort(probability)
    expected, observed = counts.sum() * probability[order], counts[order]
    joined = 1 + int(np.searchsorted(np.cumsum(expected), LEAST_EXPECTED))  # the rarest, until they are enough together
    joined = max(joined, int((expected < LEAST_EXPECTED).sum()))
    cells = np.concatenate([[expected[:joined].sum()], expected[joined:]])
    seen = np.concatenate([[observed[:joined].sum()], observed[joined:]])
    return chi_square_tail(float(((seen - cells) ** 2 / cells).sum()), len(cells) - 1)


def chi_square_tail(value: float, degrees: int) -> float:
    """Returns the probability that chi-square exceeds a value: Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1)."""
    if degrees < 1 or value <= 0:
        return 1.0
    x = value / 2
    tail, a = (math.erfc(math.sqrt(x)), 0.5) if degrees % 2 else (math.exp(-x), 1.0)
    while a < degrees / 2:
        tail += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return min(tail, 1.0)
