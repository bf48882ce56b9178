"""Tuned hyper-parameters and budgets, one TOML file per env; other envs get each agent's own defaults."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rlbench.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.resources.abc import Traversable

AskedPreset: TypeAlias = "str | Path | dict[str, Any]"  # see `preset_of`
DEFAULT = "default"
SUFFIX = ".toml"  # of a file, which no preset is named like
DECAY = ("learning_rate_final", "learning_rate_steps")


@dataclass(frozen=True)
class Preset:
    """The budget, env arguments, bins and agent parameters of one preset."""

    name: str = DEFAULT
    episodes: int | None = None
    total_timesteps: int | None = None
    env: dict[str, Any] = field(default_factory=dict)
    bins: dict[str, Any] | None = None  # of Box observations: arguments of Discretize
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def parameters(self, agent: str, given: dict[str, Any]) -> dict[str, Any]:
        """Returns an agent's parameters: those given, and the preset's for the rest.

        A learning rate that is given alone stays constant: the preset's decay belongs to the preset's rate.
        """
        is_constant = "learning_rate" in given and not any(name in given for name in DECAY)
        tuned = self.agents.get(agent, {}).items()
        return {name: value for name, value in tuned if not (is_constant and name in DECAY)} | given


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
    return presets[name]


def preset_of(env_id: str, asked: AskedPreset) -> Preset:
    """Returns a preset of an env by its name, or the default one in a TOML file, as `rlbench tune` saves it.

    For what a person asks, never for what was stored: it opens a file; see `told_preset`.

    Args:
        env_id: the full id of the env.
        asked: a name; a TOML file, like which its preset is named; or a dict with the fields of a `Preset`.

    Raises:
        UsageError: there is no such preset, or the file cannot be read or belongs to another env.
    """
    if isinstance(asked, dict):
        return told_preset(env_id, asked)
    if not names_file(asked):
        return load_preset(env_id, str(asked))
    try:
        presets = _presets_in(Path(asked))
    except OSError as error:
        raise UsageError(f"cannot read the preset {asked}: {error.strerror}") from error
    if DEFAULT not in presets.get(env_id, {}):
        raise UsageError(f"{asked} has no default preset of {env_id}, but of {', '.join(presets)}")
    return replace(presets[env_id][DEFAULT], name=str(asked))


def lasting_preset(env_id: str, asked: AskedPreset) -> str | dict[str, Any]:
    """Returns a request for a preset that says the same later and elsewhere: a name, or what a file tells.

    Raises:
        UsageError: as in `preset_of`, or it holds what JSON cannot tell.
    """
    if not isinstance(asked, dict) and not names_file(asked):
        return str(asked)
    preset = preset_of(env_id, asked)
    try:
        told: dict[str, Any] = json.loads(json.dumps(asdict(preset)))
    except (TypeError, ValueError) as error:
        raise UsageError(f"the preset {preset.name} has a value that cannot be stored: {error}") from error
    return told


def names_file(asked: str | Path) -> bool:
    """Returns whether a request for a preset names a file."""
    return str(asked).endswith(SUFFIX)


def told_preset(env_id: str, told: str | dict[str, Any]) -> Preset:
    """Returns the preset that `lasting_preset` told; opens no file.

    Raises:
        UsageError: the env has no preset of this name, or the dict tells none.
    """
    if not isinstance(told, dict):
        return load_preset(env_id, told)
    try:
        return _checked(Preset(**told))
    except (AttributeError, TypeError) as error:
        raise UsageError(f"a preset is a name, a TOML file or a dict with the fields of Preset: {error}") from error


def write_preset(env_id: str, preset: Preset, comments: Iterable[str] = ()) -> str:
    """Returns a preset as the text of a TOML file, which `preset_of` reads."""
    top = f"preset.{preset.name}"
    tables = {top: {"episodes": preset.episodes, "total_timesteps": preset.total_timesteps}}
    tables |= {f"{top}.env": preset.env, f"{top}.bins": preset.bins or {}}
    tables |= {f"{top}.agents.{agent}": parameters for agent, parameters in preset.agents.items()}
    lines = [*(f"# {comment}" for comment in comments), f"env_id = {_toml(env_id)}"]
    for name, table in tables.items():
        told = [f"{key} = {_toml(value)}" for key, value in table.items() if value is not None]
        lines += ["", f"[{name}]", *told] if told or name == top else []
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items() if one is not None) + "}"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def preset_names(env_id: str) -> list[str]:
    """Returns the names of an env's presets, the default first."""
    return [DEFAULT, *sorted(set(_all_presets().get(env_id, {})) - {DEFAULT})]


def preset_envs() -> list[str]:
    """Returns the ids of the envs with a preset."""
    return list(_all_presets())


@cache
def _all_presets() -> dict[str, dict[str, Preset]]:
    read = [_presets_in(file) for file in files(__name__).iterdir() if file.name.endswith(".toml")]
    return {env_id: presets for found in read for env_id, presets in found.items()}


def _presets_in(file: Traversable | Path) -> dict[str, dict[str, Preset]]:
    """Returns the presets of an env, and of others that differ from it in their arguments alone.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        found = tomllib.loads(file.read_text("utf-8"))
        presets = {name: _checked(Preset(name, **told)) for name, told in found["preset"].items()}
        others = {name: replace(preset, env={}) for name, preset in presets.items()}
        return {found["env_id"]: presets, **dict.fromkeys(found.get("also", ()), others)}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UsageError(f"the presets in {file.name} are damaged: {error}") from error


def _checked(preset: Preset) -> Preset:
    if not isinstance(preset.name, str):
        raise TypeError("its name is no text")
    budgets, tables = (
        (preset.episodes, preset.total_timesteps),
        (preset.env, preset.bins or {}, preset.agents, *preset.agents.values()),
    )
    if not all(type(count) in (int, type(None)) for count in budgets) or not all(type(one) is dict for one in tables):
        raise TypeError(f"{preset.name} holds a value of the wrong type")
    return preset
