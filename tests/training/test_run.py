"""A run: what it tells, and what can be made from it again."""

import copy
import pickle
import re

import numpy as np
import pytest
from training.toys import Circle, frozen, outcome

import rlbench
from rlbench.agents import AGENTS
from rlbench.errors import StoreError, UnknownNameError
from rlbench.store.config import AgentConfig, RunConfig


@pytest.fixture
def store():
    with rlbench.open_store("memory://") as store:
        yield store


@pytest.fixture
def run(store):
    return rlbench.train("safecab", episodes=12, seed=5, store=store, env_kwargs={"city": "4x4", "city_seed": 2})


def test_a_run_tells_what_it_is(run, store):
    assert re.fullmatch("[0-9a-f]{12}", run.id)
    assert (run.env_id, run.agent_name, run.seed) == ("rlbench/SafeCab-v0", "q-learning", 5)
    assert (run.episodes, run.status, run.engine) == (12, "finished", "compiled")
    assert run.returns.shape == run.lengths.shape == (12,)
    assert (run.returns.dtype, run.timesteps) == (np.float64, run.lengths.sum())
    assert run.seconds == store.run(run.id).seconds > 0
    expected = f"Run({run.id}: q-learning on rlbench/SafeCab-v0, seed 5, 12 episodes, {run.timesteps} steps, finished)"
    assert repr(run) == expected
    assert (run.cache, run.cached_episodes) == ("miss", 0)


def test_the_names_of_the_package_are_these():
    assert rlbench.train.__module__ == "rlbench.training.running"
    assert rlbench.Run.__module__ == "rlbench.training.run"


@pytest.mark.parametrize("agent", AGENTS)
def test_a_run_read_back_is_the_run(agent, store):
    run = rlbench.train("FrozenLake-v1", agent, episodes=12, seed=5, store=store)
    rlbench.train("safecab", episodes=1, store=store)
    again = rlbench.load_run(store, run.id[:8])
    assert again is not run
    assert again.record == run.record
    assert outcome(again) == outcome(run)
    assert again.agent is again.agent
    assert again.agent is not run.agent
    assert again.agent.config() == run.agent.config()


def test_a_saved_run_is_read_back_alone_and_gone_on_with(run, store, tmp_path):
    rlbench.train("FrozenLake-v1", episodes=1, store=store)
    longer = rlbench.resume(run, episodes=15)
    longer.save(tmp_path / "run.db")
    again = rlbench.load_run(tmp_path / "run.db")
    assert again.record == longer.record
    assert outcome(again) == outcome(longer)
    assert [one.id for one in again.store.runs()] == [longer.id]
    assert outcome(rlbench.resume(again, episodes=18)) == outcome(rlbench.resume(longer, episodes=18))
    with pytest.raises(StoreError, match=r"run\.db exists already: give the path of a new file"):
        run.save(tmp_path / "run.db")
    assert (tmp_path / "run.db").stat().st_mode & 0o777 == 0o600


