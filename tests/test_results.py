"""What the README claims to be learnt, shown seed by seed.

- SafeCab, default preset, 60,000 episodes: the greedy policy is exactly optimal (regret 0.0) on 100 of 100 seeds on
  which it was not tuned.
- SafeCab, the book's parameters, 60,000 episodes: within 0.05 of the optimal mean return on 20 of 20 seeds.
- CartPole, default preset, 2,500,000 steps: 500 of 500 on each of 1,000 fresh starts on at least 99 of 100 seeds on
  which it was not tuned, and a mean of at least 499 on the others.
- These two presets are what the command beside them finds.
- FrozenLake-v1, Taxi-v4 and CliffWalking-v1, default presets: within 1 % of the optimum on 20 of 20 seeds on which they
  were not tuned.
- MountainCar-v0 and Acrobot-v1, default presets: the mean return of 1,000 starts on each of the same 20 seeds.
- DiscreteCartPole is CartPole-v1: same seed and actions, same rewards and ends, states within 1e-12.

Nothing is left to chance: a seed gives the same bits each time.
"""

import re
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import gymnasium as gym
import needs
import numpy as np
import pytest
from click.testing import CliRunner

import rlbench
from rlbench.cli import cli
from rlbench.envs import TabularModel
from rlbench.planning import solve
from rlbench.presets import load_preset, preset_of
from rlbench.settings import parse_settings
from rlbench.studies.axes import axes_of, parse_over

SEEDS = range(20)
UNTUNED = range(1000, 1020)
MANY_UNTUNED = range(1000, 1100)
FRESH = 10_000  # added to a training seed: that of its evaluation


@pytest.fixture(scope="module")
def optimum():
    return solve(TabularModel.from_env("rlbench/SafeCab-v0"))


def _learnt(env, seed, **kwargs):
    return rlbench.train(env, seed=seed, record="none", **kwargs)


def _regrets(optimum, seeds, **kwargs):
    regrets = {}
    for seed in seeds:
        run = _learnt("safecab", seed, **kwargs)
        assert run.episodes == 60_000
        regrets[seed] = rlbench.evaluate(run, episodes=1, seed=seed, optimum=optimum).regret
    return regrets


def test_safecab_is_learnt_exactly_on_every_seed(optimum):
    assert _regrets(optimum, MANY_UNTUNED) == dict.fromkeys(MANY_UNTUNED, 0.0)


def test_safecab_is_learnt_with_the_books_parameters_to_within_a_twentieth(optimum):
    regrets = _regrets(optimum, SEEDS, preset="book")
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


def _cartpole_means(seeds):
    """Returns the mean return over 1,000 fresh starts, seed by seed."""
    means = {}
    for seed in seeds:
        run = _learnt("cartpole", seed)
        assert run.timesteps >= 2_500_000
        means[seed] = rlbench.evaluate(run, episodes=1000, seed=FRESH + seed).mean_return
    return means


def test_cartpole_stands_for_500_steps_from_every_start():
    assert _cartpole_means(LITTLE) == dict.fromkeys(LITTLE, 500.0)


@pytest.mark.long  # 250 million steps
def test_cartpole_stands_for_500_steps_from_every_start_on_99_of_100_seeds_and_499_on_the_mean_on_the_others():
    means = _cartpole_means(MANY_UNTUNED)
    assert sum(mean == 500.0 for mean in means.values()) >= 99, means
    assert min(means.values()) >= 499, means


# ------------------------------------------------------------------------------------------------- tuned by a command

TUNED = {"safecab": "rlbench/SafeCab-v0", "cartpole": "rlbench/DiscreteCartPole-v1"}
ROOT = Path(__file__).parent.parent


def _command(name):
    """Returns the command beside a preset, as a list of words."""
    text = (ROOT / "rlbench" / "presets" / f"{name}.toml").read_text()
    return shlex.split(re.search(r"^# made by: rlbench (tune .*)$", text, re.MULTILINE)[1])


@pytest.mark.parametrize("name", TUNED)
def test_the_command_beside_a_preset_searches_round_it(name):
    words, tuned = _command(name), load_preset(TUNED[name]).agents["q-learning"]
    given = {option: [value for word, value in pairwise(words) if word == option] for option in ("--search", "--set")}
    searched = {axis.name: axis.values for axis in axes_of(parse_over(given["--search"]))}
    assert all(tuned[parameter] in values for parameter, values in searched.items())
    given_values = {parameter: value for parameter, value in tuned.items() if parameter not in searched}
    assert parse_settings(given["--set"], "--set") == given_values
    assert f"rlbench {shlex.join(words)}\n" in (ROOT / "docs" / "studies.md").read_text()


@pytest.mark.long  # half a minute each
@pytest.mark.parametrize("name", TUNED)
def test_the_command_beside_a_preset_makes_it_again(name, tmp_path):
    needs.package("optuna", "tune")
    preset, made = load_preset(TUNED[name]), tmp_path / "made.toml"
    words = [*_command(name), "--save-preset", str(made), "--store", str(tmp_path / "runs.db"), "--workers", "1"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    tuned = {"q-learning": preset.agents["q-learning"]}
    assert preset_of(TUNED[name], made) == replace(preset, name=str(made), agents=tuned)


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
