"""What a study measures, against numbers worked by hand."""

import math

import numpy as np
import pytest

import rlbench
from rlbench.errors import UsageError
from rlbench.studies.objectives import Judge, Objective, aggregate_of, interval_of, objective_of, steps_to, value_of

LAKE = {"env": "FrozenLake-v1", "episodes": 120, "record": "none", "seed": 3}


def test_objectives_are_read_and_written():
    for text in ("regret", "return", "area", "area:500", "area:999999", "steps-to:-15", "steps-to:0.5"):
        assert str(objective_of(text)) == text
    assert objective_of("steps-to:-15") == Objective("steps-to", -15.0)
    assert [objective_of(name).is_loss for name in ("regret", "return", "area", "steps-to:1")] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regrets", "unknown objective 'regrets'; did you mean regret"),
        ("regret:3", "unknown objective 'regret:3'"),
        ("area:0", "the objective area takes how many episodes to leave out, such as area:500, got 'area:0'"),
        ("area:0.5", "takes how many episodes"),
        ("area:1000000", "takes how many episodes"),
        ("steps-to", "the objective steps-to takes the return to reach, such as steps-to:-15, got 'steps-to'"),
        ("steps-to:soon", "takes the return to reach"),
        ("steps-to:nan", "takes the return to reach"),
    ],
)
def test_another_objective_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        objective_of(text)


def test_the_statistics_of_five_seeds():
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    found = {name: value_of(values, name) for name in ("mean", "iqm", "q0", "q50", "q90", "q100")}
    assert found == {"mean": 22.0, "iqm": 3.0, "q0": 1.0, "q50": 3.0, "q90": pytest.approx(61.6), "q100": 100.0}
    low, high = interval_of(values, "q50")
    assert (low, high) == (1.0, 100.0)
    for wrong in ("median", "q101", "q-1", "q", ""):
        with pytest.raises(UsageError, match="unknown aggregate"):
            aggregate_of(wrong)


def test_a_seed_that_never_arrives_is_infinite_and_no_statistic_is_nan():
    values = np.array([1.0, math.inf, math.inf])
    assert [value_of(values, name) for name in ("mean", "q0", "q50")] == [math.inf, 1.0, math.inf]
    assert interval_of(values, "q50")[1] == math.inf
    assert not any(map(math.isnan, interval_of(values, "mean")))


def test_steps_are_counted_until_the_mean_of_a_hundred_episodes_is_reached():
    returns = np.array([0.0] * 60 + [1.0] * 90)
    lengths = np.full(150, 3)
    assert steps_to(returns, lengths, 0.5) == 3 * 110  # the episodes 11 to 110: 50 of each
    assert steps_to(returns, lengths, 0.0) == 3 * 100
    assert steps_to(returns, lengths, 0.95) == math.inf
    assert steps_to(returns[:99], lengths[:99], -1.0) == math.inf


def test_a_run_is_worth_what_its_evaluation_and_its_figures_say():
    run = rlbench.train(**LAKE)
    found = rlbench.evaluate(run, seed=3)
    values = {}
    for name in ("regret", "return", "area", "area:100"):
        judge = Judge(objective_of(name))
        values[name] = judge.value(run)
        judge.close()
    areas = {"area": run.returns.mean(), "area:100": run.returns[100:].mean()}
    assert values == {"regret": found.regret, "return": found.exact_return, **areas}
    with pytest.raises(UsageError, match="no episode of training ended that counts: train longer"):
        Judge(objective_of("area:120")).value(run)


def test_a_return_is_sampled_alike_for_each_run_of_a_seed_where_none_is_exact():
    runs = [rlbench.train("cartpole", episodes=5, seed=2, record="none", agent_kwargs={"gamma": g}) for g in (0.9, 1.0)]
    judge = Judge(Objective("return"))
    assert [judge.value(run) for run in runs] == [rlbench.evaluate(run, seed=2).mean_return for run in runs]
    with pytest.raises(UsageError, match="there is no exact value"):
        Judge(Objective("regret")).value(runs[0])
