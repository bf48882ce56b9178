"""What an earlier version wrote in full takes fewer bytes after a migration, and reads the same, bit for bit."""

import shutil

import earlier
import mongomock
import numpy as np
import pytest
from contracts import stores
from earlier import contents, walks

import rlbench
from rlbench.errors import StoreAway, StoreError
from rlbench.replaying import migration
from rlbench.store import checking, codec, copying, figures, open_store
from rlbench.store.walks import Walk

TABLES = {"rlbench/SafeCab-v0", "FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"}
NO_TABLE = "their env has no table of transitions, or too large a one"


@pytest.fixture(scope="module")
def in_full(tmp_path_factory):
    """The path of a store with steps and figures in full."""
    return earlier.written_in_full(tmp_path_factory.mktemp("earlier") / "full.db")


@pytest.fixture
def store(in_full, tmp_path):
    """Such a store in a file."""
    with open_store(shutil.copy(in_full, tmp_path / "x.db")) as store:
        yield store


@pytest.fixture(params=earlier.KINDS)
def either(request, store):
    """Such a store on each backend."""
    if request.param == "SQLite":
        yield store
        return
    with open_store(mongomock.MongoClient()) as other:
        copying.copy(store, other)
        yield other


def test_what_is_migrated_reads_as_before_and_can_be_verified_copied_and_deleted(either):
    before, there = contents(either), walks(either)
    assert all(chunks > 1 and not packed for packed, chunks in there.values())
    results = migration.migrate(either)
    assert contents(either) == before
    assert list(checking.check(either)) == []
    assert walks(either) == {env: [chunks, 0] if env in TABLES else [0, chunks] for env, (_, chunks) in there.items()}
    assert [result.left for result in results if result.left] == [{NO_TABLE: there["rlbench/DiscreteCartPole-v1"][1]}]
    for run in either.runs():
        if run.config.keeps_steps:
            assert rlbench.verify(rlbench.load_run(either, run.id)).mismatched == 0
    again = migration.migrate(either)
    assert [(result.migrated, result.bytes_before) for result in again] == [(0, done.bytes_after) for done in results]
    with open_store("memory://") as other:
        copying.copy(either, other)
        assert contents(other) == before
        for run in either.runs():
            either.delete_run(run.id)
            assert list(checking.check(either)) == []
        copying.copy(other, either)
        assert contents(either) == before


@pytest.mark.parametrize("kind", earlier.KINDS)
def test_a_store_that_an_earlier_version_made_reads_as_before(kind, tmp_path):
    with open_store(earlier.given(kind, tmp_path)) as store:
        before = contents(store)
        results = migration.migrate(store)
        assert sum(result.migrated for result in results) == 5
        assert sum(result.bytes_after for result in results) < 0.75 * sum(result.bytes_before for result in results)
        assert contents(store) == before
        assert list(checking.check(store)) == []
        assert {env for env, (_, in_full) in walks(store).items() if in_full} == {"rlbench/DiscreteCartPole-v1"}


def test_a_store_that_the_first_version_made_reads_as_before(tmp_path):
    with open_store(shutil.copy(earlier.DATA / "store_v1.sqlite", tmp_path / "x.db")) as store:
        before = contents(store)
        assert sum(result.migrated for result in migration.migrate(store)) == 4
        assert contents(store) == before
        assert list(checking.check(store)) == []


def test_no_figure_is_kept_that_follows_from_the_rest(store):
    migration.migrate(store)
    for run in store.runs():
        per_step, timesteps = run.env_id.startswith("rlbench/Disc"), 0
        for span in store.backend.select_spans(run.id):
            shapes, about = codec.described(store.backend.select_part(run.id, span, "figures")[1])
            rows = {name: shape[0] for name, shape in shapes.items()}
            derived = {"length", "exploration_rate", *(("return", "explored") if run.config.keeps_steps else ())}
            assert all(rows[name] == (span.first_step > 0 and name in ("return", "explored")) for name in derived)
            assert about["exploration"]["before"] == (timesteps if per_step else span.first_episode)
            timesteps += span.steps


def test_exploration_rates_of_an_agent_that_had_learnt_before_follow_from_its_schedule(tmp_path):
    with open_store(tmp_path / "x.db") as store:
        agent = rlbench.train("safecab", episodes=70, seed=0).agent
        with earlier.writing_in_full(steps=2000):
            run = rlbench.train("safecab", agent, episodes=200, seed=1, store=store)
        before = contents(store)
        migration.migrate(store)
        figures = codec.unpack(store.backend.select_part(run.id, store.backend.select_spans(run.id)[0], "figures")[1])
        assert figures[1]["exploration"]["before"] == 70
        assert len(figures[0]["exploration_rate"]) == 0
        assert contents(store) == before


