"""A tuning: the same hash wherever and however it is done, and a test on seeds that it has not seen."""

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace

import hazards
import mongomock
import needs
import numpy as np
import pytest

import rlbench
from rlbench.errors import StoreError, UsageError
from rlbench.presets import Preset, load_preset, preset_of, write_preset
from rlbench.store import open_store
from rlbench.studies import delete_study, keeping, load_study, resume_study, tune, working
from rlbench.studies.again import command_of, save_preset
from rlbench.studies.journal import Journal
from rlbench.studies.measured import Measured

optuna = needs.package("optuna", "tune")
JournalStorage = optuna.storages.JournalStorage

LAKE = {
    "env": "FrozenLake-v1",
    "search": {"learning_rate": "0.01..1:log", "ties": ["first", "random"], "env.is_slippery": "true,false"},
    "trials": 16,
    "round": 4,
    "seeds": range(2),
    "test_seeds": range(10, 12),
    "episodes": 20,
    "objective": "area",
}
HAZARD = {
    "env": hazards.ID,
    "search": {"env.reward": "0..3", "gamma": "0.5..1"},
    "trials": 6,
    "round": 3,
    "seeds": range(2),
    "test_seeds": [7],
    "episodes": 2,
    "objective": "area",
}


@pytest.fixture(scope="module")
def lake():
    """The study of LAKE, in memory."""
    return tune(**LAKE)


def test_a_trial_is_trained_with_every_seed_as_if_alone(lake):
    assert (lake.values.shape, lake.is_done, lake.failures) == ((16, 2), True, [])
    for number in (0, 15):
        chosen = dict(lake.combination(number).parameters)
        slippery = chosen.pop("env.is_slippery")
        for place, seed in enumerate(LAKE["seeds"]):
            given = {"agent_kwargs": chosen, "env_kwargs": {"is_slippery": slippery}}
            alone = rlbench.train("FrozenLake-v1", episodes=20, seed=seed, **given)
            assert lake.values[number, place] == alone.returns.mean()


def test_the_best_trial_is_tested_beside_the_preset_on_other_seeds(lake):
    assert lake.best.value == lake.values.mean(axis=1).max()
    assert lake.test.parameters == [lake.best.parameters, {}]
    usual = [rlbench.train("FrozenLake-v1", episodes=20, seed=seed).returns.mean() for seed in LAKE["test_seeds"]]
    np.testing.assert_array_equal(lake.test.values[1], usual)
    assert len(lake.runs()) == 16 * 2 + 2 * 2
    assert lake.store.runs() == []


def test_it_tells_what_it_measured_of_each_of_its_runs_and_of_those_of_its_test(lake):
    measured = Measured(lake)
    for run in lake.runs():
        assert measured.of(run.record) == {"area": run.returns.mean()}


@pytest.mark.parametrize("where", ["a file", "two processes", "an executor", "mongomock", "other words"])
def test_the_hash_is_the_same_wherever_it_is_done(lake, where, tmp_path):
    store = mongomock.MongoClient().lab if where == "mongomock" else tmp_path / "runs.db"
    words = {"search": {**LAKE["search"], "env.is_slippery": [True, False]}, "record": "all"}
    with open_store(store) as opened, ThreadPoolExecutor(2) as executor:
        study = tune(
            **{**LAKE, **(words if where == "other words" else {})},
            executor=executor if where == "an executor" else None,
            store=opened,
            workers=2 if where == "two processes" else 1,
            name="mine",
        )
        assert (study.hash, study.parameters) == (lake.hash, lake.parameters)
        np.testing.assert_array_equal(study.test.values, lake.test.values)
        loaded = load_study(opened, "mine")
        assert (loaded.hash, loaded.best, loaded.test.scores.tolist()) == (
            lake.hash,
            lake.best,
            lake.test.scores.tolist(),
        )


def test_the_hash_is_of_parameters_values_and_their_order_alone(lake):
    again = load_study(lake.store, lake.name)
    again.seconds, again.name = 99.0, "other"
    assert again.hash == lake.hash
    again.values[0, 0] += 1e-3
    assert again.hash != lake.hash
    again = load_study(lake.store, lake.name)
    again.values, again.parameters = again.values[::-1], again.parameters[::-1]
    assert again.hash != lake.hash
    assert tune(**{**LAKE, "trials": 4, "test_seeds": []}, seed=1).hash != tune(**{**LAKE, "trials": 4}).hash


