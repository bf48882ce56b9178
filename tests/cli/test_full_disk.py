"""A disk that takes no more: no command leaves half a file, or touches the one that is there."""

import os
import subprocess
import sys

import pytest
from needs import without

import rlbench as library

PROGRAM = """
import resource, sys
from rlbench import files
from rlbench.cli import main
new_mark = files.new_mark
def full_from_now_on():  # when a draft begins; what is beyond the limit cannot be written
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
    return new_mark()
files.new_mark = full_from_now_on
main(sys.argv[2:])
"""
OUT = {  # the files that commands write, and the commands
    "run.csv": ("export", "latest"),
    "run.json": ("export", "latest"),
    "run.parquet": ("export", "latest"),
    "curve.png": ("plot", "latest"),
    "curve.svg": ("plot", "latest"),
    "run.html": ("report", "latest"),
    "trip.gif": ("replay", "latest"),
    "trip.png": ("replay", "latest"),
    "trip.mp4": ("replay", "latest"),
    "rules.pdf": ("explain", "latest"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    for module in ("matplotlib", "pyarrow", "h5py", "PIL", "imageio_ffmpeg", "sklearn"):
        pytest.importorskip(module)
    if not hasattr(os, "fork"):
        without("a limit for the size of files", "run it on Linux or macOS")
    folder = tmp_path_factory.mktemp("stored")
    with library.open_store(folder / "x.db") as store:
        library.train("safecab", episodes=60, seed=0, store=store)
    return folder / "x.db"


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("before", [None, "the old one"])
@pytest.mark.long
def test_a_full_disk_leaves_no_half_file_and_the_old_one_as_it_was(name, before, stored, tmp_path):
    if before is not None:
        (tmp_path / name).write_text(before)
    force = ["--force"] if OUT[name][0] == "export" else []
    command = [*OUT[name], "--out", name, "--store", stored, *force]
    failed = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1000", *map(str, command)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert failed.returncode == 1, failed.stderr
    assert f"cannot write {name}: " in failed.stderr.splitlines()[-1]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == ({} if before is None else {name: before})


@pytest.mark.long
def test_a_full_disk_on_which_hdf5_itself_crashes_leaves_the_old_file_and_the_next_export_sweeps(stored, tmp_path):
    (tmp_path / "run.hdf5").write_text("the old one")
    command = ["export", "latest", "--out", "run.hdf5", "--force", "--store", stored]
    for limit in (1000, 10**8):
        program = [sys.executable, "-c", PROGRAM, str(limit), *map(str, command)]
        outcome = subprocess.run(program, cwd=tmp_path, capture_output=True, check=False)
        is_written = (tmp_path / "run.hdf5").read_bytes() != b"the old one"
        assert (outcome.returncode == 0) == is_written == (limit > 1000)
    assert [file.name for file in tmp_path.iterdir()] == ["run.hdf5"]


@pytest.mark.long
def test_a_full_disk_leaves_no_half_backup(stored, tmp_path):
    command = ["store", "backup", tmp_path / "backup.db", "--store", stored]
    failed = subprocess.run(
        [sys.executable, "-c", PROGRAM, "9000", *map(str, command)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []
