"""Tuned hyper-parameters and budgets, one TOML file per env; other envs get each agent's own defaults."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from rlbench.errors import unknown_name

DEFAULT = "default"


@dataclass(frozen=True)
class Preset:
    """The budget, env arguments and agent parameters of one preset."""

    name: str = DEFAULT
    episodes: int | None = None
    total_timesteps: int | None = None
    env: dict[str, Any] = field(default_factory=dict)
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)


def load_preset(env_id: str, name: str = DEFAULT) -> Preset:
    """Returns a preset of an env; every env has one named "default".

    Raises:
        UnknownNameError: the env has no preset of this name.
    """
    presets = _all_presets().get(env_id, {})
    if name == DEFAULT and name not in presets:
        return Preset()
    if name not in presets:
        raise unknown_name(f"preset of {env_id}", name, {DEFAULT, *presets})
    return Preset(name=name, **presets[name])


def preset_names(env_id: str) -> list[str]:
    """Returns the names of an env's presets, the default first."""
    return [DEFAULT, *sorted(set(_all_presets().get(env_id, {})) - {DEFAULT})]


@cache
def _all_presets() -> dict[str, dict[str, dict[str, Any]]]:
    tables = [tomllib.loads(f.read_text()) for f in files(__name__).iterdir() if f.name.endswith(".toml")]
    return {table["env_id"]: table["preset"] for table in tables}
