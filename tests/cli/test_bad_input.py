"""Whatever a user gets wrong is answered by one line, the right exit code, and nothing half-written."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

SAFECAB = ("train", "safecab", "--episodes", "5")
LAKE = ("train", "FrozenLake-v1", "--episodes", "5")

# arguments, exit code, what the line says
BAD = [
    # budgets
    (("train", "safecab", "--episodes", "0"), 2, "episodes must be a whole number, 1 or more, got 0"),
    (("train", "safecab", "--episodes", "-3"), 2, "episodes must be a whole number, 1 or more, got -3"),
    (("train", "safecab", "--episodes", "1.5"), 2, "'1.5' is not a valid integer"),
    (("train", "safecab", "--episodes", "nan"), 2, "'nan' is not a valid integer"),
    (("train", "safecab", "--episodes", ""), 2, "'' is not a valid integer"),
    (("train", "safecab", "--timesteps", "0"), 2, "--timesteps must be a whole number, 1 or more, got 0"),
    (("train", "safecab", "--timesteps", "-1"), 2, "--timesteps must be a whole number, 1 or more, got -1"),
    (("train", "FrozenLake8x8-v1"), 2, "FrozenLake8x8-v1 has no default budget: give --episodes or --timesteps"),
    ((*SAFECAB, "--seed", "-1"), 2, "-1 is not in the range x>=0"),
    # parameters
    ((*SAFECAB, "--set", "gamma=1.2"), 2, "gamma must be in [0, 1], got 1.2"),
    ((*SAFECAB, "--set", "gamma=-0.1"), 2, "gamma must be in [0, 1], got -0.1"),
    ((*SAFECAB, "--set", "gamma=nan"), 2, "gamma must be in [0, 1], got nan"),
    ((*SAFECAB, "--set", "gamma=inf"), 2, "gamma must be in [0, 1], got inf"),
    ((*SAFECAB, "--set", "learning_rate=nan"), 2, "learning_rate must be in [0, 1], got nan"),
    ((*SAFECAB, "--set", "learning_rate=true"), 2, "learning_rate must be a number, got True"),
    ((*SAFECAB, "--set", "learning_rate=fast"), 2, "learning_rate must be a number, got 'fast'"),
    ((*SAFECAB, "--set", "learning_rate=[1]"), 2, "learning_rate must be a number, got [1]"),
    ((*SAFECAB, "--set", "learning_rate="), 2, "learning_rate must be a number, got ''"),
    ((*SAFECAB, "--set", "initial_value=nan"), 2, "initial_value must be finite, got nan"),
    ((*SAFECAB, "--set", "exploration_decay=nan"), 2, "exploration_decay must be 0 or more, got nan"),
    ((*SAFECAB, "--set", "exploration_schedule=lin"), 2, "unknown exploration_schedule 'lin'; did you mean linear?"),
    ((*SAFECAB, "--set", "gama=0.9"), 2, "'gama'; did you mean gamma?"),
    ((*SAFECAB, "--set", "alpha=0.1"), 2, "unknown parameter of q-learning 'alpha'; did you mean learning_rate?"),
    ((*SAFECAB, "--set", "gamma"), 2, "--set takes K=V, such as gamma=0.9, got 'gamma'"),
    ((*SAFECAB, "--set", "gamma=0.9", "--set", "gamma=0.8"), 2, "--set gamma=... is given twice"),
    ((*SAFECAB, "--agent", "replay-q", "--set", "batch_size=0"), 2, "batch_size must be at least 1, got 0"),
    ((*SAFECAB, "--agent", "random", "--set", "gamma=0.9"), 2, "'gamma'"),
    # names
    (("train", "safecap"), 2, "unknown env 'safecap'; did you mean safecab?"),
    (("train", "FrozenLake-v7", "--episodes", "5"), 2, "FrozenLake"),
    ((*SAFECAB, "--agent", "q-lerning"), 2, "unknown agent 'q-lerning'; did you mean q-learning"),
    ((*SAFECAB, "--preset", "bok"), 2, "unknown preset of rlbench/SafeCab-v0 'bok'; did you mean book?"),
    ((*LAKE, "--preset", "book"), 2, "unknown preset of FrozenLake-v1 'book'"),
    ((*SAFECAB, "--engine", "compild"), 2, "unknown engine 'compild'; did you mean compiled?"),
    ((*SAFECAB, "--record", "al"), 2, "unknown record 'al'; did you mean all?"),
    ((*LAKE, "--env-set", "is_slipery=false"), 2, "'is_slipery'; did you mean is_slippery?"),
    ((*LAKE, "--env-set", "map_name=9x9"), 2, "FrozenLake-v1 cannot be made"),
    ((*SAFECAB, "--env-set", "citi=book"), 2, "unknown argument of rlbench/SafeCab-v0 'citi'; did you mean city?"),
    ((*SAFECAB, "--env-set", "city=bok"), 2, "unknown city 'bok'; did you mean book?"),
    ((*SAFECAB, "--env-set", "city"), 2, "--env-set takes K=V"),
    # envs
    (("train", "Pendulum-v1", "--episodes", "5"), 2, "give --bins, a number for each dimension"),
    (("train", "MountainCarContinuous-v0", "--episodes", "5"), 2, "q-learning needs Discrete"),
    ((*SAFECAB, "--env-set", "step_reward=nan"), 2, "step_reward must be a finite number, got nan"),
    ((*SAFECAB, "--env-set", "city=|R:x|"), 2, "line 1 of the map, square 1"),
    ((*SAFECAB, "--env-set", "city=0x5"), 2, "got 0x5"),
    ((*SAFECAB, "--env-set", "max_episode_steps=0"), 2, "max_episode_steps"),
    (("train", "cartpole", "--episodes", "5", "--env-set", "bins=[1,2]"), 2, "bins must be a whole number"),
    (("plan", "cartpole"), 2, "rlbench/DiscreteCartPole-v1 has no transition table P"),
    (("plan", "safecab", "--gamma", "1.1"), 2, "gamma must be in [0, 1], got 1.1"),
    (("plan", "safecab", "--gamma", "nan"), 2, "gamma must be in [0, 1], got nan"),
    # stores
    ((*SAFECAB, "--store", ""), 2, "a store needs a path or URL"),
    ((*SAFECAB, "--store", "no/such/folder.db"), 1, "the folder no/such does not exist"),
    ((*SAFECAB, "--store", "."), 1, ". is a folder, a store is a file"),
    ((*SAFECAB, "--store", "sqlite://x.db"), 2, "write sqlite:///x.db (relative path)"),
    ((*SAFECAB, "--store", "mysql://me:secret@host/x"), 2, "unknown kind of store 'mysql://'; did you mean"),
    (("runs", "--store", "nothing.db"), 1, "there is no store at nothing.db"),
    (("evaluate", "latest"), 1, "there is no store at rlbench.db: check the path, or train into it first"),
    (("replay", "latest"), 1, "there is no store at rlbench.db"),
    (("watch", "latest"), 1, "there is no store at rlbench.db"),
    (("runs", "--limit", "0"), 2, "0 is not in the range x>=1"),
    (("watch", "latest", "--delay", "-1"), 2, "-1.0 is not in the range x>=0"),
    (("watch", "latest", "--max-steps", "0"), 2, "0 is not in the range x>=1"),
]


def _complains(outcome, code, says):
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert says in outcome.err
    assert "Traceback" not in outcome.err
    assert "secret" not in outcome.err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Gymnasium's, of old versions of an env
@pytest.mark.parametrize(("arguments", "code", "says"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_bad_input_is_answered_by_one_line_and_leaves_nothing(rlbench, tmp_path, arguments, code, says):
    _complains(rlbench(*arguments), code, says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [SAFECAB, ("plan", "safecab")])
def test_json_was_asked_for_but_an_error_leaves_stdout_empty(rlbench, arguments):
    _complains(rlbench(*arguments, "--json", "--env-set", "city=bok"), 2, "did you mean book?")


def test_a_bad_word_leaves_a_store_as_it_was(rlbench, tmp_path):
    rlbench(*SAFECAB)
    before = (tmp_path / "rlbench.db").read_bytes()
    for arguments in (case[0] for case in BAD if "--store" not in case[0] and case[0][0] == "train"):
        assert rlbench(*arguments).code
    assert (tmp_path / "rlbench.db").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["rlbench.db"]


# ------------------------------------------------------------------ files that are no store of ours


def _text(path):
    path.write_text("dear diary\n")


def _foreign_database(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name)")


def _newer(path):
    from rlbench.store import open_store

    open_store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")


FILES = {
    "text": (_text, "the file is not an SQLite database; give another path"),
    "foreign": (_foreign_database, "is not an rlbench store: give another path"),
    "newer": (_newer, "is from a newer rlbench (schema 999): upgrade rlbench to open it"),
    "folder": (Path.mkdir, "is a folder, a store is a file"),
}
COMMANDS = [SAFECAB, ("runs",), ("evaluate", "latest"), ("replay", "best"), ("watch", "latest")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_store_is_refused_and_left_as_it_was(rlbench, tmp_path, kind, command):
    make, says = FILES[kind]
    file = tmp_path / "precious"
    make(file)
    before = file.read_bytes() if file.is_file() else list(file.iterdir())
    _complains(rlbench(*command, "--store", "precious"), 1, says)
    assert (file.read_bytes() if file.is_file() else list(file.iterdir())) == before
    assert [other.name for other in tmp_path.iterdir()] == ["precious"]


@pytest.fixture
def locked_folder():
    """A folder that may be read but not written, in which this process has no rights of root."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), user
        os.seteuid(user)
        Path(folder).chmod(0o700)


