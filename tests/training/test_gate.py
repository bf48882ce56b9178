"""What lies outside its space reaches no table: every door says so in a line, whatever would have crashed."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rlbench
from rlbench.agents import AGENTS, Agent, make_agent
from rlbench.buffers import ReplayBuffer
from rlbench.errors import CheckFailedError, UsageError
from rlbench.testing import check_env

STATES, ACTIONS = 5, 2
BAD = {
    "one too far": "5",
    "far": "10**6",
    "beyond 64 bits": "2**70",
    "negative": "-1",
    "NumPy's": "np.int64(5)",
    "a fraction": "0.6",
    "NaN": "float('nan')",
    "a list": "[1]",
    "a row": "np.array([1, 2])",
    "a float array": "np.array(1.0)",
    "a text": "'1'",
    "nothing": "None",
}

DOORS = """
import gymnasium as gym, numpy as np, rlbench
from gymnasium import spaces
from rlbench.agents import AGENTS, make_agent
from rlbench.errors import UsageError

class Faulty(gym.Env):
    observation_space, action_space = spaces.Discrete(5), spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return 0, {}
    def step(self, action):
        self.t += 1
        return (self.bad if self.t == 3 else 1), 1.0, self.t == 6, False, {}

def refused(what, call):
    try:
        call()
    except UsageError as error:
        assert what in str(error) and chr(10) not in str(error), error
    else:
        raise AssertionError(f"{what}: nobody minded")

for i, bad in enumerate(BADS):
    env = Faulty()
    env.bad = bad
    for name in list(AGENTS)[i % EVERY :: EVERY]:
        refused("episode 0, step 3: the observation that step returns must be a whole number from 0 to 4, got",
                lambda: rlbench.train(env, name, episodes=2, seed=0, record="none"))
        agent = make_agent(name, env, seed=0)
        for explore in (True, False):
            refused("from 0 to 4, got", lambda: agent.act(bad, explore=explore))
        if np.ndim(bad) == 0:
            refused("from 0 to 4, got", lambda: agent.predict(bad))
            refused("from 0 to 4, got", lambda: agent.predict([bad, bad]))
        refused("episode 0, step 3: ", lambda: rlbench.evaluate(agent, env, episodes=2, seed=0))
        if name != "random":
            refused("from 0 to 4, got", lambda: agent.update(bad, 0, 1.0, 0, False))
            refused("from 0 to 4, got", lambda: agent.update(0, 0, 1.0, bad, False))
            refused("from 0 to 1, got", lambda: agent.update(0, bad, 1.0, 0, False))
            assert agent.timesteps == 0 and not agent.table.values[:, 2 : 2 + agent.n_columns].any()
    buffer = rlbench.buffers.ReplayBuffer(10, env.observation_space, env.action_space)
    for row in ((bad, 0, 1.0, 0, False), (0, bad, 1.0, 0, False), (0, 0, 1.0, bad, False)):
        refused("", lambda: buffer.add(*row))
    assert len(buffer) == 0
