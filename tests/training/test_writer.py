"""The writer: chunks go to the store in order, from a thread of its own, and at most one waits."""

import threading

import pytest
from waiting import HANG

from rlbench.errors import StoreError
from rlbench.training.writer import Writer


class Shelf:
    """A store that notes what it is given, as soon as it may."""

    url = "memory://"

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.taken, self.threads, self.breaks_at = [], set(), None

    def append(self, run_id, chunk, checkpoint, **progress):
        assert self.open.wait(HANG)
        if chunk == self.breaks_at:
            raise StoreError(f"no room for {chunk}")
        self.threads.add(threading.current_thread())
        self.taken.append((run_id, chunk, checkpoint, progress))


def test_chunks_arrive_in_order_with_what_belongs_to_them():
    shelf = Shelf()
    with Writer(shelf, "abc") as writer:
        for i in range(50):
            writer.put(i, f"checkpoint {i}" if i % 7 == 0 else None, seconds=i / 2)
        writer.wait()
        assert len(shelf.taken) == 50
    also = [{"keep": False, "seconds": i / 2} for i in range(50)]
    expected = [("abc", i, f"checkpoint {i}" if i % 7 == 0 else None, also[i]) for i in range(50)]
    assert shelf.taken == expected
    assert len(shelf.threads) == 1
    assert threading.current_thread() not in shelf.threads


def opening(shelf, call):
    """Returns the call, which then opens the shelf as it begins."""

    def opened(*args, **kwargs):
        shelf.open.set()
        return call(*args, **kwargs)

    return opened


def test_one_chunk_may_wait_and_the_next_must(monkeypatch):
    shelf = Shelf()
    shelf.open.clear()
    with Writer(shelf, "abc") as writer:
        writer.put(0)
        assert shelf.taken == []
        monkeypatch.setattr(writer._pending, "result", opening(shelf, writer._pending.result))
        writer.put(1)
        assert shelf.taken[0][1] == 0
        writer.wait()
    assert [chunk for _, chunk, *_ in shelf.taken] == [0, 1]


def test_what_fails_is_raised_by_the_next_call_and_once():
    shelf = Shelf()
    shelf.breaks_at = 1
    with Writer(shelf, "abc") as writer:
        writer.put(0)
        writer.put(1)
        with pytest.raises(StoreError, match="no room for 1"):
            writer.put(2)
        writer.wait()
        writer.put(1)
        with pytest.raises(StoreError, match="no room for 1"):
            writer.wait()
    assert [chunk for _, chunk, *_ in shelf.taken] == [0]


def test_leaving_waits_for_what_is_under_way(monkeypatch):
    shelf = Shelf()
    shelf.open.clear()
    with Writer(shelf, "abc") as writer:
        writer.put(0)
        monkeypatch.setattr(writer._pool, "shutdown", opening(shelf, writer._pool.shutdown))
    assert len(shelf.taken) == 1


def test_with_nothing_to_write_there_is_nothing_to_wait_for():
    with Writer(Shelf(), "abc") as writer:
        writer.wait()
