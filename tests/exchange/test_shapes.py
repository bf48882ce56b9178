"""The layout of the files, as other programs see it; and what is refused before writing."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import rlbench
from rlbench.errors import StoreError, UnknownNameError, UsageError
from rlbench.exchange import EXTENSIONS, export, import_run
from rlbench.exchange import csv_files as csv_module

DATA = Path(__file__).parents[1] / "data"
ROWS = """\
episode,step,observation.0,observation.1,action,reward,terminated,truncated,explored,\
final_observation.0,final_observation.1,episode_return,episode_length
0,0,0.0,0.10000000149011612,1,0.1,False,False,True,,,,
0,1,1.0,2.0,0,-1.0,True,False,False,3.0,4.0,-0.9,2
1,0,5.0,6.0,1,1e+300,False,True,False,7.0,8.0,1e+300,1
"""


@pytest.fixture
def run(store, samples):
    """Two short episodes, of 2 steps and of 1."""
    columns = {
        "observations": np.array([[0, 0.1], [1, 2], [3, 4], [5, 6], [7, 8]], np.float32),
        "actions": np.array([1, 0, 1], np.int16),
        "rewards": np.array([0.1, -1, 1e300]),
        "explored": np.array([True, False, False]),
    }
    return samples.stored(store, samples.chunk_of([2, 1], columns, ends=[1, 2]))


def test_csv_is_a_row_a_step_and_described_by_a_file_beside_it(tmp_path, run):
    export(run, tmp_path / "run.csv")
    about = json.loads((tmp_path / "run.csv.json").read_text("utf-8"))
    assert (about["rlbench"], about["what"], about["episodes"]) == (2, "episodes", 2)
    assert about["run"]["config"] == run.record.config.document()
    assert about["columns"]["observations"] == ["<f4", [2]]
    assert about["chunks"] == [[0, 0, None]]
    assert (tmp_path / "run.csv").read_text("utf-8") == ROWS


@pytest.mark.parametrize("extension", [".csv", ".csv.gz", ".parquet", ".feather"])
def test_pandas_reads_a_clean_table_without_options(tmp_path, run, extension):
    path = tmp_path / f"run{extension}"
    export(run, path)
    read = {".parquet": pd.read_parquet, ".feather": pd.read_feather}.get(extension, pd.read_csv)
    table = read(path)
    assert list(table) == ROWS.split("\n", 1)[0].split(",")
    assert table["reward"].tolist() == [0.1, -1.0, 1e300]
    assert table["observation.1"].astype(np.float32).tolist() == np.array([0.1, 2, 6], np.float32).tolist()
    assert [table[name].dtype.kind for name in ("step", "action", "terminated", "explored")] == ["i", "i", "b", "b"]
    assert table.groupby("episode")["reward"].sum().tolist() == table["episode_return"].dropna().tolist()


@pytest.mark.parametrize("extension", [".csv", ".parquet", ".feather"])
def test_each_row_has_its_next_observation_on_request(tmp_path, store, run, samples, extension):
    path = tmp_path / f"run{extension}"
    export(run, path, next_observation=True)
    table = {".parquet": pd.read_parquet, ".feather": pd.read_feather}.get(extension, pd.read_csv)(path)
    assert table["next_observation.0"].tolist() == [1.0, 3.0, 7.0]
    assert not [name for name in table if name.startswith("final")]
    record = import_run(path, store)
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)


def test_a_next_observation_that_is_not_the_one_that_follows_is_refused(tmp_path, store, run):
    export(run, tmp_path / "run.csv", next_observation=True)
    text = (tmp_path / "run.csv").read_text().replace("0.1,1.0,2.0", "0.1,1.0,9.0")
    (tmp_path / "run.csv").write_text(text)
    with pytest.raises(UsageError, match="the next_observation of step 0 is not the observation of step 1"):
        import_run(tmp_path / "run.csv", store)


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_file_of_the_first_layout_is_still_imported(store, samples, extension):
    record = import_run(DATA / f"layout_1.{extension}", store)
    run = samples.ALL["discrete"](store)
    assert samples.known_of(record) == {**samples.known_of(run.record), "note": ""}  # which it did not hold
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)


def test_json_is_one_document_with_an_episode_a_line(tmp_path, run):
    export(run, tmp_path / "run.json")
    text = (tmp_path / "run.json").read_text("utf-8")
    episodes = json.loads(text)["episodes"]
    assert episodes[1] == {
        "episode": 1,
        "observations": [[5.0, 6.0], [7.0, 8.0]],
        "actions": [1],
        "rewards": [1e300],
        "explored": [False],
        "terminated": False,
        "truncated": True,
        "figures": {"return": 1e300, "length": 1},
    }
    assert [line[:12] for line in text.splitlines()] == [
        '{"about": {"',
        '"episodes": ',
        '{"episode":0',
        '{"episode":1',
        "]}",
    ]


def test_a_json_document_may_be_indented_before_it_is_imported(tmp_path, store, run, samples):
    export(run, tmp_path / "run.json")
    document = json.loads((tmp_path / "run.json").read_text("utf-8"))
    (tmp_path / "run.json").write_text("\n " + json.dumps(document, indent=3) + "\n\n", "utf-8")
    record = import_run(tmp_path / "run.json", store)
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)


def test_hdf5_holds_the_columns_of_all_episodes_one_after_another(tmp_path, run):
    export(run, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        assert json.loads(file["about"][()])["run"]["seed"] == 2**100
        assert file["steps/observations"].shape == (5, 2)
        assert file["steps/rewards"][:].tolist() == [0.1, -1, 1e300]
        assert file["episodes/length"][:].tolist() == [2, 1]
        assert file["figures/return"][:].tolist() == [-0.9, 1e300]


def learned(store):
    return rlbench.train("FrozenLake-v1", episodes=30, seed=0, store=store)


def test_results_are_a_row_an_episode(tmp_path, store):
    run = learned(store)
    for name in ("curve.csv", "curve.json", "curve.parquet", "curve.hdf5"):
        assert export(run, tmp_path / name, what="results").episodes == 30
    csv, parquet = pd.read_csv(tmp_path / "curve.csv"), pd.read_parquet(tmp_path / "curve.parquet")
    assert csv["episode"].tolist() == list(range(30))
    assert csv["length"].tolist() == parquet["length"].tolist() == run.lengths.tolist()
    assert parquet["action_counts.3"].tolist() == run.figures["action_counts"][:, 3].tolist()
    results = json.loads((tmp_path / "curve.json").read_text("utf-8"))["results"]
    assert [row["exploration_rate"] for row in results] == run.figures["exploration_rate"].tolist()
    assert results[4]["action_counts"] == run.figures["action_counts"][4].tolist()
    with h5py.File(tmp_path / "curve.hdf5") as file:
        assert np.array_equal(file["figures/return"][:], run.returns)


def test_the_table_is_a_row_a_state(tmp_path, store):
    run = learned(store)
    expected = run.agent.q_table
    for name in ("q.csv", "q.json", "q.parquet", "q.hdf5"):
        export(run, tmp_path / name, what="table")
    csv, parquet = pd.read_csv(tmp_path / "q.csv"), pd.read_parquet(tmp_path / "q.parquet")
    assert list(csv) == ["state", "action.0", "action.1", "action.2", "action.3"]
    assert np.array_equal(csv.to_numpy()[:, 1:], expected)
    assert np.array_equal(parquet.to_numpy()[:, 1:], expected)
    assert json.loads((tmp_path / "q.json").read_text("utf-8"))["table"] == expected.tolist()
    with h5py.File(tmp_path / "q.hdf5") as file:
        assert np.array_equal(file["table"], expected)


def test_a_whole_run_in_json_or_hdf5_has_the_table_too(tmp_path, store):
    run = learned(store)
    export(run, tmp_path / "run.json")
    export(run, tmp_path / "run.hdf5")
    arrays = json.loads((tmp_path / "run.json").read_text("utf-8"))["checkpoint"]["arrays"]
    assert arrays["q_table"]["data"] == run.agent.q_table.tolist()
    with h5py.File(tmp_path / "run.hdf5") as file:
        assert np.array_equal(file["checkpoint/arrays/q_table"], run.agent.q_table)


@pytest.mark.parametrize("what", ["results", "table"])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_results_and_tables_make_no_run(tmp_path, store, what, extension):
    run = learned(store)
    export(run, tmp_path / f"x{extension}", what=what)
    with pytest.raises(UsageError, match=f"it holds a run's {what}: only episodes"):
        import_run(tmp_path / f"x{extension}", store)
    assert len(store.runs()) == 1


# ---------------------------------------------------------------- what is refused, and leaves nothing


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"path": "run.txt"}, "'run.txt' does not name a format: end it in .csv, .csv.gz, .json, .json.gz, .parquet"),
        ({"path": "run"}, "does not name a format"),
        ({"path": ""}, "expected a path"),
        ({"path": "a\0b.csv"}, "expected a path"),
        ({"format": "cvs"}, "unknown format 'cvs'; did you mean csv?"),
        ({"what": "episode"}, "unknown thing to export 'episode'; did you mean episodes?"),
        ({"what": "table"}, "has no table of action values: its agent is tester"),
        ({"what": "results", "next_observation": True}, "leave them out for csv of results"),
        ({"format": "json", "next_observation": True}, "leave them out for json of episodes"),
        ({"what": "results", "indices": [0]}, "indices choose episodes"),
        ({"what": "results", "format": "minari"}, "minari takes only episodes, not results"),
        ({"indices": [0, 2]}, r"has no episode 2: it has 2 \(0 to 1\)"),
        ({"indices": [-3]}, "has no episode -3"),
        ({"indices": [0.5]}, "indices must be whole numbers"),
        ({"path": "there.csv"}, "there.csv exists: choose another name, or overwrite it"),
        ({"path": "folder.csv"}, "folder.csv is a folder: name a file in it"),
        ({"path": "folder.csv", "overwrite": True}, "folder.csv is a folder: name a file in it"),
        ({"path": "folder.csv", "overwrite": True, "format": "minari"}, "folder.csv is a folder"),
        ({"path": "pipe.csv", "overwrite": True}, "pipe.csv is not a regular file, so it cannot be replaced"),
        ({"path": "nowhere/run.csv"}, "nowhere is not a folder: create it first"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(tmp_path, monkeypatch, run, samples, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv" / "mine").touch()
    with pytest.raises(UsageError, match=complaint):
        export(run, **{"path": "run.csv", **arguments})
    assert samples.names_in(tmp_path) == ["folder.csv", "pipe.csv", "there.csv"]
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert (tmp_path / "folder.csv" / "mine").exists()


def test_a_format_that_is_unknown_suggests_the_nearest(tmp_path, run):
    with pytest.raises(UnknownNameError, match=r"did you mean hdf5\?"):
        export(run, tmp_path / "run.x", "hdf")


def test_overwriting_replaces_a_file_and_a_dataset(tmp_path, store, run, samples):
    for name, kind in (("run.csv", None), ("run-v0", "minari")):
        export(run, tmp_path / name, kind, indices=[0])
        export(run, tmp_path / name, kind, overwrite=True)
        assert import_run(tmp_path / name, store).episodes == 2
    assert samples.names_in(tmp_path) == ["run-v0", "run.csv", "run.csv.json"]


@pytest.mark.parametrize(("name", "kind"), [("run.csv", "csv"), ("run.hdf5", "hdf5"), ("run-v0", "minari")])
def test_an_export_that_breaks_off_leaves_what_was_there(tmp_path, store, run, samples, monkeypatch, name, kind):
    path = tmp_path / name
    export(run, path, kind)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    names, chunks = samples.names_in(tmp_path), store.chunks

    def breaking(*arguments, **more):
        yield from chunks(*arguments, **more)
        raise StoreError("the store went away")

    monkeypatch.setattr(store, "chunks", breaking)
    with pytest.raises(StoreError, match="the store went away"):
        export(run, path, kind, overwrite=True)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert samples.names_in(tmp_path) == names


def test_a_disk_that_is_full_is_a_store_error_and_leaves_nothing(tmp_path, run, samples, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv_module, "_rows", full)
    with pytest.raises(StoreError, match=r"cannot write .*run.csv: No space left on device"):
        export(run, tmp_path / "run.csv")
    assert samples.names_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "hdf5", "minari"])
def test_a_run_without_steps_has_results_only(tmp_path, store, samples, kind):
    run = rlbench.train("safecab", episodes=5, seed=0, store=store, record="none")
    with pytest.raises(UsageError, match="kept figures only: train with record='all'"):
        export(run, tmp_path / "x", kind)
    assert samples.names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "observations", "complaint"),
    [
        ("csv", np.zeros((2, 4097)), "'observation' has 4097 numbers per row, columns take 1 to 4096"),
        ("parquet", np.zeros((2, 0)), "'observation' has 0 numbers per row"),
        ("json", np.zeros(2, np.complex64), "json cannot hold 'observations' of dtype complex64 exactly"),
        ("csv", np.zeros(2, np.longdouble), "csv cannot hold 'observations' of dtype .* exactly"),
    ],
)
def test_what_a_format_cannot_hold_exactly_is_refused(tmp_path, store, samples, kind, observations, complaint):
    columns = {"observations": observations, "actions": np.zeros(1, np.int64), "rewards": np.zeros(1)}
    run = samples.stored(store, samples.chunk_of([1], columns))
    with pytest.raises(UsageError, match=complaint):
        export(run, tmp_path / "run", kind)
    assert samples.names_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path, store, samples, kind):
    parts = {"observations/a": np.zeros((2, 2)), "observations/a.1": np.zeros(2)}
    columns = {**parts, "actions": np.zeros(1), "rewards": np.zeros(1)}
    run = samples.stored(store, samples.chunk_of([1], columns))
    with pytest.raises(UsageError, match=r"two columns would be named 'observation/a.1': choose json"):
        export(run, tmp_path / "run", kind)


def test_a_part_within_a_part_is_more_than_hdf5_can_hold(tmp_path, store, samples):
    parts = {"observations/a": np.zeros(2), "observations/a/b": np.zeros(2)}
    columns = {**parts, "actions": np.zeros(1), "rewards": np.zeros(1)}
    run = samples.stored(store, samples.chunk_of([1], columns))
    with pytest.raises(UsageError, match="hdf5 cannot hold this run"):
        export(run, tmp_path / "run.hdf5")
    export(run, tmp_path / "run.json")
    record = import_run(tmp_path / "run.json", store)
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)


def test_columns_that_change_within_a_run_are_refused(tmp_path, store, samples):
    def columns(dtype):
        return {"observations": np.zeros(2, dtype), "actions": np.zeros(1, np.int64), "rewards": np.zeros(1)}

    chunks = [samples.chunk_of([1], columns(dtype), first_episode=i) for i, dtype in enumerate((np.int32, np.int64))]
    with pytest.raises(UsageError, match="the column 'observations' changes in episode 1 or later"):
        export(samples.stored(store, *chunks), tmp_path / "run.json")


@pytest.mark.parametrize(
    ("kind", "module"),
    [("parquet", "pyarrow"), ("feather", "pyarrow"), ("hdf5", "h5py"), ("minari", "minari"), ("minari", "h5py")],
)
def test_a_missing_package_names_the_extra(tmp_path, store, run, monkeypatch, samples, kind, module):
    path = tmp_path / samples.PATHS[kind]
    export(run, path, kind)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UsageError, match=rf'needs {module}, which is not installed: pip install "rlbench\[minari\]"'):
        export(run, path, kind, overwrite=True)
    if module == kind:  # its datasets are read without it
        assert import_run(path, store).episodes == 2
        return
    with pytest.raises(UsageError, match=rf"needs {module}, which is not installed"):
        import_run(path, store)
    assert len(store.runs()) == 1
