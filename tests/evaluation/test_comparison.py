"""Which runs are compared with which, and the results."""

import numpy as np
import pytest
from training.toys import Circle

import rlbench
from rlbench.errors import UnknownNameError, UsageError
from rlbench.evaluation import compare
from rlbench.evaluation.comparison import (
    Candidate,
    Comparison,
    Improvement,
    group_runs,
    scored,
    settings_of,
)


def trained(seed=0, episodes=30, **more):
    return rlbench.train("safecab", episodes=episodes, seed=seed, store="memory://", **more)


@pytest.fixture(scope="module")
def runs():
    """Two settings, two seeds each."""
    return [trained(seed, agent_kwargs={"gamma": gamma}) for gamma in (0.9, 0.5) for seed in (0, 1)]


# ----------------------------------------------------------------------------------------------------- groups


def test_runs_that_differ_in_their_seed_only_are_one_group(runs):
    groups = group_runs(runs)
    assert [group.label for group in groups] == ["q-learning, gamma 0.9", "q-learning, gamma 0.5"]
    assert [[run.seed for run in group.runs] for group in groups] == [[0, 1], [0, 1]]


def test_runs_in_other_wrappers_or_bins_are_another_candidate(runs):
    wrapped = trained(agent_kwargs={"gamma": 0.9}, wrappers=["ClipReward:max_reward=1"])
    labels = [group.label for group in group_runs([runs[0], wrapped])]
    assert labels == ["q-learning", "q-learning, wrappers ClipReward:min_reward..."]
    assert len(group_runs([runs[0], trained(agent_kwargs={"gamma": 0.9}, eval_every=15)])) == 1


def test_labels_differ_whatever_else_sets_agents_apart():
    from rlbench.evaluation.comparison import _labels

    agents = [{"agent": "sarsa", "a": 1, "b": 2, "c": 3, "gamma": gamma} for gamma in (0.5, 0.9)]
    agents += [{"agent": "q-learning", "a": 4, "b": 5, "c": 6, "gamma": 0.5}]
    assert _labels(agents)[:2] == ["sarsa, gamma 0.5, a 1, b 2, ...", "sarsa, gamma 0.9, a 1, b 2, ..."]
    values = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)]
    many = [{"agent": "sarsa", **dict(zip("abcd", value, strict=True))} for value in values]
    assert len(set(_labels(many))) == 5
    long = [{"agent": "sarsa", "map": ["F" * 30 + end]} for end in "ab"]
    assert _labels(long)[1] == f"{_labels(long)[0]} (2)"


def test_a_run_that_is_named_twice_counts_once(runs):
    assert [len(group.runs) for group in group_runs([runs[0], runs[0], runs[1]])] == [2]


def test_what_another_agent_does_not_know_is_no_difference_worth_a_word(runs):
    labels = [group.label for group in group_runs([*runs, trained(agent="random", episodes=20)])]
    assert labels == [
        "q-learning, gamma 0.9, episodes 30",
        "q-learning, gamma 0.5, episodes 30",
        "random, episodes 20",
    ]


def test_arguments_of_the_env_are_settings():
    run = trained(env_kwargs={"step_reward": -2.0})
    assert settings_of(run)["step_reward"] == -2.0
    assert "seed" not in settings_of(run)


def test_runs_of_different_envs_are_refused_by_name(runs):
    lake = rlbench.train("FrozenLake-v1", episodes=5, store="memory://")
    with pytest.raises(UsageError, match=f"run {runs[0].id} is in rlbench/SafeCab-v0, run {lake.id} in FrozenLake-v1"):
        group_runs([runs[0], lake])


# ------------------------------------------------------------------------------------------------- comparison


