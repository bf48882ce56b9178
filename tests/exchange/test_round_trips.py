"""Export and import: every bit comes back."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rlbench
from rlbench.exchange import export, import_run
from rlbench.replaying import verify
from rlbench.store import EpisodeChunk, checking, open_store
from rlbench.training import Run

KINDS = ("csv", "json", "parquet", "feather", "hdf5", "minari", "csv.gz", "json.gz")
SAMPLES = ("discrete", "cartpole", "composite", "empty")


def there_and_back(run, folder, kind, samples):
    export(run, folder / samples.PATHS[kind], "minari" if kind == "minari" else None)
    return import_run(folder / samples.PATHS[kind], run.store)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_chunk_and_the_record_come_back(tmp_path, store, samples, kind, sample):
    run = samples.ALL[sample](store)
    record = there_and_back(run, tmp_path, kind, samples)
    assert record.id != run.id
    assert (record.tags, record.note) == (("a b", "ü", "imported"), "why, ü")
    assert record.cache_key == ""
    assert samples.known_of(record) == samples.known_of(run.record)
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)


@pytest.mark.parametrize("kind", ["json", "hdf5"])
def test_json_and_hdf5_bring_the_last_checkpoint_back(tmp_path, store, samples, kind):
    run = samples.ALL["discrete"](store)
    found = store.checkpoint(there_and_back(run, tmp_path, kind, samples).id)
    expected = store.checkpoint(run.id)
    assert (found.episodes, found.timesteps) == (5, 17)
    assert samples.bits(found.arrays) == samples.bits(expected.arrays)
    assert found.numbers == {**expected.numbers, "unfinished_episode": True}


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_return_that_is_infinite_comes_back(tmp_path, store, kind):
    rewards = np.array([1e308, 1e308, 0.0, -1.0, 1.0])
    columns = {"observations": np.arange(7), "actions": np.zeros(5, np.int64), "rewards": rewards}
    figures = {"return": np.array([np.inf, 1.0]), "length": np.array([4, 1])}
    record = store.create_run("x/Y-v0", "tester", seed=0)
    store.append(record.id, EpisodeChunk(0, 0, np.array([4, 1]), np.array([1, 1], np.uint8), figures, columns))
    store.append(record.id, status="finished")
    export(Run(store.run(record.id), store), tmp_path / f"run.{kind}")
    (chunk,) = store.chunks(import_run(tmp_path / f"run.{kind}", store).id)
    assert chunk.figures["return"].tolist() == [np.inf, 1.0]


@pytest.mark.parametrize("kind", ["csv", "hdf5"])
def test_an_imported_run_can_be_verified(tmp_path, store, samples, kind):
    run = rlbench.train("FrozenLake-v1", episodes=60, seed=2, store=store, engine="python")
    record = there_and_back(run, tmp_path, kind, samples)
    found = verify(Run(record, store))
    assert (found.episodes, found.steps, found.mismatched, found.unverifiable) == (60, run.timesteps, 0, 0)


@pytest.mark.parametrize("kind", ["json", "hdf5"])
def test_an_imported_run_has_its_agent_and_can_be_resumed(tmp_path, store, samples, kind):
    run = rlbench.train("safecab", episodes=40, seed=0, store=store)
    imported = Run(there_and_back(run, tmp_path, kind, samples), store)
    assert np.array_equal(imported.agent.q_table, run.agent.q_table)
    longer = rlbench.resume(imported, episodes=60)
    assert np.array_equal(longer.agent.q_table, rlbench.train("safecab", episodes=60, seed=0).agent.q_table)


def test_a_run_that_shares_what_a_shorter_one_stored_is_exported_whole(tmp_path, store, samples):
    first = rlbench.train("safecab", episodes=20, seed=0, store=store)
    longer = rlbench.train("safecab", episodes=50, seed=0, store=store)
    record = there_and_back(longer, tmp_path, "json", samples)
    assert (record.episodes, record.timesteps, record.parents) == (50, longer.timesteps, (first.id,))
    assert store.checkpoint(record.id).episodes == 50


@pytest.mark.parametrize("kind", KINDS)
def test_chosen_episodes_come_back_renumbered(tmp_path, store, samples, kind):
    run = samples.ALL["cartpole"](store)
    path = tmp_path / samples.PATHS[kind]
    assert export(run, path, kind.removesuffix(".gz"), indices=[7, -2, 3, 7]).episodes == 3
    episodes = store.episodes(import_run(path, store).id)
    expected = [store.episodes(run.id)[index] for index in (3, 7, 10)]
    assert [episode.index for episode in episodes] == [0, 1, 2]
    for found, original in zip(episodes, expected, strict=True):
        assert np.array_equal(found.observations, original.observations)
        assert np.array_equal(found.rewards, original.rewards)
        assert (found.terminated, found.truncated) == (original.terminated, original.truncated)


def test_a_slice_and_an_episode_over_several_chunks_can_be_chosen(tmp_path, store, samples):
    run = samples.ALL["discrete"](store)
    export(run, tmp_path / "some.json", indices=slice(2, 4))
    found = store.episodes(import_run(tmp_path / "some.json", store).id)
    expected = store.episodes(run.id)[2:4]
    assert [len(episode) for episode in found] == [9, 1]
    assert all(np.array_equal(a.observations, b.observations) for a, b in zip(found, expected, strict=True))


def test_an_unfinished_episode_is_left_out(tmp_path, store, samples):
    columns = {"observations": np.arange(5), "actions": np.zeros(3, np.int64), "rewards": np.zeros(3)}
    run = samples.stored(store, samples.chunk_of([2, 1], columns, ends=[1, 0]), status="interrupted")
    record = there_and_back(run, tmp_path, "csv", samples)
    assert (record.episodes, record.timesteps, record.status) == (1, 2, "interrupted")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "feather", "hdf5"])
def test_observations_may_be_nan_and_infinite(tmp_path, store, samples, kind):
    columns = {
        "observations": np.array([np.nan, np.inf, -np.inf]),
        "actions": np.zeros(2, np.uint8),
        "rewards": np.ones(2),
    }
    run = samples.stored(store, samples.chunk_of([2], columns))
    record = there_and_back(run, tmp_path, kind, samples)
    found = store.episodes(record.id)[0].observations
    assert np.array_equal(found, columns["observations"], equal_nan=True)


@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "feather", "hdf5"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">i8", "<u8", "|i1", "|b1", "<u2"])
def test_every_dtype_comes_back(tmp_path, store, samples, kind, dtype):
    observations = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    if dtype == "<u8":
        observations[0] = 2**64 - 1
    columns = {"observations": observations, "actions": observations[:2, 0], "rewards": np.ones(2, np.float32)}
    run = samples.stored(store, samples.chunk_of([2], columns))
    record = there_and_back(run, tmp_path, kind, samples)
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)


@st.composite
def chunks(draw):
    """A few short episodes of arbitrary numbers."""
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    ends = draw(st.lists(st.integers(1, 4), min_size=len(lengths), max_size=len(lengths)))
    steps, rows = sum(lengths), sum(lengths) + len(lengths)
    dtype = draw(st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_]))
    shape = draw(st.sampled_from([(), (2,), (1, 3)]))
    finite = {"allow_nan": False, "allow_infinity": False}
    columns = {
        "observations": draw(
            hnp.arrays(dtype, (rows, *shape), elements=finite if np.dtype(dtype).kind == "f" else None)
        ),
        "actions": draw(hnp.arrays(np.int8, steps)),
        "rewards": draw(hnp.arrays(np.float64, steps, elements=st.floats(-1e300, 1e300))),  # a return is finite
    }
    figures = {
        "return": draw(hnp.arrays(np.float64, len(lengths), elements=finite)),
        "length": np.array(lengths, np.int32),
        "loss": draw(hnp.arrays(np.float32, (len(lengths), 2), elements={"allow_nan": False})),
    }
    return EpisodeChunk(0, 0, np.array(lengths), np.array(ends, np.uint8), figures, columns)


@pytest.mark.parametrize("examples", [15, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "feather", "hdf5"])
def test_any_numbers_come_back(tmp_path_factory, samples, kind, examples):
    folder = tmp_path_factory.mktemp(kind)

    @settings(max_examples=examples, derandomize=True)
    @given(chunk=chunks(), has_next=st.booleans())
    def check(chunk, has_next):
        with open_store("memory://") as store:
            run = samples.stored(store, chunk)
            is_flat = kind in {"csv", "parquet", "feather"}
            export(run, folder / samples.PATHS[kind], kind, next_observation=has_next and is_flat, overwrite=True)
            record = import_run(folder / samples.PATHS[kind], store)
            assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)

    check()


def test_a_run_goes_through_every_format_one_after_another(tmp_path, store, samples):
    run = samples.ALL["cartpole"](store)
    expected = samples.chunks_as_bits(store, run.id)
    for kind in KINDS:
        run = Run(there_and_back(run, tmp_path, kind, samples), store)
        assert samples.chunks_as_bits(store, run.id) == expected
        assert run.record.tags == ("a b", "ü", "imported")


KILLED = """
import functools, os, signal, sys
from rlbench.exchange import import_run
from rlbench.store import open_store

