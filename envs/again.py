"""Checks that an env comes out the same each time it is made: no seed covers what it draws in its making."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from rlbench.envs.making import id_of, make_from_spec, spec_json, wrappers_of
from rlbench.envs.physics import ATTRIBUTES
from rlbench.envs.safecab import SafeCabEnv
from rlbench.envs.trust import code_name
from rlbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACES = ("observation_space", "action_space")
TABLES = ("P", "desc", "initial_state_distrib")
SETTINGS = (*ATTRIBUTES, "power")  # the last of a car without bins
COMPARED = (bool, int, float, np.generic, np.ndarray, list, tuple, dict, set, frozenset)  # no names, clocks and handles
KNOWN = ("gymnasium.", "rlbench.")  # begin the names of modules that draw nothing but tables and settings
STEPS = 20  # of the rides that are compared
FIXED = {"FrozenLake": "pass the map that it draws: desc=generate_random_map(), or map_name='4x4' or '8x8'"}

_LASTING: set[tuple[Any, ...]] = set()  # what makes envs that were found to be the same each time


def check_same_again(env: gym.Env[Any, Any]) -> None:
    """Refuses an env, made from its spec, if that makes a different one each time.

    Raises:
        UsageError: what differs, and the argument that fixes it.
    """
    known = _known_by(env)
    if known in _LASTING:
        return
    differs = difference_when_made_again(env)
    if differs:
        raise UsageError(f"{id_of(env)} is another env each time it is made ({differs} differs): {_fix(env)}")
    if known is not None:
        _LASTING.add(known)


def _known_by(env: gym.Env[Any, Any]) -> tuple[Any, ...] | None:
    """Returns what decides how an env is made, if all of that is ours or Gymnasium's: then one check will do."""
    spec, classes = spec_json(env), [type(one) for one in (*wrappers_of(env), env.unwrapped)]
    if env.spec is None or spec is None:
        return None
    modules = [str(code_name(env.spec.entry_point)), *(one.__module__ for one in classes)]
    is_known = all(module.startswith(KNOWN) for module in modules)
    return (spec, *((one, one.__init__) for one in classes)) if is_known else None


def lasting_spec(env: gym.Env[Any, Any]) -> str | None:
    """Returns the JSON of an env's spec; None if it has none, or if it would make a different env."""
    return None if difference_when_made_again(env) else spec_json(env)


def difference_when_made_again(env: gym.Env[Any, Any]) -> str:
    """Returns the name of something that differs between an env and one made from its spec; empty if nothing does."""
    spec = None if type(env.unwrapped) is SafeCabEnv else spec_json(env)  # the former is drawn from a seed
    if spec is None:
        return ""
    is_known = type(env.unwrapped).__module__.startswith(KNOWN)
    compared = _tables if is_known else _everything
    try:
        again = make_from_spec(spec, trust=True)  # as the env that is there already was
    except (StoreError, gym.error.DependencyNotInstalled):  # it cannot be made again at all
        return ""
    with closing(again):
        return next(compared(env, again, spec), "")


def _fix(env: gym.Env[Any, Any]) -> str:
    spec = env.spec
    free = [f"{name}=" for name, value in spec.kwargs.items() if value is None] if spec is not None else []
    known = FIXED.get(spec.name, "") if spec is not None else ""
    return known or f"pass {' or '.join(free) or 'an argument, such as a seed,'} so that all of it is decided"


def _tables(one: gym.Env[Any, Any], again: gym.Env[Any, Any], _spec: str) -> Iterator[str]:
    """Yields what differs in spaces, tables and settings: what Gymnasium's own envs draw, or may be changed in."""
    yield from (name for name in SPACES if getattr(one, name) != getattr(again, name))
    here, there = vars(one.unwrapped), vars(again.unwrapped)
    yield from (name for name in (*TABLES, *SETTINGS) if not _same(here.get(name), there.get(name)))


def _everything(one: gym.Env[Any, Any], again: gym.Env[Any, Any], spec: str) -> Iterator[str]:
    """Yields what differs in spaces, in attributes that steps leave as they are, and in where steps lead."""
    yield from _tables(one, again, spec)
    here, there = vars(one.unwrapped), vars(again.unwrapped)
    with closing(make_from_spec(spec, trust=True)) as third:
        before = _shown(third)
        ride, ride_again = _ride(third), _ride(third)
        after = _shown(third)
    lasting = sorted(name for name in before if after.get(name) == before[name] and name in here)
    yield from (name for name in lasting if not _same(here[name], there.get(name)))
    if ride and ride == ride_again != _ride(again):
        yield "what the same actions lead to"


def _shown(env: gym.Env[Any, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in vars(env.unwrapped).items() if isinstance(value, COMPARED)}


def _same(one: Any, other: Any) -> bool:
    """Returns whether two values are equal, where they can be compared at all."""
    with suppress(ValueError):  # arrays within: they are compared one by one
        if (one == other) is True:  # at once: much faster on Taxi's table
            return True
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | float | str | np.generic | set | frozenset):
        return bool(one == other or (one != one and other != other))  # noqa: PLR0124  (a NaN is a NaN)
    return type(one) is type(other)


def _ride(env: gym.Env[Any, Any]) -> list[str]:
    """Returns what a few seeded steps lead to; nothing if the env cannot be stepped."""
    env.action_space.seed(0)
    try:
        seen = [str(env.reset(seed=0)[0])]
        for _ in range(STEPS):
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            seen.append(f"{observation} {reward} {terminated} {truncated}")
            if terminated or truncated:
                break
    except Exception:  # noqa: BLE001  (training tells what is wrong with the env)
        return []
    return seen
