"""Long runs: exports and imports hold a few chunks at a time, whatever their number."""

import weakref
from pathlib import Path

import numpy as np
import pytest

import rlbench.exchange
from rlbench.exchange import (
    batches,
    csv_files,
    csv_tables,
    export,
    feather_files,
    hdf5_files,
    import_run,
    parquet_files,
)
from rlbench.exchange.batches import chunks_of, whole_episodes
from rlbench.store import OPEN, EpisodeChunk, Store

DATA = Path(__file__).parents[1] / "data"
STEPS = 300  # per chunk
KINDS = ("csv", "json", "parquet", "feather", "hdf5", pytest.param("minari", marks=pytest.mark.long))


def long_run(store, samples, count):
    """A run of `count` chunks of ten episodes each."""
    columns = {"observations": np.arange(STEPS + 10), "actions": np.zeros(STEPS, np.int8), "rewards": np.ones(STEPS)}
    chunks = (samples.chunk_of([STEPS // 10] * 10, columns, first_episode=10 * i) for i in range(count))
    return samples.stored(store, *chunks)


class Watch:
    """Counts the objects shown to it that are still alive."""

    def __init__(self):
        self.seen, self.most, self._alive = 0, 0, []

    def __call__(self, shown):
        self._alive = [*(alive for alive in self._alive if alive() is not None), weakref.ref(shown)]
        self.most, self.seen = max(self.most, len(self._alive)), self.seen + 1
        return shown


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_holds_few_chunks(tmp_path, store, samples, monkeypatch, kind):
    run, watch, chunks = long_run(store, samples, 40), Watch(), store.chunks
    monkeypatch.setattr(store, "chunks", lambda *args, **more: map(watch, chunks(*args, **more)))
    export(run, tmp_path / "run", kind)
    assert (watch.seen, watch.most <= 4) == (1 + 40 + 40, True)  # for the columns, the digests, and the file


@pytest.mark.parametrize("kind", KINDS)
def test_an_import_holds_few_batches_and_chunks(tmp_path, store, samples, monkeypatch, kind):
    run, path = long_run(store, samples, 40), tmp_path / samples.PATHS[kind]
    monkeypatch.setattr(feather_files, "ROWS", STEPS)
    export(run, path, kind)
    for module in (batches, csv_tables, parquet_files, hdf5_files):
        monkeypatch.setattr(module, "BATCH_STEPS", STEPS)
    read, written = Watch(), Watch()
    monkeypatch.setattr("rlbench.exchange.transfer.figured", lambda batch: read(batches.figured(batch)))
    append = Store.append
    monkeypatch.setattr(
        Store, "append", lambda self, run_id, chunk=None, **more: append(self, run_id, chunk and written(chunk), **more)
    )
    record = import_run(path, store)
    assert record.timesteps == 40 * STEPS
    assert (read.seen >= 35, read.most <= 4) == (True, True)
    assert (written.seen, written.most <= 4) == (40, True)


@pytest.mark.parametrize("sample", ["discrete", "cartpole", "composite", "layout 1"])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_blocks_in_which_a_csv_file_is_read_change_nothing(tmp_path, store, samples, monkeypatch, sample, rows):
    if sample == "layout 1":
        path, run = DATA / "layout_1.csv", samples.ALL["discrete"](store)
    else:
        path, run = tmp_path / "run.csv", samples.ALL[sample](store)
        export(run, path)
    monkeypatch.setattr(csv_tables, "BATCH_STEPS", rows)
    assert samples.chunks_as_bits(store, import_run(path, store).id) == samples.chunks_as_bits(store, run.id)


def test_of_an_episode_longer_than_a_block_the_cells_are_not_held(tmp_path, store, samples, monkeypatch):
    steps = 20 * STEPS
    columns = {"observations": np.arange(steps + 1), "actions": np.zeros(steps, np.int8), "rewards": np.ones(steps)}
    export(samples.stored(store, samples.chunk_of([steps], columns)), tmp_path / "run.csv")
    monkeypatch.setattr(csv_tables, "BATCH_STEPS", STEPS)
    sizes, hold = [], csv_files._Rows._hold

    def counted(self, rows, lines, *, is_whole):
        sizes.append(len(rows))
        hold(self, rows, lines, is_whole=is_whole)

    monkeypatch.setattr(csv_files._Rows, "_hold", counted)
    assert import_run(tmp_path / "run.csv", store).timesteps == steps
    assert (sum(sizes), max(sizes)) == (steps, 2 * STEPS)


def test_a_row_that_does_not_follow_the_block_before_is_named(tmp_path, store, samples, monkeypatch):
    columns = {"observations": np.arange(10), "actions": np.zeros(9, np.int8), "rewards": np.ones(9)}
    path = tmp_path / "run.csv"
    export(samples.stored(store, samples.chunk_of([9], columns)), path)
    path.write_text(path.read_text().replace("\n0,4,", "\n0,5,"))
    monkeypatch.setattr(csv_tables, "BATCH_STEPS", 1)
    with pytest.raises(rlbench.errors.UsageError, match="line 6, column 'step': expected 4, or 0 to begin an"):
        import_run(path, store)


def test_an_export_of_a_few_episodes_reads_their_chunks_only(tmp_path, store, samples, monkeypatch):
    run, watch, chunks = long_run(store, samples, 40), Watch(), store.chunks
    monkeypatch.setattr(store, "chunks", lambda *args, **more: map(watch, chunks(*args, **more)))
    export(run, tmp_path / "run.csv", indices=[3, 205, 207])
    assert watch.seen == 1 + 2 + 2


def test_without_marks_a_long_stream_is_cut_into_chunks_of_bounded_size(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK_STEPS", 100)
    stream = [_batch([30] * 5, 5 * i) for i in range(4)]
    chunks = list(chunks_of(iter(stream)))
    assert [chunk.n_steps for chunk in chunks] == [90, 90, 90, 90, 90, 90, 60]
    assert [chunk.first_episode for chunk in chunks] == [0, 3, 6, 9, 12, 15, 18]
    assert all(chunk.first_step == 0 and chunk.problem() is None for chunk in chunks)


def test_an_episode_longer_than_a_chunk_goes_on_in_the_next(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK_STEPS", 100)
    chunks = list(chunks_of(iter([_batch([20, 250, 30], 0)])))
    assert [(chunk.first_episode, chunk.first_step, chunk.lengths.tolist()) for chunk in chunks] == [
        (0, 0, [20]),
        (1, 0, [100]),
        (1, 100, [100]),
        (1, 200, [50, 30]),
    ]
    assert [chunk.ends.tolist() for chunk in chunks] == [[1], [OPEN], [OPEN], [1, 1]]
    (joined,) = [batch for batch in whole_episodes(chunks, "x") if batch.episodes[0] == 1]
    assert joined.steps["observations"].tolist() == _batch([20, 250, 30], 0).steps["observations"][21:].tolist()


def test_wide_observations_make_chunks_of_few_steps(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK_BYTES", 50 * 800)
    wide = _batch([10] * 20, 0)
    wide.steps["observations"] = np.zeros((220, 100))
    sizes = [chunk.n_steps for chunk in chunks_of(iter([wide]))]
    assert sum(sizes) == 200
    assert max(sizes) <= 50


def _batch(lengths, first):
    steps, rows = sum(lengths), sum(lengths) + len(lengths)
    columns = {"observations": np.arange(rows), "actions": np.zeros(steps), "rewards": np.ones(steps)}
    count = len(lengths)
    figures = {"return": np.zeros(count), "length": np.array(lengths)}
    lengths, ends = np.array(lengths), np.ones(count, np.uint8)
    return batches.Batch(np.arange(first, first + count), lengths, ends, columns, figures)


def test_a_chunk_missing_in_the_middle_of_an_episode_is_named():
    lone = EpisodeChunk(
        3, 7, np.array([1]), np.array([1], np.uint8), {}, {"observations": np.zeros(2), "rewards": np.ones(1)}
    )
    with pytest.raises(rlbench.errors.StoreError, match="run abc is damaged: a chunk of episode 3 is missing"):
        list(whole_episodes([lone], "abc"))
