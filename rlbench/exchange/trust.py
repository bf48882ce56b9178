"""Which env specs of an imported file may be made again: a spec names code, and code from a file is never run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

if TYPE_CHECKING:
    from rlbench.store import RunConfig

WRAPPERS = (
    "gymnasium.wrappers:",
    "gymnasium.wrappers.",
    "rlbench.envs:",
    "rlbench.envs.",
)  # where a spec may find them
CODE = ("entry_point", "vector_entry_point")


def trusted_config(config: RunConfig) -> RunConfig:
    """Returns an imported run's config; a spec that names unknown code moves from "spec" to "untrusted_spec".

    Its env is then "without a storable spec": whoever needs it passes it.
    """
    spec = config.env.spec
    return config if spec is None or is_trusted(spec) else config.distrusting_spec()


def is_trusted(spec: str) -> bool:
    """Returns whether a spec, as JSON, makes a registered env by its registered code, in wrappers that are known."""
    import rlbench.envs  # noqa: F401, PLC0415  (registers them)

    try:
        found = EnvSpec.from_json(spec)
        known = gym.registry.get(found.id)
        wrappers = [wrapper["entry_point"] for wrapper in json.loads(spec)["additional_wrappers"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, gym.error.Error):
        return False
    if known is None or any(getattr(found, name) != getattr(known, name) for name in CODE):
        return False
    return all(map(_is_wrapper, wrappers))


def _is_wrapper(entry_point: object) -> bool:
    if not isinstance(entry_point, str) or not entry_point.startswith(WRAPPERS):
        return False
    try:
        cls = load_env_creator(entry_point)
    except (ImportError, AttributeError, ValueError, gym.error.Error):
        return False
    return isinstance(cls, type) and issubclass(cls, gym.Wrapper)
