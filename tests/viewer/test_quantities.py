"""CartPole's quantities: played again from its bins, with the edges of these bins."""

import gymnasium as gym
import numpy as np
import pytest

import rlbench
from rlbench.envs.discretize import Discretize
from rlbench.viewer.again import begin_stored
from rlbench.viewer.quantities import edges_of, quantities_of
from rlbench.viewer.rides import drive, random_ride


def test_the_quantities_of_a_stored_episode_fall_into_the_bins_that_are_stored(cart_run):
    env = cart_run.make_env()
    for index in (0, 7, 19):
        episode = cart_run.store.episodes(cart_run.id)[index]
        found = quantities_of(
            cart_run.make_env(), episode, lambda again, index=index: begin_stored(cart_run, again, index)
        )
        assert found.values.shape == (len(episode) + 1, 4)
        bins = [env.unwrapped._encode(row.astype(np.float32).tolist()) for row in found.values]
        assert bins == episode.observations.tolist()


def test_an_episode_that_goes_another_way_has_none(cart_run):
    episode = cart_run.store.episodes(cart_run.id)[0]
    assert quantities_of(cart_run.make_env(), episode, lambda env: begin_stored(cart_run, env, 1)) is None


def test_an_observed_state_needs_no_playing_again():
    ride = random_ride("CartPole-v1")
    env = ride.make_env()
    episode = drive(env, ride.agent_for(env, 0), 0, 30)
    found = quantities_of(ride.make_env(), episode, lambda _: pytest.fail("it was played again"))
    assert np.array_equal(found.values, episode.observations)
    assert found.edges == ((), (), (), ())


def test_other_envs_have_none(cab_run):
    assert quantities_of(cab_run.make_env(), cab_run.store.episodes(cab_run.id)[0], lambda _: None) is None


def test_edges_lie_between_the_bins():
    edges = edges_of(gym.make("rlbench/DiscreteCartPole-v1"))
    assert [len(of_one) for of_one in edges] == [2, 2, 5, 11]
    assert edges[0] == pytest.approx((-0.6, 0.6))  # -1.8 to 1.8 in three
    cuts = [[-1.0, 1.0], [], [0.0], [-2.0, 0.0, 2.0]]
    assert edges_of(gym.make("rlbench/DiscreteCartPole-v1", cuts=cuts)) == tuple(map(tuple, cuts))
    wrapped = Discretize(gym.make("CartPole-v1"), cuts=cuts)
    assert edges_of(wrapped) == tuple(map(tuple, cuts))
    assert edges_of(Discretize(gym.make("CartPole-v1"), centers=[[0.0] * 4])) == ((), (), (), ())


def test_the_random_ride_is_the_same_for_the_same_seed_and_another_for_another():
    ride = random_ride("safecab")
    trips = []
    for seed in (3, 3, 4):
        env = ride.make_env()
        trips.append(drive(env, ride.agent_for(env, seed), 0, 50).actions.tolist())
    assert trips[0] == trips[1] != trips[2]


def test_a_live_episode_of_parts_is_kept_as_a_stored_one_is():
    env = rlbench.RecordEpisodes(gym.make("Blackjack-v1"), None)
    ride = random_ride("Blackjack-v1")
    episode = drive(gym.make("Blackjack-v1"), ride.agent_for(gym.make("Blackjack-v1"), 1), 1, 50)
    env.reset(seed=1)
    for action in episode.actions:
        env.step(action)
    env.flush()
    stored = env.run.store.episodes(env.run_id)[0]
    assert stored.observations.keys() == episode.observations.keys()
    assert all(np.array_equal(stored.observations[part], episode.observations[part]) for part in stored.observations)
