"""Whether a table is the env: the env is stepped, and what happens is compared with what the table says."""

from __future__ import annotations

import copy
import math
from collections import Counter
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rlbench.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import gymnasium as gym
    from numpy.typing import NDArray

FALSE_ALARM = 1e-6  # probability that a true table of a stochastic env fails
PAIRS = 600  # (state, action)s tried, at most
SAMPLES = 1000  # steps spent on those with several outcomes
ROLLOUT = 300  # steps played on from resets
RESETS = 100

Pair: TypeAlias = "tuple[int, int]"  # (state, action)
Result: TypeAlias = "tuple[int, float, bool]"  # (next state, reward, terminated)
Table: TypeAlias = "Mapping[int, Mapping[int, list[tuple[float, int, float, bool]]]]"  # toy-text's P
Law: TypeAlias = "dict[Result, float]"  # the probability of each result of a (state, action)


def check_steps(
    twin: Any,
    table: Table,
    initial: NDArray[np.float64],
    pairs: list[Pair],
    *,
    step_limit: int | None,
    effort: int = 1,
) -> None:
    """Plays on from resets, then puts the env in each state of `pairs`, if it can be, and compares with the table.

    An env can be put in a state if it has the attribute `s`, as toy-text and SafeCab. A true table fails with a
    probability below `FALSE_ALARM`.

    Args:
        twin: an unwrapped env that nobody else steps.
        table: toy-text's P.
        initial: (n_states,), the distribution of the first state.
        pairs: which (state, action)s to try.
        step_limit: the steps after which the env itself truncates an episode.
        effort: multiplies the number of steps.

    Raises:
        CheckFailedError: they disagree; the message names the first disagreement.
    """
    twin.reset(seed=0)
    _check_rollout(twin, table, ROLLOUT * effort, step_limit)
    if hasattr(twin, "s"):
        laws = {pair: law_of(table, pair) for pair in pairs}
        check_laws(twin, laws, SAMPLES * effort)
    check_starts(twin, initial, RESETS * effort)


def twin_of(base: gym.Env[Any, Any], *, shallow: bool) -> Any:
    """Returns a copy of an unwrapped env that draws nothing and may be stepped.

    Args:
        base: the env.
        shallow: whether its methods only rebind attributes, so that tables can be shared.
    """
    twin: Any = object.__new__(type(base)) if shallow else copy.deepcopy(base)
    vars(twin).update(vars(base) if shallow else {}, render_mode=None, _screen=None)
    return twin


def law_of(table: Table, pair: Pair) -> Law:
    """Returns the probabilities of the distinct results of a (state, action)."""
    law: Law = {}
    for probability, successor, reward, terminated in table[pair[0]][pair[1]]:
        if probability > 0:
            result = (successor, reward, terminated)
            law[result] = law.get(result, 0.0) + probability
    return law


def check_laws(base: Any, laws: Mapping[Pair, Law], samples: int) -> None:
    """Puts an env in each state and compares: a single outcome exactly, several by their frequencies.

    Raises:
        CheckFailedError: they disagree; the message names the first disagreement.
    """
    for pair, law in laws.items():
        if len(law) == 1:
            _check_certain(base, pair, next(iter(law)))
    _check_sampled(base, {pair: law for pair, law in laws.items() if len(law) > 1}, samples)


def _check_rollout(base: Any, table: Table, steps: int, step_limit: int | None) -> None:
    """Plays random actions from resets: what an env keeps besides its state shows here."""
    state, length = _number(base.reset()[0]), 0
    laws: dict[Pair, Law] = {}
    for action in np.random.default_rng(0).integers(len(table[0]), size=steps).tolist():
        pair = state, action
        if pair not in laws:
            laws[pair] = law_of(table, pair)
        result, truncated = _taken(base, action)
        _check_listed(pair, laws[pair], [result])
        state, length = result[0], length + 1
        if truncated != (length == step_limit) and not result[2]:
            raise CheckFailedError(f"the step limit is {step_limit}, the env gave truncated={truncated} after {length}")
        if result[2] or truncated:
            state, length = _number(base.reset()[0]), 0


