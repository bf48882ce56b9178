"""The configuration of a run: one frozen record, read from any stored or imported JSON and written back unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from rlbench.settings import write_call
from rlbench.store.codec import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

EVAL_EPISODES = 20  # greedy ones, at each evaluation while training
EXTERNAL = "external"  # the engine of a run whose env another program or a person stepped


@dataclass(frozen=True)
class EnvConfig:
    """The env of a run, and how to make it again."""

    id: str = ""
    spec: str | None = None  # JSON; None: an env object without a spec to make it from
    bins: dict[str, Any] | None = None  # the Discretize arguments it was trained with, if the env has no spec

    @property
    def made_with(self) -> dict[str, Any]:
        """The spec as a dict with its "kwargs"; empty if there is none, or a foreign one that is unreadable."""
        try:
            found = from_json(self.spec or "null")
        except (ValueError, RecursionError):
            return {}
        return found if type(found) is dict and type(found.get("kwargs")) is dict else {}

    @property
    def settings(self) -> dict[str, Any]:
        """The env's arguments, and what is `added` to it."""
        return {**self.made_with.get("kwargs", {}), **self.added}

    @property
    def added(self) -> dict[str, Any]:
        """The env's step limit, its wrappers as they are typed, and the arguments of its bins; no name for none."""
        made = self.made_with
        found = made.get("additional_wrappers")
        kwargs = {one["name"]: one["kwargs"] for one in found if _is_wrapper(one)} if isinstance(found, list) else {}
        bins = kwargs.pop("Discretize", self.bins) or {}
        told = {
            "max_episode_steps": made.get("max_episode_steps"),
            "wrappers": [write_call(name, given) for name, given in kwargs.items()],
            "bins": {name: value for name, value in bins.items() if value is not None},
        }
        return {name: value for name, value in told.items() if value not in (None, [], {})}


@dataclass(frozen=True)
class AgentConfig:
    """The agent of a run: its name, all its parameters, and its table size if it was trained here."""

    name: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    n_states: int | None = None
    n_actions: int | None = None


@dataclass(frozen=True)
class BudgetConfig:
    """The requested length of training; None: no limit."""

    episodes: int | None = None
    total_timesteps: int | None = None


@dataclass(frozen=True)
class EvaluatingConfig:
    """The evaluations made while training: after how many episodes of training each, and how long."""

    every: int = 0  # episodes of training
    episodes: int = 0  # greedy ones


@dataclass(frozen=True)
class RetrainingConfig:
    """The outcome of learning from stored steps."""

    passes: int = 0
    transitions: int = 0
    largest_error: float = 0.0  # of the last pass
    env_steps: int = 0


