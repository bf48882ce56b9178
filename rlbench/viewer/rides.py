"""Rides: an agent driving an env live; independent of drawing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs.making import id_of, make_env
from rlbench.envs.wrapping import wrap
from rlbench.errors import StoreError
from rlbench.store import Episode
from rlbench.store.columns import Layout
from rlbench.store.records import tree
from rlbench.training.binning import in_bins, in_more
from rlbench.training.setup import check_fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.training import Run
    from rlbench.training.binning import Asked

    MakeEnv = Callable[..., gym.Env[Any, Any]]

PACE = 4.0  # steps per second, for an env without render_fps
SEEDS = 2**31  # the number of live episodes: one per seed
MOST_STEPS = 1000  # after which an episode without an end stops


class Ride(NamedTuple):
    """An agent and its env.

    Attributes:
        title: a description of both.
        make_env: makes the env.
        agent_for: the agent for an episode in an env, given a seed; the same seed gives the same actions.
        table: the learnt table, (n_states, n_actions), or None.
    """

    title: str
    make_env: MakeEnv
    agent_for: Callable[[gym.Env[Any, Any], int], Any]
    table: Callable[[], NDArray[Any] | None]


class Random:
    """Draws each action from an env's action space."""

    def __init__(self, env: gym.Env[Any, Any], seed: int) -> None:
        self._space = env.action_space
        self._space.seed(seed)

    def act(self, observation: Any, *, explore: bool) -> Any:
        """Returns a random action."""
        del observation, explore
        return self._space.sample()


def ride_of(run: Run, wrappers: Sequence[str] = (), bins: Asked | None = None) -> Ride:
    """Returns the ride of a run's agent, acting greedily.

    Args:
        run: whose agent and env.
        wrappers: to put around the env; see `rlbench.envs.wrapping.wrap`.
        bins: refused unless they are those that it learnt in.

    Raises:
        UsageError: its env differs each time it is made, the code of env or agent was edited since, or the wrappers or
            bins do not fit.
    """
    run.make_same_env(run.agent).close()
    title = f"run {run.id}: {run.agent_name} on {run.env_id}, driving greedily"

    def agent_for(env: gym.Env[Any, Any], _seed: int) -> Agent:
        check_fit(run.agent, env)
        return run.agent

    make = partial(in_more, run, wrappers, bins) if wrappers or bins is not None else run.make_env
    make().close()
    return Ride(title, make, agent_for, lambda: table_of(run))


def random_ride(
    env: str, settings: dict[str, Any] | None = None, wrappers: Sequence[str] = (), bins: Asked | None = None
) -> Ride:
    """Returns the ride of the random agent in an env.

    Args:
        env: an id or a short name.
        settings: arguments of the env.
        wrappers: to put around it; see `rlbench.envs.wrapping.wrap`.
        bins: of its observations; see `rlbench.train`.

    Raises:
        UsageError: the env is unknown, or the wrappers or bins do not fit it.
    """

    def make(**extra: Any) -> gym.Env[Any, Any]:
        return in_bins(wrap(make_env(env, settings, **extra), wrappers), bins, None)

    made = make()
    made.close()
    return Ride(f"random on {id_of(made)}", make, Random, lambda: None)


def drive(env: gym.Env[Any, Any], agent: Any, seed: int, most: int) -> Episode:
    """Plays one greedy episode from a seed, of at most `most` steps."""
    seen, taken = Layout(env.observation_space, "observations"), Layout(env.action_space, "actions")
    observation, _ = env.reset(seed=seed)
    observations = [seen.copy(observation)]
    actions: list[Any] = []
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated or len(actions) == most):
        action = agent.act(observation, explore=False)
        actions.append(taken.copy(action))
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(seen.copy(observation))
        rewards.append(float(reward))
    env.close()
    return Episode(
        index=seed,
        observations=tree(seen.columns(observations), "observations"),
        actions=tree(taken.columns(actions), "actions"),
        rewards=np.array(rewards),
        terminated=bool(terminated),
        truncated=bool(truncated),
    )


def table_of(run: Run) -> NDArray[Any] | None:
    """Returns the table learnt by a run, (n_states, n_actions); None if it has none."""
    try:
        table = getattr(run.agent, "q_table", None)
    except (StoreError, LookupError, ValueError):  # recorded without an agent, or killed before its first checkpoint
        return None
    return None if table is None else np.asarray(table)


def pace_of(env: gym.Env[Any, Any] | None) -> float:
    """Returns the steps per second at which to show an env."""
    return float((env.metadata.get("render_fps") if env is not None else None) or PACE)