def _lock(folder, user):
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(65534)  # nobody: root ignores file modes


def test_a_folder_that_may_not_be_written_is_named_and_stays_empty(rlbench, locked_folder):
    folder, user = locked_folder
    _lock(folder, user)
    _complains(rlbench(*SAFECAB, "--store", folder / "x.db"), 1, "its folder is not writable, choose another one")
    assert list(folder.iterdir()) == []


def test_a_store_that_may_only_be_read_is_read(rlbench, locked_folder):
    folder, user = locked_folder
    commands = ("runs",), ("replay", "latest"), ("watch", "latest"), ("evaluate", "latest")
    for command in (SAFECAB, *commands):  # once as the owner of numba's cache, which nobody may not write
        rlbench(*command, "--store", folder / "x.db")
    (folder / "x.db").chmod(0o444)
    _lock(folder, user)
    for command in commands:
        assert rlbench(*command, "--store", folder / "x.db").code == 0
    _complains(rlbench(*SAFECAB, "--seed", 1, "--store", folder / "x.db"), 1, "it can only be read")


# ------------------------------------------------------------------ passwords


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("debug", ["", "1"])
def test_no_password_is_printed_when_a_server_is_away(rlbench, command, debug, monkeypatch, capsys):
    pytest.importorskip("pymongo")
    import traceback

    url = "mongodb://me:secret@127.0.0.1:1/db?serverSelectionTimeoutMS=50"
    monkeypatch.setenv("RLBENCH_STORE", url)
    if not debug:
        outcome = rlbench(*command)
        _complains(outcome, 1, "mongodb://me:***@127.0.0.1:1/db")
        return
    from rlbench.cli import main
    from rlbench.errors import StoreError

    monkeypatch.setenv("RLBENCH_DEBUG", debug)
    with pytest.raises(StoreError) as error:
        main(list(command))
    assert "secret" not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(
    "command",
    [
        ("runs", "mongodb://me:secret@host/db"),
        ("runs", "--store", "mongodb:/me:secret@host/db"),
        ("import", "mongodb://me:secret@host/run.csv"),
        ("store", "copy", "me:secret@host/db", "b.db"),
    ],
)
def test_no_password_is_printed_for_an_address_in_the_wrong_place(rlbench, command, tmp_path):
    outcome = rlbench(*command)
    _complains(outcome, 2, "")
    assert "secret" not in outcome.out + outcome.err
    assert list(tmp_path.iterdir()) == []