def test_the_latest_and_the_best_run_are_loaded_by_these_words(tmp_path):
    with rlbench.open_store(tmp_path / "x.db") as store:
        runs = [rlbench.train("FrozenLake-v1", episodes=n, seed=0, store=store) for n in (2000, 1)]
        for one in runs:
            store.update_run(one.id, evaluation=rlbench.evaluate(one, episodes=5, seed=0).summary())
    assert rlbench.load_run(str(tmp_path / "x.db"), "latest").id == runs[1].id
    assert rlbench.load_run(tmp_path / "x.db", "best").id == runs[0].id


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))])  # noqa: S301  (our own)
@pytest.mark.parametrize("url", ["memory://", "runs.db"])
def test_a_copied_run_is_the_run_and_a_copy_of_a_store_in_memory_a_store_of_its_own(copied, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = rlbench.train("FrozenLake-v1", episodes=12, seed=5, store=url)
    episodes = run.store.episodes(run)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again, read = copied((run, episodes))
    assert again.record == run.record
    assert outcome(again) == outcome(run)
    assert read[-1].rewards.tolist() == episodes[-1].rewards.tolist()
    again.store.update_run(again.id, tags=["mine"])
    assert run.store.run(run).tags == (() if url == "memory://" else ("mine",))
    assert again.store.url == run.store.url


def test_a_store_that_is_only_read_is_so_as_a_copy(tmp_path):
    rlbench.train("FrozenLake-v1", episodes=1, store=tmp_path / "runs.db").store.close()
    with rlbench.open_store(tmp_path / "runs.db", read_only=True) as store:
        copied = copy.deepcopy(store)
    with copied, pytest.raises(StoreError, match="it can only be read"):
        copied.update_run(copied.run("latest").id, tags=["x"])
    with copy.deepcopy(store) as again:  # it was closed, but its file is there
        assert len(again.runs()) == 1
    with rlbench.open_store("memory://") as store:
        pass
    with pytest.raises(StoreError, match="cannot use the store"):
        copy.deepcopy(store)


def test_an_agent_rebuilt_goes_on_as_the_original_would(store):
    run = rlbench.train("FrozenLake-v1", "replay-q", episodes=12, seed=5, store=store)
    again = rlbench.load_run(store, run.id)
    for agent in (run.agent, again.agent):
        for t in range(50):
            agent.update(t % 16, agent.act(t % 16), 1.0, (t + 1) % 16, t % 9 == 8)
    assert frozen(again.agent.state_dict()) == frozen(run.agent.state_dict())


def test_latest_is_the_run_begun_last(store):
    runs = [rlbench.train("safecab", episodes=1, seed=seed, store=store) for seed in range(3)]
    assert rlbench.load_run(store, "latest").id == runs[-1].id


def test_a_run_that_is_not_there_says_so(store, run):
    with pytest.raises(StoreError):
        rlbench.load_run(store, "ffffffffffff" if run.id[0] != "f" else "000000000000")
    with rlbench.open_store("memory://") as empty, pytest.raises(StoreError):
        rlbench.load_run(empty, "latest")


def test_a_new_agent_has_the_parameters_and_has_learnt_nothing(run):
    fresh = run.make_agent(np.random.SeedSequence(0))
    assert fresh.config() == run.agent.config()
    assert (fresh.episodes, fresh.q_table.any()) == (0, False)
    assert fresh.q_table.shape == run.agent.q_table.shape


def test_the_same_env_can_be_made_again(run):
    env = run.make_env()
    assert env.spec.to_json() == run.record.config.env.spec
    assert (env.unwrapped.city.rows, env.observation_space.n) == (4, run.agent.n_states)
    assert run.make_env(render_mode="ansi").render_mode == "ansi"
    assert env.spec.max_episode_steps == 100


def test_an_env_of_ones_own_cannot_be_made_again_and_says_what_to_do(store):
    run = rlbench.train(Circle(), episodes=2, seed=0, store=store)
    with pytest.raises(StoreError, match=r"cannot make Circle again \(it has no storable spec\): pass env="):
        run.make_env()


def test_a_run_without_a_checkpoint_has_no_agent(store):
    record = store.create_run("safecab", "q-learning", seed=0, config=_about("q-learning"))
    with pytest.raises(StoreError, match="has no checkpoint: it was killed before its first one"):
        _ = rlbench.load_run(store, record.id).agent


def test_an_agent_that_is_not_registered_here_cannot_be_rebuilt(store):
    record = store.create_run("safecab", "q-lurning", seed=0, config=_about("q-lurning"))
    with pytest.raises(UnknownNameError, match="unknown agent 'q-lurning'; did you mean q-learning"):
        _ = rlbench.load_run(store, record.id).agent


def _about(name):
    return RunConfig(agent=AgentConfig(name, n_states=2, n_actions=2))


def test_asked_for_less_again_one_has_the_shorter_run(store):
    long = rlbench.train("safecab", episodes=30, seed=0, store=store)
    longer = rlbench.train("safecab", episodes=50, seed=0, store=store)
    again = rlbench.train("safecab", episodes=30, seed=0, store=store)
    assert (long.cache, longer.cache, again.cache) == ("miss", "prefix", "hit")
    assert (again.id, longer.record.parents) == (long.id, (long.id,))
    assert (again.episodes, len(again.returns), again.status) == (30, 30, "finished")
    assert frozen(again.agent.state_dict()) == frozen(long.agent.state_dict())
