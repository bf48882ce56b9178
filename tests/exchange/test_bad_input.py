"""Damaged and hostile files: a one-line error, no code run, nothing left in the store."""

import csv as csv_module
import io
import json
import os
import pickle
import re
import shutil
import tracemalloc

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlbench.errors import StoreError, UsageError
from rlbench.exchange import csv_tables, export, import_run, manifest
from rlbench.store import Store


def refused(path, store, complaint, kind=None):
    """Importing it fails with one line, and the store is as it was."""
    before = store.runs()
    with pytest.raises(UsageError, match=complaint) as caught:
        import_run(path, store, kind)
    assert str(caught.value).startswith(f"{path} cannot be imported: ") or "there is no" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.runs() == before


@pytest.fixture
def csv(tmp_path, store, samples):
    """An exported file: the sample's episodes have 2, 3, 9, 1 and 2 steps; the header is line 1."""
    export(samples.ALL["discrete"](store), tmp_path / "run.csv")
    return tmp_path / "run.csv"


def edited(path, old, new, count=1):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), "utf-8")


def told(path, old, new):
    """Edits the file that describes a CSV file."""
    edited(path.with_name(f"{path.name}.json"), old, new)


def line(path, number, edit):
    """Edits the cells of one line."""
    lines = path.read_text("utf-8").splitlines()
    cells = lines[number - 1].split(",", 11)
    edit(cells)
    lines[number - 1] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda p: line(p, 2, lambda c: c.__setitem__(4, "nan")), "line 2, column 'reward': expected a number in a"),
        (lambda p: line(p, 5, lambda c: c.__setitem__(4, "-inf")), "the reward of episode 1, step 1 is -inf"),
        (lambda p: line(p, 3, lambda c: c.__setitem__(4, "1e999")), "the reward of episode 0, step 1 is inf"),
        (lambda p: line(p, 4, lambda c: c.__setitem__(4, "x")), "line 4, column 'reward': expected a number, got 'x'"),
        (lambda p: line(p, 4, lambda c: c.__setitem__(4, "1_0")), "line 4, column 'reward': .* got '1_0'"),
        (lambda p: line(p, 4, lambda c: c.__setitem__(3, "1.5")), "line 4, column 'action': expected a whole number"),
        (lambda p: line(p, 4, lambda c: c.__setitem__(3, "1_0")), "line 4, column 'action': .* got '1_0'"),
        (lambda p: line(p, 4, lambda c: c.__setitem__(3, "99999")), "'action': expected a number that int16 can hold"),
        (lambda p: line(p, 4, lambda c: c.__setitem__(5, "maybe")), "line 4, column 'terminated': expected True or"),
        (
            lambda p: line(p, 2, lambda c: c.__setitem__(5, "True")),
            "line 2, column 'terminated': expected False in",
        ),
        (lambda p: line(p, 4, lambda c: c.__setitem__(1, "7")), "line 4, column 'step': expected 0 where an episode"),
        (lambda p: line(p, 5, lambda c: c.__setitem__(1, "7")), "line 5, column 'step': expected 1, or 0 to begin an"),
        (lambda p: line(p, 5, lambda c: c.__setitem__(0, "3")), "line 5, column 'step': .* got 1 in episode 3"),
        (
            lambda p: line(p, 4, lambda c: c.__setitem__(3, "")),
            "line 4, column 'action': expected a whole number in a step, got",
        ),
        (lambda p: line(p, 5, lambda c: c.__setitem__(4, "")), "line 5, column 'reward': expected a number in a step"),
        (
            lambda p: line(p, 4, lambda c: c.__setitem__(9, "1.0")),
            "line 4, column 'episode_return': expected a blank in a row that is not the last of its episode, got '1.0'",
        ),
        (lambda p: line(p, 3, lambda c: c.__setitem__(8, "")), "line 3, column 'final_observation': expected a whole"),
        (lambda p: line(p, 3, lambda c: c.__setitem__(10, "77")), "the figures of episode 0 are wrong: .* length 77"),
        (lambda p: line(p, 3, lambda c: c.__setitem__(9, "inf")), "the figures of episode 0 are wrong: return inf"),
        (lambda p: line(p, 4, lambda c: c.pop()), "line 4: expected 14 cells, got"),
        (lambda p: line(p, 4, lambda c: c.append("1,1,1,1,1,1,1")), "line 4: expected 14 cells, got"),
        (lambda p: edited(p, "step,observation", "step,state"), "line 1: the column 'observation' is missing"),
        (lambda p: edited(p, "step,observation", "step,step"), "line 1: the column 'step' is there more than once"),
        (lambda p: told(p, '"chunks":[[0,0,', '"chunks":[[0,99,'), "a chunk cannot begin at step 99 of episode 0"),
        (lambda p: told(p, '"chunks":[[0,0,', '"chunks":[[0,-1,'), "a chunk cannot begin at step -1 of episode 0"),
        (lambda p: told(p, '"chunks":[[0,0,', '"chunks":[[0,1.5,'), "the beginnings of chunks must be pairs"),
        (lambda p: told(p, '"chunks":[[0,0,', '"chunks":[0,[0,0,'), "the beginnings of chunks must be pairs"),
        (lambda p: told(p, '"chunks":[', '"chunks":7,"x":['), "its manifest must list where chunks begin"),
        (lambda p: told(p, '"chunks":[', '"chunks":{{'), "Expecting property name"),
        (lambda p: told(p, '"rlbench":2', '"rlbench":3'), r"a newer rlbench wrote it \(layout 3\): upgrade"),
        (lambda p: told(p, '"rlbench":2', '"rlbnch":2'), "it has no rlbench manifest"),
        (lambda p: told(p, '"what":"episodes"', '"what":"all"'), "is incomplete: expected what, run and episodes"),
        (lambda p: told(p, '"seed":', '"seed":-'), "its manifest describes an invalid run: seed"),
        (lambda p: told(p, '"config":{', '"config":7,"x":{'), "its manifest describes an invalid run: config is '7'"),
        (lambda p: told(p, '"config":{', '"konfig":{'), "its manifest describes an invalid run: config"),
        (
            lambda p: told(p, '"evaluation":{', '"evaluation":{"regret":[],'),
            "its manifest describes an invalid run: eval",
        ),
        (lambda p: told(p, '"finished"', '"$where"'), "its manifest describes an invalid run: status"),
        (lambda p: told(p, '"env_id":"x', '"env_id":"\\u0000'), "control characters"),
        (lambda p: told(p, '"env_id":"x', '"env_id":"\\ud800'), "control characters"),
        (
            lambda p: told(p, '["<i4",[]]', '["<i4",[1099511627776]]'),
            "its column 'observations' must have a dtype and a shape",
        ),
        (lambda p: told(p, '["<i4",[]]', '["<i4",[-1]]'), "its column 'observations' must have a dtype and a shape"),
        (lambda p: told(p, '["<i4",[]]', '["|O8",[]]'), "its column 'observations' must have a dtype and a shape"),
        (lambda p: told(p, '["<i4",[]]', '["<i7",[]]'), "cannot be read: data type '<i7' not understood"),
        (lambda p: told(p, '"episodes":5', '"episodes":1099511627776'), "expected 1099511627776 episodes"),
        (lambda p: told(p, "{", "[" * 100_000), "its manifest cannot be read|recursion"),
        (lambda p: told(p, "{", '{"":' + "1" * 5000 + ","), "its manifest cannot be read"),
        (lambda p: p.write_bytes(p.read_bytes()[:-5]), "exploration_rate' are not those .* or remove run.csv.json"),
        (lambda p: p.write_bytes(p.read_bytes()[:-60]), "line 17: expected 14 cells|line 17, column 'final_obs"),
        (
            lambda p: p.write_bytes(p.read_bytes()[: p.read_bytes().rfind(b"\n4,0")]),
            "expected 5 episodes, got 4: export the run again, or remove run.csv.json",
        ),
        (lambda p: p.write_bytes(p.read_text("utf-8").encode("utf-16")), "it is not text in UTF-8: save it as such"),
        (
            lambda p: p.write_bytes(p.read_bytes().replace(b"\n0,0,", b"\n0,\xff,")),
            "it is not text in UTF-8: save it as such",
        ),
        (lambda p: p.write_bytes(p.read_bytes().replace(b"\n0,0,", b"\n0,\0,")), "line 2"),
        (lambda p: edited(p, "\n0,0,", '\n0,"0,'), "expected after|unexpected end of data"),
        (lambda p: p.write_bytes(p.read_bytes()[: p.read_bytes().find(b"\n1,2")] + b"\n"), "line 5, column 'final_obs"),
        (lambda p: p.write_text(""), "it is empty: expected a line with the names of columns"),
        (
            lambda p: p.write_bytes(pickle.dumps(print)),
            "is not text in UTF-8|is missing|describes 9 columns",
        ),
    ],
)
def test_a_damaged_csv_is_refused_with_its_line(csv, store, edit, complaint):
    edit(csv)
    refused(csv, store, complaint)


