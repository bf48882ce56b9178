"""How agents say that they act while they explore, compared with what they do."""

import numpy as np
import pytest

from rlbench.agents import AGENTS

Q_TABLE = np.array([[1.0, 3.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
EPSILON = {"exploration_schedule": "constant", "exploration_initial_eps": 0.4}
WAYS = [{}, {"ties": "random"}, {"exploration": "softmax", "temperature": 2.0}]


def agent_with(**parameters):
    agent = AGENTS["q-learning"](2, 4, seed=0, **{**EPSILON, **parameters})
    agent.q_table = Q_TABLE
    return agent


@pytest.mark.parametrize("parameters", WAYS)
def test_actions_are_taken_as_often_as_the_behaving_policy_says(parameters):
    agent = agent_with(**parameters)
    shares = agent.behaving_policy()
    taken = [np.bincount([agent.act(s) for _ in range(4000)], minlength=4) / 4000 for s in range(2)]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(taken, shares, atol=0.04)  # five standard errors


def test_the_behaving_policy_of_a_table_worked_by_hand():
    assert agent_with().behaving_policy().round(9).tolist() == [[0.1, 0.7, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1]]
    assert agent_with(ties="random").behaving_policy().round(9).tolist() == [[0.1, 0.4, 0.4, 0.1], [0.25] * 4]
    assert AGENTS["random"](2, 4).behaving_policy().tolist() == [[0.25] * 4] * 2


@pytest.mark.parametrize("parameters", WAYS)
def test_actions_that_are_not_allowed_have_no_share(parameters):
    agent = agent_with(**parameters)
    agent.allow(np.array([[True, False, True, True], [False, True, False, False]]))
    shares = agent.behaving_policy()
    assert (shares[~agent.allowed] == 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    taken = np.bincount([agent.act(0) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(taken, shares[0], atol=0.04)


def test_a_softmax_without_temperature_is_greedy():
    shares = agent_with(exploration="softmax", exploration_initial_eps=0.0).behaving_policy()
    assert shares.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


def test_what_changes_with_every_choice_has_no_behaving_policy():
    assert agent_with(exploration="ucb").behaving_policy() is None


def test_an_agent_that_chooses_in_its_own_way_has_none_unless_it_says_so():
    class Stubborn(AGENTS["q-learning"]):
        name = "stubborn"

        def act(self, observation, *, explore=True):
            return 3

    assert Stubborn(2, 4, seed=0).behaving_policy() is None