@dataclass(frozen=True)
class CacheConfig:
    """How often the training cache reused a run, in whole ("hit") or in part ("prefix"), and the time that saved."""

    hit: int = 0
    prefix: int = 0
    seconds_saved: float = 0.0

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Reads stored JSON; ignores keys that are unknown or of the wrong type."""
        return cls(**_readable(cls, document))

    def counted(self, kind: str, seconds: float) -> CacheConfig:
        """Returns a copy with one more "hit" or "prefix"."""
        return replace(self, **{kind: getattr(self, kind) + 1}, seconds_saved=self.seconds_saved + seconds)


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a run.

    Attributes:
        env: the env.
        agent: the agent.
        budget: the requested length of training.
        preset: name of the preset that its parameters started from.
        engine: "compiled", "python" or EXTERNAL; "" if unknown.
        record: "all" (every step) or "none" (figures only).
        versions: of the packages used.
        initial_table: SHA-256 of the action values that it took over from its parent.
        began_with: the versions that it began with, if it was continued under others.
        code: digests of the modules that decide the result, by name; None if all are part of rlbench or Gymnasium.
        callbacks: the name and the settings of each callback that watched the training.
        evaluating: set if the agent was evaluated while it was trained.
        stopped: the callback that ended the training before its budget.
        retraining: set if the run learned from stored steps alone.
        stored: the JSON it was read from; None if it is new.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    preset: str = "default"
    engine: str = ""
    record: str = ""
    versions: dict[str, Any] = field(default_factory=dict)
    code: dict[str, str] | None = None
    began_with: dict[str, Any] | None = None
    initial_table: str | None = None
    callbacks: list[dict[str, Any]] | None = None
    evaluating: EvaluatingConfig | None = None
    stopped: str | None = None
    retraining: RetrainingConfig | None = None
    stored: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Reads stored or imported JSON; ignores keys that are unknown or of the wrong type."""
        told = {name: document[name] for name in PARTS if type(document.get(name)) is dict}
        parts = {name: PARTS[name](**_readable(PARTS[name], part)) for name, part in told.items()}
        return cls(**_readable(cls, document), **parts, stored=dict(document))

    @cached_property
    def text(self) -> str:
        """The JSON to store, as text; made once for all runs with this configuration."""
        return to_json(self.document())

    def document(self) -> dict[str, Any]:
        """Returns the JSON to store: the JSON that was read, in its order, with the changes made since."""
        if self.stored is None:
            return _as_json(self)
        before, now = _as_json(self.of(self.stored)), _as_json(self)
        changed = {name: value for name, value in now.items() if value != before.get(name)}
        kept = {name: value for name, value in self.stored.items() if name in now or name not in before}
        return {**kept, **changed}

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for beside env, agent, seed and budget, by name.

        An argument of the env is "env.x" where the agent has an x too; either is "env.x" or "agent.x" if x is TAKEN.
        """
        parameters, evaluating = self.agent.parameters, self.evaluating
        taken = {*TAKEN, *parameters}
        env = {f"env.{name}" if name in taken else name: value for name, value in self.env.settings.items()}
        agent = {f"agent.{name}" if name in TAKEN else name: value for name, value in parameters.items()}
        watched = [write_call(one["name"], one["settings"] or {}) for one in self.callbacks or ()]
        told = {
            "callbacks": watched or None,
            "eval_every": evaluating and evaluating.every,
            "eval_episodes": evaluating and evaluating.episodes,
            "initial_table": self.initial_table,
        }
        known = {name: value for name, value in told.items() if value is not None}
        began = {"preset": self.preset, "record": self.record}
        return {**{name: value for name, value in began.items() if value}, **env, **agent, **known}

    @property
    def keeps_steps(self) -> bool:
        """Whether every step is stored, not only the figures of each episode."""
        return self.record != "none"

    @property
    def was_recorded(self) -> bool:
        """Whether another program or a person stepped the env, so that rlbench trained nothing."""
        return self.engine == EXTERNAL

    @property
    def was_retrained(self) -> bool:
        """Whether it learned from stored steps alone."""
        return self.retraining is not None


PARTS: dict[str, Any] = {
    "env": EnvConfig,
    "agent": AgentConfig,
    "budget": BudgetConfig,
    "evaluating": EvaluatingConfig,
    "retraining": RetrainingConfig,
}
TAKEN = (  # names by which something else is known of a run
    *("run", "env", "agent", "seed", "preset", "record", "callbacks", "eval_every", "eval_episodes", "initial_table"),
    *("status", "episodes", "steps", "total_timesteps", "seconds", "return", "regret", "started", "tags", "studies"),
)
OPTIONAL = dict.fromkeys(  # not stored if None
    (
        *("n_states", "n_actions", "bins", "code", "began_with", "initial_table"),
        *("callbacks", "evaluating", "stopped", "retraining"),
    )
)


def _is_wrapper(value: Any) -> bool:
    """Returns whether an entry of a spec is a wrapper with arguments; a foreign spec may hold anything."""
    return isinstance(value, dict) and _is_text(value.get("name")) and isinstance(value.get("kwargs"), dict)


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def _is_table(value: object) -> bool:
    return type(value) is dict


def _is_table_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _are_callbacks(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_callback, value))


def _is_callback(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {"name", "settings"}:
        return False
    return _is_text(value["name"]) and isinstance(value["settings"], dict | None)


READABLE: dict[str, Callable[[object], bool]] = {  # the test for each field's value, in all parts
    **dict.fromkeys(("id", "spec", "name", "preset", "engine", "record", "initial_table", "stopped"), _is_text),
    **dict.fromkeys(("n_states", "n_actions", "episodes", "total_timesteps", "hit", "prefix"), _is_count),
    **dict.fromkeys(("passes", "transitions", "env_steps", "every"), _is_count),
    **dict.fromkeys(("largest_error", "seconds_saved"), _is_number),
    **dict.fromkeys(("parameters", "versions", "began_with", "bins"), _is_table),
    "code": _is_table_of_texts,
    "callbacks": _are_callbacks,
}


def _readable(part: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a part that have a valid value in the document."""
    return {name: document[name] for name in _names(part) if READABLE[name](document.get(name))}


@cache
def _names(part: Any) -> list[str]:
    """Returns the readable fields of a part; cached, since a listing reads thousands of records."""
    return [one.name for one in fields(part) if one.name in READABLE]


def _as_json(part: Any) -> dict[str, Any]:
    """Returns the JSON of a part, its fields in their order."""
    values = {one.name: getattr(part, one.name) for one in fields(part) if one.name != "stored"}
    return {
        name: _as_json(value) if is_dataclass(value) else value
        for name, value in values.items()
        if name not in OPTIONAL or value != OPTIONAL[name]
    }