def test_a_csv_with_a_byte_order_mark_and_windows_line_ends_is_read(csv, store, samples):
    csv.write_bytes(b"\xef\xbb\xbf" + csv.read_bytes().replace(b"\n", b"\r\n"))
    run = store.runs()[0]
    assert samples.chunks_as_bits(store, import_run(csv, store).id) == samples.chunks_as_bits(store, run.id)


def test_a_line_without_end_is_not_read_into_memory(csv, store, monkeypatch):
    monkeypatch.setattr(csv_tables, "MOST_LINE", 1000)
    edited(csv, "\n0,0,", "\n0," + "0" * 2000 + ",")
    refused(csv, store, "line 2 has more than 1,000 characters")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: "x" * 2000, "line 1 has more than 1,000 characters"),
        (lambda text: '"' * 2000, "line 1 has more than 1,000 characters"),
        (lambda text: text + '"' * 2000, "line 19 has more than 1,000 characters"),
        (lambda text: text.replace("\n", "\0\n", 1), "line 1 holds NUL characters: save the file as text in UTF-8"),
        (lambda text: text.encode("utf-16-le").decode("latin-1"), "line 1 holds NUL characters"),
        (lambda text: text + "\n" * 200, "line 119: most of the lines before it are blank"),
        (lambda text: text + ",,,,\n\r" * 200, "line 119: most of the lines before it are blank"),
        (lambda text: text.split("\n", 1)[0], "line 1: it has the names of columns, but no episode begins below them"),
    ],
)
def test_what_is_no_table_is_refused_early(csv, store, monkeypatch, change, complaint):
    csv.with_name("run.csv.json").unlink()
    csv.write_text(change(csv.read_text("utf-8")), "utf-8", newline="")
    monkeypatch.setattr(csv_tables, "MOST_LINE", 1000)
    monkeypatch.setattr(csv_tables, "MOST_BLANK", 100)
    refused(csv, store, complaint)


