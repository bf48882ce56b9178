"""A saved agent learns on as if nothing had happened; any other file is refused in a line."""

import os
import pickle
import stat

import gymnasium as gym
import numpy as np
import pytest
from contracts.agents import VARIANTS, an_agent, going_on, same_state
from hypothesis import given, settings
from hypothesis import strategies as st

import rlbench
from rlbench.agents import Agent, QLearning, RandomAgent, ReplayQ, Sarsa, TableAgent, register_agent
from rlbench.agents.base import AGENTS
from rlbench.errors import RlbenchError, UsageError
from rlbench.store import codec


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_agent_learns_on_after_it_was_saved_and_loaded(variant, tmp_path):
    agent = going_on(an_agent(variant))
    agent.update(0, agent.act(0), 1.0, 1, False)  # in the middle of an episode
    agent.save(tmp_path / "it.agent")
    loaded = [Agent.load(tmp_path / "it.agent"), type(agent).load(str(tmp_path / "it.agent"))]
    going_on(agent)
    for one in loaded:
        assert type(one) is type(agent)
        same_state(going_on(one), agent)


def test_a_loaded_agent_trains_on_in_both_loops_and_remembers_where_it_learnt(tmp_path):
    run = rlbench.train("FrozenLake-v1", "replay-q", episodes=30, seed=0)
    run.agent.save(tmp_path / "it.agent")
    env = gym.make("FrozenLake-v1")
    agents = [run.agent, *(ReplayQ.load(tmp_path / "it.agent") for _ in range(2))]
    engines = ("compiled", "compiled", "python")
    longer = [rlbench.train(env, a, episodes=20, seed=1, engine=e) for a, e in zip(agents, engines, strict=True)]
    for one in longer[1:]:
        assert one.returns.tolist() == longer[0].returns.tolist()
        assert one.record.parents == longer[0].record.parents == (run.id,)
        same_state(one.agent, longer[0].agent)


class Counting(TableAgent):
    """An agent of one's own."""

    name = "counting"

    def build(self):
        super().build()
        self.seen = 0

    def update(self, observation, action, reward, next_observation, terminated):
        self.move(observation, action, reward)
        self.seen += 1
        self.timesteps += 1

    def state_dict(self):
        return {**super().state_dict(), "seen": self.seen}

    def state_form(self):
        return {**super().state_form(), "seen": rlbench.agents.base.Whole()}

    def restore(self, state):
        super().restore(state)
        self.seen = state["seen"]


def test_an_agent_of_ones_own_is_loaded_by_its_class_or_once_that_is_registered(tmp_path, monkeypatch):
    agent = going_on(Counting(3, 2, seed=0))
    agent.save(tmp_path / "it.agent")
    with pytest.raises(UsageError, match="it holds the agent 'counting', unknown here: load it by its class"):
        Agent.load(tmp_path / "it.agent")
    assert Counting.load(tmp_path / "it.agent").seen == 40
    monkeypatch.setitem(AGENTS, "counting", Counting)
    register_agent(Counting)
    assert type(Agent.load(tmp_path / "it.agent")) is Counting


def test_a_saved_agent_is_private_and_replaces_no_file_unless_told(tmp_path):
    QLearning(3, 2).save(tmp_path / "it.agent")
    assert stat.S_IMODE((tmp_path / "it.agent").stat().st_mode) == 0o600
    with pytest.raises(UsageError, match=r"it\.agent exists: choose another name, or overwrite it"):
        Sarsa(3, 2).save(tmp_path / "it.agent")
    Sarsa(3, 2).save(tmp_path / "it.agent", overwrite=True)
    assert type(Agent.load(tmp_path / "it.agent")) is Sarsa
    with pytest.raises(UsageError, match="is not a folder: create it first"):
        Sarsa(3, 2).save(tmp_path / "nowhere" / "it.agent")
    assert [path.name for path in tmp_path.iterdir()] == ["it.agent"]


def test_the_random_agent_of_a_large_env_is_loaded(tmp_path):
    RandomAgent(2**40, 6, seed=0).save(tmp_path / "it.agent")
    assert RandomAgent.load(tmp_path / "it.agent").n_states == 2**40


# ------------------------------------------------------------------------------------- what is refused


ABOUT = {
    "format": 1,
    "rlbench": "0.1",
    "agent": "q-learning",
    "origins": [],
    "n_states": 3,
    "n_actions": 2,
    "parameters": {},
    "state": {name: value for name, value in QLearning(3, 2, seed=0).state_dict().items() if name != "q_table"},
}
HUGE = {"n_states": 2**40, "n_actions": 2**10}


def write(path, about, arrays=None):
    path.write_bytes(codec.pack({"q_table": np.zeros((3, 2))} if arrays is None else arrays, about))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "rlbench": "9.0"}, "rlbench '9.0' saved it: load it with that version or a later one"),
        ({"format": "1"}, "format must be a whole number"),
        ({"agent": "no-such-agent"}, "it holds the agent 'no-such-agent', unknown here"),
        ({"agent": ["q-learning"]}, "agent must be a str"),
        ({"agent": "sarsa"}, "it holds the agent 'sarsa': load it by Sarsa.load"),
        (HUGE, r"for \(1099511627776, 1024\) states and actions, and holds no table of that size"),
        ({"n_states": 4}, r"q_table must be of shape \(4, 2\), got \(3, 2\)"),
        ({"n_states": -3}, "n_states must be a whole number from 1"),
        ({"n_states": True}, "n_states must be a whole number from 1"),
        ({"parameters": {"gamma": 7.0}}, r"gamma must be in \[0, 1\], got 7.0"),
        ({"parameters": {"seed": 7}}, "unknown parameter of q-learning 'seed'"),
        ({"parameters": {"observation_space": 7}}, "unknown parameter of q-learning 'observation_space'"),
        ({"parameters": [1]}, "parameters must be a dict"),
        ({"state": None}, "state must be a dict"),
        ({"state": {}}, "the state lacks episodes, rng, timesteps"),
        ({"state": {**ABOUT["state"], "episodes": -1}}, "episodes must be a whole number"),
        ({"origins": ["../../x"]}, "origins must be ids of runs"),
        ({"origins": "abc"}, "origins must be a list"),
    ],
)
def test_a_file_that_was_edited_is_refused_in_a_line(changes, message, tmp_path):
    path = write(tmp_path / "it.agent", {**ABOUT, **changes})
    with pytest.raises(UsageError, match=f"^{path} cannot be loaded: .*{message}") as raised:
        QLearning.load(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"", b"RLB1", b"PK\x03\x04", pickle.dumps(os.system), codec.pack({}, None), codec.pack({}, [1])]
)
def test_a_file_of_another_kind_is_refused_in_a_line(content, tmp_path):
    path = tmp_path / "it.agent"
    path.write_bytes(content)
    with pytest.raises(RlbenchError, match=f"^{path} ") as raised:
        Agent.load(path)
    assert "\n" not in str(raised.value)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path / "pipe", tmp_path):
        with pytest.raises(UsageError, match=r"is not a file: name one that agent\.save wrote"):
            Agent.load(path)
    for path in ("", "a\0b"):
        for use in (Agent.load, QLearning(3, 2).save):
            with pytest.raises(UsageError, match="expected a path, got"):
                use(path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_file_with_a_changed_byte_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "flipped.agent"
    whole = codec.pack({"q_table": np.arange(6.0).reshape(3, 2)}, ABOUT)
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[place + 1 :])
    with pytest.raises(RlbenchError):
        Agent.load(path)
