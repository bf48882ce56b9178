"""Every registered agent keeps the contract; parameters are checked at the door."""

import contracts
import numpy as np
import pytest
from gymnasium import spaces

from rlbench.agents import AGENTS, Agent, QLearning, RandomAgent, ReplayQ, make_agent, register_agent
from rlbench.errors import UnknownNameError, UsageError


@pytest.mark.parametrize("check", contracts.AGENT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", AGENTS)
def test_agent_contract(name, check):
    check(AGENTS[name])


def test_q_learning_learns_one_step_as_worked_by_hand():
    agent = QLearning(2, 2, seed=0, learning_rate=0.5, gamma=0.9)
    agent.q_table = [[1.0, 2.0], [4.0, 3.0]]
    agent.update(0, 1, 10.0, 1, False)
    assert agent.q_table[0, 1] == pytest.approx(7.8)
    assert agent.act(0, explore=False) == 1


def test_replay_q_learns_only_from_minibatches_after_learning_starts():
    agent = ReplayQ(2, 2, seed=0, learning_starts=3, train_freq=2, batch_size=4, learning_rate=1.0)
    for _ in range(3):
        agent.update(0, 1, 5.0, 1, True)
        assert (agent.q_table == 0).all()
    agent.update(0, 1, 5.0, 1, True)
    assert agent.q_table.tolist() == [[0.0, 5.0], [0.0, 0.0]]


def test_a_linear_learning_rate_falls_with_the_steps_taken():
    agent = QLearning(1, 1, learning_rate=0.5, learning_rate_final=0.1, learning_rate_steps=2)
    rates = [agent.learning_rate]
    for _ in range(3):
        agent.update(0, 0, 0.0, 0, True)
        rates.append(agent.learning_rate)
    assert rates == pytest.approx([0.5, 0.3, 0.1, 0.1])


def test_the_table_cannot_be_changed_behind_the_agents_back():
    agent = QLearning(2, 2)
    with pytest.raises(ValueError, match="read-only"):
        agent.q_table[0, 0] = 1.0
    with pytest.raises(UsageError, match=r"shape \(2, 2\), got \(3, 2\)"):
        agent.q_table = np.zeros((3, 2))


def test_predict_answers_one_observation_or_an_array_of_them():
    agent = QLearning(3, 2)
    agent.q_table = [[0, 1], [1, 0], [0, 2]]
    assert agent.predict(0) == (1, None)
    assert agent.predict(np.array([[0, 1], [2, 1]]))[0].tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gamma": 1.2}, r"gamma must be in \[0, 1\], got 1.2"),
        ({"gamma": float("nan")}, r"gamma must be in \[0, 1\], got nan"),
        ({"learning_rate": -0.1}, r"learning_rate must be in \[0, 1\]"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ({"learning_rate": True}, "learning_rate must be a number, got True"),
        ({"learning_rate_final": 0.1}, "go together"),
        ({"exploration_decay": -1.0}, "exploration_decay must be 0 or more"),
        ({"exploration_schedule": "linear"}, "exploration_steps or exploration_fraction"),
        ({"exploration_schedule": "linear", "exploration_fraction": 0.5}, "give that budget"),
        ({"exploration_schedule": "multiplicative", "exploration_decay": 2.0}, r"in \[0, 1\], got 2.0"),
        ({"exploration_unit": "year"}, "episode or step"),
        ({"initial_value": float("inf")}, "must be finite"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line(parameters, message):
    with pytest.raises(UsageError, match=message) as caught:
        QLearning(2, 2, **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"buffer_size": 0}, "buffer_size must be at least 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, got 2.5"),
        ({"learning_starts": -1}, "learning_starts must be 0 or more"),
    ],
)
def test_replay_q_refuses_impossible_sizes(parameters, message):
    with pytest.raises(UsageError, match=message):
        ReplayQ(2, 2, **parameters)


def test_an_unknown_parameter_or_agent_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean gamma"):
        QLearning(2, 2, gama=0.9)

    class Env:
        observation_space = spaces.Discrete(2)
        action_space = spaces.Discrete(2)

    with pytest.raises(UnknownNameError, match="did you mean q-learning"):
        make_agent("q-lerning", Env())


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (spaces.Box(0, 1, (2,)), spaces.Discrete(2), "needs Discrete observations.*Discretize"),
        (spaces.Discrete(2), spaces.Box(0, 1, (2,)), "needs Discrete actions"),
        (spaces.Discrete(2, start=1), spaces.Discrete(2), "needs Discrete observations"),
        (0, 2, "needs Discrete observations"),
    ],
)
def test_spaces_without_a_table_are_refused_with_a_way_out(observations, actions, message):
    with pytest.raises(UsageError, match=message):
        QLearning(observations, actions)


def test_a_users_own_agent_registers_by_one_line(monkeypatch):
    monkeypatch.setattr("rlbench.agents.AGENTS", dict(AGENTS))
    from rlbench import agents

    @register_agent
    class Stubborn(Agent):
        name = "stubborn"

        def act(self, observation, *, explore=True):
            return 1

        def update(self, observation, action, reward, next_observation, terminated):
            self.timesteps += 1

    assert agents.AGENTS["stubborn"] is Stubborn
    for check in contracts.AGENT_CHECKS:
        check(Stubborn)


def test_the_random_agent_draws_evenly():
    # chi-squared with 3 degrees of freedom: above 30.7 once in a million runs
    agent = RandomAgent(1, 4, seed=1)
    counts = np.bincount([agent.act(0) for _ in range(8000)], minlength=4)
    assert ((counts - 2000) ** 2 / 2000).sum() < 30.7
