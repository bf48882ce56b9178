"""A sweep: the same hash wherever and however it is done, from runs that are stored like any other."""

import dataclasses
import math
from contextlib import closing

import hazards
import mongomock
import numpy as np
import pytest

import rlbench
from rlbench.errors import StoreError, UsageError
from rlbench.store import checking, copying, open_store
from rlbench.studies import delete_study, keeping, load_study, resume_study, sweep, working
from rlbench.studies.measured import Measured
from rlbench.studies.settings import check_name

LAKE = {
    "env": "FrozenLake-v1",
    "agents": ["q-learning", "sarsa"],
    "over": {"learning_rate": "0.1..1:2", "env.is_slippery": [True, False]},
    "seeds": range(3),
    "episodes": 20,
    "objective": "area",
}
HAZARD = {"env": hazards.ID, "over": {"env.reward": [0, 1]}, "seeds": range(2), "episodes": 2, "objective": "area"}


GAMMA = [["gamma", list(range(8)), False]]  # as many combinations as LAKE
MANY = {"bins": [999] * 4, "low": [-1] * 4, "high": [1] * 4}


@pytest.fixture(scope="module")
def lake():
    """The study of LAKE, in memory."""
    return sweep(**LAKE)


def test_every_combination_is_trained_with_every_seed_as_if_alone(lake):
    assert (lake.values.shape, lake.is_done, lake.failures) == ((8, 3), True, [])
    for number, agent, rate, slippery in (
        (0, "q-learning", 0.1, True),
        (3, "q-learning", 1.0, False),
        (6, "sarsa", 1.0, True),
    ):
        assert lake.settings.combination(number) == (agent, {"learning_rate": rate, "env.is_slippery": slippery})
        for place, seed in enumerate(LAKE["seeds"]):
            alone = rlbench.train(
                "FrozenLake-v1",
                agent,
                episodes=20,
                seed=seed,
                agent_kwargs={"learning_rate": rate},
                env_kwargs={"is_slippery": slippery},
            )
            assert lake.values[number, place] == alone.returns.mean()


def test_the_table_has_the_best_first_with_mean_and_interval(lake):
    values = [row.value for row in lake.table]
    assert values == sorted(values, reverse=True)
    assert sorted(values) == sorted(lake.values.mean(axis=1))
    assert lake.best == lake.table[0]
    for row in lake.table:
        assert row.seeds == 3
        assert row.interval[0] <= row.value <= row.interval[1]


def test_its_runs_are_stored_but_not_listed_unless_asked_for(lake):
    assert lake.store.runs() == []
    assert len(lake.runs()) == len(lake.store.runs(study=lake.name)) == 24
    assert {run.record.config.record for run in lake.runs()} == {"none"}
    with pytest.raises(StoreError, match="there is no run in memory"):
        rlbench.load_run(lake.store)
    assert list(checking.check(lake.store)) == []


def test_it_tells_what_it_measured_of_each_of_its_runs(lake):
    measured, seen = Measured(lake), []
    for run in lake.runs():
        assert measured.of(run.record) == {"area": run.returns.mean()}
        seen.append(run.returns.mean())
    assert sorted(seen) == sorted(lake.values.ravel())
    other = rlbench.train("FrozenLake-v1", "dyna-q", episodes=1, seed=0)
    assert measured.of(other.record) == {}
    lake_again = load_study(lake.store, lake.name)
    lake_again.values[:] = math.nan
    assert Measured(lake_again).of(lake.runs()[0].record) == {}


