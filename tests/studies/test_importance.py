"""How much of what came of a study each of its parameters explains alone."""

import numpy as np
import pytest

from rlbench.studies.axes import axes_of
from rlbench.studies.importance import importances
from rlbench.studies.settings import Settings
from rlbench.studies.study import Study


def study(scores, agents=("q-learning",), **over):
    settings = Settings(
        env="FrozenLake-v1",
        agents=agents,
        axes=axes_of(over),
        seeds=(0,),
        episodes=1,
        total_timesteps=None,
        preset="default",
        agent_kwargs={},
        env_kwargs={},
        bins=None,
        objective="return",
        aggregate="mean",
        record="none",
    )
    found = Study.new("made-up", settings, None)
    found.values[:, 0] = scores
    return found


def test_what_decides_explains_all_and_what_does_not_matter_nothing():
    found = study([1, 1, 1, 5, 5, 5], learning_rate=[0.1, 0.2], gamma=[0.7, 0.8, 0.9])
    assert importances(found) == {"learning_rate": pytest.approx(1.0), "gamma": pytest.approx(0.0)}


def test_two_that_add_up_share_and_the_most_important_is_first():
    # ranks 0 1 2 3 about their mean: -1.5 -0.5 0.5 1.5, of squares 5; between rates 4, between gammas 1
    found = study([1, 2, 10, 11], gamma=[0.8, 0.9], learning_rate=[0.1, 0.2])
    assert importances(found) == {"gamma": pytest.approx(0.8), "learning_rate": pytest.approx(0.2)}
    assert list(importances(found)) == ["gamma", "learning_rate"]


def test_infinite_values_are_the_last_and_those_that_are_not_known_count_for_nothing():
    found = study([1, 1, np.inf, np.inf, np.nan, 7], gamma=[0.7, 0.8, 0.9], learning_rate=[0.1, 0.2])
    assert importances(found)["gamma"] == pytest.approx(1.0)


def test_an_agent_is_a_parameter_and_what_does_not_vary_is_none():
    found = study([1, 2], agents=("q-learning", "sarsa"), gamma=[0.9])
    assert importances(found) == {"agent": pytest.approx(1.0)}


def test_many_numbers_are_put_into_parts():
    values = np.arange(100)
    found = study(values, learning_rate=(values / 100 + 0.001).tolist())
    assert importances(found)["learning_rate"] == pytest.approx(0.96, abs=0.01)  # between fifths of 0 to 99


def test_of_a_single_value_nothing_is_known():
    assert importances(study([1, np.nan], gamma=[0.8, 0.9])) == {}


def test_where_all_are_equal_nothing_matters():
    assert importances(study([3, 3], gamma=[0.8, 0.9])) == {"gamma": 0.0}
