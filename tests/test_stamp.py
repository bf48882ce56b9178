"""The sources of a compiled function are known, so that numba's cache never serves an old one."""

import os
import subprocess
import sys
from contextlib import nullcontext
from types import ModuleType

import pytest

import rlbench
from rlbench import _stamp
from rlbench.agents import QLearning
from rlbench.envs._worlds import SampledWorld

# in a child for each module, forked from a process that has imported none of ours
SOURCES = """
import importlib, os, sys, numba
for module in ("training._kernel", "training._greedy", "training._stored", "plots._updates"):
    if os.fork():
        assert os.wait()[1] == 0, module
        continue
    importlib.import_module(f"rlbench.{module}")
    from rlbench._stamp import sources
    compiled = {name for name, found in sys.modules.items() if name.startswith("rlbench.") and hasattr(found, "njit")}
    assert len(compiled) > 1, compiled
    assert compiled <= sources(f"rlbench.{module}").keys(), compiled - sources(f"rlbench.{module}").keys()
    break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_all_compiled_modules_that_come_with_one_are_among_its_sources():
    command = [sys.executable, "-W", "ignore", "-c", SOURCES]  # newer Pythons warn of forks
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture
def chain(monkeypatch, tmp_path):
    """Files of modules that import each other: a uses b and a constant of c, b uses d; e is for types alone."""
    texts = {
        "a": "from rlbench.chain_b import (\n    f,\n    g,\n)\nfrom rlbench.chain_c import N  # noqa\n",
        "b": "from rlbench import chain_d\nif TYPE_CHECKING:\n    from rlbench.chain_e import E\n",
        "c": "N = 1\n",
        "d": "def h(): return 1\n",
        "e": "class E: pass\n",
    }
    files = {name: tmp_path / f"{name}.py" for name in texts}
    for name, file in files.items():
        file.write_text(texts[name])
        module = ModuleType(f"rlbench.chain_{name}")
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return files


def test_sources_are_followed_from_import_to_import_but_not_for_types(chain):
    assert {name[-1] for name in _stamp.sources("rlbench.chain_a")} == set("abcd")


def test_a_change_in_what_is_used_through_others_changes_the_stamp(chain):
    class Cached:
        """Has the layout of a numba function."""

        class _cache:  # noqa: N801
            class _cache_file:  # noqa: N801
                _source_stamp = ""

    Cached.__module__ = "rlbench.chain_a"
    sys.modules["rlbench.chain_a"].function = Cached

    def stamped():
        _stamp.stamp("rlbench.chain_a")
        return Cached._cache._cache_file._source_stamp

    first = stamped()
    chain["e"].write_text("class E: x = 2\n")
    assert stamped() == first
    chain["d"].write_text("def h(): return 2\n")
    assert stamped() != first


def test_numba_still_keeps_its_stamp_where_it_is_set():
    from rlbench.training._kernel import STAMP, loop_for

    learner, world = QLearning(2, 2).learner(), SampledWorld(*[None] * 6)
    assert loop_for(world, learner)._cache._cache_file._source_stamp == STAMP
    assert len(STAMP) == 64  # hexadecimal digits of SHA-256


def test_a_cached_loop_is_loaded_without_what_only_compiling_needs():
    program = "import sys, rlbench; rlbench.train('safecab', episodes=1, seed=0); print('scipy.linalg' in sys.modules)"
    rlbench.train("safecab", episodes=1, seed=0)  # compiled and cached from here on
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout == "False\n"


def test_what_another_version_kept_for_a_class_that_is_gone_is_dropped():
    class Kept:
        """Has the methods of numba's cache."""

        dropped = False
        _guard_against_spurious_io_errors = staticmethod(nullcontext)

        def _load_overload(self, signature, context):
            raise AttributeError("Can't get attribute 'FixedPolicy'")

        def flush(self):
            self.dropped = True

    kept = Kept()
    assert _stamp._loaded(kept, (), None) is None
    assert kept.dropped
