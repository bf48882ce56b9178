"""Files that appear whole or not at all: drafts, modes, what a killed process leaves."""

import os
import stat
import subprocess
import sys

import pytest
from stages import killed_at_each_stage

from rlbench.errors import StoreError, UsageError
from rlbench.files import MARKS, written


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def dataset(folder, text):
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "metadata.json").write_text(text)


def half_write(path, error):
    with written(path, overwrite=True) as draft:
        draft.write_text("half")
        raise error


def test_a_draft_takes_the_place_of_the_file_only_once_it_is_whole(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        half_write(path, ZeroDivisionError())
    assert (path.read_text(), names(tmp_path)) == ("old", ["run.csv"])
    with written(path, overwrite=True) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
        assert draft.suffix == ".csv"  # for writers that choose the format by the suffix
    assert (path.read_text(), names(tmp_path)) == ("new", ["run.csv"])
    assert not MARKS


def test_a_new_file_follows_the_umask_and_a_replaced_one_keeps_its_mode(tmp_path):
    before = os.umask(0o027)
    try:
        for mode in (0o640, 0o604):
            with written(tmp_path / "a.csv", overwrite=True) as draft:
                draft.write_text("x")
            assert mode_of(tmp_path / "a.csv") == mode
            (tmp_path / "a.csv").chmod(0o604)
    finally:
        os.umask(before)


def test_the_longest_name_a_file_may_have_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".csv")
    with written(path, overwrite=False) as draft:
        draft.write_text("x")
    assert names(tmp_path) == [path.name]


def test_the_drafts_of_killed_processes_are_swept_and_no_others(tmp_path):
    mine, other = tmp_path / "run.csv", tmp_path / "run.json"
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with written(mine, overwrite=False) as draft:
        draft.write_text("x")
        host, pid, _ = draft.name.removeprefix(".run.").split("-")
        gone = tmp_path / f".run.{host}-{ended.pid}-00000000.part.csv"
        for name in (gone, f"{gone}-wal", tmp_path / f".run.{host}-{pid}-ffffffff.part.csv"):
            (tmp_path / name).write_text("left")
        kept = [
            draft.name,
            f".run.00000000-{ended.pid}-00000000.part.csv",
            f".run.{host}-1-00000000.part.csv",
            ".run.x",
        ]
        for name in kept[1:]:
            (tmp_path / name).write_text("of another host, of a process that lives, of somebody else")
        with written(other, overwrite=False) as another:
            another.write_text("y")
        assert names(tmp_path) == sorted([*kept, "run.json"])
    assert names(tmp_path) == sorted([*kept[1:], "run.json", "run.csv"])


WRITE = """
with written(Path.cwd() / "run.csv", overwrite=True) as draft:
    draft.write_text("new")
"""
REPLACE = """
with written(Path.cwd() / "set", overwrite=True) as draft:
    (draft / "data").mkdir(parents=True)
    (draft / "data" / "metadata.json").write_text("new")
"""


def test_a_writer_killed_anywhere_leaves_the_old_or_the_new_file(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("old")
    for _ in killed_at_each_stage(tmp_path, WRITE, "from rlbench.files import written"):
        assert path.read_text() in ("old", "new")
        with written(tmp_path / "run.json", overwrite=True) as draft:  # whoever writes beside it next
            draft.write_text("x")
        assert names(tmp_path) == ["run.csv", "run.json"]
    assert (path.read_text(), names(tmp_path)) == ("new", ["run.csv", "run.json"])


def test_a_writer_killed_anywhere_leaves_the_old_or_the_new_folder(tmp_path):
    path, stages = tmp_path / "set", 0
    dataset(path, "old")
    for number in killed_at_each_stage(tmp_path, REPLACE, "from rlbench.files import written"):
        stages = number
        with pytest.raises(UsageError, match="exists"), written(path, overwrite=False):
            pass
        assert (path / "data" / "metadata.json").read_text() in ("old", "new")
        assert names(tmp_path) == ["set"]
    assert stages > 4
    assert (path / "data" / "metadata.json").read_text() == "new"


def test_a_file_that_cannot_be_written_is_told_in_a_line(tmp_path):
    with pytest.raises(StoreError, match=r"cannot write .*run.csv: No space left on device"):
        half_write(tmp_path / "run.csv", OSError(28, "No space left on device"))
    assert names(tmp_path) == []
