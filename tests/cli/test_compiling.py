"""What is said while numba compiles, and when nothing is."""

import sys
from pathlib import Path

import pytest
from numba import njit

from rlbench import _compiling
from rlbench.agents import AGENTS, QLearning
from rlbench.cli import compiling
from rlbench.envs._worlds import SampledWorld
from rlbench.names import AGENT_NAMES
from rlbench.training._kernel import loop_for


@pytest.fixture
def cold(monkeypatch):
    monkeypatch.setattr(compiling, "is_cold", lambda: True)


@pytest.fixture
def warm(monkeypatch):
    monkeypatch.setattr(compiling, "is_cold", lambda: False)


@compiling.says_that_it_compiles
def command(*, as_json, work, **options):
    return work()


def test_the_agents_that_are_known_before_they_are_imported_are_those_there_are():
    assert tuple(AGENTS) == AGENT_NAMES


def test_the_index_that_is_looked_for_is_the_one_that_numba_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert _compiling.is_cold()
    loop = loop_for(SampledWorld(*[None] * 6), QLearning(2, 2).learner())
    index = tmp_path / Path(loop.stats.cache_path).name / loop._cache._cache_file._index_name
    index.parent.mkdir()
    index.touch()
    assert not _compiling.is_cold()


def test_without_a_home_nothing_has_been_compiled_there(monkeypatch):
    monkeypatch.setattr(_compiling.os.path, "expanduser", lambda path: path)  # what it does without one
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert not _compiling._has_home()


def test_a_training_in_a_cold_cache_says_at_once_that_it_compiles(cold, capsys):
    said = command(as_json=False, work=lambda: capsys.readouterr().err, env="safecab", agent="q-learning")
    assert said == "compiling ... (this takes a while, the first time only)\n"


@pytest.mark.parametrize("options", [{"env": "safecap", "agent": "q-learning"}, {"env": "safecab", "agent": "q"}])
def test_a_mistyped_training_says_nothing_of_compiling(cold, capsys, options):
    assert command(as_json=False, work=lambda: capsys.readouterr().err, **options) == ""


def test_a_training_says_once_that_numba_compiles_and_nothing_if_it_does_not(warm, capsys):
    def work():
        assert capsys.readouterr().err == ""
        return [njit("int64()")(each)() for each in (lambda: 0, lambda: 1)]

    assert command(as_json=False, work=work, env="safecab") == [0, 1]
    assert capsys.readouterr().err == "compiling ... (this takes a while, the first time only)\n"
    command(as_json=False, work=lambda: None, env="safecab")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("person", [True, False])
def test_other_commands_say_so_to_a_person_only(warm, capsys, monkeypatch, person):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: person)
    command(as_json=False, work=lambda: njit("int64()")(lambda: 7))
    assert bool(capsys.readouterr().err) is person


def test_nothing_is_said_with_json(cold, capsys):
    command(as_json=True, work=lambda: njit("int64()")(lambda: 8), env="safecab", agent="q-learning")
    assert capsys.readouterr().err == ""