print("fine")
"""


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_every_door_refuses_every_bad_observation(every):
    # in a process of its own, for nothing less than a crash is at stake; each agent meets every third
    code = DOORS.replace("BADS", f"({', '.join(BAD.values())})").replace("EVERY", str(every))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


class Says(gym.Env):
    """Five steps an episode, of which the second returns what it is told to."""

    observation_space, action_space = spaces.Discrete(STATES), spaces.Discrete(ACTIONS)

    def __init__(self, start=0, **told):
        self.start, self.told = start, told

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.start, {}

    def step(self, action):
        self.t += 1
        usual = {"observation": 1, "reward": 1.0, "terminated": self.t == 5, "truncated": False}
        return *{**usual, **(self.told if self.t == 2 else {})}.values(), {}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"start": 5},
            "episode 0, step 0: the observation that reset returns must be a whole number from 0 to 4, got 5",
        ),
        ({"reward": float("nan")}, "episode 0, step 2: the reward must be a finite number, got nan"),
        ({"reward": None}, "episode 0, step 2: the reward must be a finite number, got None"),
        ({"reward": "1"}, "episode 0, step 2: the reward must be a finite number, got '1'"),
        ({"reward": 1j}, "episode 0, step 2: the reward must be a finite number, got 1j"),
        ({"terminated": None}, "episode 0, step 2: terminated must be True or False, got None"),
        ({"truncated": "no"}, "episode 0, step 2: truncated must be True or False, got 'no'"),
    ],
)
def test_a_bad_start_reward_or_end_is_named_with_its_episode_and_step(told, said):
    with pytest.raises(UsageError, match=f"^{said}"):
        rlbench.train(Says(**told), episodes=2, seed=0)


def test_the_numbers_of_numpy_are_as_good_as_pythons():
    told = {"observation": np.int32(1), "reward": np.float64(1), "terminated": np.False_, "truncated": np.False_}
    one, other = (rlbench.train(env, episodes=9, seed=0) for env in (Says(np.int64(0), **told), Says()))
    np.testing.assert_array_equal(one.agent.q_table, other.agent.q_table)


class Wild(Agent):
    name = "wild"

    def act(self, observation, *, explore=True):
        return 2

    def update(self, observation, action, reward, next_observation, terminated):
        self.timesteps += 1


def test_an_action_that_does_not_exist_is_refused_before_the_env_gets_it():
    with pytest.raises(UsageError, match=r"^episode 0, step 1: the action that the agent chooses must .* got 2"):
        rlbench.train(Says(), Wild, episodes=1, seed=0)


@pytest.mark.parametrize("name", sorted(AGENTS.keys() - {"random"}))
@pytest.mark.parametrize("reward", [float("inf"), float("nan"), None, "1"])
def test_update_refuses_what_is_no_finite_reward_and_learns_nothing(name, reward):
    agent = make_agent(name, Says(), seed=0)
    with pytest.raises(UsageError, match="the reward must be a finite number, got"):
        agent.update(0, 0, reward, 1, False)
    assert agent.timesteps == 0


def test_a_replay_agent_takes_no_buffer_for_other_spaces():
    agent = make_agent("replay-q", Says(), seed=0)
    agent.buffer = ReplayBuffer(10, spaces.Discrete(STATES), spaces.Discrete(ACTIONS))
    for observations in (spaces.Discrete(9), spaces.Discrete(STATES, start=3), spaces.Box(0, 1)):
        with pytest.raises(UsageError, match="the buffer must be for 5 states and 2 actions"):
            agent.buffer = ReplayBuffer(10, observations, spaces.Discrete(ACTIONS))


@pytest.mark.parametrize("space", [spaces.Discrete(STATES, start=1), spaces.MultiDiscrete([2, 3])])
def test_an_observation_outside_a_finite_space_is_refused(space):
    env = Says()
    env.observation_space = space
    with pytest.raises(UsageError, match="the env gave the observation 0, which is not in its space"):
        rlbench.train(env, episodes=1, seed=0)


@pytest.mark.parametrize("told", [{"observation": 5}, {"observation": -1}, {"reward": float("inf")}])
def test_check_env_finds_what_a_later_step_returns(told):
    with pytest.raises(CheckFailedError, match=r"^what_it_returns_is_what_it_promises: after 2 calls"):
        check_env(Says(**told))


def test_the_loop_leaves_out_no_check_or_change_that_a_subclass_or_an_instance_adds():
    class Counting(AGENTS["q-learning"]):
        seen = 0

        def update(self, *step):
            self.seen += 1
            super().update(*step)

    env = gym.make("FrozenLake-v1")
    agent, chosen = make_agent(Counting, env, seed=0), []
    act = agent.act
    agent.act = lambda observation, *, explore: chosen.append(act(observation, explore=explore)) or chosen[-1]
    run = rlbench.train(env, agent, episodes=9, seed=0)
    assert agent.seen == len(chosen) == run.timesteps
    assert chosen == [int(action) for episode in run.store.episodes(run.id) for action in episode.actions]
