"""`rlbench store key`, `encrypt`, `decrypt` and `rotate-key`, and what other commands say of an encrypted store."""

import os
import stat
import sys
from pathlib import Path

import pytest


@pytest.fixture
def key(rlbench):
    """The path of a key."""
    assert rlbench("store", "key", "--out", "one.key").code == 0
    return "one.key"


@pytest.fixture
def run(rlbench):
    """The id of a run in the store of the working folder."""
    found = rlbench("train", "FrozenLake-v1", "--episodes", "20", "--tag", "secret", "--json").document
    return found["run"]


def test_a_key_is_printed_or_written_to_a_file_that_only_its_owner_reads(rlbench, tmp_path):
    printed = rlbench("store", "key").out
    assert len(bytes.fromhex(printed)) == 32
    assert printed != rlbench("store", "key").out
    made = rlbench("store", "key", "--out", "a.key", "--json").document
    assert rlbench("store", "key", "--json").document.keys() == {"id", "key"}
    assert made.keys() == {"id"}
    assert len(bytes.fromhex((tmp_path / "a.key").read_text())) == 32
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    again = rlbench("store", "key", "--out", "a.key")
    assert (again.code, again.out) == (2, "")
    assert "a.key exists already: a key is never overwritten" in again.err
    assert "cannot be written to no/folder: No such file" in rlbench("store", "key", "--out", "no/folder").err


def test_a_store_goes_there_and_back(rlbench, run, key):
    before = rlbench("runs").out
    assert rlbench("store", "info", "--json").document["encrypted"] is False
    done = rlbench("store", "encrypt", "--key-file", key, "--json").document
    assert done["encrypted"] >= 3
    assert rlbench("store", "encrypt", "--key-file", key).out == "rlbench.db: 0 records encrypted\n"
    assert rlbench("store", "info", "--json").document["encrypted"] is True
    assert "encrypted                yes" in rlbench("store", "info").out
    assert rlbench("runs").out == before
    assert "all as stored" in rlbench("verify", run, "--key-file", key).out
    assert rlbench("train", "FrozenLake-v1", "--episodes", "30", "--key-file", key, "--json").document[
        "cached_episodes"
    ]
    assert rlbench("store", "check", "--key-file", key).code == 0
    assert rlbench("store", "backup", "kept.db", "--key-file", key).code == 0
    assert rlbench("replay", run, "--episode", "0", "--store", "kept.db", "--key-file", key).code == 0
    assert rlbench("store", "decrypt", "--key-file", key).code == 0
    assert "all as stored" in rlbench("verify", run).out
    assert rlbench("store", "check").code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "latest"),
        ("replay", "latest"),
        ("store", "check"),
        ("train", "FrozenLake-v1"),
        ("resume", "latest", "--episodes", "40"),
    ],
)
def test_without_the_key_or_with_another_a_command_says_so_in_a_line(rlbench, run, key, command):
    rlbench("store", "encrypt", "--key-file", key)
    rlbench("store", "key", "--out", "other.key")
    for options, said in (
        ([], "is encrypted: give its key by --key-file FILE or RLBENCH_KEY_FILE"),
        (
            ["--key-file", "other.key"],
            "the store is encrypted with the key ",
        ),
    ):
        outcome = rlbench(*command, *options)
        assert outcome.code != 0
        assert said in outcome.err + outcome.out
        assert len((outcome.err + outcome.out).splitlines()) < 5
    assert len(rlbench("runs", "--json").document["runs"]) == 1


def test_the_lists_are_encrypted_on_demand(rlbench, run, key, tmp_path):
    rlbench("store", "encrypt", "--encrypt-figures", "--key-file", key)
    for command in (("runs",), ("runs", "--tag", "secret"), ("store", "info"), ("verify", "latest")):
        outcome = rlbench(*command)
        assert (outcome.code, outcome.out) == (1, "")
        assert "the list of runs in rlbench.db is encrypted: give its key by --key-file FILE" in outcome.err
    found = rlbench("runs", "--tag", "secret", "--key-file", key, "--json").document["runs"]
    assert [each["run"] for each in found] == [run]
    content = (tmp_path / "rlbench.db").read_bytes()
    assert not any(word in content for word in (b"FrozenLake", b"q-learning", b"learning_rate"))