@pytest.mark.parametrize(
    ("write", "when"), [(0, "after"), (1, "before"), (1, "after"), (3, "before"), (3, "after"), (5, "before")]
)
def test_a_driver_that_dies_at_a_write_is_resumed_to_the_same_hash(lake, write, when, tmp_path, monkeypatch):
    class Death(BaseException):
        pass

    def deadly(journal, lines):
        writes.append(lines)
        if len(writes) == write + 1 and when == "before":
            raise Death
        added = add(journal, lines)
        if len(writes) == write + 1:
            raise Death
        return added

    writes, add = [], Journal._add
    with open_store(tmp_path / "runs.db") as store, monkeypatch.context() as dying:
        dying.setattr(Journal, "_add", deadly)
        dying.setattr(working, "save", lambda _study: None)  # kill -9 lets nobody save
        with suppress(Death):
            tune(**LAKE, store=store, name="mine")
    assert len(writes) == write + 1
    resumed = resume_study(tmp_path / "runs.db", "mine")
    with closing(resumed.store):
        assert (resumed.hash, len(resumed.runs())) == (lake.hash, 36)
        assert resumed.test.scores.tolist() == lake.test.scores.tolist()


def test_a_signal_within_a_round_or_the_test_leaves_a_study_that_goes_on(lake, tmp_path, monkeypatch):
    def interrupted(store, batch, tell):
        calls.append(batch)
        if len(calls) in (6, 50):
            raise KeyboardInterrupt
        return try_batch(store, batch, tell)

    calls, try_batch = [], working.try_batch
    monkeypatch.setattr(working, "try_batch", interrupted)
    monkeypatch.setattr(working, "MOST_SEEDS", 1)
    with open_store(tmp_path / "runs.db") as store:
        study = tune(**LAKE, store=store, name="mine")
        assert (study.is_done, study.hash, study.asked, study.done) == (False, "", 4, 5)
        calls += [None] * 15
        study = tune(**LAKE, store=store, name="mine")
        assert (study.is_done, study.hash, study.test.done) == (False, "", 1)
        assert tune(**LAKE, store=store, name="mine").hash == lake.hash


@pytest.mark.parametrize("kind", ["once", "always"])
def test_a_killed_process_costs_its_time_and_one_that_is_always_killed_its_trial(kind, tmp_path):
    trap = tmp_path / "trap"
    asked = {**HAZARD, "trials": 2, "search": {"env.reward": "0..2"}, "env_kwargs": {"trap": str(trap)}}
    alone = tune(**asked)
    trap.write_text(kind)
    study = tune(**asked, store=tmp_path / "runs.db", workers=2)
    with closing(study.store):
        assert study.is_done
        if kind == "once":
            assert not trap.exists()
            assert study.hash == alone.hash
        else:
            assert study.failures[0].reason == "its process was killed by SIGKILL, 3 times"
            assert study.test is None  # there is nothing to test


def test_a_trial_that_fails_is_recorded_and_changes_nothing_of_the_others(tmp_path):
    """Its reward of 3 raises: the whole numbers from 0 to 3 are all tried."""
    study = tune(**HAZARD, sampler="random", store=tmp_path / "runs.db", name="mine")
    with closing(study.store):
        rewards = [one["env.reward"] for one in study.parameters]
        assert {type(reward) for reward in rewards} == {int}
        assert 3 in rewards
        np.testing.assert_array_equal(study.failed.all(axis=1), np.array(rewards) == 3)
        assert study.failures[0].reason == "RuntimeError: too much of a good thing"
        assert study.best.value == 3 * max(reward for reward in rewards if reward < 3)
        told = optuna.load_study(storage=JournalStorage(Journal(study.store, "mine")), study_name="mine").trials
        assert [trial.state.name == "FAIL" for trial in told] == [reward == 3 for reward in rewards]
        assert [trial.value for trial in told if trial.value is not None] == [3.0 * one for one in rewards if one < 3]
        resumed = resume_without_a_module(study)
        assert (resumed.hash, resumed.failures) == (study.hash, study.failures)


def resume_without_a_module(study):
    """Does the same again: `resume_study` refuses envs that a module registers."""
    return tune(**HAZARD, sampler="random", store=study.store, name=study.name)


def test_a_trial_with_a_seed_that_failed_is_not_the_best(lake):
    loaded = load_study(lake.store, lake.name)
    best = int(loaded.ranking[0])
    loaded.values[best, 0], loaded.failed[best, 0] = math.nan, True
    del loaded.__dict__["scores"]
    assert math.isnan(loaded.scores[best])
    assert loaded.ranking[0] != best


