"""Which runs are pruned: those that no rule keeps."""

from datetime import timedelta

import pytest
from contracts.stores import rewrite
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import UsageError
from rlbench.store import open_store
from rlbench.store.pruning import age_of, superfluous

HOUR = timedelta(hours=1)


def add(store, *, env="Taxi-v4", agent="q-learning", returned=None, hours=0, status="finished", **about):
    run = store.create_run(env, agent, seed=0, **about)
    if returned is not None:
        store.update_run(run.id, evaluation={"mean_return": returned})
    store.append(run.id, status=status)
    rewrite(store, run.id, created_at=(store.backend.now() - hours * HOUR).isoformat(timespec="microseconds"))
    return run.id


@pytest.fixture
def store():
    with open_store("memory://") as store:
        yield store


def ids(store, **rules):
    return [run.id for run in superfluous(store, **rules)]


def test_of_each_env_and_agent_the_last_and_the_best_are_kept(store):
    a, b, c = (add(store, returned=returned) for returned in (3, 1, 2))
    other, sarsa = add(store, env="CliffWalking-v1"), add(store, agent="sarsa")
    assert ids(store, keep_last=1) == [b, a]
    assert ids(store, keep_best=1) == [c, b]
    assert ids(store, keep_last=1, keep_best=1) == [b]
    assert ids(store, keep_last=0) == [sarsa, other, c, b, a]
    assert ids(store, keep_last=9) == []


def test_a_run_that_was_not_evaluated_is_the_worst_and_young_ones_are_kept(store):
    new, old = add(store, hours=5), add(store, returned=-1e9, hours=100)
    assert ids(store, keep_best=1) == [new]
    assert ids(store, older_than=24 * HOUR) == [old]
    assert ids(store, older_than=24 * HOUR, keep_best=1) == []


def test_what_a_person_or_a_study_marked_and_what_is_being_written_is_kept(store):
    add(store, tags=["paper"])
    add(store, note="look at this")
    with store.working_for("lake"):
        add(store)
    store.add_to_study(add(store), "lake")
    store.create_run("Taxi-v4", "random", seed=0)
    gone = add(store, status="interrupted")
    assert ids(store, keep_last=0) == [gone]


@given(
    kinds=st.lists(st.tuples(st.sampled_from("ab"), st.one_of(st.none(), st.integers(0, 5)), st.integers(0, 9))),
    last=st.one_of(st.none(), st.integers(0, 4)),
    best=st.one_of(st.none(), st.integers(0, 4)),
    age=st.one_of(st.none(), st.integers(0, 9)),
)
def test_each_rule_keeps_what_it_says_and_nothing_else_is_kept(kinds, last, best, age):
    rules = {"keep_last": last, "keep_best": best, "older_than": None if age is None else (age + 0.5) * HOUR}
    with open_store("memory://") as store:
        for env, returned, hours in kinds:
            add(store, env=env, returned=returned, hours=hours)
        if set(rules.values()) == {None}:
            with pytest.raises(UsageError, match="say what to keep"):
                superfluous(store, **rules)
            return
        pruned, every = set(ids(store, **rules)), store.runs()
    young = {
        run.id for run, (*_, hours) in zip(reversed(every), kinds, strict=True) if age is not None and hours <= age
    }
    assert not pruned & young
    for env in "ab":
        group = [run for run in every if run.env_id == env]
        kept = [run for run in group if run.id not in pruned]
        assert not pruned & {run.id for run in group[: last or 0]}
        returns = sorted(map(_return, group), reverse=True)[: best or 0]
        assert sorted(map(_return, kept), reverse=True)[: len(returns)] == returns
        assert len(kept) <= (last or 0) + (best or 0) + len(young)


def _return(run):
    return (run.evaluation or {"mean_return": -1})["mean_return"]


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), (" 2w ", 336)])
def test_an_age_is_in_hours_days_or_weeks(text, hours):
    assert age_of(text) == hours * HOUR


@pytest.mark.parametrize("text", ["", "d", "-1d", "1", "1m", "1.5d", "9999999d", "\u0661d"])
def test_another_age_is_refused(text):
    with pytest.raises(UsageError, match="an age is a number of hours, days or weeks, such as 12h, 30d or 8w, got"):
        age_of(text)