def test_a_store_is_encrypted_from_its_start(rlbench, key):
    assert rlbench("store", "encrypt", "--store", "new.db", "--key-file", key).out == "new.db: 0 records encrypted\n"
    assert rlbench("train", "FrozenLake-v1", "--episodes", "5", "--store", "new.db").code == 1
    assert rlbench("store", "info", "--store", "new.db", "--json").document == {
        **rlbench("store", "info", "--store", "new.db", "--json").document,
        "runs": 0,
        "encrypted": True,
    }


def test_a_key_is_rotated(rlbench, run, key):
    rlbench("store", "encrypt", "--key-file", key)
    rlbench("store", "key", "--out", "two.key")
    rotate = ("store", "rotate-key", "--key-file", key, "--new-key-file")
    assert rlbench(*rotate, key).code == 2
    assert rlbench(*rotate, "two.key", "--json").document["data_keys"] >= 1
    assert rlbench("verify", run, "--key-file", key).code == 1
    assert "all as stored" in rlbench("verify", run, "--key-file", "two.key").out


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
def test_without_any_key_nothing_is_begun(rlbench, command, tmp_path):
    outcome = rlbench("store", command)
    assert outcome.code == 2
    assert (
        "takes a key: give --key-file FILE or set RLBENCH_KEY_FILE; `rlbench store key --out FILE` makes one"
        in outcome.err
    )
    assert not (tmp_path / "rlbench.db").exists()


def test_an_export_is_encrypted_on_demand_and_read_again_with_the_key(rlbench, run, key):
    outcome = rlbench("export", run, "--out", "run.json", "--encrypt")
    assert (outcome.code, outcome.out) == (2, "")
    assert "to encrypt a file, or to read an encrypted one, takes a key: give its key by --key-file FILE" in outcome.err
    assert rlbench("export", run, "--out", "run.json", "--encrypt", "--key-file", key).code == 0
    assert rlbench("import", "run.json", "--store", "new.db").code == 2
    rlbench("store", "key", "--out", "other.key")
    refused = rlbench("import", "run.json", "--store", "new.db", "--key-file", "other.key")
    assert "run.json cannot be imported: it is encrypted with another key than" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not any(path.name == "new.db" for path in Path.cwd().iterdir())
    assert rlbench("import", "run.json", "--store", "new.db", "--key-file", key).code == 0
    assert rlbench("verify", "latest", "--store", "new.db", "--key-file", key).code == 0


def test_a_plain_export_of_an_encrypted_store_says_that_it_is_plain(rlbench, run, key):
    assert rlbench("export", run, "--out", "before.csv").err == ""
    rlbench("store", "encrypt", "--key-file", key)
    told = rlbench("export", run, "--out", "run.csv", "--key-file", key, "--json")
    assert told.err == "run.csv is plain, though the store is encrypted: --encrypt encrypts it too\n"
    assert told.document["path"] == "run.csv"
    assert rlbench("export", run, "--out", "run.csv", "--encrypt", "--force", "--key-file", key).err == ""


