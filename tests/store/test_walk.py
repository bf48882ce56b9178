"""The books' walk: record a raw env, look, choose bins, learn from it, continue in the env, and keep all of it."""

import numpy as np
import pytest

import rlbench
from rlbench.errors import StoreError
from rlbench.store import open_store


@pytest.fixture(params=["sqlite", "mongodb"])
def url(request, tmp_path):
    return str(tmp_path / "runs.db") if request.param == "sqlite" else request.getfixturevalue("emptied_url")


def test_what_was_recorded_raw_is_learnt_from_in_bins_and_gone_on_with(url):
    with open_store(url) as store:
        raw = rlbench.record("CartPole-v1", "random", episodes=200, store=store)
        learnt = rlbench.retrain(rlbench.load_run(store, "latest"), bins="6,6,12,12").run
        run = rlbench.train("CartPole-v1", bins="6,6,12,12", parent=learnt, episodes=2000, seed=0, store=store)
        assert run.engine == "compiled"
        for policy in (learnt, run):
            assert rlbench.evaluate(policy, seed=0).mean_return > 2 * raw.returns.mean()
    with open_store(url) as store:
        assert [rlbench.load_run(store, "latest").record.parents, store.run(learnt.id).parents] == [
            (learnt.id,),
            (raw.id,),
        ]
        again = rlbench.load_run(store, run.id)
        assert np.array_equal(again.agent.q_table, run.agent.q_table)
        assert rlbench.verify(again).mismatched == rlbench.verify(rlbench.load_run(store, raw.id)).mismatched == 0


def test_latest_is_the_latest_run_that_has_what_is_needed(url):
    with open_store(url) as store:
        with pytest.raises(StoreError, match="there is no run with stored steps in"):
            rlbench.load_run(store, "latest", needs="steps")
        trained = rlbench.train("FrozenLake-v1", episodes=20, seed=0, store=store)
        recorded = rlbench.record("FrozenLake-v1", episodes=20, store=store)
        learnt = rlbench.retrain(recorded, store=store).run
        figures = rlbench.train("FrozenLake-v1", episodes=20, seed=1, record="none", store=store)
        named = {
            needs: rlbench.load_run(store, "latest", needs=needs).id for needs in ("", "steps", "agent", "episodes")
        }
        assert named == {"": figures.id, "steps": recorded.id, "agent": figures.id, "episodes": figures.id}
        store.delete_run(figures.id)
        named = {
            needs: rlbench.load_run(store, "latest", needs=needs).id for needs in ("agent", "episodes", "training")
        }
        assert named == {"agent": learnt.id, "episodes": recorded.id, "training": trained.id}
        store.update_run(trained.id, evaluation={"mean_return": 0.5})
        store.update_run(learnt.id, evaluation={"mean_return": 0.7})
        assert rlbench.load_run(store, "best").id == learnt.id
        assert rlbench.load_run(store, "best", needs="steps").id == trained.id


def test_a_run_is_loaded_from_a_path_or_url(url):
    with open_store(url) as store:
        run = rlbench.train("FrozenLake-v1", episodes=20, seed=0, store=store)
    loaded = rlbench.load_run(url, "latest")
    with loaded.store:
        assert np.array_equal(loaded.agent.q_table, run.agent.q_table)


# ------------------------------------------------------------------------------------------------- without the env


@pytest.mark.parametrize("env", ["Blackjack-v1", "Taxi-v4"])
def test_finite_observations_are_numbered_as_they_are_in_training(env):
    recorded = rlbench.record(env, episodes=40)
    learnt = rlbench.retrain(recorded)
    trained = rlbench.train(env, episodes=1)
    assert learnt.run.record.config.env.spec == trained.record.config.env.spec
    assert learnt.transitions == recorded.timesteps
    assert rlbench.evaluate(learnt.run, env, episodes=5, seed=0).lengths.min() > 0


def test_learning_from_stored_steps_needs_no_env(url):
    with open_store(url) as store:
        parents = [rlbench.record(unregistered(seed), episodes=30, seed=seed, store=store) for seed in (0, 1)]
        equal = rlbench.retrain(parents, bins={"bins": 4, "low": -3, "high": 3}, store=store).run
        assert rlbench.evaluate(rlbench.load_run(store, equal.id), unregistered(0), seed=0).lengths.min() > 0
        learnt = rlbench.retrain(parents, bins="quantile:4", store=store)
        assert learnt.transitions == sum(run.timesteps for run in parents)
        assert rlbench.evaluate(learnt.run, unregistered(0), seed=0).mean_return > 20
        assert rlbench.evaluate(rlbench.load_run(store, learnt.run.id), unregistered(0), seed=0).mean_return > 20
        with pytest.raises(StoreError, match="cannot make"):
            rlbench.evaluate(learnt.run)


def unregistered(seed):
    """CartPole as an object that no spec makes again."""
    from gymnasium.envs.classic_control import CartPoleEnv
    from gymnasium.wrappers import TimeLimit

    env = TimeLimit(CartPoleEnv(), 200)
    assert env.spec is None
    return env