def test_a_table_with_a_blank_line_after_every_line_is_read(csv, store, samples, monkeypatch):
    monkeypatch.setattr(csv_tables, "MOST_BLANK", 1)
    csv.write_bytes(csv.read_bytes().replace(b"\n", b"\r\r\n"))
    run = samples.ALL["discrete"](store)
    assert samples.chunks_as_bits(store, import_run(csv, store).id) == samples.chunks_as_bits(store, run.id)


def test_a_manifest_without_end_is_not_read_into_memory(csv, store, monkeypatch):
    monkeypatch.setattr(manifest, "MOST_CHARACTERS", 100)
    refused(csv, store, "its manifest is longer than 100 characters")


@pytest.fixture
def document(tmp_path, store, samples):
    """An exported JSON file, and a function that rewrites it after editing the document."""
    path = tmp_path / "run.json"
    export(samples.ALL["discrete"](store), path)

    def edit(change):
        found = json.loads(path.read_text("utf-8"))
        change(found)
        path.write_text(json.dumps(found), "utf-8")
        return path

    return edit


def put(*way):
    """An edit that puts the last item of `way` at the path of the others."""
    *keys, last, value = way

    def change(document):
        for key in keys:
            document = document[key]
        document[last] = value

    return change


def drop(*way):
    *keys, last = way

    def change(document):
        for key in keys:
            document = document[key]
        del document[last]

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("episodes", 1, "rewards", 2, float("nan")), "the reward of episode 1, step 2 is nan"),
        (put("episodes", 1, "rewards", 0, float("inf")), "the reward of episode 1, step 0 is inf"),
        (put("episodes", 1, "rewards", [1.0]), "in episode 1 observations must have 2 rows, got 4"),
        (put("episodes", 1, "actions", 0, [1]), "in episode 1 actions must be int16 of shape"),
        (put("episodes", 1, "actions", 0, 1.5), "in episode 1 actions must be int16"),
        (put("episodes", 1, "actions", 0, "1"), "in episode 1 actions must be int16"),
        (put("episodes", 1, "actions", 0, 2**40), "in episode 1 actions must be int16 .* cannot hold"),
        (put("episodes", 1, "actions", 0, None), "in episode 1 actions must be int16"),
        (put("episodes", 1, "explored", 0, 1), "in episode 1 explored must be bool"),
        (put("episodes", 1, "terminated", 1), "in episode 1 terminated and truncated must be true or false"),
        (put("episodes", 1, "episode", "1"), "an episode must be an object with its number"),
        (put("episodes", 1, 7), "an episode must be an object"),
        (put("episodes", 1, "chunks", [[0]]), "the beginnings of chunks must be pairs"),
        (put("episodes", 1, "figures", "length", 4), "the figures of episode 1 are wrong"),
        (drop("episodes", 1, "figures", "return"), "in episode 1 the figure 'return' is missing"),
        (drop("episodes", 1, "actions"), "in episode 1 the column 'actions' is missing"),
        (drop("episodes", 1), "expected 5 episodes, got 4"),
        (drop("episodes"), "expected"),
        (put("more", 1), "expected"),
        (put("about", "columns", {}), "it has no column of rewards"),
        (drop("about", "columns", "rewards"), "in episode 0 observations must have 1 rows, got 3"),
        (put("about", "columns", 3), "its manifest must map column names"),
        (put("about", []), "it has no rlbench manifest"),
        (
            put("checkpoint", "arrays", "q_table", "shape", [2**20, 2**20]),
            "its column 'q_table' must have a dtype and a shape",
        ),
        (put("checkpoint", "arrays", "q_table", "shape", [7, 2]), "q_table must have the shape"),
        (put("checkpoint", "arrays", 3), "has no attribute 'items'"),
        (lambda document: document.update(checkpoint=document.pop("episodes")), "list indices|."),
        (put("checkpoint", "numbers", []), "its checkpoint is incomplete"),
        (put("checkpoint", "episodes", -1), "its checkpoint is incomplete"),
        (drop("checkpoint", "arrays"), "'arrays' is missing"),
    ],
)
def test_a_damaged_json_document_is_refused(document, store, change, complaint):
    refused(document(change), store, complaint)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"about"', '{"about": {}', '{"about": {}}', "nul", '"' * 99, "[" * 200_000, '{"about": ' * 2000],
)
def test_what_is_no_such_json_is_refused(tmp_path, store, text):
    (tmp_path / "x.json").write_text(text)
    refused(tmp_path / "x.json", store, ".")


# ------------------------------------------------------------ tables that claim more columns than they have

CLAIMED = {f"c{n}": ["<f8", [2**12]] for n in range(20_000)}  # 80 million names


def _claiming_csv(path):
    beside = path.with_name("run.csv.json")
    about = json.loads(beside.read_text("utf-8"))
    about["columns"] |= CLAIMED
    beside.write_text(json.dumps(about), "utf-8")


def _claiming_parquet(path):
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"rlbench"])
    about["figures"] |= CLAIMED
    pq.write_table(table.replace_schema_metadata({b"rlbench": json.dumps(about)}), path)


