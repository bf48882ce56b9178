"""`rlbench export` and `rlbench import`."""

import json
import shutil

import pytest
from click.testing import CliRunner

import rlbench
from rlbench.cli.exchange import export, import_
from rlbench.errors import UsageError
from rlbench.store import open_store


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a store of one run of 12 episodes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLBENCH_STORE", raising=False)
    with open_store("rlbench.db") as store:
        rlbench.train("safecab", episodes=12, seed=0, store=store)
    return tmp_path


def called(command, *arguments):
    """Returns what a command prints; lets its errors through."""
    result = CliRunner().invoke(command, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_run_goes_out_and_comes_in(folder):
    out = called(export, "latest", "--out", "run.hdf5").output
    assert out.endswith("episodes written to run.hdf5 (hdf5, 12 episodes)\n")
    told = json.loads(called(import_, "run.hdf5", "--store", "other.db", "--json").output)
    assert (told["env_id"], told["agent"], told["seed"]) == ("rlbench/SafeCab-v0", "q-learning", 0)
    assert (told["episodes"], told["tags"]) == (12, ["imported"])
    with open_store("rlbench.db") as ours, open_store("other.db") as theirs:
        assert theirs.run("latest").id == told["run"]
        assert theirs.run("latest").timesteps == told["timesteps"] == ours.run("latest").timesteps


def test_an_export_tells_in_json_what_it_wrote(folder):
    told = json.loads(
        called(export, "latest", "--format", "minari", "--out", "cab-v0", "--episodes", "0:5", "--json").output
    )
    assert told.pop("run")
    assert list(told.pop("audit_heads")) == ["rlbench.db"]
    assert told == {"what": "episodes", "format": "minari", "episodes": 5, "path": "cab-v0"}
    assert (folder / "cab-v0" / "data" / "metadata.json").exists()
    assert "12 episodes" not in called(import_, "cab-v0").output


def test_what_is_left_out_of_an_import_is_said_in_a_line(folder):
    called(export, "latest", "--format", "minari", "--data-format", "arrow", "--out", "cab-v0")
    assert json.loads((folder / "cab-v0" / "data" / "metadata.json").read_text())["data_format"] == "arrow"
    shutil.rmtree(folder / "cab-v0" / "data" / "11")
    result = called(import_, "cab-v0", "--store", "other.db")
    assert result.exit_code == 0
    assert result.stderr.startswith("12 episodes were exported, the dataset now has 11: ")
    assert result.stderr.count("\n") == 1


def test_a_table_that_lost_the_file_beside_it_needs_an_env(folder):
    called(export, "latest", "--out", "run.csv.gz", "--next-observation")
    (folder / "run.csv.gz.json").unlink()
    result = called(import_, "run.csv.gz", "--env", "safecab", "--store", "other.db")
    assert result.stdout.split(": ", 1)[1].startswith("unknown on rlbench/SafeCab-v0, 12 episodes, ")
    assert result.stderr.startswith("run.csv.gz.json is not beside it: agent, seed and configuration are unknown")
    assert (
        called(import_, "run.csv.gz", "--store", "other.db").stdout.split(": ", 1)[1].startswith("unknown on unknown")
    )


def test_results_and_tables_go_out_too(folder):
    assert (
        "results written to a.csv (csv, 12 episodes)"
        in called(export, "latest", "--what", "results", "--out", "a.csv").output
    )
    assert called(export, "latest", "--what", "table", "--out", "q.csv").output.endswith(
        "table written to q.csv (csv)\n"
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [("3", 1), ("-1", 1), ("0:5", 5), (":5", 5), ("-3:", 3), (":", 12), ("0:2, 7,9:11", 5), ("5:3", 0)],
)
def test_episodes_are_chosen_by_numbers_and_ranges(folder, text, count):
    told = json.loads(called(export, "latest", "--out", "x.json", "--episodes", text, "--json").output)
    assert told["episodes"] == count


@pytest.mark.parametrize("text", ["", "x", "1.5", "1:2:3", "0:5,", "9" * 5000, "0:" + "9" * 99])
def test_episodes_that_make_no_sense_are_refused(folder, text):
    with pytest.raises(UsageError, match="--episodes takes a number or A:B, such as 0:100"):
        called(export, "latest", "--out", "x.json", "--episodes", text)


def test_an_episode_that_is_not_there_is_refused(folder):
    with pytest.raises(UsageError, match=r"has no episode 12: it has 12 \(0 to 11\)"):
        called(export, "latest", "--out", "x.json", "--episodes", "12")


def test_a_file_is_overwritten_only_by_force(folder):
    (folder / "x.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"overwrite it \(--force\)"):
        called(export, "latest", "--out", "x.csv")
    assert (folder / "x.csv").read_text() == "mine"
    called(export, "latest", "--out", "x.csv", "--force")
    assert (folder / "x.csv").read_text().startswith("episode,step,observation,")


def test_a_bad_path_makes_no_store(folder):
    for path in ("nothing.csv", "rlbench.db"):
        with pytest.raises(UsageError):
            called(import_, path, "--store", "new.db")
    assert not (folder / "new.db").exists()


@pytest.mark.parametrize("command", [export, import_])
def test_the_help_explains_every_option_and_ends_with_examples(command):
    text = called(command, "--help").output
    assert "Examples:" in text
    assert "--json" in text