def test_a_shared_chunk_is_exchanged_once(store, monkeypatch):
    exchanged, exchange = [], store.backend.exchange_chunk

    def counted(run_id, before, after):
        exchanged.append((before.span.run, before.span.number))
        return exchange(run_id, before, after)

    monkeypatch.setattr(store.backend, "exchange_chunk", counted)
    results = migration.migrate(store)
    assert len(exchanged) == len(set(exchanged)) == sum(result.migrated for result in results)
    assert sum(result.chunks for result in results) < sum(len(list(store.chunks(run))) for run in store.runs())


def test_a_store_that_goes_away_ends_it(store, monkeypatch):
    def gone(*_):
        raise StoreAway("gone")

    monkeypatch.setattr(store.backend, "select_spans", gone)
    with pytest.raises(StoreAway, match="gone"):
        migration.migrate(store)


def test_it_goes_on_where_an_error_ended_it(store, monkeypatch):
    before, exchange = contents(store), store.backend.exchange_chunk
    migrated = []
    for _ in range(3):
        left = iter(range(4))

        def ending(*args, left=left):
            if next(left, None) is None:
                raise StoreAway("gone")
            return exchange(*args)

        monkeypatch.setattr(store.backend, "exchange_chunk", ending)
        with pytest.raises(StoreAway, match="gone"):
            migration.migrate(store)
        assert contents(store) == before
        assert list(checking.check(store)) == []
        migrated.append(sum(packed for packed, _ in walks(store).values()))
    monkeypatch.setattr(store.backend, "exchange_chunk", exchange)
    migration.migrate(store)
    assert migrated == sorted(set(migrated))
    assert contents(store) == before
    assert sum(packed for packed, _ in walks(store).values()) > migrated[-1]


# ---------------------------------------------------------------- what stays as it is


def only(store, env_id):
    """Deletes all runs but those of an env, and returns the last of them."""
    for run in store.runs():
        if run.env_id != env_id:
            store.delete_run(run.id)
    return store.run("latest")


def left(store, **options):
    """Why the steps of a store's runs stay as they are, and in how many chunks, after nothing was packed."""
    before, packed = contents(store), walks(store)
    results = migration.migrate(store, **options)
    assert contents(store) == before
    assert walks(store) == packed
    assert [result.problem for result in results] == [""] * len(results)
    return [result.left for result in results]


def test_steps_that_differ_from_the_table_in_one_chunk_stay_there(store):
    run = only(store, "FrozenLake-v1")
    [span, *_] = spans = store.backend.select_spans(run.id)
    _, blob = store.backend.select_part(run.id, span, "steps")
    steps, about = codec.unpack(blob)
    steps["rewards"] = np.where(np.arange(span.steps) == 7, 0.25, steps["rewards"])
    with store.backend._transaction() as connection:
        found = codec.pack(steps, about), run.id, span.number
        connection.execute("UPDATE chunks SET steps_blob = ? WHERE run = ? AND number = ?", found)
    before = contents(store)
    [result] = migration.migrate(store)
    assert result.left == {"they do not follow from the table of FrozenLake-v1 as it is here": 1}
    assert contents(store) == before
    assert walks(store) == {"FrozenLake-v1": [len(spans) - 1, 1]}


def test_a_run_of_another_env_than_the_one_here_stays_as_it_is(store):
    run = only(store, "FrozenLake-v1")
    spec = run.config.env.spec.replace('"kwargs": {', '"kwargs": {"desc": ["SFFF", "FFFF", "FFFF", "FFFG"], ')
    stores.rewrite(
        store, run.id, config=codec.to_json({**run.config.document(), "env": {"id": run.env_id, "spec": spec}})
    )
    [found] = left(store)
    assert list(found) == ["they do not follow from the table of FrozenLake-v1 as it is here"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (None, "their env cannot be made again"),
        ('{"id": "Elsewhere-v0", "entry_point": "elsewhere:Env"}', "pass trust=True if you trust who wrote the store"),
        ("{", "spec"),
    ],
)
def test_a_run_whose_env_cannot_be_made_stays_as_it_is(store, spec, why):
    run = only(store, "FrozenLake-v1")
    env = {"id": run.env_id} if spec is None else {"id": run.env_id, "spec": spec}
    stores.rewrite(store, run.id, config=codec.to_json({**run.config.document(), "env": env}))
    [found] = left(store)
    [(reason, chunks)] = found.items()
    assert why in reason
    assert "\n" not in reason
    assert chunks == len(list(store.chunks(run)))


