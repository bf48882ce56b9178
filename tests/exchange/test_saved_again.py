"""CSV files that other programs saved again, or that lost the file beside them: right, or refused in one line."""

import gzip
import os
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rlbench.errors import UsageError
from rlbench.exchange import arrow_tables, export, import_run, text_files
from rlbench.training import Run

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def run(store, samples):
    """Two episodes of float observations and one without a step."""
    columns = {
        "observations": np.array([[0, 0.5], [1, 2], [3, 4], [5, 6], [7, 8.25], [9, 1]], np.float32),
        "actions": np.array([1, 0, 1], np.int16),
        "rewards": np.array([0.5, -1, 2]),
        "explored": np.array([True, False, False]),
    }
    rates = np.array([np.nan, 0.25, np.nan])
    return samples.stored(store, samples.chunk_of([2, 0, 1], columns, ends=[1, 4, 2], evaluation=rates))


@pytest.fixture
def csv(tmp_path, run):
    """The run as a CSV file."""
    export(run, tmp_path / "run.csv")
    return tmp_path / "run.csv"


def by_pandas(**options):
    def save(path):
        pd.read_csv(path).to_csv(path, **options)

    return save


def replaced(**changes):
    def save(path):
        table = pd.read_csv(path, dtype=object)
        for name, change in changes.items():
            table[name] = table[name].map(change, na_action="ignore")
        table.to_csv(path, index=False)

    return save


def in_another_order(path):
    table = pd.read_csv(path)
    table[sorted(table, reverse=True)].to_csv(path, index=False)


AGAIN = {
    "by pandas, with its index": by_pandas(),
    "with its index twice": lambda path: (by_pandas()(path), by_pandas()(path)),
    "with words for blanks": by_pandas(index=False, na_rep="NaN"),
    "with semicolons and decimal commas": by_pandas(index=False, sep=";", decimal=","),
    "with semicolons": by_pandas(index=False, sep=";"),
    "with tabs": by_pandas(index=False, sep="\t"),
    "with a byte order mark": by_pandas(index=False, encoding="utf-8-sig", lineterminator="\r\n"),
    "in another order": in_another_order,
    "with a blank line at its end": lambda path: path.write_text(path.read_text() + "\n" + "," * 13 + "\n"),
    "with whole numbers as decimals": replaced(action="{}.0".format, episode="{}.0".format),
    "with decimals as whole numbers": replaced(reward=lambda cell: cell.removesuffix(".0")),
    "with truth in capitals": replaced(terminated=str.upper, explored=str.upper),
    "with truth as numbers": replaced(terminated={"True": "1", "False": "0"}.get),
    "with blanks around its cells": replaced(action=" {} ".format),
}


@pytest.mark.parametrize("way", AGAIN)
@pytest.mark.parametrize("is_described", [True, False])
def test_a_file_that_was_saved_again_is_the_same_run(csv, run, store, samples, way, is_described):
    AGAIN[way](csv)
    if not is_described:
        csv.with_name("run.csv.json").unlink()
    record = import_run(csv, store)
    if is_described:
        assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)
        return
    for found, expected in zip(store.episodes(record.id), store.episodes(run.id), strict=True):
        assert np.array_equal(found.observations, expected.observations)
        assert np.array_equal(found.actions, expected.actions)
        assert np.array_equal(found.rewards, expected.rewards)
        assert np.array_equal(found.explored, expected.explored)
        assert (found.terminated, found.truncated) == (expected.terminated, expected.truncated)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\n0,0,0.0,0.5,1,", "\n0,0,0.0,0.5,x,", "line 2, column 'action': expected a whole number, got 'x'"),
        ("\n0,0,0.0,0.5,1,", "\n0,0,0.0,,1,", "line 2, column 'observation.1': expected a number in a step, got ''"),
        (",1,0.5,", ',1,"0,5",', "line 2, column 'reward': expected a number, got '0,5'"),
        (",1,0.5,", ',1,"1,234.5",', "line 2, column 'reward': expected a number, got '1,234.5'"),
        (",True,False,", ",WAHR,False,", "line 3, column 'terminated': expected True or False, got 'WAHR'"),
        ("\n0,1,", "\n0,2,", "line 3, column 'step': expected 1, or 0 to begin an episode, got 2 in episode 0"),
        (
            ",final_observation.1,",
            ",x,",
            "'final_observation.1' is missing; 'next_observation.1' in every row",
        ),
        ("observation.1,action", "observation.2,action", "the columns of 'observation' must be numbered from"),
        ("episode,step,", "episode,stop,", "line 1: the column 'step' is missing: episodes have episode, step, "),
        ("-0.5,2", "-0.25,2", "the figures of episode 0 are wrong: return -0.25"),
    ],
)
def test_a_table_that_is_not_described_is_right_or_refused_with_its_line(csv, store, old, new, complaint):
    csv.with_name("run.csv.json").unlink()
    assert old in csv.read_text()
    csv.write_text(csv.read_text().replace(old, new))
    before = store.runs()
    with pytest.raises(UsageError, match=complaint) as caught:
        import_run(csv, store)
    assert "\n" not in str(caught.value)
    assert store.runs() == before


