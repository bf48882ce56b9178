"""How good an agent is: sampled returns with an interval, and the exact value if a model is known."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from rlbench.agents import Agent
from rlbench.agents.prediction import Prediction
from rlbench.checks import whole_number
from rlbench.envs.flattening import flattened
from rlbench.envs.making import make_env
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.intervals import mean_interval
from rlbench.planning import expected_return, score_policy, solve
from rlbench.planning.sweeps import check_gamma
from rlbench.training.binning import in_bins
from rlbench.training.code import check_same_env
from rlbench.training.playing import play
from rlbench.training.run import Run
from rlbench.training.setup import check_fit, check_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.planning import Optimum


@dataclass(frozen=True)
class Evaluation:
    """What a greedy policy is worth.

    Attributes:
        returns: the return of each sampled episode, shape (episodes,).
        lengths: the steps of each, shape (episodes,).
        seed: of the sampling.
        mean_return: the mean of the returns.
        interval: a 95 % bootstrap interval of that mean.
        success_rate: the share of episodes that succeeded: by the last `info["is_success"]` if the env has one, else by
            the rules for Gymnasium's envs (see `rlbench.envs.success`); None for any other env.
        unfinished: how many sampled episodes were cut off after 10,000 steps, in an env without a step limit.
        exact_return: the exact expected return over all starts, within the step limit; None if no model is known.
        optimal_return: the best that any policy can reach there.
        regret: optimal_return - exact_return.
        optimal_states: the number of reachable states in which the greedy action is optimal (see `PolicyScore`); None
            for a policy that draws its actions.
        reachable_states: how many states can be reached from the starts, by any actions.
        behaving_return: the exact expected return of the policy that explores as in the end of training, which is what
            on-policy agents learn to make good; None if no model is known, or how it explores.
        exploration_rate: at which it explores then.
        gamma: the discount of the exact figures; below 1 they count no step limit. The sampled ones are undiscounted.
        inexact: why there is no exact value; None if there is one.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    seed: int
    mean_return: float
    interval: tuple[float, float]
    success_rate: float | None
    unfinished: int = 0
    exact_return: float | None = None
    optimal_return: float | None = None
    regret: float | None = None
    optimal_states: int | None = None
    reachable_states: int | None = None
    behaving_return: float | None = None
    exploration_rate: float | None = None
    gamma: float = 1.0
    inexact: str | None = None

    @property
    def optimal_share(self) -> str:
        """In how many of the reachable states the greedy action is optimal, as text."""
        return f"{self.optimal_states:,} of {self.reachable_states:,} reachable states"

    def summary(self) -> dict[str, Any]:
        """Returns the figures as a JSON-able dict; numbers that are not finite become None."""
        left_out = {"returns", "lengths", *(() if self.inexact else ("inexact",))}
        figures = {name: value for name, value in asdict(self).items() if name not in left_out}
        plain = {name: _finite(value) for name, value in figures.items()}
        return {**plain, "interval": [_finite(bound) for bound in self.interval], "episodes": len(self.returns)}


def evaluate(
    run_or_agent: Run | Agent,
    env: str | gym.Env[Any, Any] | None = None,
    *,
    episodes: int = 100,
    seed: int | None = None,
    gamma: float = 1.0,
    optimum: Optimum | None = None,
    another_env: bool = False,
) -> Evaluation:
    """Plays greedily, learning nothing; also computes the exact value if the env has a transition table.

    Args:
        run_or_agent: whose greedy policy to play; its generators and tables stay as they are.
        env: an id, a short name or an env; a run's own by default.
        episodes: how many to sample.
        seed: of the env's draws; None draws one and records it.
        gamma: the discount of the exact figures, in [0, 1]; below 1 they count no step limit, as in textbooks.
        optimum: of the same env and gamma, if `planning.solve` has already computed it.
        another_env: judge a run on another env than it was trained on, which is refused otherwise.

    Raises:
        UsageError: no env for an agent, episodes below 1, an env with other spaces than the agent's, another
            env than the run's, or one whose code was edited since.
    """
    whole_number("episodes", episodes)
    check_seed(seed)
    check_gamma(gamma)
    agent = run_or_agent.agent if isinstance(run_or_agent, Run) else run_or_agent
    if not isinstance(agent, Agent):
        raise UsageError(f"evaluate takes a run or an agent, got {agent!r}")
    made = _env_for(run_or_agent, env, another_env=another_env)
    seed = secrets.randbits(31) if seed is None else int(seed)
    try:
        check_fit(agent, made)
        played = play(made, agent, int(episodes), seed)
        exact = _exact(made, agent, gamma, optimum)
    finally:
        if not isinstance(env, gym.Env):
            made.close()
    return Evaluation(
        returns=played.returns,
        lengths=played.lengths,
        seed=seed,
        mean_return=float(played.returns.mean()),
        interval=mean_interval(played.returns, seed),
        success_rate=None if played.successes is None else float(played.successes.mean()),
        unfinished=played.unfinished,
        gamma=gamma,
        **exact,
    )


def _env_for(run_or_agent: Run | Agent, env: str | gym.Env[Any, Any] | None, *, another_env: bool) -> gym.Env[Any, Any]:
    if isinstance(env, str | gym.Env):
        made = make_env(env)
        if isinstance(run_or_agent, Run) and isinstance(made.observation_space, gym.spaces.Box):
            made = in_bins(made, None, None, run_or_agent)
        made = flattened(made)
        if isinstance(run_or_agent, Run) and not another_env:
            check_same_env(run_or_agent.record, made)
        return made
    if env is not None:
        raise UsageError(f"env must be an id, a short name or a Gymnasium env, got {env!r}")
    if isinstance(run_or_agent, Run):
        return run_or_agent.make_same_env(run_or_agent.agent)
    raise UsageError("an agent needs an env to be evaluated in: evaluate(agent, env)")


def _exact(env: gym.Env[Any, Any], agent: Agent, gamma: float, optimum: Optimum | None) -> dict[str, Any]:
    policy = agent.greedy_policy()
    if policy is None and not isinstance(agent, Prediction):
        return {"inexact": f"{agent.name} has no greedy policy"}
    try:
        model = TabularModel.from_env(env)
        optimum = optimum or solve(model, gamma)
        found = _drawn(model, agent, optimum) if policy is None else asdict(score_policy(model, policy, optimum))
    except UsageError as error:  # no transition table, or not of this env
        return {"inexact": str(error)}
    behaving = agent.behaving_policy()
    if behaving is None:
        return found
    worth = expected_return(model, behaving, optimum)
    return {**found, "behaving_return": worth, "exploration_rate": agent.exploration_told}


def _drawn(model: TabularModel, agent: Any, optimum: Optimum) -> dict[str, Any]:
    """Returns what a given policy that draws its actions is worth."""
    exact, best = expected_return(model, agent.target_policy(), optimum), optimum.optimal_return
    return {"exact_return": exact, "optimal_return": best, "regret": max(best - exact, 0.0)}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
