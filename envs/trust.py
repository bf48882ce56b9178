"""The gate for stored env specs: a spec names code, and only what is registered here is made from it.

A store or a file may come from anyone. Of a stored spec only data is taken: the id of an env that is registered in this
process, plain arguments of a bounded size, and wrappers of a closed list. Whoever trusts the store passes it all.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from rlbench.envs.book.board import n_squares
from rlbench.envs.cities import count_states
from rlbench.errors import StoreError, UsageError
from rlbench.texts import has_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_TEXT = 2**20  # characters of a spec
MOST_DEPTH = 8  # of lists in lists
MOST_WRAPPERS = 16
LARGEST = 1_000_000  # whole number among the arguments: it may be a size
FIELDS = {field.name for field in dataclasses.fields(EnvSpec) if field.init}
CODE = ("entry_point", "vector_entry_point")
SWITCHES = ("order_enforce", "disable_env_checker")
RENDER_MODES = ("ansi", "rgb_array")  # the others open windows or collect pictures
LAYOUT = re.compile(r"\x1b\[[0-9;]*m|[\n\t]")  # what a map may hold: line breaks, and colours
PATH = re.compile(r"[/\\]|^[~.]|^[\w.]+:[\w.:-]+$")  # a path, or "module:name"

# wrappers without side effects, each with the largest whole number that it takes; where it is small, they come once
WRAPPERS: dict[str, int] = {
    **dict.fromkeys(("Autoreset", "ClipAction", "ClipReward", "FilterObservation", "FlattenObservation"), LARGEST),
    **dict.fromkeys(("GrayscaleObservation", "NormalizeObservation", "NormalizeReward", "OrderEnforcing"), LARGEST),
    **dict.fromkeys(("PassiveEnvChecker", "RecordEpisodeStatistics", "RescaleAction", "RescaleObservation"), LARGEST),
    **dict.fromkeys(("RepeatAction", "StickyAction", "TimeAwareObservation", "TimeLimit"), LARGEST),
    **dict.fromkeys(("DelayObservation", "FrameStackObservation", "MaxAndSkipObservation"), 16),
    **dict.fromkeys(("DiscretizeAction", "DiscretizeObservation", "ReshapeObservation", "ResizeObservation"), 512),
    **dict.fromkeys(("Discretize", "ExploringStarts", "FlattenDiscrete"), LARGEST),
}
OURS = {"Discretize": "discretize", "ExploringStarts": "starting", "FlattenDiscrete": "flattening"}  # and their modules
NUMBERING = (
    "Discretize",
    "FlattenDiscrete",
    "DiscretizeObservation",
)  # what they number may be huge: nothing makes an array of that size after
ONE_HOT = ("FlattenObservation", "TimeAwareObservation")


def _cart_pole_states(kwargs: dict[str, Any]) -> int:
    cuts, bins = kwargs.get("cuts"), kwargs.get("bins")
    counts = [len(points) + 1 for points in cuts] if cuts else bins if type(bins) is list else []
    return math.prod(map(int, counts))


def _lake_states(kwargs: dict[str, Any]) -> int:
    return sum(map(len, kwargs.get("desc") or ()))


def _maze_states(kwargs: dict[str, Any]) -> int:
    return max(54, n_squares(str(kwargs.get("maze", "")))) * int(kwargs.get("scale", 1)) ** 2


def _racetrack_outcomes(kwargs: dict[str, Any]) -> int:
    track = str(kwargs.get("track", ""))
    return len(track) * max(1, track.count("S"))  # of a crash, which may be anywhere, any start may follow


SIZES: dict[str, tuple[Callable[[dict[str, Any]], int], int]] = {  # by id: how to count states, and the most
    "rlbench/SafeCab-v0": (lambda kwargs: count_states(str(kwargs.get("city", ""))), 2_000_000),
    "rlbench/DiscreteCartPole-v1": (_cart_pole_states, 2_000_000),
    "rlbench/Gridworld-v0": (lambda kwargs: n_squares(str(kwargs.get("grid", ""))), 100_000),
    "rlbench/DynaMaze-v0": (_maze_states, 100_000),
    "rlbench/Gambler-v0": (lambda kwargs: int(kwargs.get("goal", 0)), 400),
    "rlbench/MaximizationBias-v0": (lambda kwargs: int(kwargs.get("actions", 0)), 1000),
    "rlbench/Bandit-v0": (lambda kwargs: int(kwargs.get("arms", 0)), 10_000),
    "rlbench/Racetrack-v0": (_racetrack_outcomes, 25_000),
    "rlbench/CarRental-v0": (lambda kwargs: (int(kwargs.get("max_cars", 0)) + 1) ** 2, 26**2),
    "rlbench/AccessControl-v0": (lambda kwargs: int(kwargs.get("servers", 0)), 200),
    "rlbench/RandomWalk-v0": (lambda kwargs: int(kwargs.get("states", 0)), 100_000),
    "FrozenLake-v1": (_lake_states, 2**16),
    "FrozenLake8x8-v1": (_lake_states, 2**16),
}


def checked_spec(text: str) -> EnvSpec:
    """Returns what a stored JSON spec may make: the registered env, with the stored arguments and wrappers.

    Raises:
        StoreError: it names something else; the message says what.
    """
    try:
        return _checked(text)
    except Refused as refused:
        raise StoreError(
            f"the env is not made, for its stored spec {refused}: pass trust=True if you trust who wrote the store"
        ) from None
    except UsageError:  # of a module that the user lists
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(f"the env cannot be made: its stored spec is unreadable ({type(error).__name__})") from error


class Refused(Exception):  # noqa: N818  (what it says of a spec)
    """What a stored spec asks for that is not made from it."""


def _checked(text: str) -> EnvSpec:
    if len(text) > MOST_TEXT:
        raise Refused(f"has more than {MOST_TEXT:,} characters")
    found = json.loads(text)
    known = _registered(found["id"])
    for name in found:
        if name not in FIELDS:
            raise Refused(f"has an unknown field {_short(name)}")
    for name in CODE:
        if name in found and found[name] != code_name(getattr(known, name)):
            raise Refused(f"names the {name} {_short(found[name])}, which is not that of {known.id} here")
    for name in SWITCHES:
        if type(found[name]) is not bool:
            raise Refused(f"has {name} {_short(found[name])}")
    limit, kwargs = found["max_episode_steps"], _checked_kwargs(known, found["kwargs"])
    if limit is not None and not (type(limit) is int and 0 < limit < 2**62):
        raise Refused(f"has max_episode_steps {_short(limit)}")
    return dataclasses.replace(
        known,
        max_episode_steps=limit,
        kwargs=kwargs,
        additional_wrappers=tuple(_wrappers(found["additional_wrappers"])),
        **{name: found[name] for name in SWITCHES},
    )


def code_name(entry_point: Any) -> Any:
    """Returns "module:name" of a class or function that an env is registered with; a text, or None, as it is."""
    if isinstance(entry_point, str) or not hasattr(entry_point, "__qualname__"):
        return entry_point
    return f"{entry_point.__module__}:{entry_point.__qualname__}"


def _registered(env_id: object) -> EnvSpec:
    """Returns the registration of an env: of Gymnasium, of ours, of a module imported here or listed by the user."""
    if env_id not in gym.registry:
        import_listed()
    if type(env_id) is not str or env_id not in gym.registry:
        raise Refused(f"names the env {_short(env_id)}, which is not registered here (import its module)")
    return gym.registry[env_id]


def _checked_kwargs(known: EnvSpec, kwargs: dict[str, Any]) -> dict[str, Any]:
    for name, value in kwargs.items():
        if name != "render_mode" and not (name in known.kwargs and known.kwargs[name] == value):
            _check_value(f"the argument {_short(name)}", value, math.inf if "seed" in name else LARGEST)
    count, most = SIZES.get(known.id, (lambda _: 0, 0))
    if count(kwargs) > most:
        raise Refused(f"asks for {count(kwargs):,} states, more than {most:,}")
    shown = kwargs.get("render_mode") in RENDER_MODES
    return {name: value for name, value in kwargs.items() if name != "render_mode" or shown}


def _wrappers(found: list[dict[str, Any]]) -> Iterator[WrapperSpec]:
    if type(found) is not list or len(found) > MOST_WRAPPERS:
        raise Refused(f"has more than {MOST_WRAPPERS} wrappers, or no list of them")
    before: list[str] = []
    for wrapper in found:
        module, _, name = str(wrapper["entry_point"]).partition(":")
        kwargs, most = wrapper["kwargs"], _most(module, name)
        if kwargs is None:
            raise Refused(f"does not know the arguments of the wrapper {_short(name)}")
        if name in before and most < LARGEST:
            raise Refused(f"has the wrapper {name} twice")
        if name in ONE_HOT and any(other in NUMBERING for other in before):
            raise Refused(f"has the wrapper {name} round one that numbers observations")
        for argument, value in kwargs.items():
            _check_value(f"the argument {_short(argument)} of the wrapper {name}", value, most)
        before.append(name)
        yield WrapperSpec(**wrapper)


def _most(module: str, name: str) -> int:
    """Returns the largest whole number that a wrapper may be given."""
    if name in WRAPPERS:
        home = f"{__package__}.{OURS[name]}" if name in OURS else getattr(gym.wrappers, name).__module__
        if module in {home, home.rpartition(".")[0]}:
            return WRAPPERS[name]
    if module in listed_modules():
        return LARGEST
    raise Refused(f"names the wrapper {_short(f'{module}:{name}')}, not one of those known to have no side effects")


def _check_value(what: str, value: object, most: float, depth: int = 0) -> None:
    """Refuses what is no plain number, word, truth value or list of them, of a bounded size."""
    if type(value) is list and depth < MOST_DEPTH:
        for part in value:
            _check_value(what, part, most, depth + 1)
    elif type(value) is str:
        if PATH.search(value) or has_controls(LAYOUT.sub("", value)):
            raise Refused(f"has {what} with the text {_short(value)}, which may name a file or a module")
    elif type(value) is int:
        if abs(value) > most:
            raise Refused(f"has {what} with the number {_short(value)}, more than {most:,}")
    elif type(value) not in {float, bool, type(None)}:
        raise Refused(f"has {what} with {_short(value)}, which is no plain value")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."  # noqa: PLR2004  characters


# ---------------------------------------------------------------------- what the user trusts


def trusted_file() -> Path:
    """Returns the file in which the user lists trusted modules, one a line: ~/.config/rlbench/trusted."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "rlbench" / "trusted"


@cache
def listed_modules() -> tuple[str, ...]:
    """Returns the modules that the user lists as trusted."""
    try:
        lines = trusted_file().read_text(encoding="utf-8").splitlines()
    except (OSError, RuntimeError):  # there is none, or no home for it
        return ()
    words = (line.partition("#")[0].strip() for line in lines)
    return tuple(word for word in words if word)


@cache
def import_listed() -> None:
    """Imports the modules that the user lists as trusted, which register their envs.

    Raises:
        UsageError: one cannot be imported.
    """
    for module in listed_modules():
        try:
            importlib.import_module(module)
        except (ImportError, TypeError, ValueError) as error:
            raise UsageError(f"cannot import {module!r}, which {trusted_file()} lists: {error}") from error
