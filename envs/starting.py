"""Exploring starts: episodes that begin anywhere."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from rlbench.checks import place
from rlbench.envs.book.base import TableEnv
from rlbench.envs.making import id_of
from rlbench.envs.tabular import TabularModel, read_model
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class ExploringStarts(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Begins episodes in each of some states as often (Sutton & Barto, 2018, 5.3), by the draw that the env makes.

    It changes the start distribution of the env that it is put round: one of the book's, or any with a table P that
    begins by its `initial_state_distrib`, as Gymnasium's do. The table still describes it, so both loops train in it.

    Args:
        env: the env.
        states: in which to begin; by default all in which an agent may have to act.

    Raises:
        UsageError: it is another env, or a state is none of its own.
    """

    def __init__(self, env: gym.Env[Any, Any], states: Sequence[int] | None = None) -> None:
        RecordConstructorArgs.__init__(self, states=None if states is None else list(states))
        gym.Wrapper.__init__(self, env)
        model = read_model(env)
        _begin(env, model, _evenly(model.reachable(), states))


def _begin(env: gym.Env[Any, Any], model: TabularModel, starts: NDArray[np.float64]) -> None:
    """Lets an env begin by this distribution; UsageError if it goes on to begin by another."""
    base: Any = env.unwrapped
    if isinstance(base, TableEnv):
        base.use(replace(model, initial=starts, step_limit=None), base.view)
        return
    with suppress(AttributeError):  # it cannot be set
        base.initial_state_distrib = starts
    if not np.array_equal(TabularModel.from_env(env).initial, starts):
        raise UsageError(f"{id_of(env)} does not begin where its initial_state_distrib says, which could be changed")


def _evenly(able: NDArray[np.bool_], states: Sequence[int] | None) -> NDArray[np.float64]:
    """Returns the same probability for each of these states."""
    if states is not None:
        if not len(states):
            raise UsageError("states must name a state to begin in, got none")
        chosen = [place("a state to begin in", one, len(able)) for one in states]
        able = np.isin(np.arange(len(able)), chosen)
    return able / np.count_nonzero(able)
