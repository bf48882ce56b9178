"""How many seeds tell two settings apart: against theory, SciPy and the error rate that the test promises."""

import numpy as np
import pytest
from scipy import stats

import rlbench
from rlbench.errors import UsageError
from rlbench.studies import Study, power
from rlbench.studies.axes import Axis
from rlbench.studies.settings import Settings
from rlbench.studies.telling import critical_value, paired_interval, rates, welch_interval

SEEDS = 400


def study_of(*values, objective="regret"):
    """A study with these values (seeds,) of as many learning rates 0.1, 0.2 ..., of which nothing was trained."""
    axis = Axis("learning_rate", tuple(round(0.1 * (place + 1), 1) for place in range(len(values))))
    settings = Settings(
        "FrozenLake-v1",
        ("q-learning",),
        (axis,),
        tuple(range(len(values[0]))),
        *(10, None, "default", {}, {}, None, objective, "mean", "none"),
    )
    study = Study.new("mine", settings, None)
    study.values[:] = values
    return study


@pytest.fixture(scope="module")
def bells():
    """Two settings whose values share what the seed brings: (2, seeds)."""
    rng = np.random.default_rng(1)
    shared, own = rng.normal(0, 3, SEEDS), rng.normal(0, 1, (2, SEEDS))
    own -= own.mean(axis=1, keepdims=True)
    return np.array([shared + own[0], shared + own[1] + 0.7])


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001])
def test_critical_values_are_those_of_student(alpha):
    degrees = np.array([1, 1.5, 2, 3, 4.2, 7, 30, 333.3, 9999])
    np.testing.assert_allclose(critical_value(degrees, alpha), stats.t.ppf(1 - alpha / 2, degrees), rtol=2e-3)


def test_the_intervals_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 1, 12), rng.normal(0, 3, 7)
    welch = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.9)
    np.testing.assert_allclose(welch_interval(x, y, 0.1), [x.mean() - y.mean(), *welch], rtol=1e-3)
    alone = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    np.testing.assert_allclose(paired_interval(x, 0.1), [x.mean(), *alone], rtol=1e-3)


@pytest.mark.parametrize("is_paired", [True, False])
def test_of_normal_values_it_is_what_theory_says(bells, is_paired):
    x, y = bells
    found = power(study_of(x, y), paired=is_paired)
    spread = (x - y).std(ddof=1) if is_paired else np.sqrt(x.var(ddof=1) + y.var(ddof=1))
    effect = 0.7 / spread

    def exact(n):
        degrees = n - 1 if is_paired else 2 * n - 2
        t, shift = stats.t.ppf(0.975, degrees), effect * np.sqrt(n)
        return stats.nct.sf(t, degrees, shift) + stats.nct.cdf(-t, degrees, shift)

    for n in (10, found.needed, 2 * found.needed):
        assert found.curve[n - 2] == pytest.approx(exact(n), abs=0.03)
    assert found.needed == pytest.approx(next(n for n in range(2, 1000) if exact(n) >= 0.8), rel=0.1)
    assert found.needed < 50 if is_paired else found.needed > 250  # what a seed brings to both is no matter in pairs
    low, high = found.needed_interval
    assert low <= found.needed <= high
    assert found.false_alarms == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("samples", [1, 2])
def test_where_nothing_differs_it_errs_as_often_as_it_says(alpha, samples):
    rng = np.random.default_rng(2)
    found = rates(tuple(rng.normal(5, 2, SEEDS) for _ in range(samples)), 0.0, alpha, seed=3)
    shares = found.false[[8, 18, 48, 198]] / 5_000
    np.testing.assert_allclose(shares, alpha, atol=4 * np.sqrt(alpha / 5_000))
    np.testing.assert_array_equal(found.told, found.false)


def test_values_far_from_a_bell_are_told_to_err_more_often():
    skewed = np.random.default_rng(0).exponential(1, SEEDS) ** 2
    found = power(study_of(skewed, np.zeros(SEEDS)))
    assert found.false_alarms > 0.1
    assert any("far from a bell" in note for note in found.notes)


