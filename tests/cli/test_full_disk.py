"""A disk that takes no more: no command leaves half a file, or touches the one that is there."""

import json
import os
import subprocess
import sys

import pytest
from needs import without

import rlbench as library
from rlbench.modelling import save_model, train_model

PROGRAM = """
import resource, sys
sys.dont_write_bytecode = True  # beyond the limit it would be cut off, for others too
from rlbench import files
from rlbench.cli import main
new_mark = files.new_mark
def full_from_now_on():  # when a draft begins; what is beyond the limit cannot be written
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
    return new_mark()
files.new_mark = full_from_now_on
main(sys.argv[2:])
"""
DATA = "data.csv"  # lies beside the store
OUT = {  # the files that commands write, and the commands
    "run.csv": ("export", "latest"),
    "run.csv.gz": ("export", "latest"),
    "run.feather": ("export", "latest"),
    "run.json": ("export", "latest"),
    "run.parquet": ("export", "latest"),
    "run.hdf5": ("export", "latest"),
    "run-v0": ("export", "latest", "--format", "minari"),
    "curve.png": ("plot", "latest"),
    "curve.svg": ("plot", "latest"),
    "run.html": ("report", "latest"),
    "trip.gif": ("replay", "latest"),
    "trip.png": ("replay", "latest"),
    "trip.mp4": ("replay", "latest"),
    "rules.pdf": ("explain", "latest"),
    "all.svg": ("compare", "all"),
    "all.csv": ("model", "predict", "latest", "--data", DATA),
    "model.png": ("model", "plot", "latest"),
    "ride.gif": ("watch", "latest"),
}


NEVER_REPLACED = ("all.csv", "run-v0")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    for module in ("matplotlib", "pyarrow", "h5py", "PIL", "imageio_ffmpeg", "sklearn"):
        pytest.importorskip(module)
    if not hasattr(os, "fork"):
        without("a limit for the size of files", "run it on Linux or macOS")
    folder = tmp_path_factory.mktemp("stored")
    with library.open_store(folder / "x.db") as store:
        for seed in (0, 1):
            library.train("safecab", episodes=60, seed=seed, store=store)
        rows = "".join(f"{n},{2 * n}\n" for n in range(500))
        (folder / DATA).write_text(f"a,b\n{rows}")
        save_model(store, train_model("linear", folder / DATA, target="b"))
    return folder / "x.db"


def _command(name, stored):
    command = [stored.parent / DATA if word is DATA else word for word in OUT[name]]
    force = ["--force"] if command[0] == "export" else []
    return [*map(str, command), "--out", name, "--store", str(stored), *force]


FULL = """
import os, resource, sys, json
sys.dont_write_bytecode = True
from pathlib import Path
import h5py, minari, pyarrow.parquet, numpy
from rlbench import files
from rlbench.errors import StoreError
from rlbench.exchange import export
import rlbench

new_mark = files.new_mark

def outcome(name, kind, limit):
    "Exports in a child in whose files no byte beyond a limit can be written; returns how that ended."
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        def full():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return new_mark()
        run = rlbench.load_run(rlbench.open_store(sys.argv[1]), "latest")
        files.new_mark = full
        try:
            export(run, name, kind)
            told = "written"
        except StoreError as error:
            told = str(error)
        os.write(writing, told.encode())
        sys.exit(0)  # as a program ends: HDF5 looks at its files once more
    os.close(writing)
    told = os.fdopen(reading).read()
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told, sorted(os.listdir())]

ways = (("r.hdf5", "hdf5"), ("r-v0", "minari"))
limits = [90, 9000]
print(json.dumps([[name, outcome(name, kind, limit)] for name, kind in ways for limit in limits]))
"""


def test_a_disk_that_is_full_at_any_byte_crashes_no_export_through_hdf5(stored, tmp_path):
    program = [sys.executable, "-c", FULL, str(stored)]
    ended = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True)
    for name, outcome in json.loads(ended.stdout):
        assert outcome == [0, f"cannot write {name}: File too large", []]


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("before", [None, "the old one"])
@pytest.mark.long
def test_a_full_disk_leaves_no_half_file_and_the_old_one_as_it_was(name, before, stored, tmp_path):
    if before is not None and (name in NEVER_REPLACED):
        pytest.skip("it replaces nothing")
    if before is not None:
        (tmp_path / name).write_text(before)
    failed = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1000", *_command(name, stored)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert failed.returncode == 1, failed.stderr
    assert f"cannot write {name}: " in failed.stderr.splitlines()[-1]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == ({} if before is None else {name: before})


@pytest.mark.long
def test_a_full_disk_leaves_no_half_backup(stored, tmp_path):
    command = ["store", "backup", tmp_path / "backup.db", "--store", stored]
    failed = subprocess.run(
        [sys.executable, "-c", PROGRAM, "9000", *map(str, command)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told, error = failed.stderr.splitlines()
    assert failed.returncode == 1
    assert ": audit head " in told  # that a backup was begun
    assert error.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []
