"""What counts as a success: the end of an episode that its env wants, by the state that it ended in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from rlbench.envs.making import step_limit
from rlbench.envs.safecab import SafeCabEnv
from rlbench.envs.transparent import found_by_class

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium as gym

    Judge: TypeAlias = Callable[[int, bool], bool]  # from the last state, and whether the episode terminated in it


TOLD = 'The last step says so in info["is_success"]; of an env without that none is known.'


def judge_of(env: gym.Env[Any, Any]) -> Judge | None:
    """Returns what tells the successes in an env known here; None for any other, whose `info["is_success"]` may tell.

    Taxi, CliffWalking, MountainCar, Acrobot and SafeCab succeed by arriving, FrozenLake at its goal, CartPole by
    standing up to the step limit.
    """
    found = found_by_class(_JUDGES, env)
    return None if found is None else found(env)


def success_of(env: gym.Env[Any, Any]) -> str:
    """Returns in words what counts as a success in an env."""
    found = found_by_class(_JUDGES, env)
    return TOLD if found is None else str(found.__doc__)


def _arriving(_env: gym.Env[Any, Any]) -> Judge:
    """The agent arrives."""
    return lambda _state, terminated: terminated


def _standing(env: gym.Env[Any, Any]) -> Judge | None:
    """The pole stands to the step limit."""
    return (lambda _state, terminated: not terminated) if step_limit(env) else None


def _at_the_goal(env: gym.Env[Any, Any]) -> Judge:
    """The agent reaches the goal."""
    squares = env.unwrapped.desc.ravel()  # type: ignore[attr-defined]  # FrozenLake has it
    return lambda state, _terminated: bool(squares[state] == b"G")


def _on_a_goal(env: gym.Env[Any, Any]) -> Judge | None:
    """The agent reaches a goal."""
    return _arriving(env) if env.unwrapped.grid.goals else None  # type: ignore[attr-defined]  # a gridworld has it


def _at_the_last_state(env: gym.Env[Any, Any]) -> Judge:
    """The episode ends in the last state: on the right, or at the goal."""
    last = int(env.observation_space.n) - 1  # type: ignore[attr-defined]  # Discrete
    return lambda state, _terminated: state == last


def _delivering(env: gym.Env[Any, Any]) -> Judge:
    """The passenger is delivered."""
    return env.unwrapped.is_success  # type: ignore[attr-defined,no-any-return]  # SafeCab has it


_JUDGES: dict[tuple[str, str], Callable[[gym.Env[Any, Any]], Judge | None]] = {
    ("gymnasium.envs.toy_text.taxi", "TaxiEnv"): _arriving,
    ("gymnasium.envs.toy_text.cliffwalking", "CliffWalkingEnv"): _arriving,
    ("gymnasium.envs.toy_text.frozen_lake", "FrozenLakeEnv"): _at_the_goal,
    ("gymnasium.envs.classic_control.mountain_car", "MountainCarEnv"): _arriving,
    ("gymnasium.envs.classic_control.continuous_mountain_car", "Continuous_MountainCarEnv"): _arriving,
    ("gymnasium.envs.classic_control.acrobot", "AcrobotEnv"): _arriving,
    ("gymnasium.envs.classic_control.cartpole", "CartPoleEnv"): _standing,
    (SafeCabEnv.__module__, SafeCabEnv.__name__): _delivering,
    ("rlbench.envs.book.gridworld", "GridworldEnv"): _on_a_goal,
    ("rlbench.envs.book.windy", "WindyGridworldEnv"): _arriving,
    ("rlbench.envs.book.maze", "DynaMazeEnv"): _arriving,
    ("rlbench.envs.book.racetrack", "RacetrackEnv"): _arriving,
    ("rlbench.envs.book.gambler", "GamblerEnv"): _at_the_last_state,
    ("rlbench.envs.book.random_walk", "RandomWalkEnv"): _at_the_last_state,
}