def test_the_same_seed_gives_the_same_and_another_nearly_the_same(bells):
    first, again, other = (power(study_of(*bells), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.curve, again.curve)
    assert (first.curve != other.curve).any()
    assert abs(first.needed - other.needed) <= 3


def test_combinations_are_chosen_by_what_tells_them_apart(bells):
    study = study_of(*bells, bells[1] + 1)
    found = power(study, {"learning_rate": 0.3}, "agent=q-learning,learning_rate=0.1")
    assert found.labels == ("q-learning learning_rate=0.3", "q-learning learning_rate=0.1")
    assert found.difference == pytest.approx(1.7)
    assert power(study).labels == ("q-learning learning_rate=0.1", "q-learning learning_rate=0.2")  # the two best
    assert power(study, None, "learning_rate=0.1").labels == (
        "q-learning learning_rate=0.2",
        "q-learning learning_rate=0.1",
    )


def test_seeds_that_failed_for_one_are_left_out_of_both(bells):
    study = study_of(*bells)
    study.values[0, 0], study.values[1, 1] = np.nan, np.nan
    found = power(study)
    assert (found.seeds, found.is_paired) == ((SEEDS - 2, SEEDS - 2), True)


def test_settings_that_do_not_differ_need_no_number_of_seeds(bells):
    found = power(study_of(bells[0], bells[0]))
    assert (found.needed, found.difference, found.curve.max()) == (None, 0.0, 0.0)
    assert "the two do not differ at all" in str(found)


def test_a_difference_without_spread_says_so():
    found = power(study_of(np.zeros(5), np.ones(5)))
    assert (found.needed, found.needed_interval) == (2, (2, 2))
    assert found.notes == ["they differ by the same on all seeds: there is no spread to simulate"]


def test_few_seeds_and_a_difference_that_may_be_none_are_told(bells):
    found = power(study_of(*bells[:, :6]), paired=False)
    assert found.needed is None
    assert "more than 1,000 seeds each" in str(found) or found.needed > 6
    assert [note.partition(":")[0] for note in found.notes] == [
        "these seeds do not tell them apart",
        "the spread was measured with 6 seeds only, which may be far off",
    ]


def test_its_figure_has_the_curve_the_target_and_the_false_alarms(bells):
    found = power(study_of(*bells))
    [ax] = found.plot(title="mine").axes
    told, wanted, false = ax.get_lines()
    numbers = told.get_xdata().astype(int)
    np.testing.assert_array_equal(told.get_ydata(), found.curve[numbers - 2])
    np.testing.assert_array_equal(false.get_ydata(), found.false_curve[numbers - 2])
    assert set(wanted.get_ydata()) == {0.8}
    assert numbers[-1] == 2 * found.needed


def test_runs_are_grouped_as_compare_groups_them():
    with rlbench.open_store("memory://") as store:
        runs = [
            rlbench.train("FrozenLake-v1", agent, episodes=episodes, seed=seed, store=store, record="none")
            for agent, episodes in (("q-learning", 60), ("sarsa", 60))
            for seed in (2, 0, 1)
        ]
        found, compared = power(runs), rlbench.compare(runs)
        assert found.labels == tuple(one.label for one in compared.candidates)
        assert found.means == pytest.approx([one.mean for one in compared.candidates])
        assert (found.seeds, found.is_paired, found.what) == ((3, 3), True, "return")
        assert not power(runs[1:]).is_paired
        with pytest.raises(UsageError, match="pairs need the same seeds, each once"):
            power(runs[1:], paired=True)
        with pytest.raises(UsageError, match="these runs have 1: choose runs of two"):
            power(runs[:3])
        with pytest.raises(UsageError, match="a and b choose combinations of a study"):
            power(runs, a={"agent": "sarsa"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0}, "alpha must lie between 0.0001 and 0.5, got 0"),
        ({"power": 1.0}, "power must lie between 0 and 1, got 1.0"),
        ({"power": "high"}, "power must lie between 0 and 1, got 'high'"),
        ({"a": {"gamma": 0.9}}, "a names 'gamma', which mine does not vary: it takes agent, learning_rate"),
        ({"b": "learning_rate=7"}, r"b \(learning_rate=7\) fits 0 combinations of mine, not one"),
        ({"a": "agent=q-learning"}, r"fits 2 combinations of mine, not one: q-learning learning_rate=0.1, q-learning"),
        ({"a": "sarsa"}, "--a takes K=V, such as gamma=0.9, got 'sarsa'"),
        (
            {"a": {"learning_rate": 0.1}, "b": {"learning_rate": 0.1}},
            "mine has one combination with values here, and power compares two",
        ),
    ],
)
def test_a_mistake_is_refused_in_a_line(bells, arguments, message):
    with pytest.raises(UsageError, match=message):
        power(study_of(*bells), **arguments)


def test_values_without_a_mean_or_a_spread_are_refused_in_a_line(bells):
    infinite = np.where(np.arange(SEEDS) < 3, np.inf, bells[0])
    with pytest.raises(UsageError, match="has infinite values, of which there is no mean: choose another objective"):
        power(study_of(infinite, bells[1], objective="steps-to:5"))
    with pytest.raises(UsageError, match="has 1 values: train it with two seeds at least"):
        power(study_of(*bells[:, :1]))
    with pytest.raises(UsageError, match="power takes a study, or runs of two settings, got int"):
        power(3)
