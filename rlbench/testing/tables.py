"""Checks a transition table: puts the env in every state and compares what happens with the table."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from rlbench.envs.making import make_env
from rlbench.envs.tabular import TabularModel
from rlbench.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import gymnasium as gym

FALSE_ALARM = 1e-6  # probability that a true model of a stochastic env fails check_model

Pair: TypeAlias = "tuple[int, int]"  # (state, action)
Result: TypeAlias = "tuple[int, float, bool]"  # (next state, reward, terminated)


def check_model(
    env: gym.Env[Any, Any] | str,
    model: TabularModel | None = None,
    *,
    states: Iterable[int] | None = None,
    samples: int = 200_000,
    seed: int = 0,
) -> None:
    """Puts an env in every state, takes every action, and compares what happens with a model.

    A single outcome must equal the model's exactly. Of several outcomes, every observed one must be listed, and their
    frequencies must agree in a likelihood-ratio test, pair by pair and pooled over all pairs with the same
    probabilities. So must the frequencies of the starts. A true model fails with a total probability below
    `FALSE_ALARM` (see `_surprise`).

    Args:
        env: an env with its state in the attribute `s` of the unwrapped env, as in toy-text and SafeCab; or an id.
        model: the model to compare with; the env's own by default.
        states: the states to check; all by default.
        samples: the number of steps to spend on stochastic outcomes.
        seed: the seed of the env.

    Raises:
        CheckFailedError: env and model disagree; the message names the first disagreement.
        UsageError: the env has no model.
    """
    if isinstance(env, str):
        env = make_env(env, disable_env_checker=True)
    model = TabularModel.from_env(env) if model is None else model
    base = env.unwrapped
    base.reset(seed=seed)
    if not hasattr(base, "s"):
        raise CheckFailedError(f"{base} has no attribute s that holds its state, so it cannot be put in a state")
    laws = dict(_laws(model, range(model.n_states) if states is None else states))
    for pair, law in laws.items():
        if len(law) == 1:
            _check_certain(base, pair, next(iter(law)))
    _check_sampled(base, {pair: law for pair, law in laws.items() if len(law) > 1}, samples)
    _check_starts(base, model, min(samples, 10_000))


def _laws(model: TabularModel, states: Iterable[int]) -> Iterator[tuple[Pair, dict[Result, float]]]:
    """Yields each (state, action) with the probabilities of its distinct results."""
    for state in states:
        for action, outcomes in model.P[state].items():
            law: dict[Result, float] = {}
            for probability, successor, reward, terminated in outcomes:
                if probability > 0:
                    result = (successor, reward, terminated)
                    law[result] = law.get(result, 0.0) + probability
            yield (state, action), law


def _step(base: Any, pair: Pair) -> Result:
    base.s = pair[0]
    observation, reward, terminated, _, _ = base.step(pair[1])
    return int(observation), float(reward), bool(terminated)


def _check_certain(base: Any, pair: Pair, says: Result) -> None:
    seen = _step(base, pair)
    if seen != says:
        raise CheckFailedError(f"{_name(pair)} lists {(1.0, *says)}, but the env gave {seen}")


def _check_sampled(base: Any, laws: Mapping[Pair, dict[Result, float]], samples: int) -> None:
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


def _check_starts(base: Any, model: TabularModel, samples: int) -> None:
    law = dict(zip(model.starts.tolist(), model.initial[model.starts].tolist(), strict=True))
    seen = Counter(int(base.reset()[0]) for _ in range(samples))
    stray = next((state for state in seen if state not in law), None)
    if stray is not None:
        raise CheckFailedError(f"reset gave state {stray}, which the start distribution excludes")
    _check_frequencies("the start distribution", law, seen, FALSE_ALARM / 2)


def _check_listed(pair: Pair, law: Mapping[Result, float], seen: Iterable[Result]) -> None:
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
