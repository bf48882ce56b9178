"""Drift of runs and models, with data of every shape and fault; and its report."""

import json
import re

import numpy as np
import pytest

import rlbench as library
from rlbench.drifting import Monitor, drift_report, monitor_of
from rlbench.errors import StoreError, UsageError
from rlbench.modelling import load_built_in, load_model, save_model, train_model
from rlbench.store import CUT_OFF, EpisodeChunk, open_store

pytest.importorskip("sklearn", reason="the extra models is not installed")
DRIER = {"success_rate": 0.6}
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with a trained run, its greedy episodes, and those in a lake that is less slippery; and a model."""
    folder = tmp_path_factory.mktemp("drift")
    with open_store(folder / "rlbench.db") as store:
        run = library.train("FrozenLake-v1", episodes=20_000, seed=0, store=store, tags=["trained"])
        library.record("FrozenLake-v1", run, episodes=300, seed=1, store=store, tags=["same"])
        library.record("FrozenLake-v1", run, episodes=300, seed=1, store=store, tags=["drier"], env_kwargs=DRIER)
        library.train("FrozenLake-v1", episodes=50, seed=3, store=store, record="none", tags=["figures"])
        save_model(store, train_model("tree", "iris"))
    return folder


@pytest.fixture
def store(folder):
    with open_store(folder / "rlbench.db") as store:
        yield store


@pytest.fixture
def flowers():
    return load_built_in("iris").rows


def tagged(store, tag):
    return library.load_run(store, store.runs(tag=tag)[0].id)


def trained(store):
    return tagged(store, "trained")


def write(path, rows, names):
    np.savetxt(path, rows, delimiter=",", header=",".join(names), comments="", fmt="%.3f")
    return path


def test_greedy_episodes_of_the_same_env_have_not_drifted_and_cost_nothing(store):
    found = library.drift(trained(store), tagged(store, "same"))
    assert not found.drifted
    assert found.reference.source.startswith("greedy episodes")
    assert found.transitions.impossible == ()
    assert found.transitions.steps == tagged(store, "same").timesteps
    assert found.lost_return == 0


def test_a_run_has_not_drifted_from_itself(store):
    found = library.drift(trained(store), trained(store))
    assert not found.drifted
    assert found.reference.source == found.data.source


def test_a_drier_lake_has_drifted_and_its_cost_is_exact(store):
    run = trained(store)
    found = library.drift(run, tagged(store, "drier"))
    assert found.drifted
    assert [pair for pair in found.transitions.pairs if pair.drifted]
    before, now = found.transitions.before, found.transitions.now
    assert found.lost_return == now.regret - before.regret
    assert before.exact_return == pytest.approx(library.evaluate(run, episodes=1).exact_return)


def test_shifted_rows_of_a_model_have_drifted_and_others_not(store, flowers):
    model, rng = load_model(store, "tree-iris"), np.random.default_rng(0)
    rows = flowers[rng.integers(150, size=200)]
    assert not library.drift(model, rows).drifted
    found = library.drift(model, rows + np.array([0, 1.0, 0, 0]))
    assert [column.name for column in found.columns if column.drifted] == ["sepal width (cm)"]
    assert (found.transitions, found.lost_return, found.why_not) == (None, None, "a model has no env")
    json.dumps(found.summary(), allow_nan=False)


def test_arrays_frames_and_files_say_the_same(store, flowers, tmp_path):
    pandas = pytest.importorskip("pandas", reason="the extra plots is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra minari is not installed")
    model, rows = load_model(store, "tree-iris"), flowers[:80]
    frame = pandas.DataFrame(rows[:, ::-1], columns=model.features[::-1]).assign(other="ignored")
    frame.to_parquet(tmp_path / "flowers.parquet")
    assert parquet.read_table(tmp_path / "flowers.parquet").num_rows == 80
    path = write(tmp_path / "flowers.csv", rows, model.features)
    figures = [library.drift(model, data).columns for data in (rows, frame, path, tmp_path / "flowers.parquet")]
    assert figures[0] == figures[1] == figures[2] == figures[3]


def test_a_model_keeps_a_bounded_sample_of_its_training_rows(store, flowers):
    model = load_model(store, "tree-iris")
    assert model.reference.shape == (112, 4)
    assert {tuple(row) for row in model.reference} <= {tuple(row) for row in flowers}
    digits = train_model("k-means", "digits", settings={"n_clusters": 2, "n_init": 1, "max_iter": 2})
    assert digits.reference.shape == (1797, 64)


def test_a_model_stored_without_reference_rows_says_so_and_takes_a_file(store, flowers, tmp_path):
    kept = load_model(store, "tree-iris")
    old = type(kept)(kept.kind, kept.estimator, kept.scaler, kept.about)
    with open_store("memory://") as other:
        loaded = load_model(other, save_model(other, old).id)
    assert loaded.reference.size == 0
    with pytest.raises(UsageError, match=r"keeps no reference rows .*name the file it learnt from"):
        library.drift(loaded, flowers)
    path = write(tmp_path / "iris.csv", flowers, kept.features)
    assert not library.drift(loaded, flowers, reference=path).drifted


def test_a_stored_reference_that_was_edited_is_refused(store):
    kept = load_model(store, "tree-iris")
    for wrong in (np.zeros((3, 9)), np.full((3, 4), np.nan), np.zeros((3, 4), np.int64)):
        edited = type(kept)(kept.kind, kept.estimator, kept.scaler, kept.about, reference=wrong)
        with open_store("memory://") as other:
            saved = save_model(other, edited)
            with pytest.raises(StoreError, match="its reference must be finite numbers in 4 columns"):
                load_model(other, saved.id)


def test_a_monitor_of_a_run_takes_states_and_one_of_a_model_rows(store, flowers):
    monitor = monitor_of(trained(store))
    assert isinstance(monitor, Monitor)
    assert monitor.observe(np.array([0, 4, 8])).rows == 3
    assert monitor_of(load_model(store, "tree-iris")).observe(flowers[:1]).rows == 1


def test_raw_observations_are_put_into_the_bins_of_the_agent():
    run = library.train("CartPole-v1", episodes=300, seed=0, bins="6,6,8,8")
    raw = library.record("CartPole-v1", run, episodes=40, seed=1)
    found = library.drift(run, raw)
    assert [column.name for column in found.columns] == ["observation"]
    assert found.why_not.startswith("CartPole-v1 has no transition table P")


def logged(store, rows, name):
    """Stores decisions as a server does that is told nothing of episodes: each is an episode without a step."""
    made = store.create_run(name, name, seed=0)
    ends, none = np.full(len(rows), CUT_OFF, np.uint8), np.zeros(len(rows))
    steps = {"observations": np.asarray(rows), "actions": np.zeros(0, int), "rewards": np.zeros(0)}
    figures = {"return": none, "length": none.astype(int)}
    store.append(made.id, EpisodeChunk(0, 0, none.astype(np.int64), ends, figures, steps))
    return library.load_run(store, made.id)


def test_decisions_of_which_no_more_is_known_belong_together_in_stretches(store):
    run, same = trained(store), tagged(store, "same")
    rows = np.concatenate([episode.observations[:-1] for episode in same.store.episodes(same)])
    with open_store("memory://") as other:
        found = library.drift(run, logged(other, rows, "FrozenLake-v1"))
    assert len(found.data) == len(rows)
    assert found.data.n_units == pytest.approx(len(rows) / (len(found.reference) / found.reference.n_units), rel=0.05)
    assert not found.drifted
    assert found.transitions.steps == 0


def test_decisions_of_a_model_are_under_the_names_of_its_columns(store, flowers):
    model = load_model(store, "tree-iris")
    with open_store("memory://") as other:
        found = library.drift(model, logged(other, flowers, "model:tree-iris"))
    assert found.data.names == model.features
    assert found.data.n_units == 150
    assert not found.drifted


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: its first line must hold the names"),
        ("observation\n", "has no rows, only the names of its columns"),
        ("state\n1\n", "must have the columns observation, as in training; it has state"),
        ("observation\n1\n", "must have at least 2 rows to compare, got 1"),
        ("observation\n1\nx\n", "line 3: column 'observation' must hold finite numbers, got 'x'"),
        ("observation\n1\n\n2\nnan\n", "must hold finite numbers, got 'nan'"),
        ("observation\n1\n1.5\n", "column 'observation' must hold states, whole numbers, as in training"),
        ("observation,other\n1,\n,2\n", "line 3: column 'observation' is empty"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_a_line(store, tmp_path, text, said):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as raised:
        library.drift(trained(store), path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((0, 4)), "the data must have at least 2 rows to compare, got 0"),
        (np.zeros((1, 4)), "at least 2 rows to compare, got 1"),
        (np.zeros((5, 3)), r"the data must be rows of 4 numbers \(sepal length"),
        (np.full((5, 4), np.inf), "row 1: column 'sepal length .cm.' must hold finite numbers, got inf"),
        (np.array([["a"] * 4] * 5), "must be rows of 4 numbers"),
        ("none.csv", "cannot read none.csv: No such file or directory"),
    ],
)
def test_rows_that_do_not_fit_a_model_are_refused_in_a_line(store, data, said):
    with pytest.raises(UsageError, match=said):
        library.drift(load_model(store, "tree-iris"), data)


def test_other_mistakes_are_named(store, flowers):
    model = load_model(store, "tree-iris")
    with pytest.raises(UsageError, match="kept figures only: train with record='all'"):
        library.drift(trained(store), tagged(store, "figures"))
    with pytest.raises(UsageError, match="alpha must be a probability between 0 and 1, got 2"):
        library.drift(model, flowers, alpha=2)
    with pytest.raises(UsageError, match="least_effect must be 0 or more, got -1"):
        library.drift(model, flowers, least_effect=-1)
    with pytest.raises(UsageError, match="drift is of a run or a model, got 'x'"):
        library.drift("x", flowers)


# ------------------------------------------------------------------ the report


def test_the_report_loads_nothing_and_escapes_what_looks_like_markup(store, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    path = tmp_path / "data.csv"
    rows = np.random.default_rng(0).normal(size=(60, 2))
    path.write_text(f"{EVIL},b,t\n" + "\n".join(f"{a},{b},{i % 2}" for i, (a, b) in enumerate(rows)))
    found = library.drift(train_model("tree", path, target="t"), rows + 1)
    text = drift_report(found, tmp_path / "drift.html").read_text()
    assert EVIL not in text
    assert "default-src 'none'" in text
    assert text.count("<img") == 3
    assert "2 of 2" in text


def test_what_the_table_rules_out_is_named_in_words(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    run = library.train("FrozenLake-v1", episodes=2_000, seed=0, env_kwargs={"is_slippery": False})
    wetter = library.record("FrozenLake-v1", run, episodes=20, seed=1, env_kwargs={"is_slippery": True})
    text = drift_report(library.drift(run, wetter), tmp_path / "drift.html").read_text()
    assert re.search(r"<td>row 0, column 0 \(0\)</td><td>(Left|Down|Right|Up)</td><td>0</td><td>row ", text)