def test_a_run_that_is_being_written_stays_as_it_is_but_not_what_it_shares(store):
    long, short = [run for run in store.runs() if run.env_id == "rlbench/SafeCab-v0"]
    with open_store("memory://") as other:
        stores.rewrite(store, long.id, status="running", writer=other.writer)
        results = {result.run: result for result in migration.migrate(store)}
        [(why, chunks)] = results[long.id].left.items()
        assert why.startswith("another process is writing them (pid ")
        assert (results[long.id].migrated, chunks) == (0, len(list(store.chunks(long))))
    shared = [chunk for chunk in store.chunks(long) if isinstance(chunk.steps, Walk)]
    assert len(shared) == results[short.id].migrated == len(list(store.chunks(short)))
    assert {result.run: result for result in migration.migrate(store)}[long.id].migrated == chunks - len(shared)


def test_a_chunk_that_was_changed_meanwhile_stays_as_it_is(store, monkeypatch):
    only(store, "FrozenLake-v1")
    monkeypatch.setattr(store.backend, "exchange_chunk", lambda *_: False)
    [found] = left(store)
    assert list(found) == ["they were changed meanwhile"]


def test_a_chunk_of_few_steps_stays_as_it_is_where_that_saves_nothing(tmp_path):
    with open_store(tmp_path / "x.db") as store:
        with earlier.writing_in_full(steps=2000):
            rlbench.train("FrozenLake-v1", episodes=2, seed=0, store=store)
        assert left(store) == [{"the newest form would save nothing": 1}]


def test_what_would_not_read_the_same_is_not_exchanged(store, monkeypatch):
    only(store, "FrozenLake-v1")
    completed = figures.completed

    def wrong(stored, about, chunk, names=None):
        found = completed(stored, about, chunk, names)
        is_new = any(len(column) < chunk.episodes for column in stored.values())
        return {name: column + 1 for name, column in found.items()} if is_new else found

    with monkeypatch.context() as patched:
        patched.setattr(figures, "completed", wrong)
        results = migration.migrate(store)
    assert [list(result.left) for result in results] == [["the newest form would not read the same"]]
    assert walks(store)["FrozenLake-v1"][0] == 0


def test_one_damaged_chunk_or_record_keeps_nothing_else_from_being_migrated(store):
    cab, lake = (next(run for run in store.runs() if name in run.env_id) for name in ("SafeCab", "Lake"))
    _, blob = store.backend.select_part(lake.id, store.backend.select_spans(lake.id)[1], "steps")
    with store.backend._transaction() as connection:
        sql = "UPDATE chunks SET steps_blob = ? WHERE run = ? AND number = 1"
        connection.execute(sql, (stores.flipped(blob, -1), lake.id))
        connection.execute("UPDATE runs SET note = 'edited' WHERE id = ?", (cab.id,))
    damaged = list(checking.check(store))
    results = {result.run: result for result in migration.migrate(store)}
    assert f"run {lake.id}, chunk 1, steps" in results[lake.id].problem
    assert results[lake.id].migrated == results[lake.id].chunks - 1
    assert f"run {cab.id} is damaged" in results[cab.id].problem
    assert [run for run, result in results.items() if result.problem] == [cab.id, lake.id]
    assert list(checking.check(store)) == damaged


def test_a_run_that_is_deleted_meanwhile_is_no_damage(store, monkeypatch):
    run = only(store, "FrozenLake-v1")
    select = store.backend.select_part

    def late(*args):
        store.backend.remove_run(run.id)
        return select(*args)

    monkeypatch.setattr(store.backend, "select_part", late)
    [result] = migration.migrate(store)
    assert (result.migrated, result.problem) == (0, "")


def test_a_store_that_can_only_be_read_is_refused_in_one_line(in_full):
    with open_store(in_full, read_only=True) as store, pytest.raises(StoreError, match="it can only be read"):
        migration.migrate(store)


def test_blobs_too_large_for_one_document_are_exchanged_as_well(store, monkeypatch):
    only(store, "FrozenLake-v1")
    monkeypatch.setattr("rlbench.store.mongodb.PART", 500)
    with open_store(mongomock.MongoClient()) as other:
        copying.copy(store, other)
        before = contents(other)
        [result] = migration.migrate(other)
        assert 0 < result.migrated == result.chunks
        assert contents(other) == before
        other.backend.compact()
        assert contents(other) == before
        assert list(checking.check(other)) == []