@pytest.mark.parametrize("where", ["another process", "two processes", "mongomock", "in batches of two"])
def test_the_hash_is_the_same_wherever_it_is_done(lake, where, tmp_path, monkeypatch):
    if where == "in batches of two":
        monkeypatch.setattr(working, "MOST_SEEDS", 2)
    store = mongomock.MongoClient().lab if where == "mongomock" else tmp_path / "runs.db"
    with open_store(store) as opened:
        workers = {"two processes": 2, "another process": 1}.get(where, 1)
        study = sweep(**LAKE, store=opened, workers=workers, name="mine")
        assert study.hash == lake.hash
        np.testing.assert_array_equal(study.values, lake.values)
        assert load_study(opened, "mine").hash == lake.hash


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_parts_are_the_smaller_the_less_is_left_so_that_all_processes_end_together(lake, workers):
    study = lake.new("mine", dataclasses.replace(lake.settings, seeds=tuple(range(100))), lake.store)
    study.values[0, 10:90] = 0.0
    parts = list(working.missing(study, workers))
    places = [(part.combination, place) for part in parts for place in part.places.tolist()]
    assert places == list(zip(*np.nonzero(np.isnan(study.values)), strict=True))
    left = len(places)
    for part in parts:
        assert len(part.places) <= max(1, left // (2 * workers))
        left -= len(part.places)
    assert len(parts) <= 32 + 8 * workers


def test_the_hash_tells_settings_and_values_apart(lake):
    assert sweep(**{**LAKE, "episodes": 21}).hash != lake.hash
    assert sweep(**LAKE, record="all").hash == lake.hash
    lake_again = load_study(lake.store, lake.name)
    lake_again.values[0, 0] += 1e-3
    assert lake_again.hash != lake.hash
    lake_again.values[0, 0] = math.nan
    assert lake_again.hash == ""


def test_a_larger_study_reuses_the_runs_of_a_smaller_one_and_those_of_a_person(tmp_path):
    with open_store(tmp_path / "runs.db") as store:
        mine = rlbench.train("FrozenLake-v1", episodes=20, seed=0, record="none", store=store)  # gamma is 0.99
        small = sweep("FrozenLake-v1", over={"gamma": [0.5, 0.9]}, seeds=range(2), episodes=20, store=store)
        large = sweep("FrozenLake-v1", over={"gamma": [0.5, 0.9, 0.99]}, seeds=range(3), episodes=20, store=store)
        adopting = sweep("FrozenLake-v1", over={"gamma": [0.9, 0.99]}, seeds=[0], episodes=20, store=store)
        assert len(store.runs(study="all")) == 9  # nothing was trained twice
        assert len(store.runs(study=small.name)) == 4
        assert len(store.runs(study=large.name)) == 9
        assert [run.id for run in store.runs()] == [store.run("latest").id] == [mine.id]
        asked = rlbench.train(
            "FrozenLake-v1", episodes=20, seed=1, record="none", store=store, agent_kwargs={"gamma": 0.9}
        )
        assert asked.cache == "hit"
        assert [run.id for run in store.runs()] == [asked.id, mine.id]  # a person has asked for it now

        assert delete_study(store, small.name) == 0
        assert delete_study(store, large.name) == 6  # one is the other study's too, two are a person's
        assert store.run(mine.id).studies == (adopting.name,)
        assert keeping.names(store) == [adopting.name]
        with pytest.raises(StoreError, match=f"unknown study '{small.name}'; did you mean {adopting.name}. in "):
            delete_study(store, small.name)


def test_copies_and_backups_hold_the_study(lake, tmp_path):
    copying.backup(lake.store, tmp_path / "backup.db")
    with open_store(tmp_path / "copy.db") as target, open_store(tmp_path / "backup.db") as backed_up:
        copying.copy(lake.store, target)
        for store in (target, backed_up):
            assert load_study(store, lake.name).hash == lake.hash
            assert (len(store.runs(study=lake.name)), store.runs()) == (24, [])


def test_the_same_again_takes_what_is_known_and_other_settings_need_another_name(lake):
    runs = lake.store.runs(study="all")
    again = sweep(**LAKE, store=lake.store)
    assert (again.name, again.hash, lake.store.runs(study="all")) == (lake.name, lake.hash, runs)
    with pytest.raises(UsageError, match=rf"the study {lake.name} is there already, with other settings \(episodes\)"):
        sweep(**{**LAKE, "episodes": 21}, store=lake.store, name=lake.name)
    assert keeping.names(lake.store) == [lake.name]


def test_a_study_that_was_stopped_goes_on_to_the_same_hash(lake, tmp_path, monkeypatch):
    def interrupted(store, batch, tell):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return try_batch(store, batch, tell)[: 3 if len(calls) < 3 else 1]

    calls, try_batch = [], working.try_batch
    monkeypatch.setattr(working, "try_batch", interrupted)
    study = sweep(**LAKE, store=tmp_path / "runs.db", name="mine")
    assert (study.done, study.is_done, study.hash) == (6, False, "")
    assert sweep(**LAKE, store=study.store, name="mine").done == 7  # a signal ended the next batch after a seed
    monkeypatch.undo()
    study.store.close()
    resumed = resume_study(tmp_path / "runs.db", "mine")
    with closing(resumed.store):
        assert (resumed.hash, len(resumed.runs())) == (lake.hash, 24)


def test_a_trial_that_raises_is_recorded_and_the_others_go_on(tmp_path):
    study = sweep(**{**HAZARD, "over": {"env.reward": [1, 3, 2]}}, store=tmp_path / "runs.db", name="mine")
    with closing(study.store):
        assert study.is_done
        assert study.failed.tolist() == [[False] * 2, [True] * 2, [False] * 2]
        assert study.failures[0] == (1, 0, "RuntimeError: too much of a good thing")
        assert [(row.parameters["env.reward"], row.seeds) for row in study.table] == [(2, 2), (1, 2), (3, 0)]
        assert study.best.value == 6.0
        loaded = load_study(study.store, "mine")
        assert (loaded.failures, loaded.hash) == (study.failures, study.hash)


@pytest.mark.parametrize("kind", ["once", "always"])
def test_a_killed_process_costs_its_time_and_one_that_is_always_killed_its_trials(kind, tmp_path):
    trap = tmp_path / "trap"
    alone = sweep(**HAZARD, env_kwargs={"trap": str(trap)})
    trap.write_text(kind)
    study = sweep(**HAZARD, env_kwargs={"trap": str(trap)}, store=tmp_path / "runs.db", workers=2)
    with closing(study.store):
        assert study.is_done
        if kind == "once":
            assert not trap.exists()
            assert study.hash == alone.hash
        else:
            assert study.failed.all()
            assert study.failures[0].reason == "its process was killed by SIGKILL, 3 times"


def test_a_store_that_other_processes_cannot_open_is_refused_before_anything_is_written():
    with open_store(mongomock.MongoClient().lab) as store:
        with pytest.raises(StoreError, match="is not copied, since its client cannot be: open it again there"):
            sweep(**LAKE, store=store, workers=2)
        assert store.snapshots() == []


def test_regret_is_the_default_where_it_is_exact_and_agents_learn():
    few = {"over": {"gamma": [0.9]}, "seeds": [0], "episodes": 2}
    assert sweep("FrozenLake-v1", **few).settings.objective == "regret"
    assert sweep(hazards.ID, **few).settings.objective == "return"


def test_one_seed_has_no_interval_and_a_percentile_is_one_too():
    found = sweep("FrozenLake-v1", over={"gamma": [0.9]}, seeds=[7], episodes=5, objective="area", aggregate="q50")
    assert (found.best.seeds, found.best.interval) == (1, None)
    assert found.best.value == found.values[0, 0]


def test_a_study_is_a_data_frame_and_a_table_in_a_notebook(lake):
    frame = lake.to_dataframe()
    assert list(frame.columns) == ["agent", "learning_rate", "env.is_slippery", "seed", "area"]
    np.testing.assert_array_equal(frame["area"].to_numpy().reshape(8, 3), lake.values)
    html = lake._repr_html_()
    assert html.count("<tr>") == 9
    assert "learning_rate" in html
    assert repr(lake) == (
        f"Study({lake.name}: q-learning, sarsa on FrozenLake-v1, 8 combinations x 3 seeds, 24 of 24 runs)"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"agents": ["q-learning", "n-step-sarsa"], "over": {"n_steps": [1]}},
            "unknown parameter of q-learning 'n_steps'",
        ),
        ({"over": {"alpha": [1]}}, "unknown parameter of q-learning 'alpha'; did you mean learning_rate"),
        ({"over": {"env.slippery": [1]}}, "unknown argument of FrozenLake-v1 'slippery'; did you mean is_slippery"),
        ({"over": {"learning_rate": "0..1:3"}}, "learning_rate must be above 0, got 0"),
        ({"agent_kwargs": {"learning_rate": 0.1}}, "learning_rate is varied and has a value too"),
        ({"env_kwargs": {"is_slippery": True}}, "env.is_slippery is varied and has a value too"),
        ({"agents": []}, "agents are different names, one at least, got none"),
        ({"agents": ["sarsa", "sarsa"]}, "agents are different names"),
        ({"agents": ["sarza"]}, "unknown agent 'sarza'; did you mean sarsa"),
        (
            {"agents": ["random"], "over": {"env.is_slippery": [True]}, "objective": "regret"},
            "regret needs an env whose",
        ),
        ({"env": "FrozenLake"[:6]}, "unknown env 'Frozen'"),
        ({"seeds": []}, "seeds must be at least one"),
        ({"seeds": [1, 1]}, "seeds must be different, got 1 twice"),
        ({"objective": "regrets"}, "unknown objective 'regrets'"),
        ({"aggregate": "median"}, "unknown aggregate 'median'"),
        ({"record": "some"}, "unknown record 'some'"),
        ({"preset": "bok"}, "unknown preset of FrozenLake-v1 'bok'; known: default"),
        ({"workers": 0}, "workers must be a whole number, 1 or more"),
        ({"workers": 2}, "a store in memory belongs to one process"),
        ({"over": {"learning_rate": "0.1..1:400", "gamma": "0.1..1:400"}}, "these are 320,000 combinations: yes=True"),
        (
            {"over": {"learning_rate": "0.1..1:9999", "gamma": "0.1..1:9999"}, "yes": True},
            "a study has at most 10,000,000",
        ),
        ({"name": "cafe"}, "'cafe' would be taken for a run .latest, best, all, or the beginning of an id"),
        ({"name": "Latest"}, "'Latest' would be taken for a run"),
        ({"name": "a b"}, "the name of a study is 1 to 80 letters, digits, dots, - or _, got 'a b'"),
        ({"episodes": 0}, "episodes must be a whole number"),
    ],
)
def test_a_mistake_is_refused_in_a_line_and_nothing_is_stored(changes, message):
    with open_store("memory://") as store:
        with pytest.raises(UsageError, match=message):
            sweep(**{**LAKE, "store": None if "workers" in changes else store, **changes})
        assert (store.snapshots(), store.runs(study="all")) == ([], [])


