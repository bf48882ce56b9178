"""What a study measured of each of its runs: the study alone keeps it, so that a run costs no further write."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rlbench.agents import AGENTS
from rlbench.studies.settings import ENV

if TYPE_CHECKING:
    from rlbench.store import RunRecord
    from rlbench.studies.study import Study

    Key = tuple[str, tuple[tuple[str, Any], ...]]


class Measured:
    """The values of a study's runs, those of its test too.

    Attributes:
        name: of what is measured: "regret", "return", "area" or "steps-to".
    """

    def __init__(self, study: Study) -> None:
        self.name = study.objective.name
        self._axes = [axis.name for axis in study.settings.axes]
        self._parts = [(part, _numbers(part), _places(part)) for part in study.parts]

    def of(self, run: RunRecord) -> dict[str, float]:
        """Returns the value of a run by the name of what is measured; nothing if it is not known."""
        asked, preset = _key(run.agent_name, _parameters(run, self._axes)), _key(run.agent_name, {})
        found: dict[bool, float] = {}  # by whether it is the value of a training of that length: a rung is shorter
        for study, numbers, places in self._parts:
            number, place = numbers.get(asked, numbers.get(preset)), places.get(run.seed)
            if number is not None and place is not None and not math.isnan(study.values[number, place]):
                found.setdefault(_is_as_long(run, study), float(study.values[number, place]))
        return {self.name: found[max(found)]} if found else {}


def _numbers(study: Study) -> dict[Key, int]:
    """Returns the combinations of a study by what they are; of equal ones the first."""
    known: dict[Key, int] = {}
    for number in range(study.asked):
        known.setdefault(_key(*study.combination(number)), number)
    return known


def _is_as_long(run: RunRecord, study: Study) -> bool:
    asked, budget = study.settings, run.config.budget
    return (asked.episodes, asked.total_timesteps) == (budget.episodes, budget.total_timesteps)


def _places(study: Study) -> dict[int, int]:
    return {seed: place for place, seed in enumerate(study.settings.seeds)}


def _key(agent: str, parameters: dict[str, Any]) -> Key:
    return agent, tuple(sorted((name, _as_stored(value)) for name, value in parameters.items()))


def _as_stored(value: Any) -> str:
    """Returns a value as text; a whole number may be stored as a decimal one."""
    return json.dumps(float(value) if type(value) is int else value, sort_keys=True)


def _parameters(run: RunRecord, names: list[str]) -> dict[str, Any]:
    """Returns what a run had for the parameters that a study varies."""
    usual = asdict(AGENTS[run.agent_name].Parameters()) if run.agent_name in AGENTS else {}  # some are not stored
    agent, env = {**usual, **run.config.agent.parameters}, run.config.env.settings
    return {name: env.get(name.removeprefix(ENV)) if name.startswith(ENV) else agent.get(name) for name in names}
