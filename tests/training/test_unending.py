"""Tasks that never end: their episodes are cut off in both loops, so that a budget of steps is reached."""

import gymnasium as gym
import pytest
from training.toys import Ring, outcome

import rlbench
from rlbench.store import CUT_OFF
from rlbench.training import recorder

ENGINES = ("compiled", "python")
SHORT = 150  # steps after which an episode here is cut off: its chunks of 64 split it


@pytest.fixture
def ring(monkeypatch):
    monkeypatch.setitem(
        gym.registry, "toys/Ring-v0", gym.envs.registration.EnvSpec("toys/Ring-v0", "training.toys:Ring")
    )
    monkeypatch.setattr(recorder, "MOST_STEPS", SHORT)
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    return "toys/Ring-v0"


@pytest.mark.parametrize(("engine", "record"), [("compiled", "none"), ("python", "all")])
def test_a_budget_of_steps_ends_an_env_that_never_does(engine, record):
    run = rlbench.train(Ring(), total_timesteps=1000, seed=0, engine=engine, record=record)
    assert (run.status, run.lengths.tolist()) == ("finished", [recorder.MOST_STEPS])


@pytest.mark.parametrize("agent", ["q-learning", "n-step-sarsa"])
def test_both_loops_cut_off_at_the_same_step_with_the_same_result(agent, ring):
    runs = [rlbench.train(ring, agent, total_timesteps=400, seed=0, engine=engine) for engine in ENGINES]
    assert outcome(runs[0]) == outcome(runs[1])
    assert runs[0].lengths.tolist() == [SHORT] * 3
    episodes = list(runs[0].store.episodes(runs[0].id))
    assert {episode.end for episode in episodes} == {"cut off"}
    assert rlbench.verify(runs[0]).mismatched == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_the_value_of_the_next_state_counts_where_an_episode_is_cut_off(engine, ring, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_STEPS", 1)
    settings = {"learning_rate": 1.0, "gamma": 0.5, "initial_value": 100.0}
    run = rlbench.train(ring, total_timesteps=1, seed=0, engine=engine, agent_kwargs=settings)
    (episode,) = run.store.episodes(run.id)
    last, then = episode.observations[-2:]
    assert run.agent.q_table[last, episode.actions[-1]] == last + 0.5 * run.agent.q_table[then].max() > last


@pytest.mark.parametrize("engine", ENGINES)
def test_an_episode_that_ends_by_itself_or_by_a_step_limit_is_not_cut_off(engine, ring):
    frozen = rlbench.train("FrozenLake-v1", total_timesteps=30, seed=0, engine=engine)
    limited = rlbench.train(ring, total_timesteps=30, seed=0, engine=engine, env_kwargs={"max_episode_steps": 80})
    assert limited.lengths.tolist() == [80]
    for run in (frozen, limited):
        assert CUT_OFF not in [end for chunk in run.store.chunks(run.id) for end in chunk.ends]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_is_gone_on_with_equals_the_one_that_never_stopped(engine, ring):
    whole = outcome(rlbench.train(ring, total_timesteps=600, seed=0, engine=engine))
    first = rlbench.train(ring, total_timesteps=200, seed=0, engine=engine, store="memory://")
    longer = outcome(rlbench.resume(first, total_timesteps=600, engine=engine))
    for told in (whole, longer):
        del told["chunks"]  # their boundaries may differ
    assert longer == whole
