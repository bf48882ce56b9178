"""The update rules of the agents: compiled functions that follow the book, used by both training loops.

**The table.** Row s is `[max_a q[s, a], argmax_a q[s, a], q[s, 0], q[s, 1], ...]`, padded with -inf to whole cache
lines.
An action that a state does not allow has the value -inf: neither the greatest value nor a write ever meets it.
Every write (`set_q`) updates the greedy value and action, so that acting and bootstrapping read two numbers instead of
scanning a row: this shortens the chain of memory latencies that limits a tabular learner. The action is an int64 in
the same eight bytes (`table.view(np.int64)`). Ties go to the lowest index.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from rlbench._compiling import check_compiler

if TYPE_CHECKING:
    from numpy.typing import NDArray

check_compiler()

VALUE, ACTION, FIRST = 0, 1, 2  # columns of a table: greedy value, greedy action, q[s, 0]
CACHE_LINE = 8  # float64


class Table(NamedTuple):
    """Two views of one block of memory, so that no kernel has to make the second view in its loop."""

    values: NDArray[np.float64]  # (n_states, 2 + n_actions + padding)
    words: NDArray[np.int64]  # the same bytes: column ACTION is read here

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies the block, not the views: copied separately, they would no longer share memory."""
        return table_of, (self.values,)