def test_with_several_runs_each_a_run_is_the_unit(runs):
    found = compare(runs, episodes=5)
    assert (found.unit, found.env_id) == ("run", "rlbench/SafeCab-v0")
    assert [one.runs for one in found.candidates] == [(runs[0].id, runs[1].id), (runs[2].id, runs[3].id)]
    means = [rlbench.evaluate(run, episodes=5, seed=seed).mean_return for seed, run in enumerate(runs[:2])]
    assert found.candidates[0].sample.tolist() == means
    exact = [rlbench.evaluate(run, episodes=1).regret for run in runs[:2]]
    assert found.candidates[0].regret == pytest.approx(np.mean(exact))


def test_with_one_run_each_an_episode_is_the_unit(runs):
    found = compare([runs[0], runs[2]], episodes=7, seed=4)
    assert found.unit == "episode"
    assert found.candidates[1].sample.tolist() == rlbench.evaluate(runs[2], episodes=7, seed=4).returns.tolist()
    one, other = found.improvement(0, 1), found.improvement(1, 0)
    assert (one.probability, one.interval) == (1 - other.probability, tuple(1 - end for end in other.interval[::-1]))


def test_runs_that_differ_in_their_seed_only_are_compared_with_each_other_if_there_is_nothing_else(runs):
    found = compare(runs[:2], episodes=3)
    assert [one.label for one in found.candidates] == ["q-learning, seed 0", "q-learning, seed 1"]


def test_runs_that_differ_in_their_seed_only_can_be_scored_as_one_candidate_too(runs):
    found = scored(group_runs(runs[:2]), episodes=3)
    (one,) = found.candidates
    assert (found.unit, one.runs, found.improvements) == ("run", (runs[0].id, runs[1].id), ())
    assert list(one.means) == one.sample.tolist()
    assert one.regret == pytest.approx(np.mean(one.regrets))


def test_the_metric_training_takes_the_last_episodes_as_they_were(runs):
    found = compare([runs[0], runs[2]], metric="training", episodes=4)
    assert found.candidates[0].sample.tolist() == runs[0].returns[-4:].tolist()
    assert found.candidates[0].regret is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "returns"}, "unknown metric 'returns'"),
        ({"episodes": 0}, "episodes must be a whole number, 1 or more, got 0"),
    ],
)
def test_a_mistake_is_named(runs, arguments, message):
    with pytest.raises(UsageError, match=message):
        compare(runs, **arguments)


def test_one_run_is_no_comparison(runs):
    with pytest.raises(UsageError, match="needs two runs or more"):
        compare([runs[0], runs[0]])
    with pytest.raises(UsageError, match="at least one run"):
        compare([])
    with pytest.raises(UnknownNameError):
        compare(runs, metric="")


def test_the_figure_has_a_row_a_candidate_and_a_row_a_pair_with_the_better_one_first(runs):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    from rlbench import plots

    samples = {"a": np.array([1.0, 2.0]), "$b$": np.array([3.0, 5.0, 4.0])}
    interval = (0.0, 1.0)
    candidates = tuple(
        Candidate(name, (), sample, sample.mean(), sample.mean(), interval) for name, sample in samples.items()
    )
    improvements = (Improvement(0, 1, 0.0, interval), Improvement(1, 0, 1.0, interval))
    found = Comparison("x/Y-v0", "evaluation", "run", 10, candidates, improvements)
    upper, lower = plots.comparison_figure(found).axes
    assert [label.get_text() for label in upper.get_yticklabels()] == ["A", "B"]
    assert [text.get_text() for text in upper.texts] == ["a (2 runs)", r"\$b\$ (3 runs)"]
    assert [line.get_xdata()[0] for line in upper.get_lines()[1::2]] == [1.5, 4.0]
    assert [label.get_text() for label in lower.get_yticklabels()] == ["B over A"]


def test_a_run_whose_env_cannot_be_made_again_is_compared_by_its_training():
    circles = [
        rlbench.train(Circle(), episodes=6, seed=seed, store="memory://", agent_kwargs={"gamma": gamma})
        for seed, gamma in ((0, 0.5), (1, 0.9))
    ]
    with pytest.raises(UsageError, match="metric='training' compares without playing"):
        compare(circles)
    assert compare(circles, metric="training").unit == "episode"
