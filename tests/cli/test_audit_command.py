"""`rlbench store audit`, and the head of the log that every command tells that adds to it."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rlbench import export, load_run
from rlbench.store import audit, open_store

OLD = Path(__file__).parents[1] / "data" / "store_v1.sqlite"
TRAIN = ("train", "FrozenLake-v1", "--episodes", "5")


def change(path, sql):
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(sql).rowcount > 0


def test_every_command_that_adds_to_the_log_tells_its_head_and_the_log_tells_who_did_what(rlbench):
    def entered(*command):
        outcome = rlbench(*command)
        assert outcome.code == 0, outcome.err
        [told] = outcome.heads
        log = rlbench("store", "audit", "--json").document
        assert told == f"rlbench.db: audit head {log['head']}"
        return log["entries"][-1]

    first = rlbench(*TRAIN, "--json")
    run = first.document["run"]
    entries = rlbench("store", "audit", "--json").document["entries"]
    assert first.whole_document["audit_heads"] == {"rlbench.db": entries[0]["hash"]}
    assert (first.heads, [entry["what"] for entry in entries]) == ([], ["train"])
    assert entries[0].keys() == {"number", "when", "who", "what", "record", "hash"}
    assert (entries[0]["record"], entries[0]["who"]) == (run, audit.who())
    assert entered("resume", run, "--episodes", "9")["what"] == "resume"
    assert entered("retrain", run)["what"] == "retrain"
    assert entered("record", "FrozenLake-v1", "--policy", "random", "--episodes", "1")["what"] == "record"
    assert entered("runs", "tag", run, "good")["what"] == "tag"
    assert entered("export", run, "--out", "run.json")["what"] == "export"
    assert entered("import", "run.json")["what"] == "import"
    assert entered("token", "create")["what"] == "token"
    token = entries_of(rlbench)[-1]["record"].split()[1]
    assert entered("token", "revoke", token)["record"] == f"token {token}"
    assert entered("store", "backup", "kept.db")["what"] == "backup"
    assert entered("runs", "delete", "latest", "--yes")["what"] == "delete"
    assert entered("store", "prune", "--keep-last", "0", "--yes")["what"] == "prune"
    rlbench("store", "key", "--out", "a.key")
    rlbench("store", "key", "--out", "b.key")
    assert entered("store", "encrypt", "--key-file", "a.key")["what"] == "encrypt"
    assert entered("store", "rotate-key", "--key-file", "a.key", "--new-key-file", "b.key")["what"] == "rotate-key"
    assert entered("store", "decrypt", "--key-file", "b.key")["what"] == "decrypt"
    assert len(rlbench("store", "copy", "rlbench.db", "other.db").heads) == 2
    shown = rlbench("store", "audit", "--limit", "2")
    assert (shown.code, shown.heads) == (0, [])
    assert [line.split()[-1] for line in shown.out.splitlines()[:3]] == ["record", "decrypt", "copy-out"]
    assert rlbench("runs").heads == rlbench("store", "check").heads == []


def entries_of(rlbench):
    return rlbench("store", "audit", "--json").document["entries"]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The path of a store whose log has three entries; it is only copied."""
    path = tmp_path_factory.mktemp("audit") / "three.db"
    with open_store(path) as store:
        for name in ("a", "b", "c"):
            store.enter("export", name)
    return path


@pytest.fixture
def log(three, rlbench, tmp_path):
    """The entries of the log of the store in the working folder."""
    shutil.copy(three, tmp_path / "rlbench.db")
    return entries_of(rlbench)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE number = 2", "entry 2 was changed or put there, after entry 1"),
        ("UPDATE audit SET moment = '2020' WHERE number = 1", "entry 1 was changed"),
        ("DELETE FROM audit WHERE number = 2", "entry 2 is missing"),
        ("DELETE FROM audit WHERE number < 3", "entries 1 to 2 are missing"),
        ("UPDATE audit SET number = 7 WHERE number = 3", "entries 3 to 6 are missing"),
        ("UPDATE audit SET number = -number WHERE number = 1", "-1 is the number of no entry"),
        ("UPDATE audit SET record = x'00ff' WHERE number = 3", "entry 3 was changed"),
    ],
)
def test_what_was_done_to_the_log_is_named_with_its_place(rlbench, log, tmp_path, sql, said):
    change(tmp_path / "rlbench.db", sql)
    outcome = rlbench("store", "audit", "--verify")
    assert outcome.code == 1
    assert said in outcome.out
    assert "not intact" in outcome.out
    told = rlbench("store", "audit", "--json")
    assert (told.code, told.document["intact"], len(told.document["problems"]) > 0) == (1, False, True)
    assert said in rlbench("store", "check").out


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_kept(rlbench, log, tmp_path):
    head = log[-1]["hash"]
    assert rlbench("store", "audit", "--verify", "--head", head).out == f"rlbench.db: 3 entries, intact, head {head}\n"
    assert rlbench("store", "audit", "--verify", "--head", log[0]["hash"]).code == 0
    change(tmp_path / "rlbench.db", "DELETE FROM audit WHERE number = 3")
    assert rlbench("store", "audit", "--verify").code == 0
    outcome = rlbench("store", "audit", "--verify", "--head", head)
    assert outcome.code == 1
    assert f"no entry has the hash {head}: the log was cut off after entry 2, or written anew" in outcome.out
    outcome = rlbench("store", "audit", "--head", "3f2a")
    assert outcome.code == 2
    assert "--head takes a hash of 64 hexadecimal digits" in outcome.err


def test_an_exported_log_is_verified_by_the_formula_of_the_docs(rlbench, log, tmp_path):
    assert rlbench("store", "audit", "--export", "audit.jsonl").code == 0
    before = ""
    for line in (tmp_path / "audit.jsonl").read_text().splitlines():
        entry = json.loads(line)
        listed = [before, *(entry[name] for name in ("number", "when", "who", "what", "record"))]
        before = hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).hexdigest()
        assert entry["hash"] == before
    assert before == log[-1]["hash"]
    again = rlbench("store", "audit", "--export", "audit.jsonl")
    assert (again.code, again.out) == (2, "")
    assert rlbench("store", "audit", "--export", "audit.jsonl", "--force").code == 0


def test_a_store_that_can_only_be_read_is_exported_without_an_entry(rlbench, tmp_path):
    run = rlbench(*TRAIN, "--json").document["run"]
    before = entries_of(rlbench)
    with open_store(tmp_path / "rlbench.db", read_only=True) as store:
        export(load_run(store, run), tmp_path / "x.json")
    assert (tmp_path / "x.json").stat().st_size > 0
    assert entries_of(rlbench) == before


def test_a_store_from_before_there_was_a_log_begins_one(rlbench, tmp_path):
    shutil.copy(OLD, tmp_path / "rlbench.db")
    assert rlbench("store", "audit", "--json").document["entries"] == []
    assert rlbench("store", "audit").out == "rlbench.db: 0 entries, intact\n"
    rlbench("runs", "tag", "latest", "x")
    assert [entry["what"] for entry in entries_of(rlbench)] == ["tag"]