def test_whole_numbers_stay_whole_and_ranges_are_kept():
    search = {"n_steps": "1..8:log", "gamma": "0..1", "learning_rate": "0.5..1"}
    study = tune("FrozenLake-v1", "n-step-sarsa", search=search, trials=12, seeds=[0], test_seeds=[], episodes=2)
    for one in study.parameters:
        assert (type(one["n_steps"]), type(one["gamma"])) == (int, float)
        assert 1 <= one["n_steps"] <= 8
        assert 0.5 <= one["learning_rate"] <= 1
        assert float(format(one["gamma"], ".9g")) == one["gamma"]
    assert (study.is_done, study.test) == (True, None)


def test_a_grid_tries_each_combination_once_in_an_order_of_the_seed():
    search = {"learning_rate": "0.25..1:4", "gamma": [0.9, 1], "ties": "first,random"}
    asked = {"search": search, "seeds": [0], "test_seeds": [], "episodes": 2, "sampler": "grid", "round": 5}
    one, other = tune("FrozenLake-v1", **asked), tune("FrozenLake-v1", **asked, seed=1, trials=15)
    assert one.settings.trials == 16
    assert len({str(parameters) for parameters in one.parameters}) == 16
    assert len({str(parameters) for parameters in other.parameters}) == 15
    assert one.parameters[:4] != other.parameters[:4]
    assert {type(parameters["gamma"]) for parameters in one.parameters} == {float, int}


def test_values_that_python_takes_for_equal_are_different():
    search = {"env.is_slippery": [True, 1, 0, False]}
    study = tune("FrozenLake-v1", search=search, seeds=[0], test_seeds=[], episodes=2, sampler="grid")
    assert sorted(str(one["env.is_slippery"]) for one in study.parameters) == ["0", "1", "False", "True"]


def test_a_steps_to_that_is_never_reached_is_told_as_infinite():
    study = tune(**{**LAKE, "trials": 12, "objective": "steps-to:0.9", "test_seeds": []})
    assert np.isinf(study.scores).any()
    assert study.is_done


def test_its_figure_has_each_trial_and_the_best_so_far(lake):
    [ax] = lake.plot().axes
    each, best = ax.get_lines()
    np.testing.assert_array_equal(each.get_xdata(), range(1, 17))
    np.testing.assert_array_equal(each.get_ydata(), lake.scores)
    np.testing.assert_array_equal(best.get_ydata(), np.maximum.accumulate(lake.scores))
    assert ax.get_ylabel() == "mean return of training"


def test_a_saved_preset_trains_what_the_study_found(lake, tmp_path):
    save_preset(lake, tmp_path / "best.toml")
    best = int(lake.ranking[0])
    run = rlbench.train("FrozenLake-v1", preset=str(tmp_path / "best.toml"), seed=1, record="none", store=lake.store)
    assert (run.cache, run.returns.mean()) == ("hit", lake.values[best, 1])
    assert command_of(lake.settings, lake.name) in (tmp_path / "best.toml").read_text()
    lake.store.delete_run(run.id)
    with pytest.raises(UsageError, match=r"best.toml has no default preset of CliffWalking-v1, but of FrozenLake-v1"):
        rlbench.train("CliffWalking-v1", preset=str(tmp_path / "best.toml"))


@pytest.mark.parametrize("env_id", ["rlbench/SafeCab-v0", "rlbench/DiscreteCartPole-v1", "Acrobot-v1"])
def test_a_written_preset_reads_back_the_same(env_id, tmp_path):
    preset = load_preset(env_id)
    (tmp_path / "mine.toml").write_text(write_preset(env_id, preset, ["two", "lines"]), encoding="utf-8")
    assert preset_of(env_id, tmp_path / "mine.toml") == replace(preset, name=str(tmp_path / "mine.toml"))


