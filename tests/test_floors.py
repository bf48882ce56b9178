"""Imports point one way: no import cycle, and no room that imports one above it; CONTRIBUTING prints the order.

Counted are imports at the top of a file, inside functions and for types alone, `import_module("...")`, and texts such
as "rlbench.store.sqlite:open_file". Only the registries below may name what lies above them: that is their purpose.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"rlbench": "rlbench", "envs": "rlbench.envs", "agents": "rlbench.agents", "buffers": "rlbench.buffers"}
REGISTRIES = {("rlbench._shown", "DRAWERS")}  # (module, name): who draws what a notebook shows
NAMED = re.compile(r"(rlbench(?:\.\w+)+)(?::\w+)?")
FLOOR = re.compile(r"^ *(\d+) {2}(.+?)(?: {3,}.*)?$")


def _module(path, package, folder):
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join([package, *(part for part in parts if part != "__init__")])


def _files():
    for name, package in FOLDERS.items():
        folder = ROOT / name
        for path in sorted(folder.rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents):
                yield _module(path, package, folder), path


FILES = dict(_files())


def _registered(tree, module):
    """Returns the ids of the texts that stand in a registry of this module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and (module, getattr(node.targets[0], "id", "")) in REGISTRIES:
            yield from map(id, ast.walk(node))


def imports(module, source, known):
    """Yields (module, line) for every import of a module in `known`, by any of these ways."""
    tree = ast.parse(source)
    registered = set(_registered(tree, module))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}, line {node.lineno}: imports are absolute here"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inside]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in registered:
            named = NAMED.fullmatch(node.value)
            names = [named.group(1)] if named else []
        yield from ((name, node.lineno) for name in names if name in known and name != module)


@cache  # not at import: every process of a test run collects this file
def arrows_found():
    return {module: set(imports(module, path.read_text(encoding="utf-8"), FILES)) for module, path in FILES.items()}


def circles(arrows):
    """Returns the import cycles, each as a set of files (Tarjan, 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(module):
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in arrows[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            at = stack.index(module)
            members = {*stack[at:]}
            del stack[at:]
            if len(members) > 1:
                found.append(members)

    for module in arrows:
        if module not in index:
            visit(module)
    return found


def room_of(module):
    """Returns the room a module lies in: the first part below rlbench, or rlbench itself."""
    return module.split(".")[1] if "." in module else module


def _floors():
    """Reads CONTRIBUTING's picture of the house: room, floor."""
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The house")[1].split("```")[1]
    lines = [FLOOR.match(line) for line in picture.splitlines()]
    return {room: int(line.group(1)) for line in lines if line for room in line.group(2).split()}


FLOORS = _floors()


def test_no_files_import_each_other_in_a_circle():
    assert circles({module: {target for target, _ in found} for module, found in arrows_found().items()}) == []


def test_every_room_stands_on_one_floor_of_the_house_that_contributing_prints():
    assert FLOORS.keys() == set(map(room_of, FILES))


def test_no_room_imports_one_on_its_own_floor_or_above():
    upward = [
        f"{module}, line {line}: {target}"
        for module, found in arrows_found().items()
        for target, line in sorted(found)
        if room_of(module) != room_of(target) and FLOORS[room_of(module)] <= FLOORS[room_of(target)]
    ]
    assert upward == []


@pytest.mark.parametrize("module", ["rlbench._shown"])
def test_a_registry_names_modules_that_exist(module):
    texts = [node.value for node in ast.walk(ast.parse(FILES[module].read_text())) if isinstance(node, ast.Constant)]
    named = [NAMED.fullmatch(text) for text in texts if isinstance(text, str)]
    assert {match.group(1) for match in named if match} <= FILES.keys()


# ------------------------------------------------------------------ the search itself


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import rlbench.store", {"rlbench.store"}),
        ("from rlbench import store, x", {"rlbench.store", "rlbench"}),
        ("def f():\n    from rlbench.store import y", {"rlbench.store"}),
        ("if TYPE_CHECKING:\n    from rlbench.store import Store", {"rlbench.store"}),
        ("import_module('rlbench.store')", {"rlbench.store"}),
        ("STORES = {'a': 'rlbench.store:open'}", {"rlbench.store"}),
        ("DRAWERS = {'a': 'rlbench.store:open'}", set()),
        ("'text about rlbench.store, and no more'", set()),
        ("import numpy", set()),
    ],
)
def test_the_search_finds_an_import_wherever_it_stands(source, found):
    known = {"rlbench", "rlbench.store"}
    assert {name for name, _ in imports("rlbench._shown", source, known)} == found


def test_the_search_finds_a_circle_and_only_that():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]