@pytest.mark.parametrize(("kind", "claim"), [("csv", _claiming_csv), ("parquet", _claiming_parquet)])
def test_columns_that_a_manifest_claims_take_no_memory(kind, claim, tmp_path, store, samples):
    path = tmp_path / f"run.{kind}"
    export(samples.ALL["discrete"](store), path)
    claim(path)
    tracemalloc.start()
    try:
        refused(path, store, "its manifest describes 81,920,00. columns of numbers, but it has 1. columns")
        assert tracemalloc.get_traced_memory()[1] < 2**26  # bytes
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- parquet


@pytest.fixture
def parquet(tmp_path, store, samples):
    """An exported Parquet file, and a function that rewrites it after editing its table."""
    path = tmp_path / "run.parquet"
    export(samples.ALL["discrete"](store), path)

    def edit(change):
        pq.write_table(change(pq.read_table(path)), path)
        return path

    return edit


def with_column(name, change):
    def edit(table):
        at = table.schema.names.index(name)
        return table.set_column(at, name, change(table.column(name)))

    return edit


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda table: table.drop(["action"]), "the column 'action' is missing"),
        (lambda table: table.select(table.schema.names[::-1]), "the columns must be episode, step"),
        (lambda table: table.replace_schema_metadata({}), "it has no rlbench manifest"),
        (lambda table: table.slice(0, len(table) - 1), "'final_observation' must not be null in its row 0"),
        (lambda table: table.slice(0, len(table) - 2), "expected 5 episodes, got 4"),
        (
            lambda table: table.slice(1),
            "in row 0, column 'step': expected 0 where an episode begins, got 1",
        ),
        (with_column("action", lambda column: column.cast(pa.int64())), "'action' must be int16, got int64"),
        (with_column("reward", lambda column: pa.array([str(x) for x in column])), "'reward' must be double"),
        (with_column("step", lambda column: pa.array([None] * len(column), pa.int64())), "'step' must not be null"),
        (
            with_column("reward", lambda column: pa.array([None if x.as_py() is None else np.inf for x in column])),
            "the reward of episode 0, step 0 is inf",
        ),
        (
            with_column("final_observation", lambda column: pa.array([1] * len(column), pa.int32())),
            "the column 'final_observation' must be null in its row 0",
        ),
    ],
)
def test_a_damaged_parquet_file_is_refused(parquet, store, change, complaint):
    refused(parquet(change), store, complaint)