def test_names_are_replaced_by_pseudonyms_in_runs_and_models(rlbench, run, key, tmp_path):
    lines = [f"{user},i{item},{1 + item % 5}" for user in ("Ada", "Grace") for item in range(4)]
    (tmp_path / "stars.csv").write_text("user,item,stars\n" + "\n".join(lines))
    settings = ("--set", "n_factors=1", "--set", "n_epochs=5")
    assert rlbench("model", "train", "recommender", "--data", "stars.csv", "--target", "stars", *settings).code == 0
    asked = rlbench("model", "predict", "latest", "--row", "Ada").out
    rlbench("runs", "tag", run, "person:Ada")
    assert "pseudonyms take a key: give --name-key-file FILE" in rlbench("store", "pseudonymise").err
    done = rlbench("store", "pseudonymise", "--key-file", key, "--json").document
    assert (done["runs"], done["models"]) == (1, 1)
    again = rlbench("store", "pseudonymise", "--key-file", key)
    assert again.out == f"rlbench.db: names replaced in 0 runs and 0 models, by the key {done['key']}\n"
    ada = rlbench("store", "pseudonymise", "--show", "Ada", "--name-key-file", key).out.strip()
    assert f"person:{ada}" in rlbench("runs", "--json").document["runs"][0]["tags"]
    assert rlbench("runs", "lineage", run, "--json").document["pseudonymised"] == [done["key"]]
    assert f"names replaced by key {done['key']}" in rlbench("runs", "lineage", run).out
    about = rlbench("model", "show", "latest", "--json").document
    assert about["data"]["hashed"] == {"user": done["key"]}
    assert rlbench("model", "predict", "latest", "--row", ada).out == asked
    assert rlbench("store", "info", "--json").document["encrypted"] is False
    assert rlbench("store", "check").code == 0
    assert not any(name in (tmp_path / "rlbench.db").read_bytes() for name in (b"Ada", b"Grace"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_told_in_a_line(rlbench, run, key):
    rlbench("export", run, "--out", "run.json", "--encrypt", "--key-file", key)
    Path("run.json").chmod(0)
    refused = rlbench("import", "run.json", "--key-file", key)
    assert "run.json cannot be imported: " in refused.err
    assert len(refused.err.splitlines()) == 1


def test_only_names_that_are_given_are_replaced(rlbench, run, key):
    rlbench("runs", "tag", run, "Ada", "--note", "as Ada wanted")
    assert rlbench("store", "pseudonymise", "--only", "Ada", "--key-file", key).code == 0
    ada = rlbench("store", "pseudonymise", "--show", "Ada", "--key-file", key, "--json").document["pseudonym"]
    found = rlbench("runs", "show", run, "--json").document
    assert (sorted(found["tags"]), found["note"]) == (sorted(["secret", ada]), f"as {ada} wanted")


def test_a_model_is_trained_without_a_column_and_with_hashes_of_another(rlbench, key, tmp_path):
    lines = [f"{name},{n},{n % 7},{name < 'H'}" for n, name in enumerate(["Ada", "Grace", "Hedy", "Mary"] * 6)]
    (tmp_path / "people.csv").write_text("name,phone,age,early\n" + "\n".join(lines))
    line = ("model", "train", "tree", "--data", "people.csv", "--target", "early", "--drop", "phone", "--hash", "name")
    assert "hashing takes a key: give --name-key-file FILE" in rlbench(*line).err
    trained = rlbench(*line, "--name-key-file", key, "--json").document
    [key_id] = trained["data"]["hashed"].values()
    assert (trained["data"]["features"], trained["data"]["dropped"]) == (["name", "age"], ["phone"])
    shown = rlbench("model", "show", "latest").out
    assert "  dropped     phone\n" in shown
    assert f"  hashed      name, by the key {key_id}\n" in shown
    asked = ("model", "predict", "latest", "--row", "Ada,3", "--row", "Mary,3")
    assert rlbench(*asked, "--name-key-file", key).out == "True\nFalse\n"
    assert "hashing takes a key" in rlbench(*asked).err
    answered = rlbench("model", "predict", "latest", "--data", "people.csv", "--name-key-file", key, "--json").document
    assert answered["predictions"] == [line.rpartition(",")[2] for line in lines]
    assert not any(name in (tmp_path / "rlbench.db").read_bytes() for name in (b"Ada", b"Grace", b"Hedy"))