@pytest.mark.parametrize(
    ("cell", "others", "found"),
    [
        ("0.5", "1.234", 1.234),  # a point that leaves no doubt
        ("0,5", "1,234", 1.234),
        ("1", "1.234", "line 3, column 'reward': 1.234 is a number or a thousand times as much: save the file with"),
        ("1", "1,234", "line 3, column 'reward': 1,234 is a number or a thousand times as much: save the file with"),
        ("1", "-12.345", "-12.345 is a number or a thousand times as much"),
        ("0,5", "1.234", "line 3, column 'reward': expected a number, got '1.234'"),
        ("0.5", "1,234", "line 3, column 'reward': expected a number, got '1,234'"),
        ("1.234,5", "1", "line 2, column 'reward': expected a number, got '1.234,5'"),
        ("1", "0.125", 0.125),
        ("1.5e3", "1.234", 1.234),
    ],
)
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_mark_that_may_part_thousands_is_read_as_other_cells_tell_or_refused(
    tmp_path, store, delimiter, cell, others, found
):
    head = ["episode", "step", "observation", "action", "reward", "terminated", "truncated", "final_observation"]
    rows = [head, *(["0", str(k), "7", "1", (cell, others)[k], ("False", "True")[k], "False", ""] for k in range(2))]
    rows[-1][-1] = "8"
    (tmp_path / "a.csv").write_text("\n".join(map(delimiter.join, rows)))
    if isinstance(found, str):
        with pytest.raises(UsageError, match=re.escape(found)):
            import_run(tmp_path / "a.csv", store)
        return
    assert store.episodes(import_run(tmp_path / "a.csv", store).id)[0].rewards[1] == found


def test_whole_numbers_with_a_mark_before_thousands_are_not_taken_for_small_ones(csv, store):
    csv.with_name("run.csv.json").unlink()
    by_pandas(index=False, sep=";")(csv)
    csv.write_text(re.sub(r"\b\d+\.\d+\b", "1", csv.read_text()).replace("\n0;0;1;1;1;", "\n0;0;1;1;1.000;"))
    with pytest.raises(UsageError, match=r"1.000 is a number or a thousand times as much"):
        import_run(csv, store)


def test_what_is_not_known_of_a_table_alone_is_said(csv, store):
    csv.with_name("run.csv.json").unlink()
    by_pandas(index=False)(csv)
    table = pd.read_csv(csv).assign(mood="good")
    table.to_csv(csv, index=False)
    record = import_run(csv, store)
    assert (record.env_id, record.agent_name, record.episodes, record.timesteps) == ("unknown", "unknown", 3, 3)
    assert record.note == ("run.csv.json is not beside it: agent, seed and configuration are unknown; left out: mood")
    assert store.figures(record.id)["evaluation"].tolist()[1] == 0.25


def test_an_env_that_is_named_gives_its_spaces(tmp_path, store, samples):
    run = samples.ALL["cartpole"](store)
    export(run, tmp_path / "run.csv")
    (tmp_path / "run.csv.json").unlink()
    assert store.episodes(import_run(tmp_path / "run.csv", store).id)[0].observations.dtype == np.float64
    record = import_run(tmp_path / "run.csv", store, env="CartPole-v1")
    assert samples.chunks_as_bits(store, record.id)[0][4:] != ()
    assert np.array_equal(store.episodes(record.id)[3].observations, store.episodes(run.id)[3].observations)
    assert store.episodes(record.id)[3].observations.dtype == np.float32
    assert Run(record, store).make_env().spec.id == "CartPole-v1"


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ("FrozenLake-v1", "the env has 1 numbers of observations in each row, the file 2"),
        (gym.make("CartPole-v1"), "the env has 4 numbers of observations in each row, the file 2"),
    ],
)
def test_an_env_that_does_not_fit_the_table_is_refused(csv, store, env, complaint):
    csv.with_name("run.csv.json").unlink()
    with pytest.raises(UsageError, match=complaint):
        import_run(csv, store, env=env)


def test_a_state_that_the_env_does_not_have_is_refused(tmp_path, store, samples):
    run = samples.ALL["discrete"](store)
    export(run, tmp_path / "run.csv")
    (tmp_path / "run.csv.json").unlink()
    with pytest.raises(UsageError, match=r"observations from episode 0 on must be in Discrete\(16\), .* got 21"):
        import_run(tmp_path / "run.csv", store, env="FrozenLake-v1")


