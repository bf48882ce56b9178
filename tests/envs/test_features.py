"""What can be asked about the states of an env is what the env shows."""

import gymnasium as gym
import pytest

from rlbench.envs import Discretize, FlattenDiscrete
from rlbench.envs.features import features_of
from rlbench.errors import UsageError


def column(table, words):
    """The number of the feature that is said so."""
    return next(i for i, feature in enumerate(table.features) if words in (feature.yes, feature.name))


def test_the_features_of_a_cab_are_what_the_city_shows():
    env = gym.make("rlbench/SafeCab-v0")
    table, encode = features_of(env), env.unwrapped.encode

    def seen(state, words):
        return table.rows[state][column(table, words)]

    assert seen(encode(0, 0, 0, 2), "at the waiting passenger") == 1
    assert seen(encode(1, 2, 4, 2), "carrying") == 1
    assert seen(encode(1, 2, 4, 2), "an anomaly is south") == 1  # the book's city has one at (2, 2)
    assert seen(encode(1, 0, 4, 2), "an anomaly is south") == 0
    to_r = encode(1, 2, 4, 0)  # in row 1, column 2, carrying to R at (0, 0)
    assert [seen(to_r, f"the goal is further {side}") for side in ("north", "west", "south", "east")] == [1, 1, 0, 0]
    assert [seen(to_r, f"{what} to the goal") for what in ("rows", "columns")] == [1, 2]
    assert seen(encode(0, 0, 4, 0), "carrying and at the destination") == 1


def test_walls_of_a_taxi_are_features_and_anomalies_that_it_has_not_are_none():
    names = [feature.yes for feature in features_of(gym.make("Taxi-v4")).features]
    assert {"a wall is east", "a wall is west"} <= set(names)
    assert not [name for name in names if "anomaly" in name]


def test_bins_of_any_box_and_bins_round_centres_have_features():
    table = features_of(Discretize(gym.make("CartPole-v1"), cuts=[[], [], [0.0], [-0.5, 0.5]]))
    assert table.rows.shape == (6, 4)
    assert table.features[3].ask(0.5) == ("theta_dot < -0.5?", True)
    centers = Discretize(gym.make("CartPole-v1"), centers=[[0, 0, -0.1, 0], [0, 0, 0.1, 0.0]])
    assert features_of(centers).rows[:, 2].tolist() == [-0.1, 0.1]
    plain = features_of(Discretize(gym.make("MountainCar-v0"), 3))
    assert [feature.name for feature in plain.features] == ["value 0", "value 1"]


def test_the_squares_of_a_grid_are_its_rows_and_columns():
    lake = features_of(gym.make("FrozenLake-v1"))
    assert [feature.name for feature in lake.features] == ["the row", "the column"]
    assert lake.rows[7].tolist() == [1, 3]
    assert lake.actions == ("Left", "Down", "Right", "Up")


def test_anything_else_is_asked_for_its_number():
    cards = features_of(FlattenDiscrete(gym.make("Blackjack-v1")))
    assert [feature.name for feature in cards.features] == ["the observation"]
    assert cards.features[0].ask(20.5) == ("the observation < 21?", True)


def test_an_observation_that_is_no_number_has_no_features():
    with pytest.raises(UsageError, match="needs Discrete observations"):
        features_of(gym.make("CartPole-v1"))
