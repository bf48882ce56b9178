"""`train`: from a request to a stored run."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from rlbench.presets import DEFAULT
from rlbench.store.config import EVAL_EPISODES
from rlbench.training.setup import all_arguments, naming_unknown
from rlbench.training.tasks import Request, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import gymnasium as gym

    from rlbench.agents import Agent
    from rlbench.presets import AskedPreset
    from rlbench.store import Store
    from rlbench.training.binning import Asked
    from rlbench.training.callbacks import Callback
    from rlbench.training.run import Run


@naming_unknown
def train(
    env: str | gym.Env[Any, Any],
    agent: str | type[Agent] | Agent = "q-learning",
    *,
    episodes: int | None = None,
    total_timesteps: int | None = None,
    seed: int | None = None,
    store: str | Path | Store | None = None,
    record: str = "all",
    engine: str = "auto",
    progress: bool | Callable[[float], object] = False,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[str] = (),
    bins: Asked | None = None,
    agent_kwargs: dict[str, Any] | None = None,
    preset: AskedPreset = DEFAULT,
    parent: Run | None = None,
    cache: bool = True,
    callbacks: Sequence[Callback] = (),
    eval_every: int | None = None,
    eval_episodes: int = EVAL_EPISODES,
    tags: Iterable[str] = (),
    note: str = "",
) -> Run:
    """Trains an agent on an env and stores what happened.

    Args:
        env: an id ("FrozenLake-v1"), a short name ("safecab", "cartpole") or an env with Discrete spaces.
        agent: a name ("q-learning"), a class or an agent; an agent goes on from where it is.
        episodes: stop after this many.
        total_timesteps: stop with the episode in which this many steps are reached; with `episodes`, the first to come.
            In an env without a step limit an episode is cut off after 100,000 steps, so that this ends a task that
            never does; the value of the state after the last step counts. Without either, the preset of the env says.
        seed: of all the run's generators; None draws one and records it.
        store: a URL, path or open store; None keeps the run in memory.
        record: "all" stores every step, "none" the figures of each episode only.
        engine: "compiled", "python", or "auto": compiled where env and agent allow. The result is the same.
        progress: show a bar on a terminal, for anything over a second; a function is called with the share that is
            done instead.
        env_kwargs: arguments of the env, added to the preset's.
        wrappers: to put round the env, each "NAME" or "NAME:argument=value,..."; see `rlbench.envs.wrapping.wrap`.
        bins: of Box observations, so that they can index a table: a number for each dimension ("6,6,12,12"), "kmeans:K"
            or "quantile:K", fitted on 10,000 random steps, a JSON file or a dict with arguments of `Discretize`.
        agent_kwargs: hyper-parameters of the agent, added to the preset's. `learning_rate` and `exploration_schedule`
            may be functions of the share of the training that remains, from 1 to 0; the readable loop then runs.
        preset: the name of a set of tuned parameters, a TOML file that `rlbench tune --save-preset` wrote, or a dict
            with the fields of `rlbench.presets.Preset`.
        parent: begin with the values of this run's agent, in its bins; counters, generators and schedules begin anew,
            exploration at its final value unless `agent_kwargs` say how.
        cache: answer from the store what has been trained there before, in whole or as far as it goes; the result is
            the same. Only envs and agents given by name or class are known again, and only as long as their code is
            the same; a warning says when it cannot be known.
        callbacks: called between episodes, at the same places in both loops; they may end the training. See
            `rlbench.Callback`.
        eval_every: play greedy episodes each time this many episodes of training end, in an env and with generators of
            their own, so that training is the same bit for bit. Their mean returns are stored with the run's figures.
        eval_episodes: how many of them.
        tags: labels of the run, by which it is listed; they decide nothing, and a run that the cache answers with, or
            goes on with, gets those that it lacks.
        note: text about it; "" leaves that of a run from the cache as it is.

    Returns:
        The run: its agent, its returns and lengths (one an episode), its id in the store.

    Raises:
        UsageError: an argument is wrong; the message says which and what to do.
        StoreError: the store cannot be opened or written.
    """
    request = Request(
        env,
        agent,
        episodes,
        total_timesteps,
        record,
        engine,
        env_kwargs,
        wrappers,
        bins,
        agent_kwargs,
        preset,
        parent,
        callbacks,
        eval_every,
        eval_episodes,
    )
    with Task(request) as task:
        return task.train(
            seed=seed, store=store, progress=progress, cache=cache, tags=tags, note=note, callbacks=callbacks
        )


class Trainer:
    """Trains what is requested, one after another; requests that differ in their seeds alone share a task."""

    def __init__(self) -> None:
        self._task: Task | None = None

    def close(self) -> None:
        """Closes the last task."""
        if self._task is not None:
            self._task.close()
            self._task = None

    def train(self, **arguments: Any) -> Run:
        """Trains as `train` does with these arguments, with copies of the callbacks: none sees another's training."""
        given = all_arguments(train, arguments)
        request = Request(**{name: given.pop(name) for name in Request._fields})
        if self._task is None or not self._task.serves(request):
            self.close()
            self._task = Task(request)
        return self._task.train(**given, callbacks=copy.deepcopy(request.callbacks))
