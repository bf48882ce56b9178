"""Comparing runs of several envs, against the definitions in Agarwal et al. (2021), and rliable if it is installed."""

import numpy as np
import pytest

import rlbench
from rlbench.errors import UsageError
from rlbench.evaluation import ComparisonAcross
from rlbench.intervals import improvement_interval, stratified_interval

ENVS = ("FrozenLake-v1", "CliffWalking-v1")
SEEDS = range(3)


def trained(env, agent, seed, **more):
    return rlbench.train(env, agent=agent, episodes=60, seed=seed, store="memory://", **more)


@pytest.fixture(scope="module")
def runs():
    return [trained(env, agent, seed) for env in ENVS for agent in ("q-learning", "sarsa") for seed in SEEDS]


@pytest.fixture(scope="module")
def found(runs):
    return rlbench.compare(runs, episodes=4, scales={"CliffWalking-v1": (-10_000, -13)})


def trimmed_mean(scores):
    values = np.sort(scores, axis=None)
    cut = len(values) // 4
    return values[cut : len(values) - cut].mean()


def test_a_candidate_is_an_agent_with_its_runs_in_each_env(runs, found):
    assert isinstance(found, ComparisonAcross)
    assert found.env_ids == ENVS
    assert [one.label for one in found.candidates] == ["q-learning", "sarsa"]
    assert [len(one.runs) for one in found.candidates] == [6, 6]
    assert [one.scores.shape for one in found.candidates] == [(3, 2), (3, 2)]


def test_scores_are_returns_on_the_scale_of_their_env(runs, found):
    lake = (
        rlbench.policy_evaluation("FrozenLake-v1", "uniform").expected_return,
        rlbench.plan("FrozenLake-v1").optimal_return,
    )
    assert found.scales == (pytest.approx(lake), (-10_000.0, -13.0))
    for place, run in enumerate(runs[:3]):
        mean = rlbench.evaluate(run, episodes=4, seed=place).mean_return
        assert found.candidates[0].scores[place, 0] == pytest.approx((mean - lake[0]) / (lake[1] - lake[0]))


def test_the_figures_are_those_of_the_paper(found):
    for one in found.candidates:
        assert one.iqm == pytest.approx(trimmed_mean(one.scores))
        assert one.mean == pytest.approx(one.scores.mean())
        assert one.median == pytest.approx(np.median(one.scores.mean(axis=0)))
        assert one.optimality_gap == pytest.approx(1 - np.minimum(one.scores, 1).mean())
        assert one.gap_interval[0] <= one.optimality_gap <= one.gap_interval[1]
    x, y = (one.scores for one in found.candidates)
    pairs = [np.mean([(a > b) + (a == b) / 2 for a in x[:, m] for b in y[:, m]]) for m in range(2)]
    assert found.improvement(0, 1).probability == pytest.approx(np.mean(pairs))
    assert found.improvement(1, 0).probability == pytest.approx(1 - np.mean(pairs))


def test_the_figures_are_those_of_rliable(found):
    metrics = pytest.importorskip("rliable.metrics", reason="rliable is not installed: it needs old versions of others")
    for one in found.candidates:
        assert one.iqm == pytest.approx(metrics.aggregate_iqm(one.scores))
        assert one.median == pytest.approx(metrics.aggregate_median(one.scores))
        assert one.optimality_gap == pytest.approx(metrics.aggregate_optimality_gap(one.scores))
    x, y = (one.scores for one in found.candidates)
    assert found.improvement(0, 1).probability == pytest.approx(metrics.probability_of_improvement(x, y))


def test_runs_are_resampled_within_their_task():
    scores = np.array([0, 100, 200]) + np.random.default_rng(0).normal(size=(4, 3))
    rng = np.random.default_rng(5)
    drawn = [[scores[rng.integers(4, size=(4, 3)), np.arange(3)]] for _ in range(400)]
    expected = np.quantile([trimmed_mean(one) for one in drawn], [0.025, 0.975])
    shape = {"seed": 5, "resamples": 400}
    low, high = stratified_interval(scores, lambda of: np.array([trimmed_mean(one) for one in of]), **shape)
    assert (low, high) == pytest.approx(expected)
    assert 95 < low < high < 105  # across tasks it would reach from 33 to 167


def test_an_improvement_over_tasks_has_an_interval_of_their_mean():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)) - [5, 0]
    low, high = improvement_interval(x, y, resamples=300)
    assert 0.5 <= low < high <= 1.0  # surely better in the first task, perhaps in the second
    assert improvement_interval(x[:, :1], y[:, :1], seed=2, resamples=50) == improvement_interval(
        x[:, 0], y[:, 0], seed=2, resamples=50
    )


def test_the_figure_has_a_performance_profile_below(found):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    from rlbench import plots

    upper, _, last = plots.comparison_figure(found, labels=["Q", "S"]).axes
    assert [text.get_text() for text in upper.texts] == ["Q (6 runs)", "S (6 runs)"]
    assert last.get_xlabel() == "normalized return of greedy episodes"
    line = last.get_lines()[0]
    shares = [(found.candidates[0].scores > at).mean() for at in line.get_xdata()]
    assert line.get_ydata().tolist() == pytest.approx(shares)


def test_what_cannot_be_compared_across_envs_is_said(runs):
    with pytest.raises(UsageError, match=r"q-learning has \[3, 2\] runs in the envs: give as many in each"):
        rlbench.compare([*runs[:3], *runs[6:8]])
    with pytest.raises(UsageError, match="FrozenLake-v1 has q-learning; sarsa, CliffWalking-v1 has q-learning"):
        rlbench.compare(runs[:9])
    cart = [trained("cartpole", "q-learning", seed) for seed in SEEDS]
    with pytest.raises(UsageError, match=r"say which returns count as 0 and 1 in .*CartPole-v1 \(scales\)"):
        rlbench.compare([*runs[:3], *cart], episodes=2)
    with pytest.raises(UsageError, match="must rise from one number to another, got 5 to 1"):
        rlbench.compare([*runs[:3], *cart], episodes=2, scales={cart[0].env_id: (5, 1)})


def test_several_settings_of_an_agent_are_matched_by_their_labels(runs):
    fast = [trained(env, "q-learning", seed, agent_kwargs={"gamma": 0.5}) for env in ENVS for seed in SEEDS]
    slow = [trained(env, "q-learning", seed, agent_kwargs={"gamma": 0.9}) for env in ENVS for seed in SEEDS]
    found = rlbench.compare([*fast, *slow], metric="training", episodes=10)
    assert [one.label for one in found.candidates] == ["q-learning, gamma 0.5", "q-learning, gamma 0.9"]
