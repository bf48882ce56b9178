"""Checks for whoever writes an env: that it keeps Gymnasium's promises, and that its table is the truth."""

from __future__ import annotations

import copy
import math
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as check_gymnasium_env
from gymnasium.utils.env_checker import data_equivalence

from rlbench.envs.tabular import TabularModel, make_env, why_no_model
from rlbench.errors import RlbenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FALSE_ALARM = 1e-6  # probability that a true model of a stochastic env fails check_model
STEPS = 200  # of the trajectories that must be repeatable
MASKED_STEPS = 20_000  # transitions after which an action mask is compared with the table

# What Gymnasium's checker says of good envs: it is handed wrapped ones, and CartPole's bounds are infinite.
_EXPECTED_WARNINGS = (
    r".*is different from the unwrapped version",
    r".*A Box observation space (minimum|maximum) value is",
)

Pair: TypeAlias = "tuple[int, int]"  # (state, action)
Result: TypeAlias = "tuple[int, float, bool]"  # (next state, reward, terminated)


class CheckFailedError(RlbenchError, AssertionError):
    """An env or its model breaks a promise; the message is the first one found."""


def check_model(
    env: gym.Env[Any, Any] | str,
    model: TabularModel | None = None,
    *,
    states: Iterable[int] | None = None,
    samples: int = 200_000,
    seed: int = 0,
) -> None:
    """Puts an env in every state, takes every action, and compares what happens with a model.

    Where an action has one outcome it must be the model's, exactly. Where it has several, every observed
    one must be listed, and their frequencies must agree by a likelihood-ratio test, pair by pair and with
    all pairs of the same probabilities pooled. So must the frequencies of the starts. A true model fails
    with a probability below `FALSE_ALARM` in all (see `_surprise`).

    Args:
        env: an env whose unwrapped state is the attribute `s`, as toy-text's and SafeCab's; or an id.
        model: what to compare with; the env's own by default.
        states: where to look; everywhere by default.
        samples: how many steps to spend on the stochastic outcomes.
        seed: of the env.

    Raises:
        CheckFailedError: they disagree; the message names the first disagreement.
        UsageError: there is no model.
    """
    if isinstance(env, str):
        env = make_env(env)
    model = TabularModel.from_env(env) if model is None else model
    base = env.unwrapped
    base.reset(seed=seed)
    if not hasattr(base, "s"):
        raise CheckFailedError(f"{base} has no attribute s for its state, so it cannot be put in one")
    laws = dict(_laws(model, range(model.n_states) if states is None else states))
    for pair, law in laws.items():
        if len(law) == 1:
            _check_certain(base, pair, next(iter(law)))
    _check_sampled(base, {pair: law for pair, law in laws.items() if len(law) > 1}, samples)
    _check_starts(base, model, min(samples, 10_000))


def check_env(env: gym.Env[Any, Any] | str, *, seed: int = 0) -> None:
    """Checks that an env is sound: the promises of Gymnasium, and those that this library builds on.

    Gymnasium's own checker (without rendering) must pass; the same seed and actions must give the same
    trajectory, also in an env made anew from the JSON of its spec; where the env has a table it must be
    the truth (`check_model`), and `info["action_mask"]`, if there is one, must be 0 just for the actions
    that surely change nothing.

    Args:
        env: an env, wrapped or not, or the id of a registered one.
        seed: of the trajectories.

    Raises:
        CheckFailedError: a promise is broken; the message says which.
        UnknownNameError: no env is registered under this id.
    """
    if isinstance(env, str):
        made = make_env(env)
        try:
            check_env(made, seed=seed)
        finally:
            made.close()
        return
    _check_api(env)
    _check_repeatable(env, seed)
    if why_no_model(env) is None:
        model = TabularModel.from_env(env)
        check_model(env, model, seed=seed)
        _check_action_mask(env, model, seed)


# ------------------------------------------------------------------------------------------------ the model


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
        raise CheckFailedError(f"{_name(pair)} says {(1.0, *says)}, the env gave {seen}")