@pytest.mark.parametrize("name", ["x" * 81, "", "../x", ".x", "a/b", "a\n", None])
def test_a_name_is_plain(name):
    with pytest.raises(UsageError, match="the name of a study is"):
        check_name(name)
    assert check_name("cliff-2.b_C") == "cliff-2.b_C"


@pytest.mark.parametrize(
    "change",
    [
        lambda numbers, _: numbers["settings"].pop("env"),
        lambda numbers, _: numbers["settings"].update(seeds=[0]),
        lambda numbers, _: numbers["settings"].update(seeds=["x", "y", "z"]),
        lambda numbers, _: numbers["settings"].update(axes=[["x", [], False]]),
        lambda numbers, _: numbers["settings"].update(axes="x"),
        lambda numbers, _: numbers["settings"].update(axes=[], agents=list("abcdefgh")),
        lambda numbers, _: numbers["settings"].update(axes=2 * numbers["settings"]["axes"][:1]),
        lambda numbers, _: numbers["settings"].update(axes=[["x", [math.nan, 1, 2, 3], False]]),
        lambda numbers, _: numbers["settings"].update(axes=[["x", [0, 1, 2, 3], True]]),
        lambda numbers, _: numbers["settings"].update(objective="eval"),
        lambda numbers, _: numbers.update(failures=[{"combination": 99, "seed": 0, "reason": ""}]),
        lambda numbers, _: numbers.update(failures=[{"combination": 0, "seed": 0, "reason": ""}] * 21),
        lambda _, arrays: arrays["failed"].fill(True),
        lambda numbers, _: numbers.update(seconds="long"),
        lambda numbers, _: numbers["settings"].update(preset=7),
        lambda _, arrays: arrays.update(values=arrays["values"].astype(np.float32)),
        lambda _, arrays: arrays.pop("failed"),
    ],
)
def test_a_damaged_study_is_refused_in_a_line(lake, change):
    arrays, numbers = lake.store.load_snapshot("study", lake.name)
    with open_store("memory://") as store:
        change(numbers, arrays)
        store.save_snapshot("study", "damaged", arrays, numbers)
        with pytest.raises(StoreError, match=r"^the study damaged is damaged: "):
            load_study(store, "damaged")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": "hazards:Hazard-v0"}, "would import a module: begin it again with its own command"),
        ({"env": "rlbench/Gone-v0"}, "the study's env 'rlbench/Gone-v0' is not registered here"),
        ({"env_kwargs": {"map_name": "/etc/passwd"}}, "the env is not made, for its stored spec has the argument"),
        (
            {"env": "CartPole-v1", "axes": GAMMA, "bins": "/etc/passwd"},
            "bins '/etc/passwd' would read a file",
        ),
        ({"env": "CartPole-v1", "axes": GAMMA, "bins": [999] * 4}, "the study asks for 996,005,996,001 states"),
        ({"env": "CartPole-v1", "axes": GAMMA, "preset": {"bins": MANY}}, "the study asks for 996,005,996,001 states"),
        ({"preset": {"env": {"map_name": "/etc/passwd"}}}, "the env is not made, for its stored spec has the argument"),
    ],
)
def test_a_stored_study_imports_and_opens_nothing(lake, change, message):
    arrays, numbers = lake.store.load_snapshot("study", lake.name)
    numbers["settings"].update(change)
    numbers["settings"]["agents"] = LAKE["agents"][: 1 if "axes" in change else 2]
    with open_store("memory://") as store:
        store.save_snapshot("study", "theirs", arrays, numbers)
        with pytest.raises(StoreError, match=message):
            resume_study(store, "theirs")
