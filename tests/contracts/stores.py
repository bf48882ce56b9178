"""What every store must pass, and what its tests share."""

import contextlib
import dataclasses
import json
import math
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rlbench.errors import StoreError, UsageError
from rlbench.store import (
    BOTH,
    CUT_OFF,
    OPEN,
    TERMINATED,
    TRUNCATED,
    Checkpoint,
    EpisodeChunk,
    Store,
    audit,
    checking,
    codec,
    copying,
    open_store,
    writers,
)
from rlbench.store.config import RunConfig
from rlbench.store.documents import FIXED, NOTES, PARTS, ChunkRow, chunk_row, sums
from rlbench.store.reading import document_of, spans_of
from rlbench.store.sql import answered
from rlbench.store.walks import Table, Walk, table_of


def make_chunk(first_episode, lengths, *, first_step=0, last_end=TERMINATED, steps=True):
    """A chunk whose numbers tell where they belong: observation 1000 * episode + step, reward -step."""
    lengths, ends = np.array(lengths), np.full(len(lengths), TERMINATED, np.uint8)
    ends[-1] = last_end
    begun = [first_step] + [0] * (len(lengths) - 1)
    index = [
        1000 * (first_episode + i) + np.arange(b, b + n + 1)
        for i, (b, n) in enumerate(zip(begun, lengths, strict=True))
    ]
    whole = (lengths + begun)[ends != OPEN]
    return EpisodeChunk(
        first_episode,
        first_step,
        lengths,
        ends,
        {"return": -np.array([(n * (n - 1)) / 2 for n in whole]), "length": whole},
        {
            "observations": np.concatenate(index),
            "actions": np.concatenate([i[:-1] % 3 for i in index]).astype(np.int16),
            "rewards": np.concatenate([-(i[:-1] % 1000.0) for i in index]),
            "explored": np.concatenate([i[:-1] % 2 == 0 for i in index]),
        }
        if steps
        else None,
        {"bit_generator": "PCG64", "state": {"state": 2**127 + 1, "inc": 3}},
    )


def make_walk(first_episode, lengths):
    """A chunk over a table of two states: action 1 changes the state, and ends the episode in the second."""
    arrays = (np.array([0, 1, 1, 0], np.int32), np.array([0.0, -0.0, 1.0, 0.5]), np.array([0, 0, 0, 1]) > 0)
    table = table_of(2, np.arange(5), *arrays)
    lengths, stops = np.array(lengths), np.cumsum(lengths)
    steps = {
        "observations": np.zeros(stops[-1] + len(lengths), np.int32),
        "actions": np.zeros(stops[-1], np.int16),
        "rewards": np.zeros(stops[-1]),
        "explored": np.arange(stops[-1]) % 3 == 0,
    }
    steps["observations"][stops + np.arange(len(lengths)) - 1] = 1
    steps["actions"][[stops - 2, stops - 1]] = 1
    steps["rewards"][stops - 2], steps["rewards"][stops - 1] = -0.0, 0.5
    ends = np.full(len(lengths), TERMINATED, np.uint8)
    walk = Walk.of(table, steps, lengths, ends == TERMINATED)
    return EpisodeChunk(first_episode, 0, lengths, ends, {"return": np.full(len(lengths), 0.5)}, walk)


def in_full(chunk):
    """The same chunk, with its steps written out."""
    return dataclasses.replace(chunk, steps=dict(chunk.steps))


def row_of(store, run_id, number):
    """A chunk as it is stored, without its table."""
    span = span_of(store, run_id, number)
    return ChunkRow(span, *(store.backend.select_part(run_id, span, part)[1] for part in PARTS), None)


HOSTILE = [  # names of envs, agents, tags, snapshots
    "$where",
    '{"$ne": null}',
    "' OR 1=1 --",
    '"; DROP TABLE runs; --',
    "a.b.$c",
    "a%",
    "_",
    "a/../../b",
    " a ",
    "\\",
    "名前 🚕 e\u0301",
    "é",
    "x" * 200,
    "NULL",
    "0",
]


def everything(store):
    """Everything that a store holds, for comparison: records, chunks, checkpoints and snapshots, blobs unchanged."""
    kept = {run.id: (run, _chunks_of(store, run.id), _checkpoints_of(store, run.id)) for run in store.runs()}
    snapshots = [(info, store.backend.select_snapshot(info.kind, info.name)) for info in store.snapshots()]
    return kept, snapshots


def _chunks_of(store, run_id):
    spans = spans_of(store.backend, document_of(store.backend, run_id))
    return [(span, [store.backend.select_part(run_id, span, part) for part in PARTS]) for span in spans]


def _checkpoints_of(store, run_id):
    return [(info, store.backend.select_state(run_id, info)) for info in store.checkpoints(run_id)]


def fill(store, *, seed=0, chunks=4, status="finished", **about):
    """A run with an episode that spans two chunks, a kept checkpoint and a last one; finished by default."""
    run = store.create_run("Taxi-v4", "q-learning", seed=seed, config=RunConfig.of({"gamma": 0.9}), **about)
    store.append(run.id, make_chunk(0, [3, 2], last_end=OPEN))
    store.append(run.id, make_chunk(1, [4, 1], first_step=2), Checkpoint(3, 10, {"q": np.arange(4.0)}), keep=True)
    for first in range(3, chunks + 1):
        store.append(run.id, make_chunk(first, [first], steps=first % 2 == 0), Checkpoint(first + 1, 10 + first, {}))
    store.append(run.id, status=status, seconds=0.25)
    return store.update_run(run.id, evaluation={"mean_return": 1.5})


def sealed(document, **changes):
    """A run's document with changes, and the checksums that match them."""
    return {**document, **changes, **sums({**document, **changes})}


def rewrite(store, run_id, **changes):
    """Changes even a finished run, as if it had been written like this."""
    assert store.backend.commit(run_id, {}, sealed(document_of(store.backend, run_id), **changes))


def span_of(store, run_id, number):
    return next(span for span in store.backend.select_spans(run_id) if span.number == number)


def state_at(store, run_id, timesteps):
    [info] = [info for info in store.checkpoints(run_id) if info.timesteps == timesteps]
    return store.backend.select_state(run_id, info)