def _taken(base: Any, action: int) -> tuple[Result, bool]:
    observation, reward, terminated, truncated, _ = base.step(action)
    return (_number(observation), float(reward), bool(terminated)), bool(truncated)


def _number(observation: Any) -> int:
    try:
        return index(observation)
    except TypeError:
        raise CheckFailedError(f"the table has numbered states, the env gave the observation {observation!r}") from None


def _step(base: Any, pair: Pair) -> Result:
    base.s = pair[0]
    return _taken(base, pair[1])[0]


def _check_certain(base: Any, pair: Pair, says: Result) -> None:
    seen = _step(base, pair)
    if seen != says:
        raise CheckFailedError(f"{_name(pair)} lists {(1.0, *says)}, but the env gave {seen}")


def _check_sampled(base: Any, laws: Mapping[Pair, Law], samples: int) -> None:
    """Samples each (state, action) equally often; tests each alone, then all with the same probabilities together."""
    if not laws:
        return
    each = max(samples // len(laws), 1)
    pooled: dict[tuple[float, ...], Counter[int]] = {}
    # The starts get half of the false alarms; one test per pair and at most one per pattern share the rest.
    alarm = FALSE_ALARM / 2 / (2 * len(laws))
    for pair, law in laws.items():
        seen = Counter(_step(base, pair) for _ in range(each))
        _check_listed(pair, law, seen)
        _check_frequencies(_name(pair), law, seen, alarm)
        places = {result: place for place, result in enumerate(law)}
        counts = {places[result]: count for result, count in seen.items()}
        pooled.setdefault(tuple(law.values()), Counter()).update(counts)
    for pattern, counter in pooled.items():
        name = "all (state, action) with these probabilities"
        _check_frequencies(name, dict(enumerate(pattern)), counter, alarm)


def check_starts(base: Any, initial: NDArray[np.float64], samples: int) -> None:
    """Compares the first states of `samples` episodes with their distribution (n_states,).

    Raises:
        CheckFailedError: they disagree.
    """
    starts = np.flatnonzero(initial > 0)
    law = dict(zip(starts.tolist(), initial[starts].tolist(), strict=True))
    seen = Counter(_number(base.reset()[0]) for _ in range(samples))
    stray = next((state for state in seen if state not in law), None)
    if stray is not None:
        raise CheckFailedError(f"reset gave state {stray}, which the start distribution excludes")
    _check_frequencies("the start distribution", law, seen, FALSE_ALARM / 2)


def _check_listed(pair: Pair, law: Law, seen: Iterable[Result]) -> None:
    for result in seen:
        if result not in law:
            raise CheckFailedError(f"{_name(pair)} lists only {list(law)}, but the env gave {result}")


def _check_frequencies(name: str, law: Mapping[Any, float], seen: Counter[Any], alarm: float) -> None:
    total = seen.total()
    if _surprise(law, seen) > -math.log(alarm):
        says, gave = _shares(law, law), _shares(law, seen, total)
        raise CheckFailedError(f"{name}: the model has the probabilities {says}, but {total} samples gave {gave}")


def _surprise(law: Mapping[Any, float], seen: Counter[Any]) -> float:
    """Returns x such that frequencies this far from `law` have a probability of at most exp(-x).

    n KL(seen || law), minus the log of the number of possible counts: the method of types (Cover and
    Thomas, Elements of Information Theory, theorem 11.1.4), which holds for any n, unlike a chi-squared
    approximation, whose far tail is wrong for small expected counts.
    """
    n, k = seen.total(), len(law)
    divergence = math.fsum(count * math.log(count / (n * law[result])) for result, count in seen.items())
    types = math.lgamma(n + k) - math.lgamma(n + 1) - math.lgamma(k)
    return divergence - types


def _shares(law: Mapping[Any, float], weights: Mapping[Any, float], total: float = 1.0) -> list[float]:
    return [round(weights.get(result, 0) / total, 4) for result in list(law)[:8]]


def _name(pair: Pair) -> str:
    return f"P[{pair[0]}][{pair[1]}]"
