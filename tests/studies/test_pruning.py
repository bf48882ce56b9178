"""Trials that are given up early: as often as is said, the same ones wherever and however it is done."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import hazards
import mongomock
import needs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rlbench
from rlbench.errors import StoreError, UsageError
from rlbench.store import open_store
from rlbench.studies import load_study, resume_study, tune, working
from rlbench.studies.again import command_of
from rlbench.studies.axes import Axis
from rlbench.studies.copying import copy_study
from rlbench.studies.journal import Journal
from rlbench.studies.measured import Measured
from rlbench.studies.pruning import Halving, Racing, limits, pruning_of
from rlbench.studies.rounds import Pruner
from rlbench.studies.tuned import Tuning, TuningSettings

LAKE = {
    "env": "FrozenLake-v1",
    "search": {"learning_rate": "0.01..1:log", "gamma": "0.8,0.99"},
    "trials": 12,
    "round": 4,
    "seeds": range(4),
    "test_seeds": range(10, 12),
    "total_timesteps": 3_000,
    "agent_kwargs": {"exploration_schedule": "linear", "exploration_fraction": 0.6, "ties": "random"},
    "objective": "area",
}
WAYS = ("halving:2", "seeds:0.3")


@pytest.fixture(scope="module", params=WAYS)
def lake(request):
    """The study of LAKE, pruned in one of two ways, in memory."""
    needs.package("optuna", "tune")
    return tune(**LAKE, prune=request.param)


def pruned(study):
    """The numbers of its trials that were given up."""
    return [trial for trial in range(study.asked) if study.pruned(trial) is not None]


# ---------------------------------------------------------------------- how often a trial is given up


def is_given_up(order, limit_of):
    """Whether a trial that is worse on the seeds of an order that are True is given up at a look."""
    return any(sum(order[:n]) >= limit for n, limit in limit_of.items())


@pytest.mark.parametrize("seeds", range(3, 13))
@pytest.mark.parametrize("error", [0.01, 0.05, 0.3])
def test_worse_on_half_of_the_seeds_is_given_up_in_at_most_so_many_of_all_orders(seeds, error):
    for worse in range(seeds // 2 + 1):
        orders = [[place in chosen for place in range(seeds)] for chosen in itertools.combinations(range(seeds), worse)]
        shares = sum(is_given_up(order, limits(seeds, error)) for order in orders) / len(orders)
        assert shares <= error + 1e-9


@given(seeds=st.integers(3, 200), error=st.floats(0.001, 0.5))
def test_worse_on_every_seed_is_given_up_at_the_first_look_and_limits_are_counts(seeds, error):
    found = limits(seeds, error)
    assert all(0 < limit <= n < seeds for n, limit in found.items())
    assert sorted(found.values()) == list(found.values())
    assert found[min(found)] == min(found) if found else seeds < 12


def simulated(seeds, error, draw, trials=48, repeats=20):
    """Races trials with drawn values: how many would become the best, how many of these it gives up, and of all."""

    class Trained:
        def finish(self, part, *, of):
            for trial, places in part.wanted():
                of.values[trial, places] = truth[trial, places]
                of.scores[trial] = of._score(trial)
            return True

    asked = (("q-learning",), (Axis("gamma", (0.5, 1.0)),), tuple(range(seeds)), 10, None, "default", {}, {}, None)
    better = lost = pruned_trials = 0
    for repeat in range(repeats):
        rest = ("regret", "mean", "none", ("gamma",), trials, 8, "random", repeat, (), f"seeds:{error}")
        study = Tuning.new("mine", TuningSettings("FrozenLake-v1", *asked, *rest), None)
        truth = draw(np.random.default_rng([repeat, seeds]), trials, seeds)
        pruner = Pruner(study, Racing(error))
        for first in range(0, trials, 8):
            study.parameters += [{"gamma": 0.5}] * 8
            best = np.nanmin(study.scores[:first], initial=np.inf)
            pruner.finish(Trained())
            would = truth[first : first + 8].mean(axis=1) < best
            better += would.sum()
            lost += (would & (study.stopped[first : first + 8] > 0)).sum()
        pruned_trials += (study.stopped > 0).sum()
    return int(better), int(lost), pruned_trials / (trials * repeats)


def bells(rng, trials, seeds):
    """Settings that differ about as much as their seeds do."""
    return rng.normal(0, 1, (trials, 1)) + rng.normal(0, 1, seeds) + rng.normal(0, 1, (trials, seeds))


def disasters(rng, trials, seeds):
    """Half of the settings are a little better, but for one seed in five: which is best is a matter of these."""
    careful = 1 + rng.normal(0, 0.1, (trials, seeds))
    risky = rng.normal(0, 0.1, (trials, seeds)) + 20 * (rng.random((trials, seeds)) < 0.2)
    return np.where(rng.random((trials, 1)) < 0.5, careful, risky)


def noise(rng, trials, seeds):
    """Settings that do not differ."""
    return rng.normal(0, 1, (trials, seeds))


@pytest.mark.parametrize("seeds", [8, 20])
@pytest.mark.parametrize(("draw", "least"), [(bells, 0.6), (disasters, 0.2), (noise, 0.2)])
def test_few_that_would_have_become_the_best_are_given_up(draw, least, seeds):
    better, lost, share = simulated(seeds, 0.05, draw)
    assert better > 100
    assert lost / better <= 0.05
    assert share > least


# ---------------------------------------------------------------------- halving


def test_one_in_factor_goes_on_from_each_rung_and_those_as_good_as_the_last_of_them():
    needs.package("optuna", "tune")
    study = tune(**{**LAKE, "trials": 18, "round": 18, "total_timesteps": 27_000}, prune="halving:3")
    first, second = (rung.scores for rung in study.rungs)
    assert [int((~np.isnan(scores)).sum()) for scores in (first, second, study.scores)] == [18, 6, 2]
    assert np.nanmin(second[study.stopped == 0]) >= np.nanmax(second[study.stopped == 2])
    assert first[study.stopped != 1].min() >= first[study.stopped == 1].max()
    assert [rung.settings.total_timesteps for rung in study.rungs] == [3_000, 9_000]
    assert study.effort == pytest.approx((12 * 3 + 4 * 9 + 2 * 27) / (18 * 27))
    alike = tune(**{**LAKE, "objective": "steps-to:0.99"}, prune="halving")  # none ever does: none is worse
    assert (pruned(alike), alike.effort) == ([], 1.0)


def test_a_promoted_run_equals_one_that_was_never_halved():
    needs.package("optuna", "tune")
    study = tune(**LAKE, prune="halving:2", record="all")
    whole = [trial for trial in range(study.asked) if not np.isnan(study.scores[trial])]
    assert 0 < len(whole) < study.asked
    for trial in whole:
        given = {**LAKE["agent_kwargs"], **study.combination(trial).parameters}
        for seed in LAKE["seeds"]:
            asked = {"agent_kwargs": given, "total_timesteps": 3_000, "seed": seed}
            promoted = rlbench.train("FrozenLake-v1", **asked, store=study.store)
            alone = rlbench.train("FrozenLake-v1", **asked)
            assert promoted.cache == "hit"
            assert study.store.run(promoted.record.parents[0]).timesteps < promoted.record.timesteps  # of its last rung
            assert promoted.record.config.agent == alone.record.config.agent
            assert promoted.agent.q_table.tobytes() == alone.agent.q_table.tobytes()
            for name, figures in alone.figures.items():
                np.testing.assert_array_equal(promoted.figures[name], figures)


def test_the_length_of_training_is_the_presets_unless_it_is_given():
    needs.package("optuna", "tune")
    asked = {"search": {"gamma": "0.9,0.99"}, "sampler": "grid", "seeds": [0], "test_seeds": [], "objective": "return"}
    study = tune("CliffWalking-v1", **asked, prune="halving:10:2")
    assert (study.settings.total_timesteps, study.rungs[0].settings.total_timesteps) == (50_000, 5_000)


# ---------------------------------------------------------------------- the same wherever it is done


def test_a_trial_is_in_full_or_given_up_and_the_best_is_tested(lake):
    assert 0 < len(pruned(lake)) < 12
    assert (lake.is_done, lake.pruned_trials) == (True, len(pruned(lake)))
    assert 0.2 < lake.effort < 1
    for trial in range(12):
        row = lake.row(trial)
        assert (row.pruned is not None) == (trial in pruned(lake)) == np.isnan(row.value)
        assert row.pruned is not None or row.seeds == 4
    assert lake.table[-1].pruned is not None
    assert lake.best.pruned is None
    assert lake.test.parameters == [lake.best.parameters, {}]
    assert "pruned: " in lake._repr_html_()
    lake.plot()


def test_each_of_its_runs_has_the_value_of_its_own_length(lake):
    measured = Measured(lake)
    for run in lake.runs():
        assert measured.of(run.record) == {"area": run.returns.mean()}


def test_a_copy_in_another_store_knows_what_was_given_up(lake):
    with open_store("memory://") as target:
        copy_study(lake.store, target, lake.name)
        found = load_study(target, lake.name)
        assert (found.hash, found.pruned_trials) == (lake.hash, lake.pruned_trials)
        np.testing.assert_array_equal(found.stopped, lake.stopped)
        assert tune(**LAKE, prune=lake.settings.prune, store=target).hash == lake.hash


@pytest.mark.parametrize(
    "where", ["two processes", *(pytest.param(where, marks=pytest.mark.long) for where in ("an executor", "mongomock"))]
)
def test_the_hash_is_the_same_wherever_it_is_done(lake, where, tmp_path):
    store = mongomock.MongoClient().lab if where == "mongomock" else tmp_path / "runs.db"
    with open_store(store) as opened, ThreadPoolExecutor(2) as executor:
        study = tune(
            **LAKE,
            prune=lake.settings.prune,
            executor=executor if where == "an executor" else None,
            store=opened,
            workers=2 if where == "two processes" else 1,
            name="mine",
        )
        loaded = load_study(opened, "mine")
        for found in (study, loaded):
            assert (found.hash, found.parameters, found.best) == (lake.hash, lake.parameters, lake.best)
            np.testing.assert_array_equal(found.stopped, lake.stopped)
            assert found.table == lake.table or str(found.table) == str(lake.table)  # nan is not nan


@pytest.mark.parametrize("write", [2, 4])
def test_a_driver_that_dies_at_a_write_is_resumed_to_the_same_hash(lake, write, tmp_path, monkeypatch):
    class Death(BaseException):
        pass

    def deadly(journal, lines):
        writes.append(lines)
        if len(writes) == write:
            raise Death
        return add(journal, lines)

    writes, add = [], Journal._add
    with open_store(tmp_path / "runs.db") as store, monkeypatch.context() as dying:
        dying.setattr(Journal, "_add", deadly)
        dying.setattr(working, "save", lambda _study: None)  # kill -9 lets nobody save
        with suppress(Death):
            tune(**LAKE, prune=lake.settings.prune, store=store, name="mine")
    resumed = resume_study(tmp_path / "runs.db", "mine")
    with closing(resumed.store):
        assert resumed.hash == lake.hash
        np.testing.assert_array_equal(resumed.stopped, lake.stopped)


def test_a_signal_between_two_rungs_or_looks_leaves_a_study_that_goes_on(lake, tmp_path, monkeypatch):
    def interrupted(store, batch, tell):
        calls.append(batch)
        if len(calls) % 5 == 0:
            raise KeyboardInterrupt
        return try_batch(store, batch, tell)

    calls, try_batch = [], working.try_batch
    monkeypatch.setattr(working, "try_batch", interrupted)
    with open_store(tmp_path / "runs.db") as store:
        times = 0
        while not (study := tune(**LAKE, prune=lake.settings.prune, store=store, name="mine")).is_done:
            assert study.hash == ""
            times += 1
        assert times > 5
        assert study.hash == lake.hash


def test_optuna_is_told_that_they_were_pruned_and_with_what_value(lake):
    import optuna
    from optuna.storages import JournalStorage

    told = optuna.load_study(storage=JournalStorage(Journal(lake.store, lake.name)), study_name=lake.name).trials
    assert [one.number for one in told if one.state.name == "PRUNED"] == pruned(lake)
    for trial in pruned(lake):
        assert told[trial].value == float(format(lake.pruned(trial).value, ".9g"))
        assert told[trial].last_step == lake.stopped[trial]
    assert {one.state.name for one in told} == {"PRUNED", "COMPLETE"}


def test_a_trial_that_fails_is_neither_pruned_nor_trained_further():
    """Its reward of 3 raises."""
    needs.package("optuna", "tune")
    search = {"env.reward": [0, 1, 2, 3]}
    asked = {"sampler": "grid", "round": 2, "seeds": range(4), "test_seeds": [7], "episodes": 4, "objective": "area"}
    for how in WAYS:
        study = tune(hazards.ID, search=search, **asked, prune=how)
        failed = next(trial for trial in range(4) if study.parameters[trial] == {"env.reward": 3})
        assert (study.is_done, study.pruned(failed), np.isnan(study.scores[failed])) == (True, None, True)
        failures = [one for part in study.parts for one in part.failures]
        assert {one.reason for one in failures} == {"RuntimeError: too much of a good thing"}
        assert study.best.parameters == {"env.reward": 2}


def test_without_pruning_a_tuning_is_what_it_was_before_there_was_any():
    settings = tune(**{**LAKE, "trials": 1, "test_seeds": []}).settings
    assert "prune" not in settings.document()
    assert TuningSettings.of(settings.document()) == settings


def test_the_command_that_makes_it_again_prunes_too(lake):
    assert f"--prune {lake.settings.prune} " in command_of(lake.settings, lake.name)


@pytest.mark.parametrize(
    "change",
    [
        lambda _, arrays: arrays.pop("stopped"),
        lambda _, arrays: arrays.update(stopped=arrays["stopped"][:-1]),
        lambda _, arrays: arrays.update(stopped=arrays["stopped"].astype(float)),
        lambda _, arrays: arrays["stopped"].__setitem__(0, -1),
        lambda _, arrays: arrays["stopped"].__setitem__(0, 3),
        lambda numbers, _: numbers["settings"].update(prune="halving:2:9"),
        lambda numbers, _: numbers["settings"].update(prune="often"),
    ],
)
def test_a_damaged_study_is_refused_in_a_line(lake, change):
    arrays, numbers = lake.store.load_snapshot("study", lake.name)
    arrays = {name: array.copy() for name, array in arrays.items()}
    with open_store("memory://") as store:
        change(numbers, arrays)
        store.save_snapshot("study", "damaged", arrays, numbers)
        with pytest.raises(StoreError, match=r"^the study damaged is damaged: "):
            load_study(store, "damaged")


def test_how_to_prune_is_read_from_words():
    assert [pruning_of(text) for text in ("halving", "halving:4", "halving:4:2", "seeds", "seeds:.01", "")] == [
        Halving(3, 3),
        Halving(4, 3),
        Halving(4, 2),
        Racing(0.05),
        Racing(0.01),
        None,
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prune": "often"}, "prune takes halving, halving:FACTOR, .*, got 'often'"),
        ({"prune": "halving:1"}, "the factor and the rungs of halving are 2 or more, got 'halving:1'"),
        ({"prune": "halving:2:1"}, "the factor and the rungs of halving are 2 or more"),
        ({"prune": "seeds:0.9"}, "the error rate of pruning by seeds lies above 0, and is 0.5 at most"),
        ({"prune": "seeds", "seeds": [0, 1]}, "with 2 seeds none can be spared at an error rate of 0.05: take more"),
        (
            {"prune": "halving", "total_timesteps": None, "episodes": 90, "objective": "area:10"},
            "leaves nothing of the",
        ),
        ({"prune": "halving", "total_timesteps": 2}, "a training of 2 steps is too short for 3 rungs: train longer"),
    ],
)
def test_a_mistake_is_refused_in_a_line_and_nothing_is_stored(changes, message):
    with open_store("memory://") as store:
        with pytest.raises(UsageError, match=message):
            tune(**{**LAKE, **changes}, store=store)
        assert store.snapshots() == []


def test_a_trial_that_never_reaches_the_return_is_given_up_with_an_infinite_value():
    needs.package("optuna", "tune")
    asked = {**LAKE, "objective": "steps-to:0.1", "total_timesteps": 9_000, "seeds": range(6), "test_seeds": []}
    study = tune(**asked, prune="seeds:0.3")
    assert np.inf in [study.pruned(trial).value for trial in pruned(study)]
    assert study.hash == tune(**asked, prune="seeds:0.3", store=study.store).hash
