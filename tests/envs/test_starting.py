"""Exploring starts: episodes begin anywhere, in the env as in its table."""

import gymnasium as gym
import pytest
from training.toys import Road, outcome

import rlbench
from rlbench.envs import ExploringStarts, TabularModel
from rlbench.errors import UsageError
from rlbench.testing import check_env

LIMIT = {"max_episode_steps": 20}


class OwnTable(Road):
    """A student's env, which begins by the attribute that its table's readers know."""

    def reset(self, *, seed=None, options=None):
        gym.Env.reset(self, seed=seed)
        self.s = int(self.np_random.choice(2, p=self.initial_state_distrib))
        return self.s, {}


@pytest.mark.parametrize(
    ("env_id", "kwargs", "states"),
    [
        ("CliffWalking-v1", LIMIT, set(range(37))),  # neither in the cliff nor at the goal
        ("rlbench/RandomWalk-v0", {}, set(range(1, 6))),
    ],
)
def test_both_loops_begin_anywhere_and_alike(env_id, kwargs, states):
    runs = [
        rlbench.train(
            env_id, "td0", episodes=300, seed=1, engine=engine, env_kwargs=kwargs, wrappers=["ExploringStarts"]
        )
        for engine in ("compiled", "python")
    ]
    assert outcome(runs[0]) == outcome(runs[1])
    assert {int(episode.observations[0]) for episode in runs[0].store.episodes(runs[0])} == states
    assert rlbench.verify(runs[0], episodes=range(20)).mismatched == 0
    longer = rlbench.resume(runs[0], episodes=310)
    assert longer.returns[:300].tolist() == runs[0].returns.tolist()


def test_episodes_may_begin_in_a_few_states():
    env = ExploringStarts(gym.make("rlbench/RandomWalk-v0"), [1, 4])
    assert TabularModel.from_env(env).initial.tolist() == [0, 0.5, 0, 0, 0.5, 0, 0]
    assert {env.reset(seed=seed)[0] for seed in range(30)} == {1, 4}
    check_env(env)
    run = rlbench.train(
        "FrozenLake-v1", "random", episodes=5, seed=0, engine="python", wrappers=["ExploringStarts:states=[14]"]
    )
    assert [int(episode.observations[0]) for episode in run.store.episodes(run)] == [14] * 5


def test_a_students_env_begins_anywhere_too():
    env = ExploringStarts(OwnTable())
    assert TabularModel.from_env(env).initial.tolist() == [0.5, 0.5]
    assert {env.reset(seed=seed)[0] for seed in range(30)} == {0, 1}


@pytest.mark.parametrize(
    ("env", "states", "said"),
    [
        (lambda: gym.make("CartPole-v1"), None, "CartPole-v1 has no transition table"),
        (lambda: gym.make("rlbench/SafeCab-v0"), None, "SafeCab-v0 does not begin where"),
        (Road, None, "does not describe it"),
        (lambda: gym.make("FrozenLake-v1"), [16], "a state to begin in must be a whole number from 0 to 15, got 16"),
        (lambda: gym.make("FrozenLake-v1"), [], "got none"),
    ],
)
def test_what_cannot_begin_there_is_refused_in_a_line(env, states, said):
    with pytest.raises(UsageError, match=said) as refused:
        ExploringStarts(env(), states)
    assert "\n" not in str(refused.value)
