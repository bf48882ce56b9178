"""SQL over a store: what a query sees, what it reads, and what it may not do."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from contracts import stores

from rlbench.cli import cli
from rlbench.errors import StoreError, UsageError
from rlbench.store import OPEN, EpisodeChunk, open_store, reading, sql
from rlbench.store.config import RunConfig


@pytest.fixture
def store():
    with open_store("memory://") as store:
        yield store


def asked(store, query, runs=None):
    with sql.answered(store.backend, query, runs) as answer:
        return list(answer.rows)


def with_columns(store, **columns):
    """Stores a run of one episode of two steps, with these step columns."""
    run, one = store.create_run("Taxi-v4", "random", seed=0), np.ones(1, np.int64)
    figures = {"return": np.array([1.5]), "length": one}
    steps = {"rewards": np.array([1.0, 0.5]), **columns}
    store.append(run.id, EpisodeChunk(0, 0, 2 * one, np.ones(1, np.uint8), figures, steps), status="finished")
    return run


# ---------------------------------------------------------------- what it sees


def test_arrays_have_a_column_for_each_number_and_parts_plain_names(store):
    with_columns(store, **{"observations/Cart X": np.arange(6).reshape(3, 2), "actions": np.array([4, 5])})
    assert sql.columns_of(store.backend, store.runs(), ["steps"])["steps"] == [
        *("run", "episode", "step", "observation_cart_x_0", "observation_cart_x_1", "reward", "action"),
        *("next_observation_cart_x_0", "next_observation_cart_x_1", "terminated", "truncated"),
    ]
    query = "SELECT step, observation_cart_x_1, action, next_observation_cart_x_0, terminated FROM steps"
    assert asked(store, query) == [(0, 1, 4, 2, 0), (1, 3, 5, 4, 1)]


def test_names_that_sqlite_takes_for_one_stay_two(store):
    with_columns(store, **{"a b": np.array([1, 2]), "A.b": np.array([3, 4]), "Step": np.array([5, 6])})
    assert asked(store, "SELECT a_b, a_b_, step, step_ FROM steps") == [(1, 3, 0, 5), (2, 4, 1, 6)]


def test_an_array_too_wide_for_columns_is_json(store):
    with_columns(store, observations=np.arange(300.0).reshape(3, 10, 10))
    assert asked(store, "SELECT observation ->> '$[1][2]', next_observation ->> '$[9][9]' FROM steps") == [
        (12.0, 199.0),
        (112.0, 299.0),
    ]
    run = with_columns(store, x=np.zeros((2, 64)), y=np.zeros((2, 65)))
    assert sql.columns_of(store.backend, [run], ["steps"])["steps"][-4:] == ["x_63", "y", "terminated", "truncated"]


def test_wide_rows_become_text_one_at_a_time(store, monkeypatch):
    run, made = with_columns(store, observations=np.zeros((3, 100))), []
    [chunk] = store.chunks(run.id)
    monkeypatch.setattr(sql, "strict_json", lambda _: made.append(1))
    next(sql._rows(sql.TABLES["steps"], run, chunk, ["observation", "next_observation"]))
    assert len(made) == 2


def test_numbers_that_sqlite_cannot_hold_are_rounded_null_or_text(store):
    with_columns(store, u=np.array([2**64 - 1, 1], np.uint64), x=np.array([np.nan, np.inf]), c=np.array([1j, 2]))
    assert asked(store, "SELECT u, x, c FROM steps") == [(2.0**64, None, "1j"), (1.0, np.inf, "(2+0j)")]
    run = with_columns(store, c=np.ones((2, 0), np.complex128), u=np.full((2, 100), 2**64 - 1, np.uint64))
    assert asked(store, "SELECT c, u ->> '$[99]', u ->> 99 = '' FROM steps LIMIT 1", [run]) == [("[]", 2.0**64, 0)]


def test_runs_with_other_columns_share_a_table(store):
    with_columns(store, observations=np.array([7, 8, 9]))
    with_columns(store, observations=np.arange(6.0).reshape(3, 2))
    query = "SELECT observation, observation_0, observation_1 FROM steps"
    assert asked(store, query) == [(None, 0.0, 1.0), (None, 2.0, 3.0), (7, None, None), (8, None, None)]


def test_an_episode_that_goes_on_has_steps_and_no_row_of_its_own(store):
    run = store.create_run("Taxi-v4", "random", seed=0)
    store.append(run.id, stores.make_chunk(0, [2, 3], last_end=OPEN))
    assert asked(store, "SELECT episode, count(*) FROM steps GROUP BY 1") == [(0, 2), (1, 3)]
    assert asked(store, "SELECT episode, length, terminated, truncated FROM episodes") == [(0, 2, 1, 0)]


def test_settings_are_read_as_json_and_large_seeds_as_text(store):
    parameters = {"learning_rate": 0.1, "rate": float("nan"), "name": "x"}
    config = RunConfig.of(
        {"agent": {"name": "q", "parameters": parameters}, "env": {"id": "E", "spec": '{"kwargs": {"city": "5x5"}}'}}
    )
    store.create_run("E", "q", seed=2**63, config=config)
    query = "SELECT seed, parameters ->> 'learning_rate', parameters ->> 'rate', env_kwargs ->> 'city' FROM runs"
    assert asked(store, query) == [(str(2**63), 0.1, None, "5x5")]


def test_texts_of_a_foreign_config_that_are_no_unicode_are_shown_with_what_is(store):
    wrong = json.dumps({"preset": "a\x1b\ud800", "agent": {"parameters": {"x": "\ud800"}}})
    stores.rewrite(store, stores.fill(store).id, config=wrong)
    assert asked(store, "SELECT preset, parameters ->> 'x' FROM runs") == [("a\\x1b\\ud800", 3 * "\ufffd")]


def test_an_answer_is_a_data_frame_in_python(store):
    pytest.importorskip("pandas")
    stores.fill(store)
    frame = store.sql("SELECT episode, length FROM episodes WHERE length > 3")
    assert (list(frame.columns), frame.to_numpy().tolist()) == (["episode", "length"], [[1, 6], [4, 4]])


# ---------------------------------------------------------------- what it reads


@pytest.fixture
def parts(monkeypatch):
    """The parts of chunks that are unpacked."""
    seen, load = [], reading.load_part
    monkeypatch.setattr(reading, "load_part", lambda *args: seen.append((args[1], args[3])) or load(*args))
    return seen


def test_a_query_unpacks_only_the_tables_and_runs_that_it_names(store, parts):
    runs = [stores.fill(store, seed=seed) for seed in range(2)]
    assert asked(store, "SELECT count(*) FROM runs WHERE note <> 'episodes steps'") == [(2,)]
    assert parts == []
    assert asked(store, "SELECT count(*) FROM episodes") == [(10,)]
    assert {part for _, part in parts} == {"segments", "figures", "steps"}  # from which the returns follow
    parts.clear()
    assert asked(store, 'WITH "Runs" AS (SELECT 1) SELECT max(step) FROM STEPS', [runs[0].id[:8]]) == [(5,)]
    assert set(parts) == {(runs[0].id, "segments"), (runs[0].id, "steps")}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("SELECT count(*) FROM steps a JOIN steps b USING (run, Episode, reward)", 14),
        ("SELECT count(*) FROM runs NATURAL JOIN steps", 14),
        ("SELECT count(*) FROM steps a NATURAL JOIN steps b", 14),
        ("SELECT count(*) FROM episodes LEFT JOIN steps USING (run, episode)", 15),
        ("SELECT count(*) FROM runs WHERE EXISTS (SELECT * FROM steps WHERE steps.run = runs.run)", 1),
        ("SELECT count(*) FROM (SELECT run AS id, * FROM episodes) JOIN runs ON id = runs.run", 5),
        ("SELECT count(DISTINCT row) FROM (SELECT row_number() OVER (ORDER BY run, rowid) AS row FROM steps)", 14),
        ("SELECT sum(1) FROM main.steps AS s, runs WHERE s.run = runs.run", 14),
        ("SELECT count(*) FROM runs WHERE run IN (SELECT run FROM episodes) AND 4 IN (SELECT step FROM steps)", 1),
    ],
)
def test_whatever_way_a_query_reads_a_table_it_is_there(store, query, count):
    stores.fill(store)
    assert asked(store, query) == [(count,)]


QUERIES = [
    # what looks like a look at the first rows
    "SELECT 5 UNION SELECT -step FROM steps LIMIT 2",
    "SELECT 5 INTERSECT SELECT step FROM steps LIMIT 1",
    "SELECT 3 Except SELECT step FROM steps LIMIT 1",
    "SELECT 1 WHERE 0 UNION ALL SELECT step FROM steps LIMIT 4",
    "SELECT DISTINCT step FROM steps LIMIT 5",
    "SELECT step FROM steps LIMIT\xa02",
    "SELECT step -- FROM runs\nFROM steps LIMIT 3",
    "SELECT step /* ; */ FROM [steps] LIMIT 3 -- 4",
    "SELECT '; FROM steps LIMIT 1' FROM runs",
    'SELECT rowid, step AS "distinct" FROM Steps LIMIT 3;',
    "SELECT step FROM steps LIMIT 2 OFFSET 3",
    "SELECT step FROM steps LIMIT -1",
    # any others
    "SELECT count(*) FROM STEPS",
    "SELECT 'steps', \"no column\", x'00', 'ru\u017fs' AS \u017fteps FROM Runs;",
    "WITH steps (step) AS (VALUES (7)) SELECT step, run FROM steps, runs",
    "WITH c AS (SELECT * FROM steps LIMIT 9) SELECT sum(reward) FROM c NATURAL JOIN episodes",
    "WITH RECURSIVE t (n) AS (SELECT 0 UNION SELECT n + 1 FROM t WHERE n IN (SELECT step FROM steps)) SELECT * FROM t",
    "SELECT * FROM (SELECT * FROM steps LIMIT 2), (SELECT run AS id FROM runs LIMIT 1)",
    'SELECT (SELECT max("reward") FROM `steps` s WHERE s.run = e.run AND s.episode < e.episode) FROM [episodes] AS e',
    "SELECT sum(reward) OVER w, lag(action) OVER w FROM main.steps WINDOW w AS (PARTITION BY run ORDER BY episode)",
    "SELECT step, count(*) FROM (steps JOIN episodes USING (run, [EPISODE])) FULL JOIN runs USING (run) GROUP BY 1",
    'SELECT return FROM episodes/* natural */JOIN--\nsteps USING("run")UNION SELECT seed FROM runs ORDER BY 1 DESC',
    "SELECT s.rowid, e.oid FROM steps s LEFT JOIN episodes e ON (s.run, s.episode) = (e.run, e.episode)",
    "SELECT group_concat(value) FROM runs, json_each(runs.config) UNION ALL SELECT sum(terminated) FROM steps",
    "SELECT run FROM runs WHERE run IN (SELECT run FROM steps EXCEPT SELECT run FROM episodes WHERE truncated)",
    "SELECT ru\u017fs FROM runs",
    "SELECT step FROM episodes",
    "WITH x AS (SELECT * FROM steps) DELETE FROM runs WHERE run IN x",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_tables_that_are_filled_in_part_has_the_answer_of_full_ones(store, monkeypatch, query):
    for seed in range(2):
        stores.fill(store, seed=seed)

    def answer():
        try:
            return asked(store, query)
        except UsageError as error:
            return str(error)

    found = answer()
    monkeypatch.setattr(sql, "_named", lambda _: ["runs", "episodes", "steps"])
    monkeypatch.setattr(sql, "_most_rows", lambda _: sql.EVERY)
    monkeypatch.setattr(sql, "_joining", lambda _, columns: set(columns))
    assert found == answer()


@pytest.mark.parametrize("limit", [0, 1, 3, 9, 17])
def test_a_look_at_the_first_rows_unpacks_no_chunk_behind_them(store, parts, monkeypatch, limit):
    for seed in range(2):
        stores.fill(store, seed=seed)
    every = asked(store, "SELECT * FROM steps")
    monkeypatch.setattr(sql, "MOST_STEPS", 0)
    parts.clear()
    query = f"select *, step + 1 AS n from Steps\n limit {limit} ;"  # noqa: S608
    assert asked(store, query) == [(*row, row[2] + 1) for row in every[:limit]]
    assert len([part for _, part in parts if part == "steps"]) == {0: 0, 1: 1, 3: 1, 9: 2, 17: 5}[limit]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("SELECT max(step) FROM steps LIMIT 1", 1),
        ("SELECT DISTINCT episode FROM steps LIMIT 4", 4),
        ("SELECT run FROM runs UNION ALL SELECT episode FROM steps LIMIT 15", 15),
        ("SELECT step FROM steps WHERE episode = 4 LIMIT 2", 2),
        ("SELECT step FROM steps LIMIT 2 OFFSET 12", 2),
        ("SELECT step FROM steps ORDER BY episode DESC LIMIT 2", 2),
    ],
)
def test_any_other_limit_is_of_all_rows(store, query, count):
    stores.fill(store)
    assert sql._most_rows(query) == sql.EVERY
    assert len(asked(store, query)) == count


def test_only_the_columns_that_are_read_are_filled(store, monkeypatch):
    with_columns(store, observations=np.arange(3))
    asked_for = []
    fill = sql._fill
    monkeypatch.setattr(sql, "_fill", lambda *args: asked_for.append(args[1:3]) or fill(*args))
    assert asked(store, "SELECT sum(reward) FROM steps JOIN runs USING (run)") == [(1.5,)]
    assert sorted(asked_for) == [("runs", ["run"]), ("steps", ["run", "reward"])]


def test_the_steps_of_a_large_store_are_read_for_named_runs_alone(store, monkeypatch):
    run = stores.fill(store)
    monkeypatch.setattr(sql, "MOST_STEPS", run.timesteps)
    without = store.create_run("Taxi-v4", "random", seed=0, config=RunConfig.of({"record": "none"}))
    store.append(without.id, stores.make_chunk(0, [9], steps=False), status="finished")
    heard = []
    with sql.answered(store.backend, "SELECT 1 FROM steps", on_rows=lambda *steps: heard.append(steps)) as answer:
        assert len(list(answer.rows)) == 14
    assert heard == [(9, 26), (14, 26), (19, 26), (22, 26), (26, 26)]
    monkeypatch.setattr(sql, "MOST_STEPS", run.timesteps - 1)
    with pytest.raises(UsageError, match="reads 17 steps, and takes at most 16 unless runs are named"):
        asked(store, "SELECT 1 FROM steps")
    assert asked(store, "SELECT count(*) FROM episodes") == [(6,)]
    assert asked(store, "SELECT count(*) FROM steps", [run]) == [(14,)]


def test_a_foreign_run_whose_id_a_terminal_obeys_is_left_out(store):
    run = stores.fill(store)
    forged = {"id": "\x1b[2J", "owners": '[[0,"\\u001b[2J"]]', "chunks": 0}
    assert store.backend.insert_run(stores.sealed(reading.document_of(store.backend, run.id), **forged))
    assert asked(store, "SELECT count(*) FROM steps") == [(14,)]


def test_a_damaged_run_is_left_out_of_all_and_refused_by_name(store):
    run, damaged = stores.fill(store), stores.fill(store)
    store.backend.commit(damaged.id, {}, {"note": "forged"})
    left_out = []
    with sql.answered(store.backend, "SELECT run FROM runs", on_damaged=lambda *one: left_out.append(one[0])) as answer:
        assert list(answer.rows) == [(run.id,)]
    assert left_out == [damaged.id]
    with pytest.raises(StoreError, match="is damaged"):
        asked(store, "SELECT run FROM runs", [damaged.id])


# ---------------------------------------------------------------- what it may not


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        *((query, "must be") for query in ("DELETE FROM runs", "CREATE TABLE x (a)", "CREATE TEMP VIEW x AS SELECT 1")),
        *((query, "must be") for query in ("PRAGMA user_version", "ATTACH '{path}' AS x", "VACUUM INTO '{path}'")),
        *((query, "must be") for query in ("BEGIN", "ANALYZE", "REINDEX", "DROP TABLE steps", "DETACH main")),
        ("SELECT load_extension('{path}')", "not authorized"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT id FROM runs", "no such column: id; `rlbench store sql` lists the tables"),
        ("SELECT * FROM owners", "no such table: owners; `rlbench store sql` lists"),
        ("SELECT '\x1b[2J", r'unrecognized token: "\'\\x1b\[2J"'),
        ("SELECT \udcff", "surrogates not allowed"),
        ("SELECT 1\0", "null character"),
        ("", "incomplete input"),
        ("SELECT abs(-9223372036854775807 - 1)", "integer overflow"),
    ],
)
def test_a_query_that_does_more_than_read_or_is_wrong_is_refused_in_one_line(tmp_path, query, complaint):
    path = tmp_path / "x.db"
    with open_store(path) as store:
        stores.fill(store)
        before = stores.everything(store)
        with pytest.raises(UsageError, match=complaint) as error:
            asked(store, query.replace("{path}", str(tmp_path / "y.db")))
        assert str(error.value).isprintable()
        assert stores.everything(store) == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]


def test_json_functions_and_recursion_are_there(store):
    numbers = "WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t LIMIT 3)"
    query = f"{numbers} SELECT sum(n), value FROM t, json_each('[7]')"  # noqa: S608
    assert asked(store, query) == [(6, 7)]


def test_ctrl_c_ends_a_query_while_it_is_computed(store, monkeypatch):
    heard = []

    def listen():
        heard.append(1)
        if len(heard) == 3:
            signal.raise_signal(signal.SIGINT)
        return 0

    monkeypatch.setattr(sql, "_listen", listen)
    monkeypatch.setattr(sql, "PATIENCE", 1000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    query = "WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t LIMIT 1000000) SELECT max(n) FROM t"
    try:
        with pytest.raises(KeyboardInterrupt):
            asked(store, query)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == 3


def test_a_full_disk_is_told_in_a_line(store, monkeypatch):
    for seed in range(20):
        stores.fill(store, seed=seed)
    fill = sql._fill
    monkeypatch.setattr(sql, "_fill", lambda one, *rest: one.execute("PRAGMA max_page_count = 3") and fill(one, *rest))
    with pytest.raises(StoreError, match=r"needs room for temporary files: .* full; name fewer runs"):
        asked(store, "SELECT * FROM steps")


# ---------------------------------------------------------------- the command


@pytest.fixture
def filled(tmp_path):
    path = str(tmp_path / "x.db")
    with open_store(path) as store:
        stores.fill(store, tags=["a"])
        stores.fill(store, seed=1)
    return path


def command(*arguments):
    return CliRunner().invoke(cli, ["store", "sql", *arguments])


def test_the_command_prints_a_table_csv_or_json(filled):
    query = "SELECT seed, tags, mean_return / 3 AS third, NULL AS gone, x'00ff' FROM runs ORDER BY seed"
    shown = command(query, "--store", filled)
    assert shown.stdout.splitlines() == [
        "seed  tags   third  gone  x'00ff'",
        "   0  [\"a\"]    0.5        X'00ff'",
        "   1  []       0.5        X'00ff'",
    ]
    lines = command(query, "--store", filled, "--csv").stdout.splitlines()
    assert lines == ["seed,tags,third,gone,x'00ff'", '0,"[""a""]",0.5,,X\'00ff\'', "1,[],0.5,,X'00ff'"]
    found = json.loads(command(query, "--store", filled, "--json").stdout)
    assert found["columns"] == ["seed", "tags", "third", "gone", "x'00ff'"]
    assert found["rows"][0] == [0, '["a"]', 0.5, None, "X'00ff'"]
    assert "two ways to print: choose one" in str(command(query, "--store", filled, "--json", "--csv").exception)


def test_the_command_says_when_there_are_more_rows(filled):
    steps = "SELECT step FROM steps"
    many = f"{steps}, (VALUES (1), (2), (3), (4))"
    shown = command(f"{many} LIMIT 101", "--store", filled)
    assert len(shown.stdout.splitlines()) == 101
    assert shown.stderr == "these are the first 100 rows: --csv and --json print all\n"
    assert command(f"{many} LIMIT 100", "--store", filled).stderr == ""
    assert len(command(many, "--store", filled, "--csv").stdout.splitlines()) == 113
    assert len(command(steps, "latest", "--store", filled).stdout.splitlines()) == 15


def test_the_command_cuts_long_texts_beside_others_and_says_so(filled):
    texts = "SELECT printf('%.*c', 61, 'x') AS long, printf('%.*c', 60, 'x') AS short"
    shown = command(texts, "--store", filled)
    assert shown.stdout.splitlines()[1].split() == ["x" * 57 + "...", "x" * 60]
    assert shown.stderr == "long texts are cut: --csv and --json print all\n"
    assert "x" * 61 in command("SELECT printf('%.*c', 61, 'x') AS long", "--store", filled).stdout
    assert "x" * 61 in command(texts, "--store", filled, "--csv").stdout


@pytest.mark.parametrize("how", [[], ["--csv"], ["--json"]])
def test_no_terminal_obeys_what_the_command_prints(filled, how):
    shown = command("SELECT char(27) || '[2J' AS a, char(8238) AS b", "--store", filled, *how)
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout


def test_the_command_lists_tables_and_columns_without_a_query(filled):
    header, runs, episodes, steps = command("--store", filled).stdout.splitlines()
    assert header.split() == ["table", "columns"]
    assert runs.split()[:3] == ["runs", "run,", "env_id,"]
    assert episodes.split()[1:] == ["run,", "episode,", "return,", "length,", "terminated,", "truncated"]
    assert steps.split()[1:6] == ["run,", "episode,", "step,", "observation,", "action,"]


def test_a_store_that_nobody_may_write_is_queried(filled, monkeypatch):
    Path(filled).chmod(0o400)
    opened = []
    monkeypatch.setattr("rlbench.open_store", lambda *where, **how: opened.append(how) or open_store(*where, **how))
    assert command("SELECT count(*) AS n FROM runs", "--store", filled).stdout.split() == ["n", "2"]
    assert opened == [{"create": False, "read_only": True}]  # the system's administrator may write any file
