"""How the best of a tuning is made again: the command that finds it, and a preset to train with."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench.envs.making import full_id
from rlbench.errors import UsageError
from rlbench.files import written
from rlbench.presets import DEFAULT, Preset, names_file, write_preset
from rlbench.settings import write_setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlbench.studies.axes import Axis
    from rlbench.studies.tuned import Tuning, TuningSettings


def save_preset(study: Tuning, path: str | Path, *, force: bool = False) -> None:
    """Writes the best parameters of a tuning, with its budget, as a TOML file that `train` takes as `preset`.

    Args:
        study: a tuning with a best trial.
        path: of the file.
        force: replace it if it is there.

    Raises:
        UsageError: no trial has a value, or the file is there already.
    """
    if math.isnan(study.best.value):
        raise UsageError(f"no trial of {study.name} has a value: there is nothing to save as a preset")
    bins = study.settings.bins
    made = [f"made by: {command_of(study.settings, study.name) or 'rlbench.tune'}", f"hash of the study: {study.hash}"]
    made += [f"train with --bins {bins}, too"] if isinstance(bins, str) else []
    text = write_preset(full_id(study.settings.env), best_preset(study), made)
    with written(Path(path), overwrite=force) as draft:
        draft.write_text(text, encoding="utf-8")


def best_preset(study: Tuning) -> Preset:
    """Returns the best trial as a preset."""
    settings = study.settings
    agent, request = settings.agents[0], settings.request(study.combination(int(study.ranking[0])))
    preset = settings.tuned
    parameters = preset.parameters(agent, request["agent_kwargs"])
    env = {**preset.env, **request["env_kwargs"]}
    if settings.episodes is not None or settings.total_timesteps is not None:
        preset = replace(preset, episodes=settings.episodes, total_timesteps=settings.total_timesteps)
    bins = settings.bins
    if bins is not None:
        preset = replace(
            preset, bins=bins if isinstance(bins, dict) else None if isinstance(bins, str) else {"bins": bins}
        )
    return replace(preset, name=DEFAULT, env=env, agents={agent: parameters})


def command_of(settings: TuningSettings, name: str) -> str:
    """Returns the command that makes a tuning again; "" if it has values that no command line takes."""
    told = [(axis, [write_setting(value) for value in axis.values]) for axis in settings.axes]
    if any("," in value or ".." in value for _, values in told for value in values) or isinstance(settings.bins, dict):
        return ""
    preset = settings.tuned.name
    if isinstance(settings.preset, dict) and not names_file(preset):
        return ""
    options: list[tuple[str, Any]] = [
        ("--agent", settings.agents[0]),
        *(("--search", f"{axis.name}={_values(settings, axis, values)}") for axis, values in told),
        *(("--set", f"{one}={write_setting(value)}") for one, value in settings.agent_kwargs.items()),
        *(("--env-set", f"{one}={write_setting(value)}") for one, value in settings.env_kwargs.items()),
        ("--trials", settings.trials),
        ("--round", settings.round),
        ("--sampler", settings.sampler),
        ("--seed", settings.seed),
        ("--seeds", write_seeds(settings.seeds)),
        ("--test-seeds", write_seeds(settings.test_seeds)),
        ("--episodes", settings.episodes),
        ("--timesteps", settings.total_timesteps),
        ("--preset", preset if preset != DEFAULT else None),
        ("--bins", ",".join(map(str, settings.bins)) if isinstance(settings.bins, list | tuple) else settings.bins),
        ("--objective", settings.objective),
        ("--aggregate", settings.aggregate),
        ("--prune", settings.prune),
        ("--name", name),
    ]
    words = [str(word) for option, value in options if value not in (None, "") for word in (option, value)]
    return shlex.join(["rlbench", "tune", settings.env, *words])


def _values(settings: TuningSettings, axis: Axis, values: list[str]) -> str:
    if axis.name not in settings.ranges:
        return ",".join(values)
    return "..".join(values) + (":log" if axis.is_log else "")


def write_seeds(seeds: Sequence[int]) -> str:
    """Returns seeds as --seeds takes them."""
    if len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}:{seeds[-1] + 1}"
    return ",".join(map(str, seeds))
