"""The table of an env, and what is compiled before its steps are packed."""

from dataclasses import replace

import pytest

import rlbench
from rlbench.envs._worlds import world_of
from rlbench.envs.making import make_env
from rlbench.store import _walking
from rlbench.training.tables import compile_packing, is_table, known_table

PASSES = _walking.trace, _walking.retrace, _walking.add_up


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


def test_steps_that_the_loop_itself_packs_need_no_other_pass():
    for compiled in PASSES:
        compiled._reset_overloads()
    rlbench.train("safecab", episodes=20, seed=0)
    assert not any(compiled.signatures for compiled in PASSES)


def test_a_world_is_a_table_if_all_that_follows_from_it_is_the_same():
    env = make_env("safecab")
    world, table = env.unwrapped.compiled_world(), known_table(env)
    assert is_table(world, table)
    assert not is_table(None, table)
    assert not is_table(world, None)
    for name, column in table.arrays._asdict().items():
        if name in {"successor", "reward", "terminated"}:
            other = column.copy()
            other[-1] = -0.0 if name == "reward" else not other[-1]
            assert not is_table(world, replace(table, **{name: other})), name
    env.close()


def test_a_world_with_drawn_outcomes_or_other_actions_is_no_table():
    env, ice = make_env("safecab"), make_env("FrozenLake-v1")
    world, table = env.unwrapped.compiled_world(), known_table(env)
    assert not is_table(world, known_table(ice))
    assert not is_table(world_of(ice), known_table(ice))
    assert not is_table(world._replace(outcome=world.outcome.reshape(-1, 3)), table)
    env.close()
    ice.close()
