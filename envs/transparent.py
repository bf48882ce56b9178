"""Wrappers that pass observations, actions, rewards and ends on as they are: the only ones that may be seen through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from rlbench.envs.book import BOOK_ENVS
from rlbench.envs.making import wrappers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import gymnasium as gym

T = TypeVar("T")

# Exact types by name: importing them all would cost, and a subclass may do anything.
_IDLE = frozenset(  # neither do they keep anything; TimeLimit is applied by whoever sees through it
    f"gymnasium.wrappers.{name}"
    for name in (
        "common:PassiveEnvChecker",
        "common:OrderEnforcing",
        "common:TimeLimit",
        "rendering:HumanRendering",
        "rendering:RenderCollection",
    )
) | {"rlbench:ExploringStarts"}  # it changes the env's own table, which therefore still describes it
_WATCHING = frozenset(  # they keep or show what happens, so the env itself must be stepped
    {
        "gymnasium.wrappers.common:RecordEpisodeStatistics",
        "gymnasium.wrappers.rendering:RecordVideo",
        "gymnasium.wrappers.rendering:AddWhiteNoise",
        "gymnasium.wrappers.rendering:ObstructView",
        "rlbench:RecordEpisodes",
    }
)
# Gymnasium's envs that sample P with exactly one draw per step and per reset, and ours with a table.
_KNOWN = frozenset(
    f"rlbench:{name}" for name in ("SafeCabEnv", *(env["entry_point"].partition(":")[2] for env in BOOK_ENVS))
) | frozenset(
    f"gymnasium.envs.toy_text.{name}"
    for name in ("frozen_lake:FrozenLakeEnv", "cliffwalking:CliffWalkingEnv", "taxi:TaxiEnv")
)


def opaque_wrapper(env: gym.Env[Any, Any], *, idle: bool = False) -> gym.Env[Any, Any] | None:
    """Returns the outermost wrapper that may change what happens in an env, or None.

    Args:
        env: an env, wrapped or not.
        idle: count also wrappers that only watch, which see nothing where the env is not stepped.
    """
    seen_through = _IDLE if idle else _IDLE | _WATCHING
    return next((w for w in wrappers_of(env) if type_name(w) not in seen_through or is_patched(w)), None)


def is_known(base: gym.Env[Any, Any]) -> bool:
    """Returns whether an unwrapped env is of a class tested here, its methods untouched."""
    return type_name(base) in _KNOWN and not is_patched(base)


def is_patched(env: gym.Env[Any, Any]) -> bool:
    """Returns whether a method of its class has been replaced on an env or wrapper itself."""
    return any(callable(getattr(type(env), name, None)) for name in vars(env))


def found_by_class(table: Mapping[tuple[str, str], T], env: gym.Env[Any, Any]) -> T | None:
    """Looks up an env's class, or else the nearest that it inherits from, in a table by (module, class)."""
    names = [(cls.__module__, cls.__name__) for cls in type(env.unwrapped).__mro__]
    return next((table[name] for name in names if name in table), None)


def type_name(thing: object) -> str:
    """Returns "module:Class"; of ours, "rlbench:Class"."""
    module, name = type(thing).__module__, type(thing).__qualname__
    return f"rlbench:{name}" if module.startswith("rlbench.") else f"{module}:{name}"
