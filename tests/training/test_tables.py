"""The table of an env, and what is compiled before its steps are packed."""

import pytest

import rlbench
from rlbench.envs.making import make_env
from rlbench.store import _walking
from rlbench.training.tables import compile_packing, known_table

PASSES = _walking.trace, _walking.add_up, _walking.tally


@pytest.mark.parametrize("env_id", ["rlbench/SafeCab-v0", "FrozenLake-v1", "rlbench/DiscreteCartPole-v1"])
def test_all_that_packs_the_steps_of_a_training_is_compiled_before_its_seconds_begin(env_id):
    env = make_env(env_id)
    for compiled in PASSES:
        compiled._reset_overloads()
    compile_packing.cache_clear()
    table = known_table(env)
    compile_packing(int(env.action_space.n), 0 if table is None else table.most_outcomes)
    before = [compiled.signatures for compiled in PASSES]
    assert any(before)
    rlbench.train(env_id, episodes=20, seed=0)
    assert [compiled.signatures for compiled in PASSES] == before
    env.close()


def test_a_table_that_is_too_large_to_be_kept_is_not_looked_for_in_the_steps(monkeypatch):
    env = make_env("FrozenLake-v1")
    size = len(known_table(env).blob)
    monkeypatch.setattr("rlbench.training.tables.MOST_TABLE", size)
    assert known_table(env) is not None
    monkeypatch.setattr("rlbench.training.tables.MOST_TABLE", size - 1)
    assert known_table(env) is None
    env.close()
