"""The log of decisions: what was served becomes episodes of a run, to be replayed, judged and learnt from.

Each version that is served has a run of its own in the store, tagged "served", whose parent is the served run. Requests
that belong together, by the protocol's `sequence_id`, make an episode: each tells by `parameters` which reward the
action before brought, and the last one that the episode `terminated` or was `truncated`. Any other decision is an
episode of which no more is known than its first observation: it has no step. The figure "decision" is the number of an
episode's first decision, which its `decision_id` ends with.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from rlbench.errors import RlbenchError, UsageError
from rlbench.store import CUT_OFF, EpisodeChunk
from rlbench.store.config import EXTERNAL, AgentConfig, EnvConfig, RunConfig
from rlbench.store.records import end_code
from rlbench.training.recording import total
from rlbench.training.setup import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from rlbench.store import Store
    from rlbench.web.served import Served

    Array = NDArray[Any]

TAG = "served"
SECONDS = 1.0  # between two writes
MOST_ROWS = 2**18  # decisions that wait to be stored, open episodes included; more are dropped
MOST_OPEN = 1_000  # episodes that are open at once; the oldest is cut off for another
FLAGS = ("sequence_start", "sequence_end", "terminated", "truncated")
IDLE = 20  # writes after which a run that got nothing shows that its writer lives


class Link(NamedTuple):
    """What a request tells of the episode that its observation belongs to."""

    sequence: str | int
    begins: bool  # whether it is the first
    reward: float  # that the action before brought
    end: int  # how the episode ended at this observation; 0: it goes on


def link_of(parameters: Mapping[str, Any], rows: int) -> Link | None:
    """Returns what the parameters of a request tell of its episode; None if they name none.

    Raises:
        UsageError: they contradict each other, or are of the wrong type.
    """
    sequence = parameters.get("sequence_id", 0)
    if type(sequence) not in (int, str) or len(str(sequence)) > 100:  # noqa: PLR2004  (as a name)
        raise UsageError("sequence_id must be a whole number or a text of up to 100 characters")
    if sequence in (0, ""):
        return None
    if rows != 1:
        raise UsageError(f"a request of a sequence has one observation, got {rows}")
    flags = {name: parameters.get(name, False) for name in FLAGS}
    reward = parameters.get("reward")
    if not all(type(flag) is bool for flag in flags.values()):
        raise UsageError(f"{', '.join(flags)} must be true or false")
    if reward is not None and not (type(reward) in (int, float) and abs(reward) <= np.finfo(float).max):
        raise UsageError("reward must be a finite number")
    has_ended = flags["terminated"] or flags["truncated"]
    end = end_code(flags["terminated"], flags["truncated"]) if has_ended else CUT_OFF if flags["sequence_end"] else 0
    return Link(sequence, flags["sequence_start"] or reward is None, float(reward or 0.0), end)


class Part(NamedTuple):
    """Whole episodes, to be put into a chunk with others."""

    observations: Array  # (steps + episodes, ...)
    actions: Array  # (steps,)
    rewards: NDArray[np.float64]  # (steps,)
    lengths: NDArray[np.int64]  # (episodes,)
    ends: NDArray[np.uint8]  # (episodes,)
    returns: NDArray[np.float64]  # (episodes,)
    numbers: NDArray[np.int64]  # (episodes,) of the first decision of each
    answers: Array  # (episodes,) what was answered to it


class _Episode:
    """An episode that goes on."""

    def __init__(self, number: int, observation: Array, answer: Array) -> None:
        self._number, self._observations, self._answers = number, [observation], [answer]
        self._rewards: list[float] = []

    def __len__(self) -> int:
        return len(self._observations)

    def go_on(self, observation: Array, answer: Array, reward: float) -> None:
        """Notes what came of the last action, and the next one."""
        self._observations.append(observation)
        self._answers.append(answer)
        self._rewards.append(reward)

    def ended(self, end: int) -> Part:
        """Returns it as a whole."""
        answers, rewards = np.concatenate(self._answers), np.array(self._rewards, np.float64)
        steps = len(rewards)
        return Part(
            np.concatenate(self._observations),
            answers[:steps],
            rewards,
            np.array([steps]),
            np.array([end], np.uint8),
            np.array([total(rewards) if steps else 0.0]),
            np.array([self._number]),
            answers[:1],
        )


def _loose(number: int, rows: Array, answers: Array) -> Part:
    """Returns decisions that nothing links to others: episodes without a step."""
    count = len(rows)
    ends, numbers = np.full(count, CUT_OFF, np.uint8), np.arange(number, number + count)
    lengths, returns = np.zeros(count, np.int64), np.zeros(count)
    return Part(rows, answers[:0], np.empty(0), lengths, ends, returns, numbers, answers)


class Book:
    """The log of one version: takes decisions as they are made, and writes them when it is told to.

    Args:
        store: keeps them; written by one thread alone.
        served: what decides.
        share: of the decisions, or of the episodes where they are linked, that are stored.
        on_dropped: called with how many decisions could not be taken.
    """

    def __init__(self, store: Store, served: Served, share: float, on_dropped: Callable[[int], object]) -> None:
        self._store, self._share, self._on_dropped = store, share, on_dropped
        self._random = random.Random()  # noqa: S311  (a sample)
        about = {"seed": 0, "config": _config(served), **_ties(served)}
        self.run_id = store.create_run(*names_of(served), **about, what="record").id
        self._lock = threading.Lock()
        self._next = 0  # number of the next decision
        self._taken: deque[tuple[int, Array, Array, Link | None]] = deque()
        self._open: dict[str | int, _Episode] = {}  # the oldest first
        self._whole: list[Part] = []
        self._in = self._out = 0  # rows that were taken, and that need no memory any more
        self._episodes = 0  # that are written
        self._is_unsure = False  # whether the last write failed, or only seemed to
        self._quiet = 0  # how often there was nothing to write

    def take(self, rows: Array, answers: Array, link: Link | None) -> str:
        """Notes a batch of decisions; returns the id of the first: the others count on."""
        count = len(rows)
        with self._lock:
            number, self._next = self._next, self._next + count
            if link is not None or self._share == 1 or self._random.random() < self._share:
                if self._in - self._out + count > MOST_ROWS:
                    self._on_dropped(count)
                else:
                    self._in += count
                    self._taken.append((number, rows, answers, link))
        return f"{self.run_id}-{number}"

    def write(self, **progress: Any) -> None:
        """Writes what has ended.

        Raises:
            StoreError: that failed; it is kept for the next time.
        """
        if self._is_unsure and self._store.run(self.run_id).episodes > self._episodes:
            self._note_written()
        while self._taken:
            self._sort(*self._taken.popleft())
        while len(self._open) > MOST_OPEN or sum(map(len, self._open.values())) > MOST_ROWS // 2:
            self._end(next(iter(self._open)), CUT_OFF)
        if self._whole or progress:
            self._is_unsure = True
            self._store.append(self.run_id, _chunk(self._episodes, self._whole) if self._whole else None, **progress)
            self._note_written()
            return
        self._quiet += 1
        if self._quiet % IDLE == 0:
            self._store.show_alive(self.run_id)

    def finish(self) -> None:
        """Writes the rest and ends the run; one without a decision leaves no trace."""
        self.write()
        for sequence in list(self._open):
            self._end(sequence, CUT_OFF)
        if self._episodes or self._whole:
            self.write(status="finished")
        else:
            self._store.delete_run(self.run_id)

    def _note_written(self) -> None:
        self._episodes += sum(len(part.lengths) for part in self._whole)
        self._out += sum(len(part.observations) for part in self._whole)
        self._whole, self._is_unsure = [], False

    def _sort(self, number: int, rows: Array, answers: Array, link: Link | None) -> None:
        """Puts decisions where they belong: loose ones are whole, a linked one goes on with its episode."""
        if link is None:
            self._whole.append(_loose(number, rows, answers))
            return
        if link.begins:
            if link.sequence in self._open:
                self._end(link.sequence, CUT_OFF)
            if self._random.random() < self._share:
                self._open[link.sequence] = _Episode(number, rows, answers)
        elif link.sequence in self._open:
            self._open[link.sequence].go_on(rows, answers, link.reward)
        if link.sequence not in self._open:  # of an episode that is not stored
            self._out += 1
        elif link.end:
            self._end(link.sequence, link.end)

    def _end(self, sequence: str | int, end: int) -> None:
        self._whole.append(self._open.pop(sequence).ended(end))


def _chunk(first_episode: int, parts: Sequence[Part]) -> EpisodeChunk:
    """Returns whole episodes as a chunk."""
    whole = Part(*map(np.concatenate, zip(*parts, strict=True)))
    return EpisodeChunk(
        first_episode=first_episode,
        first_step=0,
        lengths=whole.lengths,
        ends=whole.ends,
        figures={
            "return": whole.returns,
            "length": whole.lengths,
            "decision": whole.numbers,
            "answer": whole.answers,
        },
        steps={"observations": whole.observations, "actions": whole.actions, "rewards": whole.rewards},
    )


def names_of(served: Served) -> tuple[str, str]:
    """Returns the env and the agent of the run that keeps what is served."""
    if served.run is not None:
        return served.run.env_id, served.run.agent_name
    return f"model:{served.name}", served.name


def _config(served: Served) -> RunConfig:
    env, agent = EnvConfig(names_of(served)[0]), AgentConfig(names_of(served)[1])
    if served.run is not None:
        env, agent = served.run.record.config.env, served.run.record.config.agent
    return RunConfig(env=env, agent=agent, engine=EXTERNAL, record="all", versions=versions())


def _ties(served: Served) -> dict[str, Any]:
    note = f"decisions of {served.name}, version {served.version}"
    return {"tags": [TAG], "note": note, "parents": [] if served.run is None else [served.run.id]}


class Log:
    """Stores the decisions of one server in a thread of its own: no request waits for it.

    Args:
        store: keeps them; only this thread uses it once it has begun.
        share: of the decisions, or of the episodes where they are linked, that are stored, above 0.
        tell: called with a line when something cannot be written.
    """

    def __init__(self, store: Store, share: float, tell: Callable[[str], object]) -> None:
        self._store, self._share, self._tell = store, share, tell
        self._books: dict[tuple[str, str], Book] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="rlbench-decisions", daemon=True)

    def open(self, served: Served, on_dropped: Callable[[int], object]) -> Book:
        """Returns the log of a version, which has a run of its own.

        Raises:
            StoreError: the store cannot be written.
        """
        key = (served.name, served.version)
        if key not in self._books:
            self._books[key] = Book(self._store, served, self._share, on_dropped)
        return self._books[key]

    def __enter__(self) -> Self:
        """Begins to write."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Writes the rest and finishes the runs."""
        self._is_over.set()
        self._thread.join()
        self._each(Book.finish)

    def _write_all(self) -> None:
        while not self._is_over.wait(SECONDS):
            self._each(Book.write)

    def _each(self, act: Callable[[Book], object]) -> None:
        for book in list(self._books.values()):
            try:
                act(book)
            except RlbenchError as error:
                self._tell(f"the decisions of run {book.run_id} wait to be stored: {error}")
