"""The code that decides a result besides its parameters: that of envs and agents which are not our own.

Every loaded module of their package counts, and of the folder that it lies in, unless that is where packages are
installed. Of Gymnasium's and our own code the versions tell. Data files and environment variables cannot be known.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from rlbench._registration import IMPORTED
from rlbench.envs.making import spec_json, wrappers_of
from rlbench.envs.trust import code_name
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    import gymnasium as gym

    from rlbench.agents import Agent
    from rlbench.store import RunRecord

VERSIONED = {"rlbench", "gymnasium", "numpy", "numba", *sys.stdlib_module_names} - {"__main__"}
PROGRAM = ("__main__", "__mp_main__")  # the second in a process that multiprocessing began
INSTALLED = ("site-packages", "dist-packages")  # folders of unrelated modules
DECIDING = ("id", "max_episode_steps", "additional_wrappers")  # of a spec
UNKNOWN = "unknown"  # in place of a digest

_seen: dict[str, str] = {}  # the first digest of each file


def code_of(
    env: gym.Env[Any, Any], agent: Agent | None = None, callbacks: Iterable[object] = ()
) -> dict[str, str] | None:
    """Returns a digest of each module that decides what these do; None if all are ours or Gymnasium's.

    A module whose code cannot be known has UNKNOWN, and the reason, in its place; a distribution has its version.
    """
    makers = set(_makers(*wrappers_of(env), env.unwrapped, *([] if agent is None else [agent]), *callbacks))
    names = {cls.__module__ for cls in makers} | _entry_points(env)
    tops = {name.partition(".")[0] for name in names} - VERSIONED
    if not tops:
        return None
    found = {PROGRAM[0] if name in PROGRAM else name: _digest(module) for name, module in _modules(tops).items()}
    for maker in sorted(makers, key=lambda one: one.__qualname__):
        if maker.__module__ in PROGRAM:
            found[PROGRAM[0]] = f"{UNKNOWN}: {maker.__name__} is defined in the program or notebook itself"
        elif "<locals>" in maker.__qualname__ and maker.__module__.partition(".")[0] not in VERSIONED:
            found[maker.__module__] = f"{UNKNOWN}: {maker.__name__} is made within a function"
    return {**found, **dict(_distributions(tops))}


def unknown_of(code: dict[str, str] | None) -> str:
    """Returns why some of the code cannot be known; empty if all of it is known."""
    reasons = (digest.partition(": ")[2] for digest in (code or {}).values() if digest.startswith(UNKNOWN))
    return next(reasons, "")


def check_same_code(run: RunRecord, env: gym.Env[Any, Any], agent: Agent | None = None) -> None:
    """Refuses an env or agent whose code differs from what a run was trained with, as far as it is known.

    Raises:
        UsageError: the first module that differs.
    """
    trained = run.config.code or {}
    now = (code_of(env, agent) or {}) if trained else {}
    for name in sorted(trained.keys() & now.keys()):
        if trained[name] != now[name] and not any(one[name].startswith(UNKNOWN) for one in (trained, now)):
            raise UsageError(
                f"the code of {name} is other than run {run.id} was trained with: "
                "bring the old one back, or train anew with the new one"
            )


def check_same_env(run: RunRecord, env: gym.Env[Any, Any]) -> None:
    """Refuses an env with other arguments or wrappers than those of a run's env.

    Raises:
        UsageError: both have specs, and these differ in more than how the env is drawn.
    """
    trained, given = run.config.env.spec, spec_json(env)
    if trained is not None and given is not None and _deciding(trained) != _deciding(given):
        raise UsageError(
            f"run {run.id} was trained on {run.env_id} with other arguments or wrappers than the env that was given: "
            "leave out env, or pass another_env=True to judge it there"
        )


def _deciding(spec: str) -> dict[str, Any]:
    """Returns the parts of a JSON spec that decide what an env does; none if it cannot be read."""
    try:
        whole = json.loads(spec)
        kwargs = {name: value for name, value in whole["kwargs"].items() if name != "render_mode"}
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}
    return {**{name: whole.get(name) for name in DECIDING}, "kwargs": kwargs}


def _makers(*parts: object) -> Iterator[type | FunctionType]:
    """Yields the classes of some objects and of their attributes, with all base classes; a function is itself one."""
    for part in parts:
        yield from (part,) if isinstance(part, FunctionType) else type(part).__mro__
        for value in vars(part).values():
            maker = value if isinstance(value, type | FunctionType) else type(value)
            if not _is_installed(maker):
                yield from getattr(maker, "__mro__", (maker,))


def _is_installed(maker: type | FunctionType) -> bool:
    file = getattr(sys.modules.get(maker.__module__), "__file__", None)
    return isinstance(file, str) and _in_installed(file)


@cache
def _in_installed(path: str) -> bool:
    return any(folder in Path(path).parts for folder in INSTALLED)


def _entry_points(env: gym.Env[Any, Any]) -> set[str]:
    entry = code_name(env.spec.entry_point) if env.spec is not None else None
    return {entry.partition(":")[0]} if isinstance(entry, str) else set()


def _modules(tops: set[str]) -> dict[str, ModuleType]:
    """Returns the loaded modules of some packages, and the other modules in their folders."""
    inside = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in tops}
    folders = {folder for name in inside.keys() & tops for folder in _folders(inside[name])}
    beside = {name: module for name, module in list(sys.modules.items()) if _lies_in(module, folders)}
    return {name: module for name, module in sorted({**beside, **inside}.items()) if _is_code(name, module)}


def _folders(module: ModuleType) -> Iterator[Path]:
    """Yields the folders in which a package or module lies, unless they are full of unrelated ones."""
    places = getattr(module, "__path__", None) or [getattr(module, "__file__", None)]
    for place in places:
        if place is not None and not _in_installed(place):
            yield Path(place).absolute().parent


def _lies_in(module: ModuleType, folders: set[Path]) -> bool:
    file = getattr(module, "__file__", None)
    if not folders or module.__name__ in PROGRAM or not isinstance(file, str) or _in_installed(file):
        return False
    if not (Path(file).is_absolute() or Path(file).exists()):
        return False  # a made-up name, such as the "_classes.py" of torch.classes
    return not folders.isdisjoint(Path(file).absolute().parents)


def _is_code(name: str, module: ModuleType) -> bool:
    """Returns whether a module counts: its version does not identify it, and it is no mere namespace."""
    is_namespace = getattr(module, "__file__", None) is None and getattr(module, "__path__", None) is not None
    return name.partition(".")[0] not in VERSIONED and not is_namespace


def _digest(module: ModuleType) -> str:
    """Returns the digest of a module's source, or why it is not known."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if name in PROGRAM:
        return f"{UNKNOWN}: the env is defined in the program or notebook itself"
    if not isinstance(file, str) or not file.endswith(".py"):
        return f"{UNKNOWN}: the module {name} is not Python source"
    try:
        source = Path(file).read_bytes()
        is_as_imported = _is_as_imported(module, Path(file))
    except OSError:
        return f"{UNKNOWN}: the source of {name} cannot be read"
    digest = hashlib.sha256(source).hexdigest()
    if not is_as_imported or _seen.setdefault(file, digest) != digest:
        return f"{UNKNOWN}: {name} was edited since it was imported"
    return digest


def _is_as_imported(module: ModuleType, file: Path) -> bool:
    """Returns whether a source is older than this process, or was compiled to the cached byte code."""
    stat = file.stat()
    if stat.st_mtime < IMPORTED:
        return True
    kept = Path(getattr(module, "__cached__", None) or importlib.util.cache_from_source(str(file)))
    head = kept.read_bytes()[4:16] if kept.exists() else b""
    return head == b"".join((part & 0xFFFFFFFF).to_bytes(4, "little") for part in (0, int(stat.st_mtime), stat.st_size))


def _distributions(tops: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields the version of each distribution that has the name of one of these packages."""
    for top in sorted(tops):
        with suppress(PackageNotFoundError, ValueError):
            yield f"distribution {top}", version(top)