def killed_at(number):
    "Imports in a child that kills itself before or after a write; returns whether it lived through all of them."
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store, stages = open_store("runs.db"), iter(range(1, 1000))
    def stage():
        if next(stages) == number:
            os.kill(os.getpid(), signal.SIGKILL)
    def around(write, *arguments, **act):
        stage()
        written = write(*arguments, **act)
        stage()
        return written
    for name in ("insert_run", "commit"):
        setattr(store.backend, name, functools.partial(around, getattr(store.backend, name)))
    import_run("run.json", store)
    os._exit(0)

number = 1
while not killed_at(number):
    print(number, flush=True)
    sys.stdin.readline()
    number += 1
"""


def test_an_import_killed_anywhere_leaves_a_whole_run_or_one_that_the_next_sweeps(store, tmp_path, samples):
    export(samples.ALL["discrete"](store), tmp_path / "run.json")
    with open_store(tmp_path / "runs.db") as target:
        whole = outcome_of(target, import_run(tmp_path / "run.json", target))
        trained = target.create_run("x/Y-v0", "tester", seed=0, tags=["imported"])
    left, pipes = 0, {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, **pipes) as process:
        while process.stdout.readline():
            with open_store(tmp_path / "runs.db") as target:
                half = [run for run in target.runs() if run.id != trained.id and outcome_of(target, run) != whole]
                left = max(left, len(half))
                assert {run.status for run in half} <= {"interrupted"}
                last = import_run(tmp_path / "run.json", target)
                others = [run for run in target.runs() if run.id != trained.id]
                assert [outcome_of(target, run) for run in others] == [whole] * len(others)
                assert target.run(trained.id).status == "interrupted"
                assert target.run("latest").id == last.id
                assert list(checking.check(target)) == []
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait() == 0
    assert left == 1


def outcome_of(store, record):
    """What an import must bring: everything but the id and the time."""
    figures = {name: column.tolist() for name, column in store.figures(record.id).items()}
    counts = (record.episodes, record.timesteps, record.status, record.tags, record.evaluation)
    return counts, figures, len(store.checkpoints(record.id))


@pytest.mark.parametrize(
    "text", ["=1+1", "x,=cmd|' /C calc'!A0", "+1", "-2", "@x", "'", "a\nb", "a;b;c;d;e;f;g;h;i;j;k;l;m;n;o"]
)
def test_no_name_in_a_csv_is_computed_by_a_spreadsheet(tmp_path, store, samples, text):
    columns = {"observations": np.zeros(2), "actions": np.zeros(1), "rewards": np.zeros(1), text: np.ones(1)}
    run = samples.stored(store, samples.chunk_of([1], columns))
    export(run, tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(newline="") as file:
        cells = next(csv.reader(file))
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    record = import_run(tmp_path / "run.csv", store)
    assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)