def new_table(n_states: int, n_actions: int, initial_value: float = 0.0) -> Table:
    """Makes a table filled with one value."""
    width = -(-(FIRST + n_actions) // CACHE_LINE) * CACHE_LINE
    table = _allocated(n_states, width)
    table.values[:] = -np.inf
    set_table(table, np.full((n_states, n_actions), initial_value))
    return table


def table_of(values: NDArray[np.float64]) -> Table:
    """Makes a table from a copy of another table's block."""
    table = _allocated(*values.shape)
    table.values[:] = values
    return table


def _allocated(n_states: int, width: int) -> Table:
    """Allocates a table with every row aligned to cache lines."""
    raw = np.empty(n_states * width + CACHE_LINE)
    start = (-raw.ctypes.data // raw.itemsize) % CACHE_LINE
    values = raw[start : start + n_states * width].reshape(n_states, width)
    return Table(values, values.view(np.int64))


def set_table(table: Table, q_table: NDArray[np.float64]) -> None:
    """Overwrites all action values, shape (n_states, n_actions), and the cached greedy values and actions."""
    table.values[:, FIRST : FIRST + q_table.shape[1]] = q_table
    table.values[:, VALUE] = q_table.max(axis=1)
    table.words[:, ACTION] = q_table.argmax(axis=1)


def write(table: Table, n_actions: int, key: Any, values: Any, barred: NDArray[np.bool_] | None = None) -> None:
    """Assigns to action values, indexed as an array (n_states, n_actions), and updates the rows that it touched.

    Those that are marked in `barred` stay -inf.
    """
    q_table = table.values[:, FIRST : FIRST + n_actions]
    q_table[key] = values
    if barred is not None:
        q_table[barred] = -np.inf
    rows = np.unique(np.broadcast_to(np.arange(len(q_table))[:, None], q_table.shape)[key])
    table.values[rows, VALUE] = q_table[rows].max(axis=1)
    table.words[rows, ACTION] = q_table[rows].argmax(axis=1)


# `inline="always"`: LLVM does not inline calls with many arguments (an array is seven): dearer than their bodies


@njit(cache=True, inline="always")
def greedy_value(table, s):
    """Returns max_a q[s, a]."""
    return table.values[np.uint64(s), np.uint64(VALUE)]


@njit(cache=True, inline="always")
def greedy_action(table, s):
    """Returns argmax_a q[s, a]; ties go to the lowest index."""
    return table.words[np.uint64(s), np.uint64(ACTION)]


@njit(cache=True, inline="always")
def q_value(table, s, a):
    """Returns q[s, a]."""
    return table.values[np.uint64(s), np.uint64(a) + np.uint64(FIRST)]


@njit(cache=True, inline="always")
def set_q(table, s, a, value):
    """Writes q[s, a] and updates the row's greedy value and action."""
    row, column = np.uint64(s), np.uint64(a) + np.uint64(FIRST)
    table.values[row, column] = value
    best, best_a = table.values[row, np.uint64(VALUE)], greedy_action(table, s)
    if a == best_a:  # asked first: a processor foresees this better than how the values compare
        if value >= best:
            table.values[row, np.uint64(VALUE)] = value
        else:
            _rescan(table, row)
    elif value > best or (value == best and a < best_a):
        table.values[row, np.uint64(VALUE)] = value
        table.words[row, np.uint64(ACTION)] = a


@njit(cache=True)
def _rescan(table, row):
    best, best_column = table.values[row, np.uint64(FIRST)], FIRST
    for column in range(FIRST + 1, table.values.shape[1]):
        if table.values[row, np.uint64(column)] > best:
            best, best_column = table.values[row, np.uint64(column)], column
    table.values[row, np.uint64(VALUE)] = best
    table.words[row, np.uint64(ACTION)] = best_column - FIRST


# ------------------------------------------------------------------------------------- choosing an action


class EpsilonGreedy(NamedTuple):
    """With probability epsilon a uniformly random action, else the best (2.2)."""

    n_actions: int


class EpsilonGreedyRandomTies(NamedTuple):
    """The same, but among equally good actions each is as likely (2.2): a type of its own, for it reads the row."""

    n_actions: int


class Softmax(NamedTuple):
    """Each action in proportion to exp(q / t), where t is `temperature` times epsilon (2.8)."""

    n_actions: int
    temperature: float


class Ucb(NamedTuple):
    """The action with the highest upper confidence bound (2.7); untried actions come first."""

    n_actions: int
    confidence: float  # c
    counts: NDArray[np.int64]  # (n_states, n_actions): how often each was chosen


def new_ucb(n_states: int, n_actions: int, confidence: float) -> Ucb:
    """Makes a policy with all counts at 0."""
    return Ucb(n_actions, confidence, np.zeros((n_states, n_actions), np.int64))


class Allowed(NamedTuple):
    """The actions that each state allows."""

    actions: NDArray[np.int64]  # (n_states, n_actions): those allowed first, ascending
    counts: NDArray[np.int64]  # (n_states,): how many are


def new_allowed(allowed: NDArray[np.bool_]) -> Allowed:
    """Lists the actions that are marked in an array (n_states, n_actions)."""
    return Allowed(np.argsort(~allowed, axis=1, kind="stable"), allowed.sum(axis=1))


# The same ways to explore, among allowed actions alone: types of their own, for the others need not look.


class MaskedEpsilonGreedy(NamedTuple):
    """`EpsilonGreedy` among allowed actions."""

    n_actions: int
    allowed: Allowed


class MaskedEpsilonGreedyRandomTies(NamedTuple):
    """`EpsilonGreedyRandomTies` among allowed actions."""

    n_actions: int
    allowed: Allowed


class MaskedSoftmax(NamedTuple):
    """`Softmax` among allowed actions: of the others, exp(q / t) is 0."""

    n_actions: int
    temperature: float
    allowed: Allowed


class MaskedUcb(NamedTuple):
    """`Ucb` among allowed actions."""

    n_actions: int
    confidence: float
    counts: NDArray[np.int64]
    allowed: Allowed


_MASKED: dict[Any, Any] = {
    EpsilonGreedy: MaskedEpsilonGreedy,
    EpsilonGreedyRandomTies: MaskedEpsilonGreedyRandomTies,
    Softmax: MaskedSoftmax,
    Ucb: MaskedUcb,
}


def masked(policy: Any, allowed: NDArray[np.bool_]) -> Any:
    """Returns a policy among the actions marked in an array (n_states, n_actions); of another type, as it is."""
    if type(policy) in _MASKED:
        return _MASKED[type(policy)](*policy, new_allowed(allowed))
    return policy._replace(allowed=new_allowed(allowed)) if type(policy) in _MASKED.values() else policy


@njit(cache=True, inline="always")
def epsilon_greedy(u, epsilon, n_actions, greedy):
    """Returns (action, explored) from one uniform draw u: below epsilon, u also selects the random action."""
    if u < epsilon:
        return np.int64(u / epsilon * n_actions), True
    return np.int64(greedy), False


@njit(cache=True)
def epsilon_greedy_random_ties(u, epsilon, table, s, n_actions):
    """Returns (action, explored) from one uniform draw u: from epsilon on, u also selects among the best actions."""
    if u < epsilon:
        return np.int64(u / epsilon * n_actions), True
    best, ties = greedy_value(table, s), 0
    for a in range(n_actions):
        ties += q_value(table, s, a) == best
    left = np.int64((u - epsilon) / (1.0 - epsilon) * ties)
    for a in range(n_actions):
        if q_value(table, s, a) == best:
            if left == 0:
                return np.int64(a), False
            left -= 1
    return np.int64(greedy_action(table, s)), False  # only by rounding, if u is close to 1


@njit(cache=True)
def softmax_action(u, temperature, table, s, n_actions):
    """Returns (action, whether it is not greedy) from one uniform draw u; greedy at temperature 0."""
    best = greedy_action(table, s)
    if temperature <= 0.0:
        return np.int64(best), False
    left = u * softmax_total(temperature, table, s, n_actions)
    for a in range(n_actions):
        left -= math.exp((q_value(table, s, a) - greedy_value(table, s)) / temperature)
        if left < 0.0:
            return np.int64(a), a != best
    return np.int64(best), False  # only by rounding, if u is close to 1


@njit(cache=True)
def softmax_total(temperature, table, s, n_actions):
    """Returns the sum of exp((q - max q) / temperature) over the actions; at least 1."""
    total = 0.0
    for a in range(n_actions):
        total += math.exp((q_value(table, s, a) - greedy_value(table, s)) / temperature)
    return total


@njit(cache=True)
def ucb_action(policy, table, s):
    """Returns argmax_a q[s, a] + c sqrt(ln N(s) / N(s, a)), equation 2.10; ties go to the lowest index."""
    visits = 1
    for a in range(policy.n_actions):
        if policy.counts[s, a] == 0:
            return np.int64(a)
        visits += policy.counts[s, a]
    best, best_a = -np.inf, 0
    for a in range(policy.n_actions):
        bound = q_value(table, s, a) + policy.confidence * math.sqrt(math.log(visits) / policy.counts[s, a])
        if bound > best:
            best, best_a = bound, a
    return np.int64(best_a)


class Truth(NamedTuple):
    """The exact values of a policy that are compared with learnt ones."""

    states: NDArray[np.int64]  # (n,)
    columns: NDArray[np.int64]  # (n,)
    values: NDArray[np.float64]  # (n,)


def new_truth(exact: NDArray[np.float64]) -> Truth:
    """Takes exact values, as many columns as the table; those that are NaN are not compared."""
    states, columns = np.nonzero(~np.isnan(exact))
    return Truth(states, columns, exact[states, columns])


@njit(cache=True)
def value_error(table, truth):
    """Returns the root of the mean squared error of the values; NaN if none is compared."""
    total = 0.0
    for i in range(truth.values.shape[0]):
        total += (q_value(table, truth.states[i], truth.columns[i]) - truth.values[i]) ** 2
    return math.sqrt(total / truth.values.shape[0]) if truth.values.shape[0] > 0 else np.nan


class Given(NamedTuple):
    """A policy that is given, whatever the values; these are of its states or, if `per_action`, of its pairs."""

    n_actions: int
    per_action: int  # 0: the table has one column
    probabilities: NDArray[np.float64]  # (n_states, n_actions)
    cumulative: NDArray[np.float64]  # (n_states, n_actions): their sums from the first action on
    target: NDArray[np.float64]  # (n_states, n_actions): the probabilities of the policy whose values are learnt
    truth: Truth


def new_given(
    probabilities: NDArray[np.float64], target: NDArray[np.float64] | None = None, *, per_action: bool
) -> Given:
    """Makes a policy of probabilities (n_states, n_actions) that sum to 1, or nearly; by default its own target."""
    cumulative = cumulative_of(probabilities)
    target, truth = probabilities if target is None else target, new_truth(np.empty((0, 0)))
    return Given(probabilities.shape[1], int(per_action), probabilities, cumulative, target, truth)


def cumulative_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the sums of probabilities from the first action on, 1 from the last one that may be taken."""
    sums: NDArray[np.float64] = np.cumsum(probabilities, axis=1)
    last = sums.argmax(axis=1)  # the first of the highest
    sums[np.arange(probabilities.shape[1]) >= last[:, None]] = 1.0
    return sums


@njit(cache=True)
def given_action(cumulative, s, u):
    """Returns the action that one uniform draw u selects."""
    for a in range(cumulative.shape[1] - 1):
        if u < cumulative[s, a]:
            return np.int64(a)
    return np.int64(cumulative.shape[1] - 1)


@njit(cache=True)
def masked_ucb_action(policy, table, s):
    """Returns the same among allowed actions."""
    visits = 1
    for i in range(policy.allowed.counts[s]):
        a = policy.allowed.actions[s, i]
        if policy.counts[s, a] == 0:
            return np.int64(a)
        visits += policy.counts[s, a]
    best, best_a = -np.inf, policy.allowed.actions[s, 0]
    for i in range(policy.allowed.counts[s]):
        a = policy.allowed.actions[s, i]
        bound = q_value(table, s, a) + policy.confidence * math.sqrt(math.log(visits) / policy.counts[s, a])
        if bound > best:
            best, best_a = bound, a
    return np.int64(best_a)


def pick(policy: Any, table: Table, s: int, epsilon: float, u: float) -> tuple[int, bool]:
    """Returns (action, explored) from one uniform draw u."""
    return PICK[type(policy)](policy, table, s, epsilon, u)  # type: ignore[no-any-return]


def expected_value(policy: Any, table: Table, s: int, epsilon: float) -> float:
    """Returns the expected q[s, a] under the policy."""
    return _EXPECTED[type(policy)](policy, table, s, epsilon)  # type: ignore[no-any-return]


def column(policy: Any, a: int) -> int:
    """Returns the column of the table that holds the value of action a."""
    return COLUMN.get(type(policy), column_of_action)(policy, a)  # type: ignore[no-any-return]


def probability(policy: Any, table: Table, s: int, epsilon: float, a: int) -> float:
    """Returns the probability with which the policy chooses a; 1 if it draws nothing, for it has chosen a."""
    return _PROBABILITY[type(policy)](policy, table, s, epsilon, a)  # type: ignore[no-any-return]


def _pick_epsilon_greedy(policy, table, s, epsilon, u):
    return epsilon_greedy(u, epsilon, policy.n_actions, greedy_action(table, s))


def _pick_epsilon_greedy_random_ties(policy, table, s, epsilon, u):
    return epsilon_greedy_random_ties(u, epsilon, table, s, policy.n_actions)


def _pick_softmax(policy, table, s, epsilon, u):
    return softmax_action(u, policy.temperature * epsilon, table, s, policy.n_actions)


def _pick_ucb(policy, table, s, epsilon, u):  # noqa: ARG001  (it needs no draw)
    action = ucb_action(policy, table, s)
    policy.counts[s, action] += 1
    return action, action != greedy_action(table, s)


def _pick_given(policy, table, s, epsilon, u):  # noqa: ARG001
    return given_action(policy.cumulative, s, u), False


def _pick_masked_epsilon_greedy(policy, table, s, epsilon, u):
    place, explored = epsilon_greedy(u, epsilon, policy.allowed.counts[s], 0)
    return policy.allowed.actions[s, place] if explored else np.int64(greedy_action(table, s)), explored


def _pick_masked_epsilon_greedy_random_ties(policy, table, s, epsilon, u):
    if u < epsilon:
        return policy.allowed.actions[s, np.int64(u / epsilon * policy.allowed.counts[s])], True
    return epsilon_greedy_random_ties(u, epsilon, table, s, policy.n_actions)


def _pick_masked_ucb(policy, table, s, epsilon, u):  # noqa: ARG001
    action = masked_ucb_action(policy, table, s)
    policy.counts[s, action] += 1
    return action, action != greedy_action(table, s)


def _expect_epsilon_greedy(policy, table, s, epsilon):  # equals are worth the same: how ties are broken is no matter
    total = 0.0
    for a in range(policy.n_actions):
        total += q_value(table, s, a)
    return (1.0 - epsilon) * greedy_value(table, s) + epsilon * (total / policy.n_actions)


def _expect_softmax(policy, table, s, epsilon):
    temperature = policy.temperature * epsilon
    if temperature <= 0.0:
        return greedy_value(table, s)
    total = 0.0
    for a in range(policy.n_actions):
        value = q_value(table, s, a)
        total += value * math.exp((value - greedy_value(table, s)) / temperature)
    return total / softmax_total(temperature, table, s, policy.n_actions)


def _expect_ucb(policy, table, s, epsilon):  # noqa: ARG001
    return q_value(table, s, ucb_action(policy, table, s))


def _expect_given(policy, table, s, epsilon):  # noqa: ARG001
    if policy.per_action == 0:
        return q_value(table, s, 0)
    total = 0.0
    for a in range(policy.n_actions):
        total += policy.target[s, a] * q_value(table, s, a)
    return total


def column_of_action(policy, a):  # noqa: ARG001
    return a


def _column_of_given(policy, a):
    return a * policy.per_action


def _expect_masked_epsilon_greedy(policy, table, s, epsilon):
    total, count = 0.0, policy.allowed.counts[s]
    for i in range(count):
        total += q_value(table, s, policy.allowed.actions[s, i])
    return (1.0 - epsilon) * greedy_value(table, s) + epsilon * (total / count)


def _expect_masked_softmax(policy, table, s, epsilon):
    temperature = policy.temperature * epsilon
    if temperature <= 0.0:
        return greedy_value(table, s)
    total = 0.0
    for i in range(policy.allowed.counts[s]):
        value = q_value(table, s, policy.allowed.actions[s, i])
        total += value * math.exp((value - greedy_value(table, s)) / temperature)
    return total / softmax_total(temperature, table, s, policy.n_actions)


def _expect_masked_ucb(policy, table, s, epsilon):  # noqa: ARG001
    return q_value(table, s, masked_ucb_action(policy, table, s))


def _probability_epsilon_greedy(policy, table, s, epsilon, a):
    return (1.0 - epsilon) * (a == greedy_action(table, s)) + epsilon / policy.n_actions


def _probability_epsilon_greedy_random_ties(policy, table, s, epsilon, a):
    ties = 0
    for b in range(policy.n_actions):
        ties += q_value(table, s, b) == greedy_value(table, s)
    return (1.0 - epsilon) * (q_value(table, s, a) == greedy_value(table, s)) / ties + epsilon / policy.n_actions


def _probability_softmax(policy, table, s, epsilon, a):
    temperature = policy.temperature * epsilon
    if temperature <= 0.0:
        return 1.0 * (a == greedy_action(table, s))
    share = math.exp((q_value(table, s, a) - greedy_value(table, s)) / temperature)
    return share / softmax_total(temperature, table, s, policy.n_actions)


def _probability_masked_epsilon_greedy(policy, table, s, epsilon, a):
    share = epsilon / policy.allowed.counts[s]
    return (1.0 - epsilon) * (a == greedy_action(table, s)) + share * (q_value(table, s, a) > -np.inf)


def _probability_masked_epsilon_greedy_random_ties(policy, table, s, epsilon, a):
    greedy = _probability_epsilon_greedy_random_ties(policy, table, s, 0.0, a)
    share = epsilon / policy.allowed.counts[s]
    return (1.0 - epsilon) * greedy + share * (q_value(table, s, a) > -np.inf)


def _probability_ucb(policy, table, s, epsilon, a):  # noqa: ARG001
    return 1.0


PICK: dict[Any, Any] = {
    EpsilonGreedy: _pick_epsilon_greedy,
    EpsilonGreedyRandomTies: _pick_epsilon_greedy_random_ties,
    Softmax: _pick_softmax,
    Ucb: _pick_ucb,
    Given: _pick_given,
    MaskedEpsilonGreedy: _pick_masked_epsilon_greedy,
    MaskedEpsilonGreedyRandomTies: _pick_masked_epsilon_greedy_random_ties,
    MaskedSoftmax: _pick_softmax,
    MaskedUcb: _pick_masked_ucb,
}
_EXPECTED: dict[Any, Any] = {
    EpsilonGreedy: _expect_epsilon_greedy,
    EpsilonGreedyRandomTies: _expect_epsilon_greedy,
    Softmax: _expect_softmax,
    Ucb: _expect_ucb,
    Given: _expect_given,
    MaskedEpsilonGreedy: _expect_masked_epsilon_greedy,
    MaskedEpsilonGreedyRandomTies: _expect_masked_epsilon_greedy,
    MaskedSoftmax: _expect_masked_softmax,
    MaskedUcb: _expect_masked_ucb,
}
COLUMN: dict[Any, Any] = {Given: _column_of_given}  # of all others: the action's own
_PROBABILITY: dict[Any, Any] = {
    EpsilonGreedy: _probability_epsilon_greedy,
    EpsilonGreedyRandomTies: _probability_epsilon_greedy_random_ties,
    Softmax: _probability_softmax,
    Ucb: _probability_ucb,
    MaskedEpsilonGreedy: _probability_masked_epsilon_greedy,
    MaskedEpsilonGreedyRandomTies: _probability_masked_epsilon_greedy_random_ties,
    MaskedSoftmax: _probability_softmax,
    MaskedUcb: _probability_ucb,
}


@overload(pick, inline="always")
def _overload_pick(policy, table, s, epsilon, u):  # noqa: ARG001
    return PICK.get(getattr(policy, "instance_class", None))


@overload(expected_value, inline="always")
def _overload_expected_value(policy, table, s, epsilon):  # noqa: ARG001
    return _EXPECTED.get(getattr(policy, "instance_class", None))


@overload(column, inline="always")
def _overload_column(policy, a):  # noqa: ARG001
    return COLUMN.get(getattr(policy, "instance_class", None), column_of_action)


@overload(probability, inline="always")
def _overload_probability(policy, table, s, epsilon, a):  # noqa: ARG001
    return _PROBABILITY.get(getattr(policy, "instance_class", None))


@njit(cache=True)
def judged(policy, table, s):
    """Returns what a given policy seems to be worth from s, and the error of the values."""
    return expected_value(policy, table, s, 0.0), value_error(table, policy.truth)


@njit(cache=True)
def pick_action(policy, table, s, epsilon, u):
    """Returns the same as `pick`; for calls from Python."""
    return pick(policy, table, s, epsilon, u)


# ------------------------------------------------------------------------------------------- step sizes


class Visits(NamedTuple):
    """Step sizes N(s, a)^-w (2.4, 2.5): a learning rate that each pair has its own of, in place of a number."""

    counts: NDArray[np.int64]  # (n_states, n_columns): how often each value was learnt
    power: float  # w
    weight: float = 1.0  # of what is learnt from: prioritized replay's importance weight
    per_step: bool = False  # as a Schedule has it


def new_visits(n_states: int, n_columns: int, power: float) -> Visits:
    """Makes step sizes of nothing learnt yet."""
    return Visits(np.zeros((n_states, n_columns), np.int64), power)


def step_size(learning_rate: Any, s: int, a: int) -> float:
    """Returns the step size of the next update of q[s, a], which it counts."""
    return _STEP_SIZE[type(learning_rate) is Visits](learning_rate, s, a)  # type: ignore[no-any-return]


def size_so_far(learning_rate: Any, s: int, a: int) -> float:
    """Returns the step size of the last update of q[s, a]; nothing is counted."""
    return _SIZE_SO_FAR[type(learning_rate) is Visits](learning_rate, s, a)  # type: ignore[no-any-return]


def weighted(learning_rate: Any, weight: float) -> Any:
    """Returns a learning rate times a weight."""
    return _WEIGHTED[type(learning_rate) is Visits](learning_rate, weight)


def _size(learning_rate, s, a):  # noqa: ARG001
    return learning_rate


def _counted_size(learning_rate, s, a):
    learning_rate.counts[s, a] += 1
    return _size_after(learning_rate, learning_rate.counts[s, a])


def _last_size(learning_rate, s, a):
    return _size_after(learning_rate, max(learning_rate.counts[s, a], 1))


@njit(cache=True)
def _size_after(visits, n):
    if visits.power == 1.0:  # exactly the mean
        return visits.weight / n
    return visits.weight * math.pow(np.float64(n), -visits.power)


def _times(learning_rate, weight):
    return learning_rate * weight


def _visits_times(learning_rate, weight):
    return Visits(learning_rate.counts, learning_rate.power, learning_rate.weight * weight, False)


_STEP_SIZE = {False: _size, True: _counted_size}
_SIZE_SO_FAR = {False: _size, True: _last_size}
_WEIGHTED = {False: _times, True: _visits_times}


def is_by_visits(numba_type: Any) -> bool:
    """Returns whether a numba type is that of Visits."""
    return getattr(numba_type, "instance_class", None) is Visits


# not inlined by numba, which mixes up variables where what is inlined only returns an argument: LLVM inlines these


@overload(step_size)
def _overload_step_size(learning_rate, s, a):  # noqa: ARG001
    return _STEP_SIZE[is_by_visits(learning_rate)]


@overload(size_so_far)
def _overload_size_so_far(learning_rate, s, a):  # noqa: ARG001
    return _SIZE_SO_FAR[is_by_visits(learning_rate)]


@overload(weighted)
def _overload_weighted(learning_rate, weight):  # noqa: ARG001
    return _WEIGHTED[is_by_visits(learning_rate)]


# ------------------------------------------------------------------------------- learning from one step


@njit(cache=True, inline="always")
def q_update(table, s, a, r, s_next, terminated, learning_rate, gamma):
    """Moves q[s, a] towards r + gamma * max_a' q[s_next, a'], in place; returns the temporal-difference error.

    Q-learning, Sutton & Barto (2018) 6.5, equation 6.8; the value of a terminal state is 0.
    """
    target = r if terminated else r + gamma * greedy_value(table, s_next)
    old = table.values[np.uint64(s), np.uint64(a) + np.uint64(FIRST)]
    td_error = target - old
    set_q(table, s, a, old + step_size(learning_rate, s, a) * td_error)
    return td_error


@njit(cache=True)
def q_update_batch(table, s, a, r, s_next, terminated, learning_rate, gamma):
    """Applies `q_update` to a minibatch of arrays (n,), one transition after another."""
    for i in range(r.shape[0]):
        q_update(table, s[i], a[i], r[i], s_next[i], terminated[i], learning_rate, gamma)


@njit(cache=True)
def q_update_returns(table, s, a, returns, s_last, terminated, learning_rate, weights, discounts, td_errors):
    """Applies `q_update` to a minibatch of n-step returns, arrays (n,), each with its own weight and discount.

    Writes the temporal-difference errors, from which prioritized replay computes priorities.
    """
    for i in range(returns.shape[0]):
        rate, discount = weighted(learning_rate, weights[i]), discounts[i]
        td_errors[i] = q_update(table, s[i], a[i], returns[i], s_last[i], terminated[i], rate, discount)


@njit(cache=True, forceinline=True)
def td_update(table, s, a, target, learning_rate):
    """Moves q[s, a] towards a target, in place; returns the temporal-difference error. Equation 2.4."""
    old = q_value(table, s, a)
    td_error = target - old
    set_q(table, s, a, old + step_size(learning_rate, s, a) * td_error)
    return td_error


@njit(cache=True, forceinline=True)
def sarsa_update(table, s, a, r, s_next, a_next, terminated, learning_rate, gamma):
    """Moves q[s, a] towards r + gamma * q[s_next, a_next], in place; returns the temporal-difference error.

    Sarsa, Sutton & Barto (2018) 6.4, equation 6.7.
    """
    target = r if terminated else r + gamma * q_value(table, s_next, a_next)
    return td_update(table, s, a, target, learning_rate)


@njit(cache=True)
def expected_sarsa_update(table, policy, epsilon, s, a, r, s_next, terminated, learning_rate, gamma):
    """Moves q[s, a] towards r + gamma * sum_a' pi(a' | s_next) q[s_next, a'], in place; returns the error.

    Expected Sarsa, Sutton & Barto (2018) 6.6, equation 6.9; pi is the policy being followed.
    """
    target = r if terminated else r + gamma * expected_value(policy, table, s_next, epsilon)
    return td_update(table, s, a, target, learning_rate)


@njit(cache=True, forceinline=True)
def double_q_update(halves, table, u, s, a, r, s_next, terminated, learning_rate, gamma):
    """Moves q[s, a] of one table, chosen by the draw u, towards the other table's value of its own best next action.

    Double Q-learning, Sutton & Barto (2018) 6.7, equation 6.10. `halves` stacks the two tables, 2 n_states rows;
    `table` holds their mean.
    """
    n_states = table.values.shape[0]
    own = np.int64(u * 2.0) * n_states  # the first row of the table that learns
    other = n_states - own
    target = r if terminated else r + gamma * q_value(halves, other + s_next, greedy_action(halves, own + s_next))
    td_update(halves, own + s, a, target, learning_rate)
    set_q(table, s, a, (q_value(halves, s, a) + q_value(halves, n_states + s, a)) / 2.0)


@njit(cache=True, forceinline=True)
def differential_update(
    table, average, s, a, r, s_next, a_next, terminated, learning_rate, gamma, average_rate, off_policy
):
    """Moves q[s, a] towards r - average[0] + gamma * q[s_next, a_next], and the average reward, in place.

    Differential Sarsa, Sutton & Barto (2018) 10.3, one feature per pair. With `off_policy` R-learning (Schwartz, 1993):
    the best next action counts, and the average is of the steps whose action is the best.
    """
    follows = 0.0
    if not terminated:
        follows = greedy_value(table, s_next) if off_policy else q_value(table, s_next, a_next)
    error = td_update(table, s, a, r - average[0] + gamma * follows, learning_rate)
    if not off_policy:
        average[0] += average_rate * error
    elif q_value(table, s, a) == greedy_value(table, s):
        follows = 0.0 if terminated else greedy_value(table, s_next)
        average[0] += average_rate * (r - average[0] + gamma * follows - greedy_value(table, s))


class Averages(NamedTuple):
    """The average reward so far in each state."""

    means: NDArray[np.float64]  # (n_states,)
    counts: NDArray[np.int64]  # (n_states,)


def new_averages(n_states: int) -> Averages:
    """Makes averages of no reward yet."""
    return Averages(np.zeros(n_states), np.zeros(n_states, np.int64))


@njit(cache=True)
def preference_update(table, averages, policy, s, a, r, learning_rate, has_baseline):
    """Moves the preferences q[s, :] along the gradient of the expected reward, in place.

    Gradient bandit, Sutton & Barto (2018) 2.8, equation 2.12: actions are drawn by the softmax of their preferences,
    and a reward is compared with the average of those before it (the first with itself), or with 0.
    """
    baseline = 0.0
    if has_baseline:
        baseline = r if averages.counts[s] == 0 else averages.means[s]
        averages.counts[s] += 1
        averages.means[s] += (r - averages.means[s]) / averages.counts[s]
    best, total = greedy_value(table, s), softmax_total(1.0, table, s, policy.n_actions)
    size = step_size(learning_rate, s, a)
    for b in range(policy.n_actions):
        old = q_value(table, s, b)
        share = math.exp(old - best) / total
        set_q(table, s, b, old + size * (r - baseline) * ((b == a) - share))


# ------------------------------------------------------------------------------------------- schedules

CONSTANT, EXPONENTIAL, MULTIPLICATIVE, LINEAR = range(4)
KINDS = {"constant": CONSTANT, "exponential": EXPONENTIAL, "multiplicative": MULTIPLICATIVE, "linear": LINEAR}


class Schedule(NamedTuple):
    """A value that depends on the number of episodes or steps so far."""

    kind: int
    per_step: bool  # whether it counts steps, not episodes
    initial: float
    final: float
    rate: float  # exponential: decay; multiplicative: factor; linear: the count at which `final` is reached


@njit(cache=True)
def schedule_value(schedule, count):
    """Returns the schedule's value after `count` episodes or steps."""
    if schedule.kind == EXPONENTIAL:
        return schedule.final + (schedule.initial - schedule.final) * math.exp(-schedule.rate * count)
    if schedule.kind == MULTIPLICATIVE:
        return max(schedule.final, schedule.initial * math.pow(schedule.rate, np.float64(count)))
    if schedule.kind == LINEAR:
        return schedule.initial + (schedule.final - schedule.initial) * min(1.0, count / schedule.rate)
    return schedule.initial


def rate_now(learning_rates: Any, count: int) -> Any:
    """Returns the learning rate after `count` episodes or steps: a schedule's value, or visits as they are."""
    return RATE_NOW[type(learning_rates)](learning_rates, count)


def _scheduled_rate(learning_rates, count):
    return schedule_value(learning_rates, count)


def _rate_by_visits(learning_rates, count):  # noqa: ARG001
    return learning_rates


RATE_NOW: dict[Any, Any] = {Schedule: _scheduled_rate, Visits: _rate_by_visits}


@overload(rate_now)
def _overload_rate_now(learning_rates, count):  # noqa: ARG001
    return RATE_NOW.get(getattr(learning_rates, "instance_class", None))