def a_writer(**about):
    """How a run's document identifies another process as its writer: by default one that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return json.dumps({"host": socket.gethostname(), "pid": process.pid, "started": "1", "token": "t", **about})


def ago(seconds):
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def flipped(blob, position, bit=0x10):
    damaged = bytearray(blob)
    damaged[position] ^= bit
    return bytes(damaged)


def sealed_changes(store, table, where, changes):
    """What is altered in an encrypted store, as someone does who has the key."""
    return changes and {
        name: store.backend.keyring.seal(value, place_of(table, where, name)) if isinstance(value, bytes) else value
        for name, value in changes.items()
    }


def place_of(table, where, column):
    """The place for which a blob is sealed."""
    if table == "chunks":
        return f"run {where['run']}, chunk {where['number']}, {column.removesuffix('_blob')}"
    if table == "checkpoints":
        return f"run {where['run']}, checkpoint at step {where['timesteps']}"
    return f"table {where['digest']}" if table == "tables" else f"snapshot {where['kind']}/{where['name']}"


class LogContract:
    """What the audit log of a store must do; inherit it beside StoreContract."""

    entry_key = "number"  # the field that names an entry

    def test_what_is_done_is_entered_with_the_change_and_what_is_refused_is_not(self, store):
        begun = len(store.entries())
        run = store.create_run("Taxi-v4", "random", seed=0, what="import")
        store.append(run.id, make_chunk(0, [1]))
        store.update_run(run.id, tags=["a"])
        store.update_run(run.id, note="n")
        store.append(run.id, status="interrupted")
        store.claim(run.id)
        store.append(run.id, status="finished")
        model = store.save_snapshot("model", "0f", {})
        store.save_snapshot("buffer", "b", {})
        assert store.add_snapshot("token", "7a", {}) is not None
        assert store.add_snapshot("token", "7a", {}) is None
        store.enter("export", run.id)
        for refused in (
            lambda: store.claim(run.id),
            lambda: store.update_run("0" * 12, tags=["b"]),
            lambda: store.delete_run("0" * 12),
            lambda: store.delete_snapshot("token", "7b"),
        ):
            with pytest.raises(StoreError):
                refused()
        store.delete_snapshot("buffer", "b")
        store.delete_snapshot("token", "7a")
        store.delete_snapshot("model", model.name)
        store.delete_run(run.id, what="prune")
        entries = store.entries()
        assert [(entry.what, entry.record) for entry in entries[begun:]] == [
            ("import", run.id),
            ("tag", run.id),
            ("resume", run.id),
            ("train", "model 0f"),
            ("token", "token 7a"),
            ("export", run.id),
            ("revoke", "token 7a"),
            ("delete", "model 0f"),
            ("prune", run.id),
        ]
        assert {entry.who for entry in entries} == {audit.who()}
        assert all(datetime.fromisoformat(entry.when).utcoffset() == timedelta() for entry in entries)
        assert list(audit.problems(entries, store.head)) == []
        assert store.head == entries[-1].hash
        assert (store.runs(), store.snapshots()) == ([], [])
        assert store.count_runs() == 0

    def test_an_entry_that_was_changed_removed_or_put_elsewhere_is_named(self, store):
        for number in range(4):
            store.enter("export", f"{number}")
        before, head = store.entries(), store.head
        first, second, third = before[-3:]

        def told():
            assert [damage.where for damage in checking.check(store)] == ["audit log"] * len(found())
            return found()

        def found():
            return list(audit.problems(store.entries(), head))

        def alter(entry, **changes):
            self.alter(store, "audit", {self.entry_key: entry.number}, changes or None)

        assert told() == []
        alter(second, who="nobody@nowhere")
        assert [problem.split(" was ")[0] for problem in told()] == [f"entry {second.number}"]
        alter(second, who=second.who, record="9")
        assert [problem.split(" was ")[0] for problem in told()] == [f"entry {second.number}"]
        alter(second, record=third.record, hash=third.hash)
        alter(third, record=second.record, hash=second.hash)
        assert [problem.split(" was ")[0] for problem in found()] == [f"entry {n.number}" for n in (second, third)]
        alter(second, record=second.record, hash=second.hash)
        alter(third, record=third.record, hash=third.hash)
        assert told() == []
        alter(second)
        assert told() == [f"entry {second.number} is missing"]
        alter(first)
        assert told() == [f"entries {first.number} to {second.number} are missing"]
        alter(third)
        assert list(checking.check(store)) == []  # all of the tail is gone
        [problem] = found()
        assert problem.startswith(f"no entry has the hash {head}: the log was cut off after entry {before[-4].number}")

    def test_two_stores_that_write_at_once_make_one_log(self, store):
        begun = store.head

        def write(number):
            for _ in range(5):
                store.enter("export", f"{number}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        assert list(audit.problems(store.entries(), begun)) == []
        assert sorted(entry.record for entry in store.entries()[-20:]) == sorted("0123" * 5)

    def test_a_copy_of_everything_goes_on_with_the_log_and_one_of_a_run_does_not(self, store):
        run = fill(store)
        before = store.head
        with open_store("memory://") as other, open_store("memory://") as third:
            copying.copy(store, other)
            copying.copy(store, third, [run.id])
            entries = store.entries()
            assert (entries[-2].what, entries[-1].what, entries[-1].record) == ("copy-out", "copy-out", run.id)
            assert other.entries()[: len(entries) - 1] == entries[:-1]
            assert [(entry.what, entry.record) for entry in other.entries()[len(entries) - 1 :]] == [("copy", run.id)]
            assert list(audit.problems(other.entries(), before)) == []
            assert [(entry.what, entry.record) for entry in third.entries()] == [("copy", run.id)]
            copying.copy(store, other)  # both logs went on, each its own way
            assert list(audit.problems(other.entries(), before)) == []

    def test_a_backup_has_the_log(self, store, tmp_path):
        fill(store)
        copying.backup(store, tmp_path / "kept.db")
        with open_store(tmp_path / "kept.db", read_only=True) as kept:
            assert list(audit.problems(kept.entries(), store.entries()[-1].hash)) == []
            assert [entry for entry in kept.entries() if entry.what == "backup"]
            before = kept.head
            kept.enter("export")  # it can only be read
            assert kept.head == before
        copying.backup(store, tmp_path / "one.db", [store.run("latest").id])
        assert not any(url.endswith(".part.db") for url in audit.HEADS), "the head of a draft is told"


class StoreContract:
    """What every store must do; inherit it, give a fixture `store` that yields an empty one, and write `alter`."""

    table_key = "digest"  # the field that names a table

    def alter(self, store, table, where, changes):
        """Changes what is stored, behind the store's back; removes it if `changes` is None.

        `table` is "runs" (fields: those of a run's document), "chunks" (those of Span, "run", "segments_blob",
        "figures_blob", "steps_blob"), "checkpoints" (those of CheckpointInfo, "run", "state_blob") or "snapshots"
        (those of SnapshotInfo, "blob") or "audit" (the number, "who", "record", "hash"). `where` says which, by equal
        fields.
        """
        raise NotImplementedError

    def rows(self, store, table):
        """How many chunks or checkpoints are stored; what runs share counts once."""
        raise NotImplementedError

    def alter_run(self, store, run_id, changes):
        """Changes a run's document and its checksums, as if it had been written like this."""
        document = sealed(document_of(store.backend, run_id), **changes)
        self.alter(
            store, "runs", {"id": run_id}, {name: document[name] for name in (*changes, "record_sum", "notes_sum")}
        )

    def insert_runs(self, store, documents):
        """Adds many runs; a backend may have a faster way."""
        for document in documents:
            assert store.backend.insert_run(document)

    @pytest.fixture
    def run(self, store):
        return store.create_run("Taxi-v4", "q-learning", seed=2**100, config=RunConfig.of({"gamma": np.float64(0.5)}))

    # -- SQL

    def test_sql_sees_runs_episodes_and_steps_as_rows_and_writes_nothing(self, store):
        run, other = fill(store, tags=["a"]), fill(store, seed=1)
        before = everything(store)
        query = """
            SELECT run, tags ->> 0, mean_return, config ->> 'gamma', "return", length, count(*), sum(reward) = "return",
                   min(observation), max(next_observation), sum(action), sum(steps.terminated), min(step), max(step)
            FROM runs JOIN episodes USING (run) JOIN steps USING (run, episode)
            WHERE seed = 0 GROUP BY episode ORDER BY episode
        """
        with answered(store.backend, query) as answer:
            rows = list(answer.rows)
        told = (run.id, "a", 1.5, 0.9)
        assert rows == [  # episode 1 lies in two chunks, and no steps of episode 3 were kept
            (*told, -3.0, 3, 3, 1, 0, 3, 3, 1, 0, 2),
            (*told, -15.0, 6, 6, 1, 1000, 1006, 6, 1, 0, 5),
            (*told, 0.0, 1, 1, 1, 2000, 2001, 2, 1, 0, 0),
            (*told, -6.0, 4, 4, 1, 4000, 4004, 4, 1, 0, 3),
        ]
        with answered(store.backend, "SELECT run, count(*) FROM steps", [other]) as answer:
            assert list(answer.rows) == [(other.id, 14)]
        assert everything(store) == before

    # -- runs

    def test_a_new_run_is_running_and_empty(self, store, run):
        assert store.run(run.id) == run
        assert re.fullmatch("[0-9a-f]{12}", run.id)
        assert (run.env_id, run.agent_name, run.seed) == ("Taxi-v4", "q-learning", 2**100)
        assert (run.status, run.episodes, run.timesteps, run.seconds) == ("running", 0, 0, 0.0)
        assert (run.config.document(), run.evaluation, run.tags, run.parents) == ({"gamma": 0.5}, None, (), ())
        assert datetime.fromisoformat(run.created_at).utcoffset().total_seconds() == 0
        assert store.figures(run.id)["return"].shape == (0,)
        assert len(store.episodes(run.id)) == 0
        assert store.checkpoint(run.id) is None
        assert store.checkpoints(run.id) == []

    def test_a_run_is_found_by_the_beginning_of_its_id_and_as_latest(self, store, run):
        assert store.run(run.id[:6].upper()) == run
        newer = store.create_run("CartPole-v1", "random", seed=1)
        assert store.run("latest") == newer

    def test_an_ambiguous_beginning_names_runs_that_fit(self, store):
        ids = [store.create_run("Taxi-v4", "random", seed=i).id for i in range(17)]  # 16 first digits
        first = next(digit for digit in "0123456789abcdef" if sum(i.startswith(digit) for i in ids) > 1)
        with pytest.raises(StoreError, match=rf"run '{first}' is ambiguous, it could be {first}\w+ or {first}\w+"):
            store.run(first)

    @pytest.mark.parametrize("ref", ["ffffffffffff", "' OR 1=1 --", "$where", "", "%", "best", "0" * 13])
    def test_an_unknown_run_is_a_clear_error(self, store, run, ref):
        with pytest.raises(StoreError, match="there is no run"):
            store.run(ref)

    @pytest.mark.parametrize("ask", ["run", "figures", "episodes", "chunks", "checkpoint", "checkpoints", "delete_run"])
    def test_an_empty_store_says_how_to_start_a_run(self, store, ask):
        with pytest.raises(StoreError, match="has no runs yet: start one with `rlbench train safecab`"):
            getattr(store, ask)("latest")

    def test_runs_are_listed_newest_first_and_filtered(self, store):
        made = [
            store.create_run(env, agent, seed=0, tags=tags)
            for env in ("a", "b")
            for agent, tags in (("x", ["t", "'; DROP TABLE runs"]), ("y", ()))
        ]
        store.append(made[3].id, status="finished")
        assert [run.id for run in store.runs()] == [run.id for run in reversed(made)]
        assert [run.id for run in store.runs(env_id="a")] == [made[1].id, made[0].id]
        assert [run.id for run in store.runs(agent_name="x", limit=np.int64(1))] == [made[2].id]
        assert [run.id for run in store.runs(status="finished")] == [made[3].id]
        assert [run.id for run in store.runs(tag="'; DROP TABLE runs", env_id="a")] == [made[0].id]
        assert store.runs(env_id="' OR 1=1 --") == []

    def test_the_runs_of_a_study_are_listed_where_they_are_asked_for(self, store):
        before = fill(store, tags=["mine"], cache_key="a")
        with store.working_for("s"):
            made = [fill(store, tags=[f"t{i}"], cache_key="a") for i in range(2)]
        after = fill(store)
        joined = store.add_to_study(store.add_to_study(before.id, "s").id, "other")
        assert (joined.studies, joined.tags) == (("other", "s"), ("mine",))
        assert [(run.studies, run.tags) for run in made] == [(("s",), (f"t{i}",)) for i in range(2)]
        ids = {"before": before.id, "made 0": made[0].id, "made 1": made[1].id, "after": after.id}

        def listed(**asked):
            assert store.count_runs(**asked) == len(store.runs(**asked))
            return [name for run in store.runs(**asked) for name in ids if ids[name] == run.id]

        assert listed() == ["after", "before"]
        assert listed(study="s") == ["made 1", "made 0", "before"]
        assert listed(study="s", tag="t0") == listed(tag="t0") == ["made 0"]
        assert listed(study="other") == ["before"]
        assert listed(study="' OR 1=1 --") == []
        assert listed(study="all") == ["after", "made 1", "made 0", "before"]
        assert [run.id for run in store.runs(cache_key="a")] == [made[1].id, made[0].id, before.id]
        store.delete_run(after.id)
        assert store.run("latest").id == before.id
        assert store.run(made[1].id).studies == ("s",)

    def test_the_runs_of_a_study_that_broke_off_are_told(self, store):
        with store.working_for("s"):
            made = [store.create_run("a", "b", seed=seed) for seed in range(4)]
        store.append(made[0].id, status="finished")
        store.append(made[1].id, status="interrupted")
        store.backend.commit(made[2].id, {}, {"writer": ""})  # its writer was killed
        assert {run.id for run in store.broken_off("s")} == {made[1].id, made[2].id}
        assert store.broken_off("other") == []

    def test_a_run_made_for_a_study_keeps_it_when_tagged_and_can_be_listed_or_leave(self, store):
        with store.working_for("s"):
            made = fill(store)
            store.list_run(made.id)
            assert store.runs() == []
        assert store.update_run(made.id, tags=["good"]).studies == ("s",)
        assert store.runs() == []
        store.list_run(made.id)
        assert [(run.id, run.tags, run.studies) for run in store.runs()] == [(made.id, ("good",), ("s",))]
        assert store.remove_from_study(made.id, "s").studies == ()
        assert list(checking.check(store)) == []

    @pytest.mark.parametrize("tag", ["rlbench:study s", "rlbench:made for a study"])
    def test_nobody_tags_a_run_as_one_of_a_study(self, store, run, tag):
        with pytest.raises(
            UsageError, match="a tag that begins with 'rlbench:' is one of rlbench's own, got 'rlbench:"
        ):
            store.update_run(run.id, tags=[tag])

    def test_its_writer_says_how_far_a_run_has_come(self, store, run):
        changes = {"parents": [run.id], "episodes": np.int64(5), "timesteps": 7, "seconds": 1, "seed": 3}
        store.append(run.id, status="finished", **changes)
        changed = store.run(run.id)
        assert (changed.status, changed.parents, changed.seed) == ("finished", (run.id,), 3)
        assert (changed.episodes, changed.timesteps, changed.seconds) == (5, 7, 1.0)
        assert changed.config == run.config

    def test_anybody_may_annotate_a_run_even_a_finished_one(self, store):
        finished = fill(store)
        counted = finished.cache.counted("hit", 2.5)
        changed = store.update_run(finished.id, tags=["x"], note="n", cache=counted, evaluation={"a": np.float32(2)})
        assert changed == store.run(finished.id)
        assert (changed.tags, changed.note, changed.cache) == (("x",), "n", counted)
        assert changed.evaluations == ({"mean_return": 1.5}, {"a": 2.0})
        same = {"tags": (), "note": "", "cache": finished.cache, "evaluations": finished.evaluations}
        assert dataclasses.replace(changed, **same) == finished

    def test_the_same_evaluation_again_is_the_latest_and_kept_once(self, store, run):
        for figure in (1.0, 2.0, 1.0):
            store.update_run(run.id, evaluation={"mean_return": figure})
        assert [one["mean_return"] for one in store.run(run.id).evaluations] == [2.0, 1.0]

    @pytest.mark.parametrize(
        "wrong", [{"regret": "low"}, {"interval": [0, 10**400]}, {"wrappers": [7]}, {"episodes": "9"}]
    )
    def test_an_evaluation_that_no_reader_expects_is_refused(self, store, run, wrong):
        with pytest.raises(
            UsageError,
            match="the figures of an evaluation are numbers, its episodes and seed whole ones, its wrappers texts, got",
        ):
            store.update_run(run.id, evaluation={"mean_return": 1.0, **wrong})
        assert store.run(run.id).evaluations == ()

    def test_two_that_annotate_at_once_lose_nothing(self, store, run, monkeypatch):
        commit = store.backend.commit

        def overtaken(*args, **act):
            monkeypatch.setattr(store.backend, "commit", commit)
            store.update_run(run.id, note="theirs")
            return commit(*args, **act)

        monkeypatch.setattr(store.backend, "commit", overtaken)
        changed = store.update_run(run.id, tags=["mine"])
        assert (changed.tags, changed.note) == (("mine",), "theirs")

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"stats": 1}, "unknown field of a run 'stats'; did you mean status"),
            ({"status": "over"}, "unknown status 'over'"),
            ({"episodes": -1}, "must be 0 or more, got -1"),
            ({"config": RunConfig.of({"env": object()})}, "holds JSON only"),
            ({"parents": "word"}, "lists of strings, got 'word'"),
        ],
    )
    def test_a_bad_change_is_refused_and_changes_nothing(self, store, run, changes, complaint):
        with pytest.raises(UsageError, match=complaint):
            store.append(run.id, seconds=9.0, **changes)
        assert store.run(run.id) == run

    def test_what_training_made_is_not_an_annotation(self, store, run):
        for name in ("status", "config", "episodes", "seconds", "seed"):
            with pytest.raises(UsageError, match=f"unknown field of a run '{name}'"):
                store.update_run(run.id, **{name: 1})

    # -- what is finished stays

    def test_a_finished_run_never_changes(self, store):
        finished = fill(store)
        before = everything(store)
        for attempt in (
            lambda: store.append(finished.id, make_chunk(5, [1])),
            lambda: store.append(finished.id, checkpoint=Checkpoint(9, 90, {})),
            lambda: store.append(finished.id, status="running"),
            lambda: store.claim(finished.id),
        ):
            with pytest.raises(StoreError, match=f"run {finished.id} is finished and does not change any more"):
                attempt()
        assert everything(store) == before

    def grown(self, store, base, first, *, chunks=1):
        """A finished run that begins where `base` ends."""
        last = store.checkpoints(base.id)[-1]
        run = store.create_run("Taxi-v4", "q-learning", seed=0, parents=[base.id], base=base.id, checkpoint=last)
        for number in range(first, first + chunks):
            store.append(run.id, make_chunk(number, [number]), Checkpoint(number + 1, 100 * number, {}))
        store.append(run.id, checkpoint=Checkpoint(99, 9999, {"q": np.ones(2)}), keep=True, status="finished")
        return store.run(run.id)

    def finished(self, store, chunks=2):
        run = store.create_run("Taxi-v4", "q-learning", seed=0)
        for number in range(chunks):
            store.append(run.id, make_chunk(number, [number + 1]))
        store.append(run.id, checkpoint=Checkpoint(chunks, 10, {"q": np.zeros(2)}), keep=True, status="finished")
        return store.run(run.id)

    def test_a_longer_run_shares_what_the_shorter_stored(self, store):
        short = self.finished(store)
        before = everything(store)
        long = self.grown(store, short, 2, chunks=2)
        longest = self.grown(store, long, 4)
        assert [len(store.figures(run.id)["length"]) for run in (short, long, longest)] == [2, 4, 5]
        assert store.figures(longest.id)["length"].tolist() == [1, 2, 2, 3, 4]
        assert [episode.length for episode in store.episodes(longest.id)] == [1, 2, 2, 3, 4]
        assert [info.run for info in store.checkpoints(longest.id)] == [short.id, long.id, longest.id]
        assert store.checkpoint(longest.id, 2).arrays["q"].tolist() == [0, 0]
        assert (longest.episodes, longest.timesteps) == (5, 12)
        assert {run_id: kept for run_id, kept in everything(store)[0].items() if run_id == short.id} == before[0]
        assert list(checking.check(store)) == []

    def test_two_longer_runs_of_one_stand_side_by_side(self, store):
        short = self.finished(store)
        one, other = self.grown(store, short, 2), self.grown(store, short, 2, chunks=3)
        assert (one.episodes, other.episodes) == (3, 5)
        assert list(checking.check(store)) == []

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
    def test_deleting_a_run_keeps_what_others_share(self, store, order):
        runs = [self.finished(store)]
        runs.append(self.grown(store, runs[0], 2))
        runs.append(self.grown(store, runs[1], 3))
        contents = {run.id: [(e.index, e.rewards.tolist()) for e in store.episodes(run.id)] for run in runs}
        states = {run.id: store.checkpoint(run.id).arrays["q"].tolist() for run in runs}
        for number in order:
            store.delete_run(runs[number].id)
            for run in store.runs():
                assert [(e.index, e.rewards.tolist()) for e in store.episodes(run.id)] == contents[run.id]
                assert store.checkpoint(run.id).arrays["q"].tolist() == states[run.id]
            assert list(checking.check(store)) == []
        assert checking.info(store)["chunks"] == 0

    def test_a_run_to_go_on_from_must_be_finished_and_keep_that_checkpoint(self, store, run):
        store.append(run.id, make_chunk(0, [1]), Checkpoint(1, 1, {}), keep=True)
        [info] = store.checkpoints(run.id)
        for base, checkpoint in ((run.id, info), (self.finished(store).id, info)):
            with pytest.raises(StoreError, match=f"run {base} keeps no checkpoint at step 1 to continue from"):
                store.create_run("Taxi-v4", "q-learning", seed=0, base=base, checkpoint=checkpoint)
        with pytest.raises(StoreError, match="there is no run 'ffffffffffff'"):
            store.create_run("Taxi-v4", "q-learning", seed=0, base="ffffffffffff", checkpoint=info)

    def test_a_base_deleted_at_the_last_moment_leaves_nothing(self, store, monkeypatch):
        short = self.finished(store)
        [info] = store.checkpoints(short.id)
        insert = store.backend.insert_run

        def overtaken(*args, **act):
            with contextlib.suppress(StoreError):
                store.delete_run(short.id)
            return insert(*args, **act)

        monkeypatch.setattr(store.backend, "insert_run", overtaken)
        with pytest.raises(StoreError, match="has no runs yet"):
            store.create_run("Taxi-v4", "q-learning", seed=0, base=short.id, checkpoint=info)
        assert everything(store) == ({}, [])

    # -- one damaged record

    @pytest.mark.parametrize("field", [name for name in FIXED | NOTES if name != "id"])
    def test_every_field_of_a_record_is_under_a_checksum(self, store, run, field):
        other = fill(store, tags=["a"], parents=["b"], cache_key="k", note="n")
        value = document_of(store.backend, other.id)[field]
        changed = [*value, "x"] if isinstance(value, list) else value + ("x" if isinstance(value, str) else 1)
        self.alter(store, "runs", {"id": other.id}, {field: changed})
        assert any(damage.run == other.id and damage.where == "record" for damage in checking.check(store))
        with pytest.raises(StoreError, match=f"run {other.id} is damaged"):
            store.run(other.id)
        assert [known.id for known in store.runs()] == [run.id]
        assert [run_id for run_id, _ in store.damaged_runs()] == [other.id]

    def test_a_limited_listing_reads_what_it_shows_and_more_only_in_place_of_damaged_runs(self, store, monkeypatch):
        made = [store.create_run("Taxi-v4", "random", seed=seed) for seed in range(9)]
        select, read, told = store.backend.select_runs, [], []

        def counted(wanted, limit):
            read.append(select(wanted, limit))
            return read[-1]

        monkeypatch.setattr(store.backend, "select_runs", counted)
        assert [run.seed for run in store.runs(limit=2)] == [8, 7]
        assert [run.seed for run in store.runs(limit=2, status="running")] == [8, 7]
        assert list(map(len, read)) == [2, 2]
        for seed in (8, 6):
            self.alter(store, "runs", {"id": made[seed].id}, {"note": "edited"})
        found = store.runs(limit=2, on_damaged=lambda run_id, problem: told.append((run_id, "tags, note" in problem)))
        assert [run.seed for run in found] == [7, 5]
        assert told == [(made[8].id, True), (made[6].id, True)]
        assert max(map(len, read)) == 4
        assert [run.seed for run in store.runs(status="interrupted")] == []

    def test_a_page_reads_whole_only_the_runs_that_it_shows(self, store, monkeypatch):
        config = [RunConfig.of({"agent": {"parameters": {"gamma": gamma / 10}}}) for gamma in range(9)]
        made = [store.create_run("Taxi-v4", "random", seed=9 - i, config=config[i], tags=["t"][:i]) for i in range(9)]
        select, read = store.backend.select_runs, []

        def counted(wanted, limit):
            read.append(select(wanted, limit))
            return read[-1]

        monkeypatch.setattr(store.backend, "select_runs", counted)
        asked = (
            ({}, [8, 7], 9),
            ({"offset": 7}, [1, 0], 9),
            ({"offset": 9}, [], 9),
            ({"tag": "t", "sort": "seed"}, [8, 7], 8),
            ({"where": ["gamma<0.5"], "sort": "-gamma", "offset": 1}, [3, 2], 5),
            ({"status": "finished"}, [], 0),
            ({"env_id": "' OR 1=1 --"}, [], 0),
        )
        for query, places, total in asked:
            page = store.page(**query, limit=2)
            assert ([run.id for run in page.runs], page.total) == ([made[place].id for place in places], total)
        assert sum(map(len, read)) == 8

    def test_a_page_names_its_damaged_runs_and_filters_by_what_is_readable(self, store):
        runs = [fill(store, seed=seed) for seed in range(3)]
        self.alter(store, "runs", {"id": runs[1].id}, {"config": "{"})
        page = store.page()
        assert [run.id for run in page.runs] == [runs[2].id, runs[0].id]
        assert [run_id for run_id, _ in page.damaged] == [runs[1].id]
        assert page.total == 3
        assert store.page(where=["preset=default"], sort="return").runs == [runs[2], runs[0]]
        assert [group.newest for group in store.groups().groups] == [runs[2]]

    def test_one_damaged_record_blocks_nothing_else(self, store):
        runs = [fill(store, seed=seed) for seed in range(3)]
        self.alter(store, "runs", {"id": runs[1].id}, {"config": "{"})
        with open_store("memory://") as target:
            results = {result.run: result.action for result in copying.copy(store, target)}
            assert results == {runs[0].id: "copied", runs[1].id: "damaged", runs[2].id: "copied"}
        assert checking.info(store)["damaged"] == 1
        store.delete_run(runs[1].id)
        assert list(checking.check(store)) == []

    def test_a_deleted_run_is_gone_and_its_neighbour_is_not(self, store, run):
        other = store.create_run("Taxi-v4", "random", seed=1)
        for each in (run, other):
            store.append(each.id, make_chunk(0, [2, 3]), Checkpoint(2, 5, {"q": np.ones(3)}))
        store.delete_run(run.id)
        assert [each.id for each in store.runs()] == [other.id]
        assert len(store.episodes(other.id)) == 2
        with pytest.raises(StoreError, match="there is no run"):
            store.append(run.id, make_chunk(0, [1]))

    # -- chunks and episodes

    def test_a_chunk_comes_back_as_it_went_in(self, store, run):
        chunk = make_chunk(0, [3, 1, 2], last_end=OPEN)
        store.append(run.id, chunk, seconds=0.5)
        [back] = store.chunks(run.id)
        assert (back.first_episode, back.first_step, back.env_rng) == (0, 0, chunk.env_rng)
        pairs = [(back.steps[name], chunk.steps[name]) for name in chunk.steps]
        pairs += [(back.figures[name], chunk.figures[name]) for name in chunk.figures]
        for got, put in [*pairs, (back.lengths, chunk.lengths), (back.ends, chunk.ends)]:
            assert got.dtype == put.dtype
            assert np.array_equal(got, put)
        stored = store.run(run.id)
        assert (stored.episodes, stored.timesteps, stored.seconds) == (2, 6, 0.5)

    def test_an_episode_holds_its_steps_and_one_more_observation(self, store, run):
        store.append(run.id, make_chunk(0, [2, 3]))
        episode = store.episodes(run.id)[1]
        assert episode.index == 1
        assert episode.observations.tolist() == [1000, 1001, 1002, 1003]
        assert episode.actions.tolist() == [1, 2, 0]
        assert episode.rewards.tolist() == [0.0, -1.0, -2.0]
        assert episode.rewards.dtype == np.float64
        assert episode.explored.tolist() == [True, False, True]
        assert (episode.terminated, episode.truncated) == (True, False)
        assert (episode.total_return, episode.length, len(episode)) == (-3.0, 3, 3)

    @pytest.mark.parametrize(
        ("end", "flags"),
        [
            (TERMINATED, (True, False)),
            (TRUNCATED, (False, True)),
            (BOTH, (True, True)),
            (CUT_OFF, (False, False)),
        ],
    )
    def test_every_way_to_end_an_episode_survives(self, store, run, end, flags):
        store.append(run.id, make_chunk(0, [4], last_end=end))
        episode = store.episodes(run.id)[0]
        assert (episode.terminated, episode.truncated) == flags

    def test_a_long_episode_over_three_chunks_reads_as_one(self, store, run):
        store.append(run.id, make_chunk(0, [2, 4], last_end=OPEN))
        assert len(store.episodes(run.id)) == 1
        store.append(run.id, make_chunk(1, [5], first_step=4, last_end=OPEN))
        store.append(run.id, make_chunk(1, [1, 2], first_step=9))
        assert [len(episode) for episode in store.episodes(run.id)] == [2, 10, 2]
        assert store.episodes(run.id)[1].observations.tolist() == list(range(1000, 1011))
        assert store.episodes(run.id)[1].rewards.tolist() == [-float(step) for step in range(10)]
        assert store.figures(run.id)["length"].tolist() == [2, 10, 2]

    def test_episodes_are_a_lazy_sequence(self, store, run):
        for first in (0, 3, 6):
            store.append(run.id, make_chunk(first, [1, 2, 3]))
        episodes = store.episodes(run.id)
        assert len(episodes) == 9
        assert [episode.index for episode in episodes] == list(range(9))
        assert episodes[-1].index == episodes[np.int64(8)].index == 8
        assert [episode.index for episode in episodes[7:2:-2]] == [7, 5, 3]
        assert [episode.index for episode in store.episodes(run.id, [8, 0, -2])] == [8, 0, 7]
        assert [episode.index for episode in store.episodes(run.id, slice(-2, None))] == [7, 8]

    @pytest.mark.parametrize("index", [3, -4, 2**70])
    def test_an_episode_out_of_range_says_how_many_there_are(self, store, run, index):
        store.append(run.id, make_chunk(0, [1, 2, 3]))
        with pytest.raises(IndexError, match=rf"no episode {index} in run {run.id}: there are 3 \(0 to 2\)"):
            store.episodes(run.id)[index]
        with pytest.raises(IndexError):
            store.episodes(run.id, [0, index])

    def test_changing_an_episode_changes_no_other_reading(self, store, run):
        store.append(run.id, make_chunk(0, [3]))
        episodes = store.episodes(run.id)
        episodes[0].rewards[:] = 7
        assert episodes[0].rewards.tolist() == [0, -1, -2]

    def test_figures_alone_are_kept_when_steps_are_not(self, store, run):
        store.append(run.id, make_chunk(0, [2, 3], steps=False))
        store.append(run.id, make_chunk(2, [4], steps=False))
        assert store.figures(run.id)["length"].tolist() == [2, 3, 4]
        assert store.figures(run.id)["return"].tolist() == [-1, -3, -6]
        assert len(store.episodes(run.id)) == 3
        with pytest.raises(StoreError, match="kept figures only, not episode 2: train with record='all'"):
            store.episodes(run.id)[2]

    def test_parts_of_observations_read_as_a_dict(self, store, run):
        steps = {
            "observations/x": np.arange(3),
            "observations/y": np.ones((3, 2)),
            "rewards": np.zeros(2),
            "actions": np.zeros(2),
        }
        store.append(run.id, EpisodeChunk(0, 0, np.array([2]), np.array([1], np.uint8), {}, steps))
        observations = store.episodes(run.id)[0].observations
        assert {name: rows.shape for name, rows in observations.items()} == {"x": (3,), "y": (3, 2)}

    def test_a_chunk_out_of_order_is_refused_and_adds_nothing(self, store, run):
        store.append(run.id, make_chunk(0, [2, 3], last_end=OPEN))
        for wrong in (
            make_chunk(0, [2]),
            make_chunk(1, [2]),
            make_chunk(2, [2]),
            make_chunk(1, [2], first_step=2),
        ):
            with pytest.raises(UsageError, match="must begin at episode 1, step 3, got"):
                store.append(run.id, wrong, Checkpoint(9, 9, {}), status="finished")
        assert store.run(run.id).status == "running"
        assert store.checkpoint(run.id) is None
        assert len(list(store.chunks(run.id))) == 1

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"lengths": np.array([], np.int64), "ends": np.array([], np.uint8)}, "at least one segment"),
            ({"ends": np.array([1], np.uint8)}, "its ends must be 2 codes"),
            ({"ends": np.array([1, 5], np.uint8)}, "its ends must be 2 codes"),
            ({"ends": np.array([-1, 1])}, "its ends must be 2 codes"),
            ({"ends": np.array([1.0, 1.0])}, "its ends must be 2 codes"),
            ({"ends": np.array([0, 1], np.uint8)}, "only its last segment"),
            ({"figures": {"return": np.zeros(3)}}, "figure 'return' must have 2 rows, got shape"),
            ({"steps": {"rewards": np.zeros(6)}}, "column 'rewards' must have 5 rows"),
            (
                {"steps": {"rewards": np.zeros(5), "observations": np.zeros(6)}},
                "'observations' must have 7 rows",
            ),
            ({"steps": {"actions": np.zeros(5)}}, "must have a column 'rewards'"),
            ({"steps": {"rewards": np.zeros((5, 2))}}, "its rewards must be real numbers, one a step"),
            ({"steps": {"rewards": np.zeros(5, complex)}}, "its rewards must be real numbers, one a step"),
            (
                {"steps": {"rewards": np.zeros(5), "x": np.array([None] * 5)}},
                "must hold numbers or bools, got dtype object",
            ),
        ],
    )
    def test_a_malformed_chunk_is_refused_and_adds_nothing(self, store, run, change, complaint):
        with pytest.raises(UsageError, match=complaint):
            store.append(run.id, dataclasses.replace(make_chunk(0, [2, 3]), **change))
        assert store.run(run.id) == run
        assert list(store.chunks(run.id)) == []

    # -- checkpoints

    def test_a_checkpoint_survives_exactly(self, store, run):
        q = np.random.default_rng(0).normal(size=(50, 6))
        numbers = {"state": 2**127 + 5, "rate": 0.1 + 0.2, "worst": -math.inf, "empty": [], "none": None}
        store.append(run.id, checkpoint=Checkpoint(10, 140, {"q": q, "mask": q > 0}, numbers))
        back = store.checkpoint("latest")
        assert (back.episodes, back.timesteps, back.numbers) == (10, 140, numbers)
        assert back.arrays["q"].tobytes() == q.tobytes()
        assert np.array_equal(back.arrays["mask"], q > 0)

    def test_only_the_last_checkpoint_is_kept_unless_asked(self, store, run):
        for episodes, keep in ((1, False), (2, True), (3, False), (4, False)):
            checkpoint = Checkpoint(episodes, 10 * episodes, {"q": np.full(3, episodes)})
            store.append(run.id, checkpoint=checkpoint, keep=keep)
        assert [(info.episodes, info.kept) for info in store.checkpoints(run.id)] == [(2, True), (4, False)]
        assert store.checkpoint(run.id).episodes == 4
        assert store.checkpoint(run.id, episodes=3).arrays["q"].tolist() == [2, 2, 2]
        assert store.checkpoint(run.id, episodes=1) is None

    def test_a_chunk_a_checkpoint_and_progress_go_in_together(self, store, run):
        store.append(run.id, make_chunk(0, [5]), Checkpoint(1, 5, {}), status="finished", seconds=2.0)
        assert [(info.episodes, info.timesteps, info.chunks) for info in store.checkpoints(run.id)] == [(1, 5, 1)]
        stored = store.run(run.id)
        assert (stored.episodes, stored.timesteps, stored.status, stored.seconds) == (1, 5, "finished", 2.0)

    # -- names

    @pytest.mark.parametrize("field", ["env_id", "agent_name", "tag", "cache_key"])
    def test_a_hostile_name_means_itself_and_nothing_else(self, store, field):
        names = [*HOSTILE, "a", "", "y" * 50_000]
        fields = {"tag": lambda name: {"tags": [name]}}.get(field, lambda name: {field: name})
        given = {"env_id": "Taxi-v4", "agent_name": "random", "seed": 0}
        made = {name: store.create_run(**{**given, **fields(name)}) for name in names}
        for name in names:
            assert [run.id for run in store.runs(**{field: name})] == [made[name].id], name[:20]
        assert store.runs(**{field: "b"}) == []

    def test_names_in_a_config_survive_whatever_they_are(self, store):
        config = RunConfig.of({name: {name: [name]} for name in [*HOSTILE, "a\0b", ""]})
        made = store.create_run("Taxi-v4", "random", seed=0, config=config)
        assert store.run(made.id).config.document() == config.document()

    @pytest.mark.parametrize("name", ["\ud800", "a\udfff", "a\0b", "\0", "\x1b]0;x\a", "a\nb", "\x9b2J", "\u202ecba"])
    def test_what_not_every_store_can_keep_is_refused(self, store, name):
        for change in ({"env_id": name}, {"agent_name": name}, {"tags": ["a", name]}, {"cache_key": name}):
            with pytest.raises(UsageError, match="without control characters or lone surrogates"):
                store.create_run(**{"env_id": "a", "agent_name": "b", "seed": 0, **change})
        for wanted in ({"env_id": name}, {"tag": name}, {"status": name}):
            with pytest.raises(UsageError, match="without control characters or lone surrogates"):
                store.runs(**wanted)
        assert store.runs() == []

    def test_a_run_is_named_by_itself_as_by_its_id(self, store):
        run = fill(store)
        assert store.episodes(run)[0].rewards.tolist() == store.episodes(run.id)[0].rewards.tolist()
        assert len(store.episodes(run)) == run.episodes
        assert store.run(run) == store.run(run.id)
        assert store.figures(run)["return"].tolist() == store.figures(run.id)["return"].tolist()
        assert store.checkpoints(run) == store.checkpoints(run.id)

    def test_runs_are_found_by_their_cache_key(self, store):
        made = [store.create_run("Taxi-v4", "random", seed=i, cache_key=key) for i, key in enumerate(("k", "", "k"))]
        assert [run.id for run in store.runs(cache_key="k")] == [made[2].id, made[0].id]
        assert store.run(made[0].id).cache_key == "k"
        assert store.run(made[1].id).cache_key == ""
        assert store.runs(cache_key="$k") == []

    @pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (2, 2), (2**70, 3), (None, 3)])
    def test_a_limit_is_the_most_that_is_listed(self, store, limit, count):
        for seed in range(3):
            store.create_run("Taxi-v4", "random", seed=seed)
        for status in (None, "running"):
            assert len(store.runs(status=status, limit=limit)) == count

    def test_a_negative_limit_is_refused(self, store):
        with pytest.raises(UsageError, match="limit must be 0 or more, got -1"):
            store.runs(limit=-1)

    @pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
    def test_thousands_of_runs_are_listed_newest_first(self, store, run, count):
        document = document_of(store.backend, run.id)
        store.delete_run(run.id)
        moments = [(datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=i)).isoformat() for i in range(count)]
        self.insert_runs(
            store,
            [
                sealed(
                    document,
                    id=f"{i:012x}",
                    owners=f'[[0, "{i:012x}"]]',
                    created_at=at,
                    env_id=str(i % 100),
                    status="finished",
                )
                for i, at in enumerate(moments)
            ],
        )
        assert [run.created_at for run in store.runs()] == moments[::-1]
        assert [run.id for run in store.runs(env_id="7", limit=2)] == [f"{count - 93:012x}", f"{count - 193:012x}"]
        assert store.run("latest").id == f"{count - 1:012x}"

    # -- writers

    def test_a_run_that_is_being_written_is_refused_to_others(self, store, run):
        store.append(run.id, make_chunk(0, [2]), Checkpoint(1, 2, {}))
        with open_store("memory://") as other:
            self.alter(store, "runs", {"id": run.id}, {"writer": other.writer})
            before = everything(store)
            who = rf"run {run.id} is being written by another process \(pid {os.getpid()} on {socket.gethostname()}\)"
            for attempt in (
                lambda: store.append(run.id, make_chunk(1, [1]), Checkpoint(2, 3, {}), status="finished"),
                lambda: store.append(run.id),
                lambda: store.claim(run.id),
            ):
                with pytest.raises(StoreError, match=who + ": nothing was changed"):
                    attempt()
            assert everything(store) == before
            assert store.run(run.id).status == "running"

    def test_its_writer_may_claim_a_run_no_second_time(self, store, run):
        with pytest.raises(StoreError, match="is being written by another process"):
            store.claim(run.id)

    def test_a_run_whose_writer_closed_is_interrupted_and_may_be_claimed(self, store, run):
        with open_store("memory://") as other:
            self.alter(store, "runs", {"id": run.id}, {"writer": other.writer})
        assert store.run(run.id).status == "interrupted"
        with pytest.raises(StoreError, match="has no writer: claim it first; nothing was changed"):
            store.append(run.id, make_chunk(0, [2]))
        assert store.claim(run.id).status == "running"
        store.append(run.id, make_chunk(0, [2]), status="finished")
        assert store.run(run.id).episodes == 1

    def test_closing_a_store_interrupts_the_run_that_it_writes_and_no_other(self, store, run, monkeypatch):
        ended = store.create_run("Taxi-v4", "random", seed=1)
        store.append(ended.id, status="finished")
        told, commit = [], store.backend.commit
        monkeypatch.setattr(store.backend, "commit", lambda *args: told.append((args[0], args[2], commit(*args))))
        store.close()
        [(run_id, changes, done)] = told
        assert (run_id, changes["status"], changes["writer"], done) == (run.id, "interrupted", "", True)

    def test_a_closed_store_writes_nothing_any_more(self, store):
        assert writers.is_alive({"writer": store.writer, "beat": ago(0)})
        store.close()
        assert not writers.is_alive({"writer": store.writer, "beat": ago(0)})

    def test_a_run_whose_process_ended_is_interrupted_and_listed_so(self, store, run):
        other = store.create_run("Taxi-v4", "random", seed=1)
        ended = store.create_run("Taxi-v4", "random", seed=2)
        store.append(ended.id, status="interrupted")
        self.alter(store, "runs", {"id": run.id}, {"writer": a_writer(), "beat": ago(0)})
        assert [run.status for run in store.runs()] == ["interrupted", "running", "interrupted"]
        assert [found.id for found in store.runs(status="interrupted")] == [ended.id, run.id]
        assert [found.id for found in store.runs(status="interrupted", limit=1)] == [ended.id]
        assert [found.id for found in store.runs(status="running")] == [other.id]
        assert store.runs(status="finished") == []
        assert store.claim(run.id).status == "running"

    def test_a_process_that_took_over_the_number_is_not_the_writer(self, store, run):
        self.alter(store, "runs", {"id": run.id}, {"writer": a_writer(pid=os.getppid(), started="1")})
        assert store.run(run.id).status == "interrupted"

    @pytest.mark.parametrize(
        ("seconds", "status"), [(1, "running"), (250, "running"), (-90, "running"), (350, "interrupted")]
    )
    def test_a_writer_on_another_host_is_believed_for_five_minutes(self, store, run, seconds, status):
        about = {"writer": a_writer(host="elsewhere", pid=1), "beat": ago(seconds)}
        self.alter(store, "runs", {"id": run.id}, about)
        assert store.run(run.id).status == status
        if status == "running":
            with pytest.raises(StoreError, match=r"being written by another process \(pid 1 on elsewhere\)"):
                store.claim(run.id)
        else:
            assert store.claim(run.id).status == "running"

    @pytest.mark.parametrize("writer", ["", "{", "[]", "7", '{"pid": 1}', a_writer(pid=2**70), a_writer(pid=-1)])
    def test_a_writer_that_cannot_be_is_dead(self, store, run, writer):
        self.alter(store, "runs", {"id": run.id}, {"writer": writer, "beat": "never"})
        assert store.run(run.id).status == "interrupted"
        assert store.claim(run.id).status == "running"

    def test_a_run_that_was_written_elsewhere_goes_on_from_there_when_it_is_claimed_again(self, store, run):
        store.append(run.id, make_chunk(0, [2]))
        self.alter(store, "runs", {"id": run.id}, {"writer": a_writer()})
        other = Store(store.backend)
        other.claim(run.id)
        other.append(run.id, make_chunk(1, [3]), status="interrupted")
        store.claim(run.id)
        store.append(run.id, make_chunk(2, [4]))
        assert [len(episode) for episode in store.episodes(run.id)] == [2, 3, 4]

    def test_of_two_that_claim_a_run_at_once_one_is_refused(self, store, run, monkeypatch):
        self.alter(store, "runs", {"id": run.id}, {"writer": a_writer()})
        commit = store.backend.commit
        with open_store("memory://") as other:

            def overtaken(*args, **act):
                self.alter(store, "runs", {"id": run.id}, {"writer": other.writer})
                return commit(*args, **act)

            monkeypatch.setattr(store.backend, "commit", overtaken)
            with pytest.raises(StoreError, match="is being written by another process"):
                store.claim(run.id)
            monkeypatch.setattr(store.backend, "commit", commit)
            assert document_of(store.backend, run.id)["writer"] == other.writer

    def test_the_writer_of_a_run_shows_that_it_is_alive(self, store, run):
        self.alter(store, "runs", {"id": run.id}, {"beat": ago(100)})
        before = document_of(store.backend, run.id)["beat"]
        store.show_alive(run.id)
        assert document_of(store.backend, run.id)["beat"] > before
        assert store.run(run.id) == run

    def test_only_the_writer_of_a_run_shows_that_it_is_alive(self, store, run):
        self.alter(store, "runs", {"id": run.id}, {"writer": a_writer(host="elsewhere"), "beat": ago(1)})
        with pytest.raises(StoreError, match="being written by another process"):
            store.show_alive(run.id)

    def test_claiming_what_is_not_there_is_a_clear_error(self, store, run):
        with pytest.raises(StoreError, match="there is no run"):
            store.claim("ffffffffffff")

    @pytest.mark.parametrize("mishap", ["taken over", "deleted"])
    def test_what_happens_at_the_last_moment_leaves_all_or_nothing(self, store, run, mishap, monkeypatch):
        store.append(run.id, make_chunk(0, [2]), Checkpoint(1, 2, {}))
        before, commit = everything(store), store.backend.commit

        def overtaken(*args):
            if mishap == "deleted":
                store.delete_run(run.id)
            else:
                self.alter(store, "runs", {"id": run.id}, {"writer": a_writer(host="elsewhere")})
            return commit(*args)

        monkeypatch.setattr(store.backend, "commit", overtaken)
        with pytest.raises(StoreError, match="by another process" if mishap == "taken over" else "has no runs yet"):
            store.append(run.id, make_chunk(1, [1]), Checkpoint(2, 3, {}), status="finished")
        monkeypatch.setattr(store.backend, "commit", commit)
        assert everything(store) == (before if mishap == "taken over" else ({}, []))
        assert len(store.backend.select_spans(run.id)) == (mishap == "taken over")
        assert len(store.backend.select_checkpoints(run.id)) == (mishap == "taken over")

    # -- snapshots

    def test_a_snapshot_survives_exactly_and_is_replaced_by_the_next(self, store):
        rows = np.random.default_rng(0).normal(size=(20, 3))
        store.save_snapshot("buffer", "a", {"rows": np.zeros(9)}, {"cursor": 1})
        info = store.save_snapshot("buffer", "a", {"rows": rows}, {"cursor": 2**100})
        arrays, numbers = store.load_snapshot("buffer", "a")
        assert arrays["rows"].tobytes() == rows.tobytes()
        assert numbers == {"cursor": 2**100}
        assert store.snapshots() == [info]
        assert (info.kind, info.name, info.size > 400) == ("buffer", "a", True)

    def test_of_all_who_reserve_one_name_at_once_one_gets_it(self, store):
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: store.reserve("model", "tree@1"), range(8)))
        assert sorted(got) == [False] * 7 + [True]
        assert store.reserve("model", "tree@10")
        assert store.reserve("buffer", "tree@1")
        assert store.reserved("model") == ["tree@1", "tree@10"]
        assert (store.snapshots("model"), checking.info(store)["snapshots"]) == ([], 0)
        assert not list(checking.check(store))

    def test_a_snapshot_is_exchanged_for_the_one_that_was_read_alone(self, store):
        first = store.add_snapshot("study", "a", {"n": 0}, {"x": np.zeros(3)})
        assert store.add_snapshot("study", "a", {"n": 1}) is None
        second = store.exchange_snapshot(first, {"n": 2}, {"x": np.ones(3)})
        assert second.created_at > first.created_at
        assert store.exchange_snapshot(first, {"n": 3}, {}) is None
        assert store.snapshots() == [second]
        arrays, numbers = store.load_snapshot("study", "a")
        assert (arrays["x"].tolist(), numbers) == ([1, 1, 1], {"n": 2})
        store.delete_snapshot("study", "a")
        assert store.exchange_snapshot(second, {"n": 4}, {}) is None
        assert (store.snapshots(), list(checking.check(store))) == ([], [])

    def test_of_all_who_exchange_one_snapshot_at_once_one_does(self, store):
        before = store.add_snapshot("study", "a", {})
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda n: store.exchange_snapshot(before, {"n": n}, {}), range(8)))
        [won] = [n for n, info in enumerate(got) if info is not None]
        assert store.load_snapshot("study", "a")[1] == {"n": won}

    def test_the_numbers_of_a_snapshot_are_told_without_its_arrays(self, store, monkeypatch):
        store.save_snapshot("model", "a", {"rows": np.zeros(9)}, {"cursor": 2**100, "about": {"kind": "tree"}})
        monkeypatch.setattr("rlbench.store.codec._unpack_column", None)
        assert store.describe_snapshot("model", "a") == {"cursor": 2**100, "about": {"kind": "tree"}}
        with pytest.raises(StoreError, match="unknown snapshot of kind 'model' 'b'"):
            store.describe_snapshot("model", "b")
        with pytest.raises(UsageError, match="must be 1 to 200 characters"):
            store.describe_snapshot("model", "")

    def test_a_damaged_snapshot_is_not_described(self, store):
        store.save_snapshot("model", "a", {"rows": np.arange(9)}, {"n": 1})
        blob = store.backend.select_snapshot("model", "a")
        self.alter(store, "snapshots", {"kind": "model", "name": "a"}, {"blob": flipped(blob, len(blob) - 1)})
        with pytest.raises(StoreError, match=r"snapshot model/a.* is damaged"):
            store.describe_snapshot("model", "a")

    def test_snapshots_are_listed_by_kind_and_name(self, store):
        for kind, name in (("b", "2"), ("a", "2"), ("b", "1"), ("a", "10")):
            store.save_snapshot(kind, name, {})
        assert [info[:2] for info in store.snapshots()] == [("a", "10"), ("a", "2"), ("b", "1"), ("b", "2")]
        assert [info.name for info in store.snapshots("b")] == ["1", "2"]
        assert store.snapshots("$b") == []

    def test_a_snapshot_may_have_any_name(self, store):
        for i, name in enumerate(HOSTILE):
            store.save_snapshot("buffer", name, {}, {"i": i})
            store.save_snapshot(name, "x", {}, {"i": -i})
        assert [store.load_snapshot("buffer", name)[1]["i"] for name in HOSTILE] == list(range(len(HOSTILE)))
        assert [store.load_snapshot(name, "x")[1]["i"] for name in HOSTILE] == [-i for i in range(len(HOSTILE))]
        store.delete_snapshot("buffer", "$where")
        assert len(store.snapshots("buffer")) == len(HOSTILE) - 1

    @pytest.mark.parametrize("name", ["", "x" * 201, "a\0", "a\n", "\x1b[31m", "\ud800", None, 7])
    def test_a_name_that_cannot_be_shown_is_refused(self, store, name):
        for call in (
            lambda: store.save_snapshot("buffer", name, {}),
            lambda: store.save_snapshot(name, "x", {}),
            lambda: store.load_snapshot("buffer", name),
            lambda: store.delete_snapshot("buffer", name),
        ):
            with pytest.raises(UsageError, match="must be 1 to 200 characters without control characters, got"):
                call()
        assert store.snapshots() == []

    def test_an_unknown_snapshot_names_those_that_are_near(self, store):
        with pytest.raises(StoreError, match=r"no snapshot of kind 'buffer' in .*; known kinds: none"):
            store.load_snapshot("buffer", "replay")
        store.save_snapshot("buffer", "replay-1", {})
        for call in (store.load_snapshot, store.delete_snapshot):
            with pytest.raises(StoreError, match="unknown snapshot of kind 'buffer' 'replay'; did you mean replay-1"):
                call("buffer", "replay")
            with pytest.raises(StoreError, match=r"no snapshot of kind 'bufer' in .*; known kinds: buffer"):
                call("bufer", "replay")

    def test_a_snapshot_that_no_store_could_keep_is_refused(self, store):
        with pytest.raises(UsageError, match="must hold numbers or bools"):
            store.save_snapshot("buffer", "a", {"x": np.array(["text"])})
        assert store.snapshots() == []

    # -- the place itself

    def test_info_counts_what_is_there(self, store):
        empty = checking.info(store)
        is_encrypted = empty.pop("encrypted")
        assert {**empty, "bytes": 0} == dict.fromkeys(
            ("runs", "episodes", "timesteps", "chunks", "checkpoints", "snapshots", "bytes", "damaged"), 0
        )
        fill(store)
        fill(store, seed=1, chunks=2)
        store.save_snapshot("buffer", "a", {})
        told = checking.info(store)
        assert told.pop("encrypted") == is_encrypted
        assert {**told, "bytes": 0} == {
            "runs": 2,
            "episodes": 5 + 3,
            "timesteps": 17 + 10,
            "chunks": 4 + 2,
            "checkpoints": 2 + 1,
            "snapshots": 1,
            "damaged": 0,
            "bytes": 0,
        }
        assert told["bytes"] >= empty["bytes"] >= 0

    def test_compacting_changes_nothing_that_is_stored(self, store):
        fill(store)
        store.delete_run(fill(store, seed=1).id)
        before = everything(store)
        store.backend.compact()
        assert everything(store) == before
        assert list(checking.check(store)) == []

    # -- check

    @pytest.fixture
    def filled(self, store):
        """A run with all kinds of chunks and checkpoints, in a store with another run and a snapshot."""
        fill(store, seed=1, parents=["ffffffffffff"])  # a parent may have been deleted
        store.save_snapshot("buffer", "a", {"x": np.arange(5)})
        return fill(store, seed=2)

    def test_a_sound_store_has_no_damage(self, store, filled):
        store.create_run("Taxi-v4", "random", seed=0)
        assert list(checking.check(store)) == []
        assert list(checking.check(store, "latest")) == []
        with pytest.raises(StoreError, match="there is no run 'abcdefabcdef'"):
            list(checking.check(store, "abcdefabcdef"))

    @pytest.mark.parametrize("part", PARTS)
    def test_a_flipped_bit_in_a_chunk_is_named(self, store, filled, part):
        _, blob = store.backend.select_part(filled.id, span_of(store, filled.id, 1), part)
        where = {"run": filled.id, "number": 1}
        for position in range(0, len(blob), max(1, len(blob) // 20)):
            self.alter(store, "chunks", where, {f"{part}_blob": flipped(blob, position)})
            [damage] = checking.check(store)
            assert damage[:2] == (filled.id, f"chunk 1, {part}"), position
            assert damage.problem
        self.alter(store, "chunks", where, {f"{part}_blob": blob})
        assert list(checking.check(store)) == []

    def test_a_flipped_bit_in_a_checkpoint_or_snapshot_is_named(self, store, filled):
        state, blob = state_at(store, filled.id, 10), store.backend.select_snapshot("buffer", "a")
        self.alter(store, "checkpoints", {"run": filled.id, "timesteps": 10}, {"state_blob": flipped(state, -1)})
        self.alter(store, "snapshots", {"kind": "buffer", "name": "a"}, {"blob": flipped(blob, 9)})
        found = {damage[:2] for damage in checking.check(store)}
        assert found == {(filled.id, "checkpoint at step 10"), ("", "snapshot buffer/a")}
        assert {damage[0] for damage in checking.check(store, filled.id)} == {filled.id}
        with pytest.raises(StoreError, match=r"snapshot buffer/a.* is damaged"):
            store.load_snapshot("buffer", "a")

    @pytest.mark.parametrize(("number", "where"), [(0, "chunk 0"), (2, "chunk 2"), (3, "chunk 3")])
    def test_a_missing_chunk_is_named(self, store, filled, number, where):
        self.alter(store, "chunks", {"run": filled.id, "number": number}, None)
        assert list(checking.check(store)) == [(filled.id, where, "missing")]
        with pytest.raises(StoreError, match=f"run {filled.id} is damaged"):
            list(store.chunks(filled.id))

    def test_blobs_exchanged_for_each_other_are_named(self, store, filled):
        [other] = [run.id for run in store.runs() if run.id != filled.id]
        of_chunk = {n: store.backend.select_part(filled.id, span_of(store, filled.id, n), "figures")[1] for n in (0, 1)}
        self.alter(store, "chunks", {"run": filled.id, "number": 0}, {"figures_blob": of_chunk[1]})
        self.alter(store, "chunks", {"run": filled.id, "number": 1}, {"figures_blob": of_chunk[0]})
        blob = store.backend.select_part(other, span_of(store, other, 3), "segments")[1]
        self.alter(store, "chunks", {"run": filled.id, "number": 3}, {"segments_blob": blob})
        state = state_at(store, other, 10)
        self.alter(store, "checkpoints", {"run": filled.id, "timesteps": 10}, {"state_blob": state})
        assert [damage[:2] for damage in checking.check(store)] == [
            (filled.id, "chunk 0, figures"),
            (filled.id, "chunk 1, figures"),
            (filled.id, "chunk 3, segments"),
            (filled.id, "checkpoint at step 10"),
        ]
        assert {damage.problem for damage in checking.check(store)} == {"it belongs to something else"}

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"episodes": 6}, "counters"),
            ({"timesteps": 1}, "counters"),
            ({"next_episode": 4}, "counters"),
            ({"next_step": 2}, "counters"),
            ({"config": "{"}, "record"),
            ({"config": "[]"}, "record"),
            ({"evaluation": "7"}, "record"),
            ({"evaluation": "[7]"}, "record"),
            ({"evaluation": '[{"mean_return": "high"}]'}, "record"),
            ({"evaluation": '[{"wrappers": null}]'}, "record"),
            ({"evaluation": '[{"seed": -1}]'}, "record"),
            ({"cache": "[]"}, "record"),
            ({"owners": "[]"}, "record"),
            ({"owners": '[["a", 1]]'}, "record"),
            ({"checkpoints": 3}, "checkpoints"),
            ({"config": "[" * 100_000}, "record"),
            ({"evaluation": "nan?"}, "record"),
            ({"seed": "x"}, "record"),
            ({"status": "over"}, "record"),
            ({"chunks": 5}, "chunk 4"),
            ({"chunks": 2**40}, f"chunks 4 to {2**40 - 1}"),
        ],
    )
    def test_a_record_that_does_not_fit_is_named(self, store, filled, change, where):
        self.alter_run(store, filled.id, change)
        found = [damage[:2] for damage in checking.check(store)]
        assert (filled.id, where) in found
        assert {run_id for run_id, _ in found} <= {filled.id, ""}  # "": nor is it known who wrote its chunks
        assert {damage[:2] for damage in checking.check(store, filled.id)} == set(found) - {("", "store")}

    @pytest.mark.parametrize("field", ["first_episode", "first_step", "episodes", "segments", "steps"])
    def test_a_chunk_that_lies_elsewhere_is_named(self, store, filled, field):
        [was] = [getattr(span, field) for span in store.backend.select_spans(filled.id) if span.number == 1]
        self.alter(store, "chunks", {"run": filled.id, "number": 1}, {field: was + 1})
        found = {damage[:2] for damage in checking.check(store)}
        assert found & {(filled.id, "chunk 1"), (filled.id, "chunk 1, segments")}
        assert {run for run, _ in found} == {filled.id}

    @pytest.mark.parametrize("field", ["episodes", "chunks", "size"])
    def test_a_checkpoint_that_is_of_another_moment_is_named(self, store, filled, field):
        [was] = [getattr(info, field) for info in store.checkpoints(filled.id) if info.timesteps == 10]
        self.alter(store, "checkpoints", {"run": filled.id, "timesteps": 10}, {field: was - 1})
        assert [damage[:2] for damage in checking.check(store)] == [(filled.id, "checkpoint at step 10")]

    def test_a_run_that_is_deleted_while_it_is_checked_is_no_damage(self, store, filled, monkeypatch):
        select = store.backend.select_part

        def deleted_meanwhile(run_id, span, part):
            if (run_id, span.number) == (filled.id, 2):
                store.backend.remove_run(filled.id)
            return select(run_id, span, part)

        monkeypatch.setattr(store.backend, "select_part", deleted_meanwhile)
        assert list(checking.check(store)) == []

    # -- steps over a table

    @pytest.fixture
    def walks(self, store):
        """Two runs over one table."""
        for seed in range(2):
            run = store.create_run("Taxi-v4", "q-learning", seed=seed)
            store.append(run.id, make_walk(0, [2, 5]))
            store.append(run.id, make_walk(2, [3]), status="finished")
        return store.runs()

    def test_steps_over_a_table_are_read_as_they_were_written(self, store, walks):
        written = dict(make_walk(0, [2, 5]).steps)
        read = dict(next(iter(store.chunks(walks[0]))).steps)
        assert {name: (column.dtype, column.tobytes()) for name, column in read.items()} == {
            name: (column.dtype, column.tobytes()) for name, column in written.items()
        }
        assert store.episodes(walks[1])[1].observations.tolist() == [0, 0, 0, 0, 1, 0]
        counted = "SELECT count(*), sum(action), sum(next_observation) FROM steps"
        with answered(store.backend, counted, [walks[0].id]) as answer:
            assert list(answer.rows) == [(10, 6, 3)]

    def test_a_table_is_kept_once_and_goes_with_the_last_run_that_needs_it(self, store, walks):
        digest = make_walk(0, [2]).steps.table.digest
        assert self.rows(store, "tables") == 1
        store.delete_run(walks[0].id)
        assert Table.unpack(store.backend.select_table(digest), digest).digest == digest
        assert list(checking.check(store)) == []
        store.delete_run(walks[1].id)
        assert store.backend.select_table(digest) is None
        assert self.rows(store, "tables") == 0

    def test_a_chunk_whose_table_is_damaged_is_named(self, store, walks):
        [digest, blob] = [make_walk(0, [2]).steps.table.digest, make_walk(0, [2]).steps.table.blob]
        assert len(list(store.chunks(walks[0]))) == 2  # which keeps the table as it was
        self.alter(store, "tables", {self.table_key: digest}, {"blob": flipped(blob, len(blob) - 3)})
        found = [damage[:2] for damage in checking.check(store)]
        assert found == [(run.id, f"chunk {number}") for run in walks for number in (0, 1)]
        with pytest.raises(StoreError, match=f"chunk 0, steps is damaged: table {digest}"):
            next(iter(store.chunks(walks[0])))
        with open_store("memory://") as other, pytest.raises(StoreError, match=f"table {digest}"):
            copying.copy(store, other)

    def test_a_copy_refuses_a_chunk_whose_table_is_named_by_no_text(self, store, walks):
        _, blob = store.backend.select_part(walks[0].id, store.backend.select_spans(walks[0].id)[0], "steps")
        columns, about = codec.unpack(blob)
        forged = codec.pack(columns, {**about, "table": ["0" * 32]})
        self.alter(store, "chunks", {"run": walks[0].id, "number": 0}, {"steps_blob": forged})
        with open_store("memory://") as other, pytest.raises(StoreError, match=r"table .* is missing"):
            copying.copy(store, other, [walks[0].id])

    def test_a_copy_brings_the_table(self, store, walks):
        with open_store("memory://") as other:
            copying.copy(store, other)
            for run in store.runs():
                store.delete_run(run.id)
            copying.copy(other, store)
        assert list(checking.check(store)) == []
        assert len(store.episodes(walks[0])[0]) == 2

    # -- chunks that are exchanged

    @pytest.fixture
    def exchange(self, store):
        """A finished run with steps in full, another that shares them, and a chunk of it in both forms."""
        run = store.create_run("Taxi-v4", "q-learning", seed=0)
        store.append(run.id, in_full(make_walk(0, [2, 5])))
        store.append(run.id, in_full(make_walk(2, [3])), Checkpoint(3, 10, {}), keep=True, status="finished")
        child = store.create_run("Taxi-v4", "q-learning", seed=0, base=run.id, checkpoint=store.checkpoints(run.id)[0])
        counts = {"id": run.id, "chunks": 0, "next_episode": 0, "next_step": 0, "timesteps": 0}
        return run, child, row_of(store, run.id, 0), chunk_row(counts, make_walk(0, [2, 5]))

    def test_an_exchanged_chunk_reads_the_same_in_all_runs_that_share_it(self, store, exchange):
        run, child, before, after = exchange
        documents = [document_of(store.backend, one.id) for one in (run, child)]
        assert store.backend.exchange_chunk(run.id, before, after)
        assert row_of(store, child.id, 0) == after._replace(table=None)
        for one in (run, child):
            found, expected = next(iter(store.chunks(one))), make_walk(0, [2, 5])
            assert found.equals(dataclasses.replace(expected, env_rng=found.env_rng))
        assert [document_of(store.backend, one.id) for one in (run, child)] == documents
        assert self.rows(store, "tables") == 1
        assert list(checking.check(store)) == []
        store.delete_run(run.id)
        store.backend.compact()
        assert next(iter(store.chunks(child))).steps["actions"].tolist() == expected.steps["actions"].tolist()
        store.delete_run(child.id)
        assert (self.rows(store, "chunks"), self.rows(store, "tables")) == (0, 0)

    @pytest.mark.parametrize("part", PARTS)
    def test_a_chunk_that_was_changed_meanwhile_is_not_exchanged(self, store, exchange, part):
        run, _, before, after = exchange
        assert not store.backend.exchange_chunk(run.id, before._replace(**{part: b"other"}), after)
        assert not store.backend.exchange_chunk(run.id, after, before)
        assert row_of(store, run.id, 0) == before
        assert self.rows(store, "tables") == 0

    def test_a_chunk_that_is_gone_is_not_exchanged(self, store, exchange):
        run, child, before, after = exchange
        for one in (run, child):
            store.delete_run(one.id)
        assert not store.backend.exchange_chunk(run.id, before, after)
        assert (self.rows(store, "chunks"), self.rows(store, "tables")) == (0, 0)

    @pytest.mark.parametrize("parts", [1, 2])
    def test_a_chunk_that_is_exchanged_while_it_is_read_reads_the_same(self, store, exchange, parts, monkeypatch):
        run, _, before, after = exchange
        select, left = store.backend.select_part, iter(range(parts))

        def late(*args):
            if next(left, None) is None:
                monkeypatch.setattr(store.backend, "select_part", select)
                assert store.backend.exchange_chunk(run.id, before, after)
            return select(*args)

        monkeypatch.setattr(store.backend, "select_part", late)
        found = next(iter(store.chunks(run)))
        assert found.equals(dataclasses.replace(make_walk(0, [2, 5]), env_rng=found.env_rng))
        assert row_of(store, run.id, 0) == after._replace(table=None)

    def test_what_was_exchanged_in_one_store_is_the_same_run_in_another(self, store, exchange):
        run, child, before, after = exchange
        last, spare = row_of(store, run.id, 1), make_walk(2, [3])
        counts = {"id": run.id, "chunks": 1, "next_episode": 2, "next_step": 0, "timesteps": 7}
        with open_store("memory://") as other:
            copying.copy(store, other, [run])
            assert store.backend.exchange_chunk(run.id, before, after)
            assert store.backend.exchange_chunk(run.id, last, chunk_row(counts, spare))
            assert [result.action for result in copying.copy(store, other, [run])] == ["equal"]
            assert [result[1:3] for result in copying.copy(store, other, [child])] == [("copied", 0)]
            assert row_of(other, child.id, 0) == before
            assert list(checking.check(other)) == []
            store.delete_run(child.id)
            assert [result[1:3] for result in copying.copy(other, store)] == [("equal", 0), ("copied", 0)]
            assert list(checking.check(store)) == []
            self.alter(store, "chunks", {"run": run.id, "number": 1}, {"steps_blob": after.steps})
            with pytest.raises(StoreError, match=f"run {run.id} has diverged in"):
                copying.copy(other, store, [run])

    # -- copies

    @pytest.mark.parametrize("refs", [None, "all"])
    def test_a_copy_equals_the_original_there_and_back(self, store, filled, refs):
        store.update_run(filled.id, tags=["kept", "$where"])
        store.append(store.create_run("Taxi-v4", "random", seed=3, cache_key="k").id, status="interrupted")
        before = everything(store)
        ids = None if refs is None else [run.id for run in store.runs()]
        told = []
        with open_store("memory://") as other:
            results = copying.copy(store, other, ids, on_run=told.append)
            assert told == results
            assert [result.action for result in results] == ["copied"] * 3
            assert everything(other) == (before if refs is None else (before[0], []))
            assert list(checking.check(other)) == []
            for run in store.runs():
                store.delete_run(run.id)
            copying.copy(other, store, ids)
        assert everything(store) == before
        assert list(checking.check(store)) == []

    def test_copying_again_does_nothing(self, store, filled, monkeypatch):
        with open_store("memory://") as other:
            copying.copy(store, other)
            with monkeypatch.context() as patched:
                for place in (store, other):
                    patched.setattr(place.backend, "commit", None)
                    patched.setattr(place.backend, "put_snapshot", None)
                for source, target in ((store, other), (other, store), (store, store)):
                    assert {result[1:] for result in copying.copy(source, target)} == {("equal", 0, 0, "")}

    @pytest.mark.parametrize("direction", ["to", "from"])
    @pytest.mark.parametrize("commits", range(7))  # 4 chunks, 2 checkpoints, the end
    def test_a_copy_that_broke_off_goes_on_where_it_was(self, store, monkeypatch, direction, commits):
        with open_store("memory://") as other:
            source, target = (store, other) if direction == "from" else (other, store)
            original = fill(source)
            commit, left = target.backend.commit, iter(range(commits))

            def breaking(*args, **act):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                assert target.run(original.id).status == "running"
                return commit(*args, **act)

            monkeypatch.setattr(target.backend, "commit", breaking)
            with pytest.raises(KeyboardInterrupt):
                copying.copy(source, target)
            monkeypatch.setattr(target.backend, "commit", commit)
            commit(original.id, {}, {"writer": a_writer()})  # as if the process had been killed
            assert target.run(original.id).status == "interrupted"
            assert list(checking.check(target)) == []
            [result] = copying.copy(source, target)
            assert (result.action, result.chunks) == ("continued" if commits < 6 else "updated", max(0, 4 - commits))
            assert everything(target) == everything(source)

    CHUNKS = (
        make_chunk(0, [3, 2], last_end=OPEN),
        make_chunk(1, [4], first_step=2, last_end=OPEN),
        make_chunk(1, [1, 5], first_step=6, last_end=OPEN),
        make_chunk(2, [1, 2], first_step=5),
        make_chunk(4, [7], steps=False),
    )

    def test_a_run_that_is_being_written_is_copied_as_far_as_it_has_come(self, store, run):
        with open_store("memory://") as other:
            for i, chunk in enumerate(self.CHUNKS):
                store.append(run.id, chunk, Checkpoint(i, 100 + i, {"q": np.full(2, i)}), keep=True)
                [result] = copying.copy(store, other)
                assert result[1:3] == ("copied" if not i else "continued", 1)
                assert other.run(run.id) == dataclasses.replace(store.run(run.id), status="interrupted")
                assert list(checking.check(other)) == []
            store.append(run.id, status="finished")
            assert copying.copy(store, other)[0].action == "updated"
            assert everything(other) == everything(store)

    def test_a_checkpoint_that_was_replaced_is_so_in_the_copy_too(self, store, run):
        with open_store("memory://") as other:
            store.append(run.id, make_chunk(0, [2]), Checkpoint(1, 2, {}), keep=True)
            for t in (3, 4, 5):
                store.append(run.id, checkpoint=Checkpoint(1, t, {}), keep=t == 4)
                copying.copy(store, other)
                assert _checkpoints_of(other, run.id) == _checkpoints_of(store, run.id)

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1,), (2,)])
    def test_runs_that_share_are_copied_together_or_alone(self, store, order):
        runs = [self.finished(store)]
        runs.append(self.grown(store, runs[0], 2))
        runs.append(self.grown(store, runs[1], 3, chunks=2))
        before = everything(store)[0]
        with open_store("memory://") as other:
            for number in order:
                copying.copy(store, other, [runs[number].id])
            assert everything(other)[0] == {runs[number].id: before[runs[number].id] for number in order}
            assert list(checking.check(other)) == []
            for run in runs:
                store.delete_run(run.id)
            for number in order:
                copying.copy(other, store, [runs[number].id])
        assert everything(store)[0] == {runs[number].id: before[runs[number].id] for number in order}
        assert list(checking.check(store)) == []

    @pytest.mark.parametrize("order", [None, (0, 1, 2), (2, 1, 0)])
    def test_what_runs_share_is_copied_once(self, store, order):
        with open_store("memory://") as other:
            runs = [self.finished(other, chunks=3)]
            runs.append(self.grown(other, runs[0], 3))
            runs.append(self.grown(other, runs[1], 4, chunks=2))
            copies = [None] if order is None else [[runs[number].id] for number in order]
            results = [result for refs in copies for result in copying.copy(other, store, refs)]
            assert sum(result.chunks for result in results) == self.rows(store, "chunks") == 6
            assert self.rows(store, "checkpoints") == 3
            assert everything(store)[0] == everything(other)[0]
        assert list(checking.check(store)) == []
        for run in runs:
            store.delete_run(run.id)
            assert list(checking.check(store)) == []
        assert (self.rows(store, "chunks"), self.rows(store, "checkpoints")) == (0, 0)

    def test_a_shared_chunk_that_is_damaged_in_the_target_is_not_relied_on(self, store):
        with open_store("memory://") as other:
            short = self.finished(other, chunks=2)
            long = self.grown(other, short, 2)
            copying.copy(other, store, [short.id])
            self.alter(store, "chunks", {"run": short.id, "number": 1}, {"figures_blob": b"x"})
            with contextlib.suppress(StoreError):  # where there is room for one chunk of a number
                copying.copy(other, store, [long.id])
            damaged = {damage.run for damage in checking.check(store)}
            assert short.id in damaged
            assert long.id not in damaged or store.run(long.id).status == "interrupted"

    def test_what_changed_in_the_original_changes_in_the_copy(self, store, filled):
        with open_store("memory://") as other:
            copying.copy(store, other)
            store.update_run(filled.id, tags=["new"], evaluation={"x": 2})
            store.save_snapshot("buffer", "a", {"x": np.arange(6)})
            assert [result.action for result in copying.copy(store, other)] == ["equal", "updated"]
            assert everything(other) == everything(store)

    def test_another_run_of_the_same_id_is_left_as_it_is(self, store, filled):
        with open_store("memory://") as other:
            copying.copy(store, other)
            self.alter_run(store, filled.id, {"seed": "77"})
            before = everything(other), everything(store)
            for source, target in ((store, other), (other, store)):
                with pytest.raises(StoreError, match=f"has a different run {filled.id}: it was left unchanged"):
                    copying.copy(source, target, [filled.id])
            assert (everything(other), everything(store)) == before

    def test_a_run_that_went_further_in_the_target_is_left_as_it_is(self, store):
        filled = fill(store, status="interrupted")
        with open_store("memory://") as other:
            copying.copy(store, other)
            other.claim(filled.id)
            other.append(filled.id, make_chunk(5, [1]), status="finished")
            before = everything(other)
            with pytest.raises(StoreError, match=f"run {filled.id} is longer in memory://"):
                copying.copy(store, other)
            assert everything(other) == before
            copying.copy(other, store)
            assert everything(other) == everything(store)

    def test_two_ways_on_from_one_copy_are_not_mixed(self, store):
        filled = fill(store, status="interrupted")
        with open_store("memory://") as other:
            copying.copy(store, other)
            for place, length in ((store, 1), (other, 2)):
                place.claim(filled.id)
                place.append(filled.id, make_chunk(5, [length]))
            store.append(filled.id, make_chunk(6, [1]), status="finished")
            with pytest.raises(StoreError, match="a different run"):
                copying.copy(store, other, [filled.id])

    def test_equal_places_with_other_contents_are_not_mixed(self, store):
        filled = fill(store, status="interrupted")
        with open_store("memory://") as other:
            copying.copy(store, other)
            for place, value in ((store, 1.0), (other, 2.0)):
                place.claim(filled.id)
                chunk = make_chunk(5, [2])
                steps = {**chunk.steps, "rewards": np.full(2, value)}
                place.append(filled.id, dataclasses.replace(chunk, steps=steps), status="finished")
            with pytest.raises(StoreError, match=f"run {filled.id} has diverged in"):
                copying.copy(store, other, [filled.id])

    def test_a_run_that_another_process_copies_is_refused(self, store):
        filled = fill(store, status="interrupted")
        with open_store("memory://") as source, open_store("memory://") as third:
            copying.copy(store, source)
            self.alter_run(store, filled.id, {"writer": third.writer, "status": "running"})
            with pytest.raises(StoreError, match="is being written by another process"):
                copying.copy(source, store, [filled.id])

    @pytest.mark.parametrize("part", PARTS)
    def test_what_is_damaged_is_not_copied(self, store, filled, part):
        _, blob = store.backend.select_part(filled.id, span_of(store, filled.id, 1), part)
        self.alter(store, "chunks", {"run": filled.id, "number": 1}, {f"{part}_blob": flipped(blob, -1)})
        with open_store("memory://") as other:
            with pytest.raises(StoreError, match=f"run {filled.id}, chunk 1, {part}.* is damaged"):
                copying.copy(store, other, [filled.id])
            assert other.run(filled.id).status == "interrupted"
            self.alter(store, "chunks", {"run": filled.id, "number": 1}, {f"{part}_blob": blob})
            copying.copy(store, other, [filled.id])
            assert list(checking.check(other)) == []

    # -- backups

    def test_a_backup_is_a_store_with_all_that_was_there(self, store, filled, run, tmp_path):
        store.append(run.id, make_chunk(0, [3]))
        folder = tmp_path / "backups"
        folder.mkdir()
        assert copying.backup(store, folder / "x.db") == folder / "x.db"
        assert [file.name for file in folder.iterdir()] == ["x.db"]
        runs, snapshots = everything(store)
        assert runs[run.id][0].status == "running"
        runs[run.id] = (dataclasses.replace(runs[run.id][0], status="interrupted"), *runs[run.id][1:])
        with open_store(folder / "x.db", read_only=True) as kept:
            assert list(checking.check(kept)) == []
            assert everything(kept) == (runs, snapshots)

    def test_a_backup_takes_the_place_of_nothing(self, store, filled, tmp_path):
        (tmp_path / "kept").write_text("mine")
        with pytest.raises(StoreError, match="kept exists already: give the path of a new file"):
            copying.backup(store, tmp_path / "kept")
        with pytest.raises(StoreError, match=r"nowhere"):
            copying.backup(store, tmp_path / "nowhere" / "x.db")
        assert (tmp_path / "kept").read_text() == "mine"
        assert not [file for file in tmp_path.iterdir() if ".part" in file.name]

    # -- the store itself

    def test_it_never_shows_a_password(self, store):
        assert "secret" not in repr(store) + store.url

    def test_after_closing_it_fails_clearly(self, store):
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.runs()