def _check_sampled(base: Any, laws: Mapping[Pair, dict[Result, float]], samples: int) -> None:
    """Samples each (state, action) alike often; tests each alone, then all of one pattern together."""
    if not laws:
        return
    each = max(samples // len(laws), 1)
    pooled: dict[tuple[float, ...], Counter[int]] = {}
    # Half of the false alarms are the starts'; a test a pair and at most one a pattern share the rest.
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
        raise CheckFailedError(f"reset gave the state {stray}, which the start distribution excludes")
    _check_frequencies("the start distribution", law, seen, FALSE_ALARM / 2)


def _check_listed(pair: Pair, law: Mapping[Result, float], seen: Iterable[Result]) -> None:
    for result in seen:
        if result not in law:
            raise CheckFailedError(f"{_name(pair)} lists just {list(law)}, the env gave {result}")


def _check_frequencies(name: str, law: Mapping[Any, float], seen: Counter[Any], alarm: float) -> None:
    total = seen.total()
    if _surprise(law, seen) > -math.log(alarm):
        says, gave = _shares(law, law), _shares(law, seen, total)
        raise CheckFailedError(f"{name} says probabilities {says}, {total} tries gave {gave}")


def _surprise(law: Mapping[Any, float], seen: Counter[Any]) -> float:
    """Returns x such that frequencies as far from `law` have a probability of at most exp(-x).

    n KL(seen || law), less the log of the number of possible counts: the method of types (Cover and
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


# -------------------------------------------------------------------------------------------------- the env


def _check_api(env: gym.Env[Any, Any]) -> None:
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        try:
            check_gymnasium_env(env, skip_render_check=True, skip_close_check=True)
        except (AssertionError, AttributeError, TypeError, ValueError, gym.error.Error) as error:
            reason = " ".join(str(error).split())
            raise CheckFailedError(f"Gymnasium's check_env: {reason}") from error


def _check_repeatable(env: gym.Env[Any, Any], seed: int) -> None:
    """Checks that a seed decides the trajectory, in this env and in one made anew from its spec."""
    first = list(_trajectory(env, seed))
    _compare(first, _trajectory(env, seed), f"seed {seed} gave two different trajectories")
    if env.spec is None:
        return
    try:
        twin = gym.make(EnvSpec.from_json(env.spec.to_json()), disable_env_checker=True)
    except Exception as error:
        raise CheckFailedError(f"the spec of {env.spec.id} does not survive to_json: {error}") from error
    _compare(first, _trajectory(twin, seed), f"the env made anew from the JSON of {env.spec.id}'s spec differs")
    twin.close()


def _trajectory(env: gym.Env[Any, Any], seed: int) -> Iterator[tuple[Any, ...]]:
    """Yields what resets and STEPS seeded random actions return, copied: some envs reuse their buffers."""
    env.action_space.seed(seed)
    yield copy.deepcopy(env.reset(seed=seed)[:1])
    for _ in range(STEPS):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        yield copy.deepcopy((observation, float(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            yield copy.deepcopy(env.reset()[:1])


def _compare(first: list[tuple[Any, ...]], second: Iterable[tuple[Any, ...]], complaint: str) -> None:
    for moment, (a, b) in enumerate(zip(first, second, strict=False)):
        if not data_equivalence(a, b, exact=True):
            raise CheckFailedError(f"{complaint}: {a} and {b} after {moment} calls")


def _check_action_mask(env: gym.Env[Any, Any], model: TabularModel, seed: int) -> None:
    """Compares `info["action_mask"]`, where there is one, with what the table says the actions change."""
    base: Any = env.unwrapped
    _, info = base.reset(seed=seed)
    if "action_mask" not in info:
        return
    changes = _changes(model)
    for state, action in _some_pairs(model, seed):
        base.s = state
        observation, _, terminated, _, info = base.step(action)
        mask = np.asarray(info["action_mask"])
        if not terminated and not np.array_equal(mask != 0, changes[observation]):
            able = np.flatnonzero(changes[observation]).tolist()
            raise CheckFailedError(
                f"the action mask of state {observation} is {mask.tolist()}, but just {able} can change it"
            )


def _changes(model: TabularModel) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Marks (n_states, n_actions) where an action may end the episode or lead to another state."""
    owners = np.repeat(np.arange(model.n_states), np.add.reduceat(np.diff(model.offsets), _firsts(model)))
    moves = (model.probability > 0) & (model.terminated | (model.successor != owners))
    return np.logical_or.reduceat(moves, model.offsets[:-1]).reshape(model.n_states, model.n_actions)


def _firsts(model: TabularModel) -> range:
    return range(0, model.n_states * model.n_actions, model.n_actions)


def _some_pairs(model: TabularModel, seed: int) -> Iterator[Pair]:
    """Yields reachable (state, action)s, a seeded choice of them where they are many."""
    states = np.flatnonzero(model.reachable())
    pairs = np.arange(states.size * model.n_actions)
    if pairs.size > MASKED_STEPS:
        pairs = np.random.default_rng(seed).choice(pairs, MASKED_STEPS, replace=False)
    for pair in pairs.tolist():
        yield int(states[pair // model.n_actions]), pair % model.n_actions
