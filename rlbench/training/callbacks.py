"""Callbacks: your own code, called between episodes, at the same places in both loops."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlbench.checks import finite, whole_number
from rlbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.training.playing import Played

    Description = Mapping[str, Any]  # "name", and "settings", a dict or None

HOOKS = ("on_episode_end", "on_checkpoint", "on_evaluation")


@dataclass(frozen=True, eq=False)
class Progress:
    """What a callback sees of a run.

    Attributes:
        agent: the agent as it is now. What a callback changes in it counts from the next episode on.
        episodes: the number of episodes that have ended, since the beginning of the run.
        timesteps: the number of steps taken in them.
        returns: (episodes,) the return of each episode, read-only.
        lengths: (episodes,) the number of steps of each, read-only.
        evaluation: the last greedy episodes played for `eval_every`, with their `returns` and `lengths`; None before.
    """

    agent: Agent
    episodes: int
    timesteps: int
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    evaluation: Played | None = None


class Callback:
    """Called by `train` and `resume` between episodes; override the methods that you need.

    A method that returns False ends the training: the run is finished, and its record says which callback ended it.
    What a method raises interrupts the run, as Ctrl-C does. Only the methods that are overridden cost time: without
    `on_episode_end` the compiled loop runs on until the next checkpoint or evaluation.

    Attributes:
        every: the number of episodes between two calls of `on_checkpoint`, counted from the beginning of the run.
    """

    every: int = 1000

    def on_episode_end(self, progress: Progress) -> bool | None:
        """Called after each episode."""

    def on_checkpoint(self, progress: Progress) -> bool | None:
        """Called after each `every` episodes."""

    def on_evaluation(self, progress: Progress) -> bool | None:
        """Called after each evaluation (`eval_every`), with its result in `progress.evaluation`."""

    def settings(self) -> dict[str, Any] | None:
        """Returns all that decides what this callback does, as JSON values; None if that cannot be told.

        With None, a run that it watches is neither cached nor answered from the cache. Otherwise its settings and its
        code are part of what a cached run is known by. It must then depend on nothing but these and `progress`; and
        where the store has the answer, it is not called.
        """
        return None


class StopOnReturn(Callback):
    """Ends training when the mean return of the last episodes reaches a threshold.

    Args:
        threshold: the mean return to reach.
        window: the number of episodes in the mean.
        every: the number of episodes between two looks; by default the window.
    """

    def __init__(self, threshold: float, *, window: int = 100, every: int | None = None) -> None:
        self.threshold, self.window = finite("threshold", threshold), whole_number("window", window)
        self.every = self.window if every is None else whole_number("every", every)

    def on_checkpoint(self, progress: Progress) -> bool:
        """Returns False when the threshold is reached."""
        return progress.episodes < self.window or bool(progress.returns[-self.window :].mean() < self.threshold)

    def settings(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {"threshold": self.threshold, "window": self.window, "every": self.every}


class StopOnEvaluation(Callback):
    """Ends training when the mean return of an evaluation (`eval_every`) reaches a threshold."""

    def __init__(self, threshold: float) -> None:
        self.threshold = finite("threshold", threshold)

    def on_evaluation(self, progress: Progress) -> bool:
        """Returns False when the threshold is reached."""
        return progress.evaluation is None or bool(progress.evaluation.returns.mean() < self.threshold)

    def settings(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {"threshold": self.threshold}


SHIPPED = {cls.__name__: cls for cls in (StopOnReturn, StopOnEvaluation)}


def overridden(callback: Any, hook: str) -> Any:
    """Returns a method of a callback; None if it is the one that does nothing."""
    method = getattr(callback, hook, None)
    return None if getattr(method, "__func__", None) is getattr(Callback, hook) else method


def check_callbacks(callbacks: Sequence[Any], eval_every: int | None) -> None:
    """Raises UsageError for what is no callback, and for one that waits for evaluations that no one asked for."""
    if not isinstance(callbacks, list | tuple):
        raise UsageError(f"callbacks must be a list of callbacks, got {callbacks!r}")
    for one in callbacks:
        used = [] if isinstance(one, type) else [hook for hook in HOOKS if overridden(one, hook) is not None]
        if not used:
            raise UsageError(f"a callback is an object with one of the methods {', '.join(HOOKS)}, got {one!r}")
        if "on_evaluation" in used and eval_every is None:
            raise UsageError(f"{label(described(one))} waits for evaluations: give eval_every, a number of episodes")
        whole_number("every", every_of(one))


def every_of(callback: Any) -> int:
    """Returns the number of episodes between two checkpoints of a callback."""
    return getattr(callback, "every", Callback.every)


def described(callback: Any) -> dict[str, Any]:
    """Returns what a record says of a callback: its name and its settings, which are None if it gives none.

    Raises:
        UsageError: its settings are not a dict of JSON values.
    """
    cls = type(callback)
    name = cls.__name__ if SHIPPED.get(cls.__name__) is cls else f"{cls.__module__}.{cls.__qualname__}"
    settings = callback.settings() if hasattr(callback, "settings") else None
    try:
        plain = json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        plain = ()
    if not isinstance(plain, dict | None):
        raise UsageError(f"the settings of {name} must be a dict of names and JSON values, got {settings!r}")
    return {"name": name, "settings": plain}


def known_of(callbacks: Iterable[Any]) -> list[Any]:
    """Returns the callbacks that give their settings: their code decides a result too."""
    return [one for one in callbacks if described(one)["settings"] is not None]


def label(description: Description) -> str:
    """Returns a callback as text: StopOnReturn(threshold=475.0, window=100, every=100)."""
    settings = description["settings"] or {}
    name = description["name"].rpartition(".")[2]
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def made_again(descriptions: Iterable[Description], run_id: str) -> list[Callback]:
    """Returns the callbacks that a record describes.

    Raises:
        UsageError: one of them is not ours; the message says what to do.
        StoreError: the record is damaged.
    """
    made: list[Callback] = []
    for one in descriptions:
        cls = SHIPPED.get(one["name"])
        if cls is None:
            raise UsageError(
                f"run {run_id} was trained with the callback {label(one)}: give it again in callbacks=[...], "
                "or callbacks=[] to go on without"
            )
        try:
            made.append(cls(**(one["settings"] or {})))
        except (TypeError, UsageError) as error:
            raise StoreError(f"run {run_id} is damaged: its callback {label(one)} cannot be made: {error}") from error
    return made