def test_an_env_is_not_named_for_a_file_that_tells_another(csv, store):
    with pytest.raises(UsageError, match="it was played in x/Y-v0, not in CartPole-v1: do not name an env"):
        import_run(csv, store, env="CartPole-v1")


# ---------------------------------------------------------------- packed files


def test_a_file_that_was_packed_or_unpacked_is_described_by_the_same_file(tmp_path, csv, store, run, samples):
    (tmp_path / "run.csv.gz").write_bytes(gzip.compress(csv.read_bytes()))
    csv.unlink()
    record = import_run(tmp_path / "run.csv.gz", store)
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)
    export(run, tmp_path / "two.csv.gz")
    (tmp_path / "two.csv").write_bytes(gzip.decompress((tmp_path / "two.csv.gz").read_bytes()))
    assert import_run(tmp_path / "two.csv", store).note == run.record.note  # nothing had to be guessed


def test_the_file_that_describes_another_is_not_taken_for_a_run(csv, store):
    with pytest.raises(UsageError, match="it only describes the CSV file that it lies beside: import that one"):
        import_run(csv.with_name("run.csv.json"), store)


def test_a_curve_is_no_run_described_or_not(tmp_path, store, run):
    export(run, tmp_path / "curve.csv", what="results")
    for complaint in ("it holds a run's results: only episodes", "line 1: the column 'step' is missing: episodes have"):
        with pytest.raises(UsageError, match=complaint):
            import_run(tmp_path / "curve.csv", store)
        (tmp_path / "curve.csv.json").unlink(missing_ok=True)


def test_the_same_run_gives_the_same_packed_bytes(tmp_path, run):
    for name in ("a.csv.gz", "b.csv.gz"):
        export(run, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).startswith(b"episode,step,")


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_episode_that_a_small_file_unpacks_to_is_refused_before_it_fills_the_memory(
    tmp_path, store, run, monkeypatch, kind
):
    monkeypatch.setattr(text_files, "FREE", 2**16)
    monkeypatch.setattr(text_files, "EXPANSION", 2)
    path = tmp_path / f"run.{kind}.gz"
    export(run, path)
    text = gzip.decompress(path.read_bytes()).decode()
    if kind == "csv":
        head, first, _ = text.split("\n", 2)
        text = "\n".join([head, *(first.replace("0,0,", f"0,{step},", 1) for step in range(20_000))])
    else:
        text = text.replace('"rewards":[', '"rewards":[' + "0," * 200_000)
    path.write_bytes(gzip.compress(text.encode(), 9))
    with pytest.raises(UsageError, match=r"characters is too long|a value of more than"):
        import_run(path, store)


def test_a_feather_file_that_claims_more_than_it_holds_is_not_unpacked(tmp_path, store, run, monkeypatch):
    path = tmp_path / "run.feather"
    export(run, path)
    schema = pa.ipc.open_file(path).schema
    zeros = [pa.array(np.zeros(2**20, field.type.to_pandas_dtype())) for field in schema]
    with pa.ipc.new_file(path, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(pa.record_batch(zeros, schema=schema))
    monkeypatch.setattr(arrow_tables, "FREE", 2**20)
    before = pa.total_allocated_bytes()
    with pytest.raises(UsageError, match=r"it claims [\d,]+ bytes in one piece but does not hold them"):
        import_run(path, store)
    assert pa.total_allocated_bytes() - before < 2**20


def test_a_feather_file_that_pyarrow_saved_again_is_the_same_run(tmp_path, store, run, samples):
    path = tmp_path / "run.feather"
    export(run, path)
    table = pa.ipc.open_file(path).read_all()
    for compression in ("zstd", None):
        with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table, max_chunksize=1)
        record = import_run(path, store)
        assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)


def test_an_export_killed_between_its_two_files_is_never_taken_for_another_run(csv, store, run):
    """The file beside it is put first: it is that of the other run then."""
    old = csv.read_bytes()
    export(run, csv, indices=[0], overwrite=True)
    csv.write_bytes(old)
    os.utime(csv)
    with pytest.raises(UsageError, match=r"not those that were exported|expected 1 episodes, got 3"):
        import_run(csv, store)


def test_a_table_of_the_first_layout_is_read_without_its_first_line(tmp_path, store, samples):
    text = (DATA / "layout_1.csv").read_text()
    (tmp_path / "old.csv").write_text(text.split("\n", 1)[1])
    record, run = import_run(tmp_path / "old.csv", store), samples.ALL["discrete"](store)
    for found, expected in zip(store.episodes(record.id), store.episodes(run.id), strict=True):
        assert np.array_equal(found.observations, expected.observations)
        assert np.array_equal(found.rewards, expected.rewards)
