"""What can be asked about the states of an env is what the env shows."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rlbench.envs import Discretize, FlattenDiscrete
from rlbench.envs.cartpole import PRESETS
from rlbench.envs.features import features_of
from rlbench.envs.layouts import layout_of
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
    assert [feature.name for feature in plain.features] == ["position", "velocity"]
    other = features_of(Discretize(gym.make("Pendulum-v1"), 2))
    assert [feature.name for feature in other.features] == ["value 0", "value 1", "value 2"]


def test_the_squares_of_a_grid_are_its_rows_and_columns():
    lake = features_of(gym.make("FrozenLake-v1"))
    assert [feature.name for feature in lake.features] == ["the row", "the column"]
    assert lake.rows[7].tolist() == [1, 3]
    assert lake.actions == ("Left", "Down", "Right", "Up")


def test_cards_are_the_players_sum_the_dealers_card_and_a_usable_ace():
    env = FlattenDiscrete(gym.make("Blackjack-v1"))
    table = features_of(env)
    assert table.rows[env.observation((20, 10, 1))].tolist() == [20, 10, 1]
    asked = [feature.ask(threshold) for feature, threshold in zip(table.features, (16.5, 6.5, 0.5), strict=True)]
    assert asked == [("the player's sum < 17?", True), ("the dealer's card < 7?", True), ("a usable ace?", False)]
    assert table.actions == ("Stick", "Hit")


class Grid(gym.Env):
    """Observes where it is and where it goes, as in Gymnasium's tutorial."""

    observation_space = spaces.Dict(
        agent=spaces.Box(0, 4, (2,), np.int64),
        goal=spaces.Discrete(3, start=1),
        rest=spaces.Tuple([spaces.Discrete(2)]),
    )
    action_space = spaces.Discrete(4)


def test_parts_of_an_observation_are_asked_for_by_their_names():
    env = FlattenDiscrete(Grid())
    table = features_of(env)
    assert [feature.name for feature in table.features] == ["agent 0", "agent 1", "goal", "rest 0"]
    assert table.rows[env.observation({"agent": np.array([4, 2]), "goal": 3, "rest": (1,)})].tolist() == [4, 2, 3, 1]
    assert table.features[2].ask(1.5) == ("goal < 2?", True)


class Pair(Grid):
    observation_space = spaces.MultiDiscrete([3, 4])


def test_parts_without_names_are_asked_for_by_their_numbers():
    assert [feature.name for feature in features_of(FlattenDiscrete(Pair())).features] == ["part 0", "part 1"]


class Line(Grid):
    observation_space = spaces.Discrete(30)


def test_anything_else_is_asked_for_its_number():
    line = features_of(Line())
    assert [feature.name for feature in line.features] == ["the observation"]
    assert line.features[0].ask(20.5) == ("the observation < 21?", True)


def test_an_observation_that_is_no_number_has_no_features():
    with pytest.raises(UsageError, match="needs Discrete observations"):
        features_of(gym.make("CartPole-v1"))


def test_two_quantities_in_bins_lie_on_a_plane_and_three_nowhere():
    layout = layout_of(Discretize(gym.make("MountainCar-v0"), [4, 3]))
    assert layout.states[0, 0].tolist() == [[2, 5, 8, 11], [1, 4, 7, 10], [0, 3, 6, 9]]
    assert layout.inside == "position from -0.75 to 0.15 to the right, velocity from -0.0233 to 0.0233 upwards"
    assert (layout.actions, layout.arrows) == (("Left", "Coast", "Right"), {0: (-1, 0), 2: (1, 0)})
    assert layout_of(Discretize(gym.make("Pendulum-v1"), 2)) is None


def test_a_cart_pole_in_bins_lies_as_the_discrete_one():
    ours = gym.make("rlbench/DiscreteCartPole-v1", bins=[3, 3, 2, 2])
    arguments = {"low": list(PRESETS["default"].low), "high": list(PRESETS["default"].high)}
    theirs = layout_of(Discretize(gym.make("CartPole-v1"), [3, 3, 2, 2], **arguments))
    assert repr(theirs) == repr(layout_of(ours))
