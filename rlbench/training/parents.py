"""What a run takes over from its parent: the values of the agent, and the bins in which it learnt."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from rlbench.agents import AGENTS, TableAgent
from rlbench.agents.parameters import ExplorationParameters
from rlbench.envs.discretize import bins_of, make_bins
from rlbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.envs.discretize import Bins
    from rlbench.training.run import Run


def table_of(run: Run) -> NDArray[np.float64]:
    """Returns the action values that a run has learnt, (n_states, n_actions); UsageError if it keeps none."""
    if not run.has_agent:
        raise UsageError(f"run {run.id} keeps no agent whose values could be taken over: name one that was trained")
    table: NDArray[np.float64] | None = getattr(run.agent, "q_table", None)
    if table is None:
        raise UsageError(f"run {run.id} is of {run.agent_name}, which keeps no values: name one with a table")
    return table


def check_keeps_values(agent: str | type[Agent]) -> None:
    """Refuses an agent that could not take over values and act by them."""
    cls = AGENTS.get(agent) if isinstance(agent, str) else agent
    if cls is None or (issubclass(cls, TableAgent) and issubclass(cls.Parameters, ExplorationParameters)):
        return
    raise UsageError(f"{cls.name} keeps no values to act by: go on with an agent whose actions follow from its table")


def take_values(agent: TableAgent, parent: Run) -> str:
    """Gives a new agent the values of a run's agent; returns their SHA-256.

    Raises:
        UsageError: the run keeps no table, or one of another size.
    """
    table = table_of(parent)
    if table.shape != (agent.n_states, agent.n_actions):
        raise UsageError(
            f"run {parent.id} learnt {table.shape[0]} states and {table.shape[1]} actions, the env has "
            f"{agent.n_states} and {agent.n_actions}: name the env and the bins that it learnt in"
        )
    agent.q_table = table
    agent.origins = (parent.id,)
    return hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()


def at_final_exploration(parameters: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters of an agent that begins with learnt values: final exploration, unless it is told how."""
    if any(name.startswith("exploration_") for name in given):
        return parameters
    final = parameters.get("exploration_final_eps", ExplorationParameters.exploration_final_eps)
    others = {name: value for name, value in parameters.items() if not name.startswith("exploration_")}
    return {**others, "exploration_schedule": "constant", "exploration_initial_eps": final}


def bins_of_run(run: Run) -> Bins | None:
    """Returns the bins in which a run's agent learnt; None if there are none.

    Raises:
        StoreError: its env cannot be made to tell, or what is stored of the bins is damaged.
    """
    config = run.record.config.env
    if config.bins is not None:
        return _stored_bins(config.bins, run.id)
    if config.spec is None:
        return None
    with closing(run.make_env()) as env:
        return bins_of(env)


def _stored_bins(arguments: dict[str, Any], run_id: str) -> Bins:
    """Returns the bins that a record describes by `arguments_of`: a stranger may have written it."""
    try:
        per_dimension = arguments.get("bins") or arguments.get("cuts") or arguments["centers"][0]
        return make_bins(gym.spaces.Box(-np.inf, np.inf, (len(per_dimension),)), **arguments)
    except (UsageError, TypeError, ValueError, LookupError) as error:
        raise StoreError(f"run {run_id} is damaged: what it says of its bins is unreadable ({error})") from error


def same_bins(one: Bins | None, other: Bins | None) -> bool:
    """Returns whether every observation falls into the same bin of both."""
    if one is None or other is None:
        return one is other
    return type(one) is type(other) and all(map(np.array_equal, one, other))