def test_a_preset_in_a_file_is_that_of_a_study_wherever_it_is_done(tmp_path):
    mine = tmp_path / "mine.toml"
    tuned = Preset(episodes=20, env={"is_slippery": False}, agents={"q-learning": {"gamma": 0.9}})
    mine.write_text(write_preset("FrozenLake-v1", tuned))
    asked = {name: value for name, value in LAKE.items() if name not in ("search", "episodes")}
    asked |= {"search": {"learning_rate": "0.01..1:log"}, "trials": 4}
    study = tune(**asked, preset=mine, store=tmp_path / "one.db")
    given = tune(**asked, episodes=20, env_kwargs={"is_slippery": False}, agent_kwargs={"gamma": 0.9})
    assert (study.hash, study.settings.tuned) == (given.hash, replace(tuned, name=str(mine)))
    assert study.runs()[0].record.config.preset == str(mine)
    assert f"--preset {mine}" in command_of(study.settings, study.name)
    save_preset(study, tmp_path / "best.toml")
    best = preset_of("FrozenLake-v1", tmp_path / "best.toml")
    assert best.agents == {"q-learning": {**tuned.agents["q-learning"], **study.best.parameters}}
    assert (best.episodes, best.env) == (tuned.episodes, tuned.env)

    with ThreadPoolExecutor(1) as workers:
        elsewhere = tune(**asked, preset=mine, executor=workers, store=tmp_path / "two.db")
    assert elsewhere.hash == study.hash
    mine.write_text(mine.read_text().replace("0.9", "0.8"))
    with pytest.raises(UsageError, match=r"is there already, with other settings \(preset\)"):
        tune(**asked, preset=mine, store=study.store, name=study.name)
    mine.unlink()
    assert resume_study(study.store, study.name).hash == study.hash
    study.store.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the preset .*No such file"),
        ("env_id = 1", "the presets in bad.toml are damaged"),
        ("[preset", "the presets in bad.toml are damaged"),
        ('env_id = "FrozenLake-v1"\n[preset.default]\nepisodes = "many"', "the presets in bad.toml are damaged"),
        ('env_id = "FrozenLake-v1"\n[preset.default.agents.q-learning]\nalpha = 1', "unknown parameter of q-learning"),
    ],
)
def test_a_preset_file_that_is_none_is_refused_in_a_line(text, message, tmp_path):
    if text is not None:
        (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        rlbench.train("FrozenLake-v1", preset=str(tmp_path / "bad.toml"), episodes=1)


def test_the_same_again_takes_what_is_known_and_other_settings_need_another_name(lake):
    again = tune(**LAKE, store=lake.store)
    assert (again.name, again.hash, len(again.runs())) == (lake.name, lake.hash, len(lake.runs()))
    with pytest.raises(UsageError, match=rf"the study {lake.name} is there already, with other settings \(trials\)"):
        tune(**{**LAKE, "trials": 17}, store=lake.store, name=lake.name)
    over = {"gamma": [0.9]}
    with pytest.raises(UsageError, match=rf"the study {lake.name} is there already, with other settings"):
        rlbench.sweep("FrozenLake-v1", over=over, store=lake.store, name=lake.name)


def test_a_deleted_tuning_leaves_neither_runs_nor_a_journal():
    study = tune(**{**LAKE, "trials": 4})
    assert delete_study(study.store, study.name) == 4 * 2 + 2 * 2
    assert (study.store.snapshots(), study.store.runs(study="all")) == ([], [])


def test_two_drivers_of_one_study_do_not_mix(tmp_path, monkeypatch):
    """The other one adds to the journal while this one tells what came of its first round."""

    def overtaken(study, *told, **how):
        other.append_logs([{"op_code": 2, "worker_id": "other", "study_id": 0, "user_attr": {}}])
        return tell(study, *told, **how)

    tell = optuna.study.Study.tell
    monkeypatch.setattr(optuna.study.Study, "tell", overtaken)
    with open_store(tmp_path / "runs.db") as store:
        other = Journal(store, "mine")
        with pytest.raises(StoreError, match="another process is working on the study mine"):
            tune(**LAKE, store=store, name="mine")


@pytest.mark.parametrize(
    "change",
    [
        lambda numbers, _: numbers["settings"].update(trials="many"),
        lambda numbers, _: numbers["settings"].update(trials=10**12),
        lambda numbers, _: numbers["settings"].update(sampler="gp"),
        lambda numbers, _: numbers["settings"].update(test_seeds=[0]),
        lambda numbers, _: numbers["parameters"][0].update(learning_rate=2.0),
        lambda numbers, _: numbers["parameters"][0].update({"env.map_name": "/etc/passwd"}),
        lambda numbers, _: numbers["parameters"].append(numbers["parameters"][0]),
        lambda numbers, _: numbers.update(test_failures=[{}]),
        lambda _, arrays: arrays.pop("test_values"),
    ],
)
def test_a_damaged_study_is_refused_in_a_line(lake, change):
    arrays, numbers = lake.store.load_snapshot("study", lake.name)
    with open_store("memory://") as store:
        change(numbers, arrays)
        store.save_snapshot("study", "damaged", arrays, numbers)
        with pytest.raises(StoreError, match=r"^the study damaged is damaged: "):
            load_study(store, "damaged")


def test_a_journal_that_is_not_the_studys_is_refused_in_a_line(lake):
    with open_store("memory://") as store:
        study = tune(**{**LAKE, "trials": 4, "seed": 1}, store=store, name="mine")
        other = tune(**{**LAKE, "trials": 4, "seed": 2}, store=store, name="theirs")
        theirs = Journal(store, "theirs").read_logs(0)
        for info in store.snapshots("journal of mine"):
            store.delete_snapshot(info.kind, info.name)
        Journal(store, "mine").append_logs([{**theirs[0], "study_name": "mine"}, *theirs[1:]])
        assert study.parameters != other.parameters
        with pytest.raises(StoreError, match="the journal of the study mine is damaged: its trials are not those of"):
            resume_study(store, "mine")
        Journal(store, "mine").append_logs([{"op_code": 99}])
        with pytest.raises(StoreError, match="the journal of the study mine is damaged: "):
            resume_study(store, "mine")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {}}, "a tuning searches parameters in ranges or lists"),
        ({"search": {"alpha": "0..1"}}, "unknown parameter of q-learning 'alpha'; did you mean learning_rate"),
        ({"search": {"env.slippery": [1]}}, "unknown argument of FrozenLake-v1 'slippery'; did you mean is_slippery"),
        ({"search": {"gamma": "1..0.5"}}, "a range goes from the lower end to the higher, got gamma=1..0.5"),
        ({"search": {"gamma": "0..1:log"}}, "a range on a logarithmic scale begins above 0, got gamma=0..1:log"),
        ({"search": {"gamma": "a..b"}}, "gamma takes lo..hi, lo..hi:log or values a,b,c"),
        ({"search": {"gamma": "0.5..2"}}, r"gamma must be in \[0, 1\], got 2"),
        ({"search": {"ties": "0..1"}}, "ties must be a word, got 0"),
        ({"search": {"ties": []}}, "ties has no values"),
        ({"agent": "n-step-sarsa", "search": {"n_steps": "1..2.5"}}, "n_steps is a whole number"),
        ({"agent": "sarza"}, "unknown agent 'sarza'; did you mean sarsa"),
        ({"agent": ["sarsa"]}, "tune takes the id of an env and the name of an agent"),
        ({"agent_kwargs": {"learning_rate": 0.1}}, "learning_rate is varied and has a value too"),
        ({"test_seeds": range(1, 3)}, "seeds and test seeds must be apart, or the test says nothing: both have 1"),
        ({"test_seeds": [5, 5]}, "seeds must be different, got 5 twice"),
        ({"seeds": []}, "seeds must be at least one"),
        ({"trials": 0}, "trials must be a whole number, 1 or more"),
        ({"trials": 10**6}, "a tuning has at most 100,000 trials"),
        ({"round": 0}, "round must be a whole number, 1 or more"),
        ({"seed": -1}, "seed must be a whole number, 0 or more"),
        ({"sampler": "gp"}, "unknown sampler 'gp'"),
        ({"sampler": "grid"}, "a grid takes values: give learning_rate as a,b,c, lo..hi:n"),
        (
            {"sampler": "grid", "search": {"gamma": "0..1:9999", "learning_rate": "0.1..1:9999"}},
            "a grid has at most 10,000,000 combinations",
        ),
        ({"sampler": "grid", "search": {"gamma": "0.9,1"}}, "the grid has 2 combinations, fewer than 16 trials"),
        ({"objective": "regrets"}, "unknown objective 'regrets'"),
        ({"preset": "mine"}, "unknown preset of FrozenLake-v1 'mine'"),
        ({"preset": "gone.toml"}, "cannot read the preset gone.toml: No such file"),
        ({"preset": {"agents": {"q-learning": {"alpha": 1}}}}, "unknown parameter of q-learning 'alpha'"),
        ({"preset": {"alpha": 1}}, "a preset is a name, a TOML file or a dict with the fields of Preset: .*'alpha'"),
        ({"preset": {"env": {"desc": {1}}}}, "the preset default has a value that cannot be stored: "),
        ({"workers": 2}, "a store in memory belongs to one process"),
        ({"name": "cafe"}, "'cafe' would be taken for a run"),
    ],
)
def test_a_mistake_is_refused_in_a_line_and_nothing_is_stored(changes, message):
    with open_store("memory://") as store:
        with pytest.raises(UsageError, match=message):
            tune(**{**LAKE, "store": None if "workers" in changes else store, **changes})
        assert (store.snapshots(), store.runs(study="all")) == ([], [])
        assert keeping.names(store) == []
