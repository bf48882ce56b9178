"""Pages of a listing: they show what a listing of all runs would, from a few fields of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import UnknownNameError, UsageError
from rlbench.store import RunConfig, open_store
from rlbench.store.conditions import condition, values_of
from rlbench.store.querying import MISSING, VALUES, ordered, value_of

ENVS = ("Taxi-v4", "rlbench/SafeCab-v0", "<script>alert(1)</script>")
AGENTS = ({"gamma": 0.9, "ties": "first"}, {"gamma": 0.5, "seed": 3}, {"gamma": 1, "deep": [1, None]}, {})
EVALUATIONS = (None, {"mean_return": 3.0, "regret": 0.5}, {"mean_return": -1}, {"mean_return": 7.0, "wrappers": ["A"]})
SPEC = '{"kwargs": {"city": "20x20", "gamma": 2, "map": null}, "max_episode_steps": 100}'
NAMES = ("run", "env", "seed", "status", "episodes", "return", "regret", "tags", "gamma", "env.gamma", "agent.seed",
         "city", "map", "deep", "preset", "started", "studies")  # fmt: skip

runs = st.tuples(
    st.sampled_from(ENVS),
    st.sampled_from(AGENTS),
    st.sampled_from(EVALUATIONS),
    st.sampled_from([(), ("good",), ("good", "'; --")]),
    st.sampled_from([0, 1, 2**70]),
    st.booleans(),
)
VALUES_ASKED = ("0.9", "1", "good", "None", "3", "finished", "Taxi-v4", "20x20")
wheres = st.lists(
    st.builds(
        "{}{}{}".format, st.sampled_from(NAMES), st.sampled_from(["=", "!=", "<", ">="]), st.sampled_from(VALUES_ASKED)
    ),
    max_size=2,
)
sorts = st.none() | st.sampled_from([sign + name for sign in ("", "-") for name in NAMES])


def fill(store, made):
    for env, parameters, evaluation, tags, seed, has_spec in made:
        config = {
            "agent": {"name": "q", "parameters": parameters},
            "env": {"id": env, "spec": SPEC if has_spec else None},
        }
        run = store.create_run(env, "q", seed=seed, config=RunConfig.of(config), tags=tags)
        store.append(run.id, status="finished")
        store.update_run(run.id, evaluation=evaluation)


@given(st.lists(runs, min_size=1, max_size=6), wheres, sorts, st.integers(0, 3))
def test_a_page_is_a_part_of_the_list_of_all_runs(made, where, sort, offset):
    with open_store("memory://") as store:
        fill(store, made)
        everything = store.runs()
        known = {name for run in everything for name in values_of(run)} | VALUES.keys()
        names = [condition(one).name for one in where] + ([] if sort is None else [sort.removeprefix("-")])
        if not known.issuperset(names):
            with pytest.raises(UnknownNameError, match="unknown column or setting"):
                store.page(where=where, sort=sort)
            return
        fitting = [run for run in everything if all(condition(one).holds(values_of(run)) for one in where)]
        if sort is not None:
            fitting = ordered(fitting, lambda run: values_of(run).get(sort.removeprefix("-"), MISSING), sort)
        page = store.page(where=where, sort=sort, limit=2, offset=offset)
        assert (page.runs, page.total, page.damaged) == (fitting[offset : offset + 2], len(fitting), [])


@given(runs)
def test_a_value_that_takes_few_fields_is_the_one_that_the_record_tells(made):
    with open_store("memory://") as store:
        fill(store, [made])
        (run,), (document,) = store.runs(), store.backend.select_runs({}, None)
        document["now"] = store.backend.now()
        values = values_of(run)
        assert {name: value_of(name, document) for name in values} == values
        assert [name for name in VALUES if value_of(name, document) is not MISSING and name not in values] == []


def test_groups_are_of_runs_that_differ_only_in_their_seed_and_sorted_by_their_means():
    with open_store("memory://") as store:
        for gamma, returns in ((0.9, (1.0, 2.0)), (0.5, (5.0,)), (0.1, ())):
            fill(store, [("e", {"gamma": gamma}, {"mean_return": r}, (), i, False) for i, r in enumerate(returns)])
        fill(store, [("e", {"gamma": 0.1}, None, (), 0, False)])
        found = store.groups(sort="-return", limit=2)
        assert found.total == 3
        assert [(one.newest.config.settings["gamma"], one.returns, len(one.ids)) for one in found.groups] == [
            (0.5, (5.0,), 1),
            (0.9, (2.0, 1.0), 2),
        ]
        assert [len(one.ids) for one in store.groups(sort="-runs").groups] == [2, 1, 1]
        (last,) = store.groups(sort="-return", offset=2).groups
        assert (last.newest.config.settings["gamma"], last.returns) == (0.1, ())
        assert [one.newest.config.settings["gamma"] for one in store.groups(where=["gamma<0.5"]).groups] == [0.1]


def test_a_page_of_an_empty_store_is_empty_whatever_is_asked():
    with open_store("memory://") as store:
        assert store.page(where=["gamma>0.5"], sort="-return") == ([], 0, [])
        assert store.groups(sort="gamma") == ([], 0)
        with pytest.raises(UsageError, match="a condition is NAME=VALUE"):
            store.page(where=["gamma"])
