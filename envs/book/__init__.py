"""The envs of Sutton and Barto, Reinforcement Learning: An Introduction (2018), each with its exact table."""

from __future__ import annotations

from typing import Any

BOOK_ENVS: tuple[dict[str, Any], ...] = tuple(
    {"id": f"rlbench/{name}-v0", "entry_point": f"rlbench.envs.book.{module}:{name}Env", "max_episode_steps": limit}
    for name, module, limit in (
        ("Bandit", "bandit", None),
        ("RandomWalk", "random_walk", 10_000),
        ("Gridworld", "gridworld", 1000),
        ("WindyGridworld", "windy", 10_000),
        ("DynaMaze", "maze", 10_000),
        ("Gambler", "gambler", 10_000),
        ("MaximizationBias", "maximization_bias", 100),
        ("Racetrack", "racetrack", 10_000),
        ("CarRental", "car_rental", 100),
        ("AccessControl", "access_control", 10_000),
    )
)
