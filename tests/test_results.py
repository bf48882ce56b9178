"""What the README claims to be learnt, shown seed by seed.

- SafeCab, default preset, 60,000 episodes: the greedy policy is exactly optimal (regret 0.0) on 20 of 20 seeds.
- SafeCab, the book's parameters, 60,000 episodes: within 0.05 of the optimal mean return on 20 of 20 seeds.
- CartPole, default preset, 2,000,000 steps: 500 of 500 on each of 1,000 fresh starts on at least 19 of 20 seeds, and a
  mean of at least 499 on the others.
- FrozenLake-v1, Taxi-v4 and CliffWalking-v1, default presets: within 1 % of the optimum on 20 of 20 seeds on which they
  were not tuned.
- MountainCar-v0 and Acrobot-v1, default presets: the mean return of 1,000 starts on each of the same 20 seeds.
- DiscreteCartPole is CartPole-v1: same seed and actions, same rewards and ends, states within 1e-12.

Nothing is left to chance: a seed gives the same bits each time.
"""

import gymnasium as gym
import numpy as np
import pytest

import rlbench
from rlbench.envs import TabularModel
from rlbench.planning import solve

SEEDS = range(20)
UNTUNED = range(1000, 1020)
FRESH = 10_000  # added to a training seed: that of its evaluation


@pytest.fixture(scope="module")
def optimum():
    return solve(TabularModel.from_env("rlbench/SafeCab-v0"))


def _learnt(env, seed, **kwargs):
    return rlbench.train(env, seed=seed, record="none", **kwargs)


def _regrets(optimum, **kwargs):
    regrets = {}
    for seed in SEEDS:
        run = _learnt("safecab", seed, **kwargs)
        assert run.episodes == 60_000
        regrets[seed] = rlbench.evaluate(run, episodes=1, seed=seed, optimum=optimum).regret
    return regrets


def test_safecab_is_learnt_exactly_on_every_seed(optimum):
    assert _regrets(optimum) == dict.fromkeys(SEEDS, 0.0)


def test_safecab_is_learnt_with_the_books_parameters_to_within_a_twentieth(optimum):
    regrets = _regrets(optimum, preset="book")
    assert all(0 <= regret <= 0.05 for regret in regrets.values()), regrets


def test_a_safecab_learnt_exactly_delivers_from_every_start():
    found = rlbench.evaluate(_learnt("safecab", 0), episodes=1000, seed=FRESH)
    assert found.success_rate == 1.0
    assert found.optimal_return == pytest.approx(found.mean_return, abs=0.5)


LITTLE = UNTUNED[:2]  # what `make test` has time for


@pytest.mark.parametrize("seeds", [LITTLE, pytest.param(UNTUNED[2:], marks=pytest.mark.long)], ids=["some", "others"])
@pytest.mark.parametrize("env", ["FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"])
def test_gymnasiums_tables_are_learnt_without_an_option(env, seeds):
    best = solve(TabularModel.from_env(env))
    found = {seed: rlbench.evaluate(_learnt(env, seed), episodes=1, seed=seed, optimum=best) for seed in seeds}
    off = {seed: one.regret / abs(one.optimal_return) for seed, one in found.items()}
    assert max(off.values()) <= 0.01, off


@pytest.mark.long
def test_blackjack_is_learnt_without_an_option():
    run = _learnt("Blackjack-v1", UNTUNED[0])
    played = rlbench.evaluate(run, episodes=20_000, seed=FRESH)
    assert played.mean_return > -0.08  # four standard errors below the -0.053 that its policy is worth


@pytest.mark.long
@pytest.mark.parametrize(("env", "mean", "worst"), [("MountainCar-v0", -100.5, -106.6), ("Acrobot-v1", -99.0, -104.5)])
def test_gymnasiums_physics_are_learnt_without_an_option(env, mean, worst):
    found = [rlbench.evaluate(_learnt(env, seed), episodes=1000, seed=FRESH + seed).mean_return for seed in UNTUNED]
    assert np.mean(found) > mean, found
    assert min(found) > worst, found


@pytest.fixture(scope="module")
def cartpole_means():
    """The mean return over 1,000 fresh starts, seed by seed."""
    means = {}
    for seed in SEEDS:
        run = _learnt("cartpole", seed)
        assert run.timesteps >= 2_000_000
        means[seed] = rlbench.evaluate(run, episodes=1000, seed=FRESH + seed).mean_return
    return means


@pytest.mark.long  # 40 million steps
def test_cartpole_stands_for_500_steps_from_every_start_on_19_of_20_seeds(cartpole_means):
    assert sum(mean == 500.0 for mean in cartpole_means.values()) >= 19, cartpole_means


@pytest.mark.long
def test_cartpole_stands_for_499_steps_on_the_mean_on_the_others(cartpole_means):
    assert min(cartpole_means.values()) >= 499, cartpole_means


# ------------------------------------------------------------------------------------------------- same physics


def _policies():
    """Ways to push a cart: at random, into a fall, and upright for long."""
    dice = np.random.default_rng(0)
    yield lambda state: int(dice.integers(2))
    yield lambda state: 1
    yield lambda state: int(state[2] + 0.5 * state[3] + 0.1 * state[0] + 0.2 * state[1] > 0)


@pytest.mark.parametrize("bins", ["default", "book"])
def test_discrete_cartpole_moves_as_cartpole_does(bins):
    theirs, ours = gym.make("CartPole-v1"), gym.make("rlbench/DiscreteCartPole-v1", bins=bins)
    lengths = []
    for seed, policy in enumerate(_policies()):
        for episode in range(8):
            seeded = {"seed": seed} if episode == 0 else {}
            theirs.reset(**seeded)
            ours.reset(**seeded)
            ended, steps = False, 0
            while not ended:
                np.testing.assert_allclose(ours.unwrapped.state, theirs.unwrapped.state, rtol=0, atol=1e-12)
                action = policy(theirs.unwrapped.state)
                one, other = theirs.step(action), ours.step(action)
                assert one[1:4] == other[1:4]
                ended, steps = one[2] or one[3], steps + 1
            lengths.append(steps)
    assert min(lengths) < 15
    assert max(lengths) == 500
    theirs.close()
    ours.close()


def test_both_carts_start_where_the_options_say():
    theirs, ours = gym.make("CartPole-v1"), gym.make("rlbench/DiscreteCartPole-v1")
    for env in (theirs, ours):
        env.reset(seed=4, options={"low": -0.2, "high": 0.1})
    np.testing.assert_allclose(ours.unwrapped.state, theirs.unwrapped.state, rtol=0, atol=1e-12)
    assert np.abs(ours.unwrapped.state).max() > 0.05
    theirs.close()
    ours.close()
