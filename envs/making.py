"""Makes envs from ids, short names, keyword arguments and stored specs, and reads these back from an env."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, find_highest_version, parse_env_id
from gymnasium.utils import seeding
from gymnasium.wrappers import TimeLimit

from rlbench.envs.trust import CODE, checked_spec, code_name
from rlbench.errors import StoreError, UnknownNameError, UsageError, unknown_name
from rlbench.names import SHORT_NAMES
from rlbench.random_state import generator_state, set_generator_state

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_env(env: str | gym.Env[Any, Any], env_kwargs: dict[str, Any] | None = None, **extra: Any) -> gym.Env[Any, Any]:
    """Makes an env from an id ("FrozenLake-v1"), a short name ("safecab") or a spec; an env object passes through.

    Raises:
        UsageError: an unknown id or keyword argument, an argument rejected by the env, or arguments for an env object.
    """
    if not isinstance(env, str):
        if env_kwargs:
            raise UsageError("env_kwargs need an env id, got an env object: pass them when making it")
        return env
    env_id, kwargs = full_id(env), {**(env_kwargs or {}), **extra}
    try:
        return gym.make(env_id, **kwargs)
    except gym.error.DependencyNotInstalled:
        raise
    except gym.error.UnregisteredEnv as error:
        raise unknown_name("env", env, [*SHORT_NAMES, *gym.registry]) from error
    except TypeError as error:
        raise _explained(env_id, kwargs, error) from error
    except (gym.error.Error, AssertionError, ValueError, LookupError) as error:
        raise UsageError(f"{env_id} cannot be made: {_first_line(error)}") from error


def full_id(env: str) -> str:
    """Returns the registered id for a short name, "module:id" or an id without a version.

    Raises:
        UnknownNameError: its module cannot be imported.
    """
    module, _, env_id = SHORT_NAMES.get(env, env).rpartition(":")
    if module:
        _import(module, env)
    try:
        namespace, name, version = parse_env_id(env_id)
    except gym.error.Error:  # malformed id: gym.make reports it
        return env_id
    newest = find_highest_version(namespace, name) if version is None and env_id not in gym.registry else None
    return env_id if newest is None else f"{env_id}-v{newest}"


def _import(module: str, env: str) -> None:
    """Imports a module that the user names, which registers its envs, as gym.make does."""
    look_here()
    try:
        importlib.import_module(module)
    except Exception as error:  # a module may raise anything
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise UnknownNameError(f"unknown env {env!r}; cannot import the module {module!r} ({reason})") from error


def look_here() -> None:
    """Lets modules be imported from the working directory, where an installed command does not look for them."""
    if "" not in sys.path:
        sys.path.append("")  # at the end: it hides nothing that is installed


def make_from_spec(spec: str, *, trust: bool = False, **extra: Any) -> gym.Env[Any, Any]:
    """Makes an env from its JSON spec, as stored in a run: the gate through which every stored env goes.

    Args:
        spec: the JSON.
        trust: make whatever it names, code included; otherwise only what `rlbench.envs.trust` lets pass.
        extra: further arguments of the env.

    Raises:
        StoreError: it names something untrusted or not installed, or a wrapper did not record its arguments.
    """
    found = None if trust else checked_spec(spec)
    try:
        return gym.make(_trusted(spec) if found is None else found, **extra)
    except gym.error.DependencyNotInstalled:
        raise
    except Exception as error:  # an env may raise anything for arguments that it did not expect
        raise StoreError(f"the env cannot be made from its stored spec: {_first_line(error)}") from error


def _trusted(text: str) -> EnvSpec:
    """Returns a spec with the class itself that its module registers, for that may not be found by its name."""
    look_here()
    spec = EnvSpec.from_json(text)
    if isinstance(spec.entry_point, str):
        importlib.import_module(spec.entry_point.partition(":")[0])
    known = gym.registry.get(spec.id)
    if known is None or spec.entry_point != code_name(known.entry_point):
        return spec
    return dataclasses.replace(spec, entry_point=known.entry_point)


def spec_json(env: gym.Env[Any, Any]) -> str | None:
    """Returns the env's spec as JSON; None if it has none, or if JSON cannot hold it."""
    if env.spec is None:
        return None
    named = {name: code_name(getattr(env.spec, name)) for name in CODE}
    try:
        return dataclasses.replace(env.spec, **named).to_json()
    except (TypeError, ValueError):
        return None


def id_of(env: gym.Env[Any, Any]) -> str:
    """Returns the id of an env object, or its class name if it has none."""
    if not isinstance(env, gym.Env):
        raise UsageError(f"env must be an id, a short name or a Gymnasium env, got {type(env).__name__}")
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def wrappers_of(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """Yields the wrappers of an env, the outermost first."""
    while env is not env.unwrapped:
        yield env
        env = env.env  # type: ignore[attr-defined]  # every wrapper has it


def step_limit(env: gym.Env[Any, Any]) -> int:
    """Returns the number of steps after which the env truncates an episode, 0 for never.

    The tightest TimeLimit wrapper decides; the spec does not count, because only wrappers truncate.
    """
    timers = [wrapper for wrapper in wrappers_of(env) if isinstance(wrapper, TimeLimit)]
    return min((int(timer._max_episode_steps) for timer in timers), default=0)  # noqa: SLF001  (it has no public name)


def _explained(env_id: str, kwargs: dict[str, Any], error: TypeError) -> UsageError:
    """Turns Gymnasium's error about an argument into one line, with the nearest known name."""
    entry = gym.spec(env_id).entry_point
    cls = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    known = {*inspect.signature(cls).parameters, "max_episode_steps", "render_mode"} if cls else set()
    for name in kwargs:
        if name not in known:
            return unknown_name(f"argument of {env_id}", name, known)
    return UsageError(f"{env_id} cannot be made: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def seed_env(env: gym.Env[Any, Any], seed: int) -> None:
    """Gives the env the generator that reset(seed=seed) would give it; generators of its own need that reset too."""
    env.unwrapped.np_random, _ = seeding.np_random(seed)


def env_rng(env: gym.Env[Any, Any]) -> dict[str, Any] | None:
    """Returns the state of the env's generator; None if it is not of the kind that Gymnasium gives an env."""
    rng = env.unwrapped.np_random
    return generator_state(rng) if _is_from_gymnasium(rng) else None


def set_env_rng(env: gym.Env[Any, Any], state: dict[str, Any]) -> None:
    """Puts the env's generator into a state that `env_rng` returned; UsageError if it is anything else."""
    if not _is_from_gymnasium(env.unwrapped.np_random):
        seed_env(env, 0)
    set_generator_state(env.unwrapped.np_random, state)


def check_env_rng(state: Any) -> None:
    """Refuses what `env_rng` does not return; UsageError says what is wrong."""
    set_generator_state(np.random.default_rng(0), state)


def remembers(env: gym.Env[Any, Any]) -> bool:
    """Returns whether an env says, by its attribute `remembers`, that it goes on from more than its `np_random`."""
    return bool(getattr(env.unwrapped, "remembers", False))


def _is_from_gymnasium(rng: Any) -> bool:
    return isinstance(rng, np.random.Generator) and isinstance(rng.bit_generator, np.random.PCG64)
