"""Conditions on the values of a run."""

import json
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import UnknownNameError, UsageError
from rlbench.settings import write_setting
from rlbench.store import RunConfig, open_store
from rlbench.store.conditions import condition, settings_of, values_of
from rlbench.store.config import TAKEN

SIGNS = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
numbers = st.integers(-3, 3) | st.sampled_from([0.1, 2.5e-5, -1.5])
texts = st.sampled_from(["first", "random", "001", "1.0", "true", "a=b", "<c"])


@given(st.sampled_from(list(SIGNS)), st.tuples(numbers, numbers) | st.tuples(texts, texts))
def test_a_condition_holds_as_python_compares(sign, pair):
    own, value = pair
    found = condition(f"x{sign}{write_setting(value)}")
    assert found.holds({"x": own}) is SIGNS[sign](own, value)
    assert found.holds({}) is (sign == "!=")


def test_a_text_and_a_number_have_no_order_and_a_list_equals_each_of_its_parts():
    assert not any(condition(f"x{sign}3").holds({"x": "three"}) for sign in ("=", "<", "<=", ">", ">="))
    assert condition("tags=good").holds({"tags": ["old", "good"]})
    assert not condition("tags!=good").holds({"tags": ["good"]})
    assert condition("x=None").holds({"x": None})
    assert not condition("x<3").holds({"x": None})
    assert condition("x=001").holds({"x": "001"})
    assert condition("env=safecab").holds({"env": "rlbench/SafeCab-v0"})


@pytest.mark.parametrize("text", ["", "x", "=1", "x ~ 3", "!x"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(UsageError, match="a condition is NAME=VALUE"):
        condition(text)


def test_a_store_lists_the_runs_for_which_conditions_hold():
    agents = [{"name": "sarsa", "parameters": {"gamma": gamma}} for gamma in (0.5, 0.9, 0.99)]
    with open_store("memory://") as store:
        assert store.runs(where=["gamma>0.5"]) == []  # of no runs, no name is known
        half, *others = (
            store.create_run("Taxi-v4", "sarsa", seed=0, config=RunConfig.of({"agent": a})).id for a in agents
        )
        assert [run.id for run in store.runs(where=["gamma>0.5"])] == others[::-1]
        assert [run.id for run in store.runs(where=["gamma>0.5"], limit=1)] == others[1:]
        assert [run.id for run in store.runs(env_id="Taxi-v4", where=["gamma=0.5"])] == [half]
        with pytest.raises(UnknownNameError, match="unknown setting 'gama'; did you mean gamma"):
            store.runs(where=["gama=1"])
        with pytest.raises(UsageError, match="where takes a list"):
            store.runs(where="gamma=1")
        assert (store.count_runs(), store.count_runs(env_id="CliffWalking-v1")) == (3, 0)


@pytest.mark.parametrize("wrappers", [3, [7], [{"name": 3, "kwargs": {}}], [{"name": "A", "kwargs": None}]])
def test_a_foreign_spec_brings_no_settings_and_no_traceback(wrappers):
    spec = f'{{"kwargs": {{"gamma": 2}}, "additional_wrappers": {wrappers!r}}}'.replace("'", '"').replace(
        "None", "null"
    )
    found = RunConfig.of({"env": {"spec": spec}, "agent": {"parameters": {"gamma": 0.5}}}).settings
    assert found == {"preset": "default", "env.gamma": 2, "gamma": 0.5}


def test_settings_are_named_as_they_are_typed():
    made = (
        {"name": "ClipReward", "kwargs": {"min_reward": -1}},
        {"name": "Discretize", "kwargs": {"bins": [3, 3], "low": None}},
    )
    spec = RunConfig.of({"env": {"spec": json.dumps({"kwargs": {}, "additional_wrappers": made})}})
    with open_store("memory://") as store:
        found = settings_of(store.create_run("X-v0", "sarsa", seed=7, config=spec))
    assert found["wrappers"] == ["ClipReward:min_reward=-1"]
    assert (found["bins"], found["seed"], found["env"]) == ({"bins": [3, 3]}, 7, "X-v0")


def test_what_env_or_agent_calls_as_something_else_is_called_keeps_a_name_of_its_own():
    agent, env = {"steps": 5, "gamma": 0.5}, json.dumps({"kwargs": {"seed": 1, "return": "high"}})
    config = RunConfig.of({"env": {"spec": env}, "agent": {"parameters": agent}})
    with open_store("memory://") as store:
        plain, found = (
            values_of(store.create_run("X-v0", "sarsa", seed=7, config=one)) for one in (RunConfig(), config)
        )
    assert found.keys() - plain.keys() == {"env.seed", "env.return", "agent.steps", "gamma"}
    assert (found["seed"], found["steps"], found["env.seed"], found["agent.steps"]) == (7, 0, 1, 5)
    assert plain.keys() <= {*TAKEN}, plain
