"""Does a job many times, in several processes: one that is killed takes no other along, a signal ends all cleanly.

`concurrent.futures` promises neither: if one process is killed, its pool is broken, and Ctrl-C reaches each of them.
"""

from __future__ import annotations

import math
import os
import signal
import time
import traceback
import warnings
from collections import deque
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rlbench.errors import ProcessError, RlbenchError, UsageError
from rlbench.signals import ending_by, interrupt, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection

SPAWN = get_context("spawn")  # alike on every platform, and safe where threads run
GUARD = (
    'put what starts the training under `if __name__ == "__main__":`, so that other processes can import your program'
)
ELSEWHERE = "define it in a module, outside of functions, or train with workers=1"
PAUSE = 0.1  # seconds between two shares that are told
TO_KILL = 3  # signals, until the processes are killed: the first ends the episode, the second the training


class Outcome(NamedTuple):
    """What came of an item: a value, or an error."""

    number: int  # of the item
    value: Any = None
    error: RlbenchError | None = None


def in_processes(
    job: Callable[[Any, Callable[[float], None]], Any],
    items: Iterable[Any],
    *,
    workers: int,
    hear: Callable[[int, float], object] = lambda _number, _share: None,
) -> Iterator[Outcome]:
    """Does a job with each item in processes of its own; see `Pool.each`."""
    with Pool(workers) as pool:
        yield from pool.each(job, items, hear)


class Pool:
    """Processes that do jobs, and are kept from one call of `each` to the next: to start one takes a second.

    Args:
        workers: how many processes, at most; they start when there is something to do.
    """

    def __init__(self, workers: int) -> None:
        self._most = workers
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        for worker in self._workers:  # which takes each a tenth of a second
            worker.join()

    def each(
        self,
        job: Callable[[Any, Callable[[float], None]], Any],
        items: Iterable[Any],
        hear: Callable[[int, float], object] = lambda _number, _share: None,
    ) -> Iterator[Outcome]:
        """Calls `job(item, tell)` for each item, in several processes, and yields what comes of it as it comes.

        After a signal that asks this process to end (Ctrl-C), no item is begun, and the processes are asked to end
        theirs: those that had begun are still yielded. The same holds after a UsageError, which the other items would
        meet too.

        Args:
            job: a function of a module; calls `tell` with the share of its work that is done, from 0 to 1.
            items: what to do it with; they and the values travel to and from the processes by pickle. An item is taken
                when a process is soon free for it: there may be any number.
            hear: called with the number of an item, and the share that is done.

        Raises:
            UsageError: an item cannot go to another process.
            ProcessError: the processes cannot start.
        """
        coming = ((number, packed((job, item))) for number, item in enumerate(items))
        waiting = deque(islice(coming, self._most))
        most = min(self._most, len(waiting))
        pool = self._workers
        with _ending(pool) as ended:
            while (waiting and not ended) or any(worker.is_busy for worker in pool):
                while waiting and not ended and len(pool) < most:
                    pool.append(_Worker())
                for worker in pool:
                    if worker.is_free and waiting and not ended:
                        worker.give(*waiting.popleft())
                        waiting.extend(islice(coming, 1))
                for worker in _heard(pool):
                    found = worker.hear(hear)
                    if not worker.is_alive:
                        pool.remove(worker)
                    if found is not None and not (ended and isinstance(found.error, ProcessError)):
                        yield found
                        if isinstance(found.error, UsageError):
                            waiting.clear()
                            coming.close()


def packed(thing: object) -> bytes:
    """Returns what is to go to another process as bytes; UsageError if it cannot go there."""
    try:
        return bytes(ForkingPickler.dumps(thing))
    except RlbenchError:
        raise
    except Exception as error:  # whatever an object raises that cannot be pickled
        raise UsageError(f"this cannot go to another process: {error}; {ELSEWHERE}") from error


def unpacked(data: bytes) -> Any:
    """Returns what another process packed; UsageError if it cannot be made here."""
    try:
        return ForkingPickler.loads(data)
    except Exception as error:  # whatever an import raises
        raise UsageError(f"this cannot be made again in another process: {error}; {ELSEWHERE}") from error


