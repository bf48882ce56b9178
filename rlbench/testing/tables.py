"""Checks a transition table: puts the env in every state and compares what happens with the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.envs.making import make_env
from rlbench.envs.measuring import check_laws, check_starts, law_of
from rlbench.envs.tabular import read_model
from rlbench.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gymnasium as gym

    from rlbench.envs.tabular import TabularModel


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
    model = read_model(env) if model is None else model
    base = env.unwrapped
    base.reset(seed=seed)
    if not hasattr(base, "s"):
        raise CheckFailedError(f"{base} has no attribute s that holds its state, so it cannot be put in a state")
    table, chosen = model.P, range(model.n_states) if states is None else states
    pairs = [(state, action) for state in chosen for action in range(model.n_actions)]
    check_laws(base, {pair: law_of(table, pair) for pair in pairs}, samples)
    check_starts(base, model.initial, min(samples, 10_000))