def test_a_parquet_file_of_another_program_is_refused(tmp_path, store):
    pd.DataFrame({"reward": [1.0]}).to_parquet(tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", store, "it has no rlbench manifest")


# ---------------------------------------------------------------- hdf5


@pytest.fixture
def hdf5(tmp_path, store, samples):
    """An exported HDF5 file, and a function that opens it for editing."""
    path = tmp_path / "run.hdf5"
    export(samples.ALL["discrete"](store), path)

    def edit(change):
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return edit


def replaced(name, data, **more):
    def change(file):
        del file[name]
        file.create_dataset(name, data=data, **more)

    return change


def huge(file):
    """A dataset that claims 2^40 rows and holds none."""
    del file["steps/rewards"]
    file.create_dataset("steps/rewards", (2**40,), np.float64, chunks=(2**14,), maxshape=(None,))


def elsewhere(file):
    del file["steps/observations"]
    file["steps/observations"] = h5py.ExternalLink("secret.hdf5", "/numbers")


def raw(file):
    """A dataset whose bytes are in a file of the caller's choice."""
    del file["steps/observations"]
    file.create_dataset("steps/observations", (22,), "<i4", external=[("/etc/passwd", 0, 88)])


def virtual(file):
    del file["steps/observations"]
    layout = h5py.VirtualLayout((22,), "<i4")
    layout[:] = h5py.VirtualSource("secret.hdf5", "numbers", (22,))
    file.create_virtual_dataset("steps/observations", layout)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (huge, "'steps/rewards' claims 8796093022208 bytes but does not hold them"),
        (elsewhere, "'steps/observations' is a link that leads elsewhere: refused"),
        (raw, "'steps/observations' is stored in another file: refused"),
        (virtual, "'steps/observations' is stored in another file: refused"),
        (replaced("steps/rewards", np.full(17, np.nan)), "the reward of episode 0, step 0 is nan"),
        (replaced("steps/rewards", np.zeros(16)), "'rewards' has too few rows"),
        (
            replaced("steps/rewards", np.zeros(18)),
            "the figures of episode 0 are wrong: return -0.1, length 2, and it has 2 steps with rewards of",
        ),
        (replaced("steps/rewards", np.zeros(17, np.float32)), "'rewards' must be <f8 of shape"),
        (replaced("steps/rewards", ["x"] * 17), "'steps/rewards' must be a dataset of numbers"),
        (replaced("figures/return", np.zeros(4)), "'return' has too few rows"),
        (replaced("episodes/length", np.array([2, 3, -9, 1, 2])), "the length of episode 2 is negative"),
        (replaced("episodes/length", np.array([2, 3, 9, 1, 2**40])), "episode 4 claims .* bytes"),
        (
            replaced("chunks", np.zeros(2**26 + 1, np.uint8), compression="gzip"),
            "the list of its chunks claims 67,108,865 bytes but does not hold them",
        ),
        (replaced("episodes/end", np.zeros(5, np.uint8)), "each episode must have a number, and an end"),
        (replaced("chunks", np.frombuffer(b"[0]\n", np.uint8)), "the beginnings of chunks must be pairs"),
        (replaced("about", np.zeros(3)), "'about' must be a string"),
        (replaced("checkpoint/about", np.bytes_(b"{}")), "'episodes' is missing"),
        (lambda file: file.pop("about"), "'about' is missing"),
        (lambda file: file.pop("steps"), "'steps/observations' is missing"),
        (lambda file: file.pop("episodes/end"), "'episodes/end' is missing"),
    ],
)
def test_a_damaged_hdf5_file_is_refused(hdf5, store, change, complaint):
    refused(hdf5(change), store, complaint)


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "feather", "hdf5", "minari", "csv.gz"])
def test_a_file_with_any_bit_flipped_or_cut_short_is_refused_or_is_read(tmp_path, store, samples, kind):
    path = tmp_path / samples.PATHS[kind]
    export(samples.ALL["discrete" if kind != "minari" else "cartpole"](store), path, kind.removesuffix(".gz"))
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    dice, before = np.random.default_rng(len(kind)), store.runs()
    for _ in range(40):
        file = files[dice.integers(len(files))]
        good = file.read_bytes()
        bad = bytearray(good[: dice.integers(1, len(good)) if dice.integers(2) else len(good)])
        bad[dice.integers(len(bad))] ^= 1 << int(dice.integers(8))
        file.write_bytes(bytes(bad))
        complaint = ""
        try:
            store.delete_run(import_run(path, store).id)
        except UsageError as error:
            complaint = str(error)
        file.write_bytes(good)
        assert "\n" not in complaint
        assert store.runs() == before


