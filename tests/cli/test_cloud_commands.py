"""Commands on a store in the cloud, on a real S3 server."""

import pytest

from rlbench.store.bucket import open_bucket


@pytest.fixture
def run(rlbench):
    """The id of a run in the store of the working folder."""
    return rlbench("train", "FrozenLake-v1", "--episodes", "20", "--json").document["run"]


def test_a_run_goes_to_the_cloud_is_used_there_and_comes_back(rlbench, run, s3_url):
    assert rlbench("store", "copy", "rlbench.db", s3_url).out.startswith(f"run {run}: copied (1 chunks, ")
    assert rlbench("store", "copy", "rlbench.db", s3_url).out == f"run {run}: equal (0 chunks, 0 bytes)\n"
    here = {
        name: rlbench("runs", "--json", *of).document["runs"] for name, of in (("a", ()), ("b", ("--store", s3_url)))
    }
    assert here["a"] == here["b"]
    for line in (
        ("verify", run),
        ("replay", run, "--episode", "0"),
        ("evaluate", run, "--episodes", "5"),
        ("runs", "tag", run, "kept"),
        ("store", "info"),
        ("store", "sql", "select count(*) from steps"),
        ("retrain", run, "--passes", "2", "--into", "learnt.db"),
        ("store", "check"),
        ("store", "compact"),
    ):
        done = rlbench(*line, "--store", s3_url)
        assert (done.code, done.err) == (0, ""), line
    assert rlbench("runs", "--store", "learnt.db", "--json").document["runs"][0]["parents"] == [run]
    assert rlbench("store", "copy", s3_url, "back.db").code == 0
    assert rlbench("runs", "show", run, "--store", "back.db", "--json").document["tags"] == ["kept"]
    for line in (("train", "FrozenLake-v1"), ("retrain", run), ("resume", run, "--episodes", "30")):
        refused = rlbench(*line, "--store", s3_url)
        assert refused.code == 2
        assert refused.err.endswith(
            f"runs are not written straight into {s3_url}: write them into a file such as rlbench.db, "
            f"then `rlbench store copy rlbench.db {s3_url}`\n"
        )


def test_what_is_pruned_in_the_cloud_frees_its_objects(rlbench, run, s3_url):
    rlbench("train", "FrozenLake-v1", "--episodes", "30", "--json")
    rlbench("store", "copy", "rlbench.db", s3_url)
    before = rlbench("store", "info", "--store", s3_url, "--json").document
    asked = ("store", "prune", "--keep-last", "1", "--store", s3_url, "--json")
    assert rlbench(*asked).document["would_delete"] == [run]
    assert rlbench("store", "info", "--store", s3_url, "--json").document == before
    assert rlbench(*asked, "--yes").document["deleted"] == [run]
    after = rlbench("store", "info", "--store", s3_url, "--json").document
    assert (before["runs"], after["runs"]) == (2, 1)
    assert after["bytes"] < before["bytes"]
    assert rlbench("store", "check", "--store", s3_url).code == 0
    assert rlbench("verify", "latest", "--store", s3_url).code == 0


def test_a_backup_in_the_cloud_is_kept_up_to_date(rlbench, run, s3_url):
    first = rlbench("store", "backup", "--to", s3_url, "--json").document
    assert (first["backup"], first["runs"], first["damaged"]) == (s3_url, 1, 0)
    assert first["bytes"] > 0
    assert rlbench("store", "backup", "--to", s3_url).out == f"rlbench.db is kept in {s3_url} (1 runs, 0 bytes sent)\n"
    rlbench(
        "sweep", "FrozenLake-v1", "--over", "learning_rate=0.1,0.2", "--seeds", "0:1", "--episodes", "5", "--name", "s"
    )
    assert rlbench("store", "backup", "--to", s3_url, "--json").document["runs"] == 3
    assert len(rlbench("runs", "--study", "s", "--store", s3_url, "--json").document["runs"]) == 2
    for wrong in ((), ("a.db", "--to", s3_url)):
        assert "with --to URL into another store: give one of the two" in rlbench("store", "backup", *wrong).err


def test_an_encrypted_run_stays_encrypted_in_the_cloud(rlbench, run, s3_url, seaweed):
    rlbench("store", "key", "--out", "one.key")
    assert rlbench("store", "encrypt", "--key-file", "one.key").code == 0
    assert rlbench("store", "copy", "rlbench.db", s3_url, "--key-file", "one.key").code == 0
    assert rlbench("store", "info", "--store", s3_url, "--json").document["encrypted"] is True
    assert rlbench("runs", "--store", s3_url).code == 0
    refused = rlbench("replay", run, "--episode", "0", "--store", s3_url)
    assert refused.code == 1
    assert "is encrypted: give its key by --key-file FILE or RLBENCH_KEY_FILE" in refused.err
    assert "all as stored" in rlbench("verify", run, "--store", s3_url, "--key-file", "one.key").out
    rlbench("store", "key", "--out", "new.key")
    line = ("store", "rotate-key", "--key-file", "one.key", "--new-key-file", "new.key", "--store", s3_url)
    assert rlbench(*line).code == 0
    assert "all as stored" in rlbench("verify", run, "--store", s3_url, "--key-file", "new.key").out


@pytest.mark.parametrize("end", ["csv", "json.gz"])
def test_an_export_goes_to_the_cloud(rlbench, run, s3_url, end):
    address = f"{s3_url}/run.{end}"
    done = rlbench("export", run, "--out", address)
    assert done.out == f"run {run}: episodes written to {address} ({end.partition('.')[0]}, 20 episodes)\n"
    refused = rlbench("export", run, "--out", address)
    assert (refused.code, refused.err) == (
        2,
        f"Error: {address} exists: choose another name, or overwrite it (--force)\n",
    )
    assert rlbench("export", run, "--out", address, "--force", "--json").document["path"] == address
    beside = ["run.csv.json"] if end == "csv" else []
    assert [one.path for one in open_bucket(s3_url, s3_url.partition("://")[2]).list("")] == [f"run.{end}", *beside]
