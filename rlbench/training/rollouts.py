"""Rolls out a policy, any policy in any env, and stores every step as it was observed."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents import Agent
from rlbench.checks import whole_number
from rlbench.envs.allowing import allowed_actions
from rlbench.envs.discretize import bin_encoder
from rlbench.envs.making import make_env, step_limit
from rlbench.envs.wrapping import wrap
from rlbench.errors import UsageError
from rlbench.training.binning import in_bins
from rlbench.training.parents import bins_of_run
from rlbench.training.playing import MOST_STEPS
from rlbench.training.recording import RecordEpisodes
from rlbench.training.run import Run
from rlbench.training.setup import check_kwargs, check_seed, naming_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import gymnasium as gym

    from rlbench.store import Store
    from rlbench.training.binning import Asked

    Policy = Callable[[Any], Any]

RANDOM = "random"


@naming_unknown
def record(
    env: str | gym.Env[Any, Any],
    policy: str | Run | Agent | Policy = RANDOM,
    *,
    episodes: int = 100,
    seed: int = 0,
    store: str | Path | Store | None = None,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[str] = (),
    bins: Asked | None = None,
    tags: Iterable[str] = (),
) -> Run:
    """Plays episodes of an env by a policy and stores every step as it was observed, to look at and to learn from.

        run = rlbench.record("CartPole-v1", episodes=200, store="rlbench.db")
        learnt = rlbench.retrain(run, bins="6,6,12,12").run

    Args:
        env: an id, a short name or an env, with any spaces that can be stored; an env that is given stays open.
        policy: "random"; a run or an agent, which acts greedily (a run that learnt in bins puts the observations into
            them); what has a `predict` like Stable-Baselines3's; or a function from an observation to an action.
        episodes: how many; one in an env without a step limit is cut off after 10,000 steps.
        seed: of the env and of random actions.
        store: a URL, path or open store; None keeps the run in memory.
        env_kwargs: arguments of the env.
        wrappers: to put round the env; see `rlbench.envs.wrapping.wrap`.
        bins: store the bin of each observation instead of the observation; see `rlbench.train`.
        tags: of the run.

    Raises:
        UsageError: an argument is wrong, or the policy does not fit the env.
        StoreError: the store cannot be opened or written.
    """
    whole_number("episodes", episodes)
    check_seed(seed)
    check_kwargs(env_kwargs=env_kwargs)
    made = in_bins(wrap(make_env(env, env_kwargs), wrappers), bins, None)
    with closing(made) if isinstance(env, str) else nullcontext():
        act, name = policy_of(policy, made, seed)
        recorded = RecordEpisodes(made, store, agent_name=name, seed=seed, tags=tags)
        try:
            for episode in range(episodes):
                _roll_out(recorded, act, None if episode else seed)
        finally:
            recorded.finish()
    return recorded.run


def _roll_out(env: gym.Env[Any, Any], act: Policy, seed: int | None) -> None:
    observation = env.reset(seed=seed)[0]
    for _ in range(step_limit(env) or MOST_STEPS):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        if terminated or truncated:
            return


def policy_of(policy: Any, env: gym.Env[Any, Any], seed: int) -> tuple[Policy, str]:
    """Returns the function that acts in an env, and its name.

    Raises:
        UsageError: it cannot act there.
    """
    if policy == RANDOM:
        env.action_space.seed(seed)
        allowed = allowed_actions(env)
        if allowed is None:
            return lambda _: env.action_space.sample(), RANDOM
        return lambda observation: env.action_space.sample(mask=allowed[observation].astype(np.int8)), RANDOM
    if isinstance(policy, Run):
        return _policy_of_run(policy, env), policy.agent_name
    if isinstance(policy, Agent):
        return lambda observation: policy.predict(observation)[0], policy.name
    if hasattr(policy, "predict"):
        return lambda observation: policy.predict(observation)[0], type(policy).__name__.lower()
    if not callable(policy):
        raise UsageError(f"policy must be random, a run, an agent or a function of an observation, got {policy!r}")
    return policy, getattr(policy, "__name__", type(policy).__name__)


def _policy_of_run(run: Run, env: gym.Env[Any, Any]) -> Policy:
    agent = run.agent
    if getattr(env.observation_space, "n", None) == agent.n_states:
        return lambda observation: agent.predict(observation)[0]
    bins = bins_of_run(run)
    if bins is None:
        raise UsageError(
            f"run {run.id} learnt {agent.n_states} states of {run.env_id}, the env observes {env.observation_space}"
        )
    encode = bin_encoder(bins)
    return lambda observation: agent.predict(encode(np.asarray(observation, np.float64).ravel().tolist()))[0]