@pytest.mark.parametrize("kind", ["parquet", "feather", "hdf5", "csv.gz"])
def test_a_flipped_bit_never_changes_a_number_unseen(tmp_path, store, samples, kind):
    path = tmp_path / samples.PATHS[kind]
    run = samples.ALL["cartpole"](store)
    export(run, path, kind.removesuffix(".gz"))
    good, expected = path.read_bytes(), samples.chunks_as_bits(store, run.id)
    places = [place for place in range(8, len(good)) if good[place]]
    for place in np.random.default_rng(1).choice(places, 40).tolist():
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        try:
            record = import_run(path, store)
        except UsageError:
            continue
        assert [chunk[4:] for chunk in samples.chunks_as_bits(store, record.id)] == [chunk[4:] for chunk in expected]


# ---------------------------------------------------------------- whatever the format


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.parquet", "x.feather", "x.hdf5", "x.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95", pickle.dumps(shutil.rmtree), b"PK\x03\x04", os.urandom(999)])
def test_foreign_files_are_refused_whatever_they_are_called(tmp_path, store, name, content):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, store, ".")


@pytest.mark.parametrize(
    ("name", "kind", "complaint"),
    [
        ("nothing.csv", None, "cannot import .*nothing.csv: it does not exist"),
        ("", None, "expected a path"),
        ("a\0b", None, "expected a path"),
        ("there.txt", None, "does not name a format"),
        ("there.txt", "cvs", "unknown format 'cvs'; did you mean csv?"),
        ("pipe.csv", None, "pipe.csv is neither a file nor a folder"),
        ("folder", "csv", "folder is a folder, but csv is a file format"),
        ("folder", None, "it is not a Minari dataset: it has no data/metadata.json"),
        ("there.txt", "minari", "it is not a Minari dataset"),
    ],
)
def test_a_path_that_cannot_be_imported_is_refused(tmp_path, monkeypatch, store, name, kind, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.txt").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match=complaint):
        import_run(name, store, kind)
    assert store.runs() == []


def test_an_import_that_fails_late_leaves_no_half_made_run(csv, store, monkeypatch):
    monkeypatch.setattr(csv_tables, "BATCH_STEPS", 1)
    edited(csv, "\n4,0,", "\n4,9,")
    refused(csv, store, "column 'step': expected 0 where an episode begins, got 9 in episode 4")


def test_a_store_that_fails_says_so_itself_and_keeps_no_half(csv, store, monkeypatch):
    append, before = Store.append, store.runs()

    def failing(self, run_id, chunk=None, **more):
        if chunk is not None and chunk.first_episode:
            raise StoreError("no room")
        append(self, run_id, chunk, **more)

    monkeypatch.setattr(Store, "append", failing)
    with pytest.raises(StoreError, match=r"^no room$"):
        import_run(csv, store)
    assert store.runs() == before


def test_chunks_that_begin_out_of_order_are_refused(csv, store):
    told(csv, "[2,4,null],[2,9,null]", "[2,9,null],[2,4,null]")
    refused(csv, store, "a chunk cannot begin at step 4 of episode 2")


@pytest.mark.parametrize(
    "change",
    [
        {"env_id": "a\x1b]0;owned\x07"},
        {"tags": ["\x9b2J"]},
        {"parents": ["\u202e"]},
        {"config": {"agent": {"name": "\x1b"}}},
        {"evaluation": {"a\x7f": 1}},
    ],
)
def test_a_manifest_with_control_characters_is_refused(tmp_path, store, samples, change):
    export(samples.ALL["discrete"](store), tmp_path / "run.json")
    document = json.loads((tmp_path / "run.json").read_text())
    document["about"]["run"] |= change
    (tmp_path / "run.json").write_text(json.dumps(document))
    refused(tmp_path / "run.json", store, "control characters")


def test_a_changed_reward_contradicts_the_return_of_its_episode(csv, store):
    line(csv, 3, lambda cells: cells.__setitem__(4, "-9.0"))
    refused(csv, store, r"the figures of episode 0 are wrong: return .*, and it has 2 steps with rewards of -9")


@pytest.mark.parametrize("column", ["observation", "action", "explored", "episode_exploration_rate"])
def test_a_changed_value_of_any_column_is_found_by_its_digest(csv, store, column):
    table = [row.split(",") for row in csv.read_text().splitlines()]
    at = table[0].index(column)
    row = next(row for row in table[1:] if row[at])
    row[at] = {"True": "False", "False": "True"}.get(row[at]) or str(float(row[at]) + 1).removesuffix(".0")
    csv.write_text("\n".join([*(",".join(row) for row in table), ""]))
    refused(csv, store, r"the values of '(steps|figures)/\w+' are not those that were exported: export the run again")


def test_a_table_saved_again_by_another_program_is_the_same_table(csv, store):
    again = io.StringIO(newline="")
    writer = csv_module.writer(again, quoting=csv_module.QUOTE_ALL, lineterminator="\r\n")
    for row in csv_module.reader(csv.read_text().splitlines()):
        writer.writerow([_as_a_spreadsheet_saves(cell) for cell in row])
    before = import_run(csv, store)
    csv.write_text(again.getvalue(), newline="")
    after = import_run(csv, store)
    for name, figures in store.figures(before.id).items():
        assert np.array_equal(figures, store.figures(after.id)[name])
    for one, other in zip(store.episodes(before.id), store.episodes(after.id), strict=True):
        assert np.array_equal(one.rewards, other.rewards)
        assert np.array_equal(one.observations, other.observations)


def _as_a_spreadsheet_saves(cell):
    return (
        cell.upper() if cell in ("True", "False") else "0" if cell == "-0.0" else re.sub(r"^(-?\d+)\.0$", r"\1", cell)
    )