def _heard(pool: list[_Worker]) -> list[_Worker]:
    """Waits until some processes have said something, or ended."""
    ready = wait([worker.connection for worker in pool])
    return [worker for worker in pool if worker.connection in ready]


@contextmanager
def _ending(pool: list[_Worker]) -> Iterator[list[int]]:
    """Passes signals that ask this process to end on to the others; yields the list of those that came."""
    came: list[int] = []

    def end(number: int, _frame: Any) -> None:
        came.append(number)
        for worker in pool:
            worker.stop(kill=len(came) >= TO_KILL)

    with ending_by(end):
        yield came


class _Worker:
    """A process that takes one item at a time."""

    def __init__(self) -> None:
        self.connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(theirs,))
        self._item: int | None = None
        self.is_ready = False  # it has imported what it needs
        self.is_alive = True
        self._is_asked_to_end = False
        with _not_for_children():
            try:
                self._process.start()
            except RuntimeError as error:  # it is itself such a process, which imports the program
                raise UsageError(GUARD) from error
        theirs.close()

    @property
    def is_busy(self) -> bool:
        return self._item is not None

    @property
    def is_free(self) -> bool:
        return self.is_alive and self.is_ready and not self.is_busy

    def give(self, index: int, data: bytes) -> None:
        self._item = index
        with suppress(OSError):  # it has just ended: the next look finds out
            self.connection.send_bytes(data)

    def hear(self, hear: Callable[[int, float], object]) -> Outcome | None:
        """Takes a message; returns what came of the item, if it says so."""
        try:
            kind, told = self.connection.recv()
        except (EOFError, OSError):
            return self._ended()
        self.is_ready = True
        if self._item is None or kind == "ready":
            return None
        if kind == "share":
            hear(self._item, told)
            return None
        if kind == "warning":
            warnings.warn(told, stacklevel=2)
            return None
        index, self._item = self._item, None
        return Outcome(index, error=told) if kind == "failed" else Outcome(index, told)

    def _ended(self) -> Outcome | None:
        """Returns what is known of a process that ended before its item."""
        self._process.join()
        self.is_alive, code = False, self._process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if not (self.is_ready or self._is_asked_to_end) and code >= 0:
            raise ProcessError(f"another process {how} before it began: {GUARD}")
        index, self._item = self._item, None
        return None if index is None else Outcome(index, error=ProcessError(f"its process {how}"))

    def stop(self, *, kill: bool) -> None:
        """Asks the process to end; on Windows Ctrl-C has reached it already."""
        self._is_asked_to_end = True
        if kill:
            self._process.kill()
        elif os.name == "posix":
            self._process.terminate()

    def end(self) -> None:
        """Ends the process: between two items by itself, else at once."""
        self.connection.close()
        if self.is_busy or not self.is_ready:
            self._process.kill()

    def join(self) -> None:
        """Waits until the process has ended."""
        self._process.join()


@contextmanager
def _not_for_children() -> Iterator[None]:
    """Lets a process that is started meanwhile never get the terminal's Ctrl-C: its parent says when it shall end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else the first start begins it, and lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection) -> None:
    """Takes items and does them, until the other end is closed."""
    take(interrupt)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        connection.send(("ready", None))
        while True:
            connection.send(_answer(connection))


class _Teller:
    """Tells the other end which share of an item is done, now and then: a bar is not drawn more often."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._told = connection, -math.inf

    def __call__(self, share: float) -> None:
        if time.monotonic() - self._told > PAUSE:
            self._connection.send(("share", share))
            self._told = time.monotonic()


def _answer(connection: Connection) -> tuple[str, Any]:
    data = connection.recv_bytes()
    try:
        job, item = unpacked(data)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: connection.send(("warning", str(message)))
            return "done", job(item, _Teller(connection))
    except RlbenchError as error:
        return "failed", error
    except BaseException as error:  # noqa: BLE001  (whatever an env raises, KeyboardInterrupt included)
        failure = ProcessError(f"{type(error).__name__}: {error}")
        failure.add_note(traceback.format_exc())
        return "failed", failure
