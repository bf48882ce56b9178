"""Recording what a policy does, in any env, as it was observed."""

import gymnasium as gym
import numpy as np
import pytest

import rlbench
from rlbench.agents import QLearning
from rlbench.errors import UsageError


class Endless(gym.Env):
    """Goes on for ever."""

    observation_space = gym.spaces.Box(0.0, np.inf, (1,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0.0
        return np.array([self.t], np.float32), {}

    def step(self, action):
        self.t += 1
        return np.array([self.t], np.float32), 1.0, False, False, {}


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "Blackjack-v1", "Taxi-v4", "safecab"])
def test_a_random_policy_is_recorded_in_any_env_and_repeats_with_its_seed(env):
    runs = [rlbench.record(env, episodes=3, seed=seed) for seed in (5, 5, 6)]
    assert [(run.episodes, run.status, run.agent_name, run.seed) for run in runs[:2]] == [
        (3, "finished", "random", 5)
    ] * 2
    one, again, other = ([float(r) for e in run.store.episodes(run.id) for r in (len(e), *e.rewards)] for run in runs)
    assert one == again != other
    assert rlbench.verify(runs[0]).mismatched == 0


def test_an_env_that_is_given_stays_open_and_one_that_was_made_here_is_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(Endless, "close", lambda env: closed.append(env.unwrapped))
    gym.register("Endless-v0", Endless, max_episode_steps=3)
    given = gym.make("Endless-v0")
    runs = [rlbench.record(given, episodes=1), rlbench.record(given, episodes=1)]
    assert [(run.status, run.timesteps) for run in runs] == [("finished", 3)] * 2
    before = len(closed)  # copies of it were made, compared with it and closed
    with pytest.raises(UsageError, match="policy must be"):
        rlbench.record("Endless-v0", 7)
    gym.registry.pop("Endless-v0")
    assert len(closed) == before + 1
    assert given.unwrapped not in closed


def test_observations_are_stored_as_they_come():
    episode = rlbench.record("CartPole-v1", episodes=1).store.episodes("latest")[0]
    assert (episode.observations.shape, episode.observations.dtype) == ((len(episode) + 1, 4), np.float32)


def test_a_trained_run_acts_greedily_where_it_learnt():
    run = rlbench.train("safecab", seed=0)
    recorded = rlbench.record("safecab", run, episodes=50, seed=1)
    assert (recorded.agent_name, recorded.returns.mean() > 950) == ("q-learning", True)
    by_agent = rlbench.record("safecab", run.agent, episodes=50, seed=1)
    assert by_agent.returns.tolist() == recorded.returns.tolist()


def test_a_run_that_learnt_in_bins_acts_on_raw_observations_as_it_does_in_its_bins():
    run = rlbench.train("CartPole-v1", bins="3,3,6,6", episodes=400, seed=0)
    recorded = rlbench.record("CartPole-v1", run, episodes=8, seed=4)
    assert recorded.store.episodes(recorded.id)[0].observations.shape[1:] == (4,)
    assert recorded.returns.tolist() == rlbench.evaluate(run, episodes=8, seed=4).returns.tolist()


def test_a_run_that_does_not_fit_an_env_is_refused():
    run = rlbench.train("FrozenLake-v1", episodes=1, seed=0)
    with pytest.raises(UsageError, match=r"learnt 16 states of FrozenLake-v1, the env observes Discrete\(500\)"):
        rlbench.record("Taxi-v4", run, episodes=1)


def test_a_function_and_what_predicts_are_policies():
    class Model:
        def predict(self, observation):
            return int(observation[2] > 0), None

    def lean(observation):
        return int(observation[2] > 0)

    runs = [rlbench.record("CartPole-v1", policy, episodes=5, seed=2) for policy in (lean, Model())]
    assert [run.agent_name for run in runs] == ["lean", "model"]
    assert runs[0].returns.tolist() == runs[1].returns.tolist()


@pytest.mark.parametrize("policy", ["greedy", 7, None])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(UsageError, match="policy must be random, a run, an agent or a function"):
        rlbench.record("CartPole-v1", policy, episodes=1)


def test_an_episode_without_an_end_is_cut_off():
    run = rlbench.record(Endless(), episodes=2)
    assert run.lengths.tolist() == [10_000, 10_000]
    assert [episode.end for episode in run.store.episodes(run.id)] == ["cut off", "cut off"]


def test_an_agent_that_was_trained_elsewhere_is_a_policy():
    agent = QLearning(16, 4, seed=0)
    run = rlbench.record("FrozenLake-v1", agent, episodes=2)
    assert run.store.episodes(run.id)[0].actions.tolist() == [0] * int(run.lengths[0])  # the first of equals
