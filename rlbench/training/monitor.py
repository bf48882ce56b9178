"""Watches training: the progress bar, and the signals that ask it to end."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlbench.signals import ending_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.store import EpisodeChunk
    from rlbench.training.budgets import Budget

PATIENCE = 1.0  # seconds before a bar appears: shorter trainings need none
INTERVAL = 0.1  # seconds between two looks
LAST = 1000  # episodes, whose mean return is shown


class Bar:
    """A progress bar on a terminal, for anything over a second; or the progress of several things in one.

    Args:
        total: how much there is to do.
        what: is done.
        shown: whether to show it at all.
    """

    def __init__(self, total: float, what: str = "", *, shown: bool) -> None:
        self.total, self.what, self.shown = total, what, shown
        self.started = self._last = time.perf_counter()
        self._shares: dict[int, float] = {}
        self._bar: Any = None
        self._task: Any = None

    def is_due(self) -> bool:
        """Returns whether to draw it again; if so, the next time is a little later."""
        now = time.perf_counter()
        if not self.shown or now - self._last < INTERVAL or now - self.started < PATIENCE:
            return False
        self._last = now
        return True

    def hear(self, number: int, share: float) -> None:
        """Notes which share of one of several things is done."""
        self._shares[number] = share
        if self.is_due():
            done = sum(share == 1 for share in self._shares.values())
            self.draw(sum(self._shares.values()), self.total, f"{done} of {self.total} {self.what}")

    def draw(self, completed: float, total: float, status: str) -> None:
        """Draws it."""
        if self._bar is None:
            self._start()
        self._bar.update(self._task, completed=completed, total=total, status=status)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None and not self._bar.disable:  # a disabled one still ends its line
            self._bar.stop()

    def _start(self) -> None:
        from rich.console import Console  # noqa: PLC0415  (most runs are over before a bar is due)
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = ("[progress.percentage]{task.percentage:>3.0f}%", BarColumn(), "{task.fields[status]}")
        console = Console(file=sys.stderr)
        self._bar = Progress(
            *(TextColumn(c) if isinstance(c, str) else c for c in columns),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", status="")
        self._bar.start()


class Monitor:
    """Shows how far a training has come: by a bar, or to a function that is called with the share that is done."""

    def __init__(self, agent: Agent, budget: Budget, *, shown: bool | Callable[[float], object]) -> None:
        self.agent, self.budget = agent, budget
        self._returns: NDArray[np.float64] | None = None  # the last
        self._told = shown if callable(shown) else None
        self._bar = Bar(1, shown=bool(shown))
        self._first_step = agent.timesteps

    def hear(self, chunk: EpisodeChunk) -> None:
        """Notes the returns of a finished chunk."""
        returns = chunk.figures["return"]
        if len(returns):
            self._returns = returns[-LAST:].copy()

    def look(self) -> None:
        """Draws the bar, or tells the function, if it is due."""
        if not self._bar.is_due():
            return
        completed, total = self._nearer()
        if self._told is not None:
            self._told(completed / total)
        else:
            self._bar.draw(completed, total, self._status())

    def close(self) -> None:
        """Removes the bar."""
        self._bar.close()

    def _nearer(self) -> tuple[int, int]:
        """Returns how far training has come and where it ends, by the budget that is nearer to its end."""
        agent, budget = self.agent, self.budget
        counts = ((agent.episodes, budget.episodes), (agent.timesteps, budget.timesteps))
        return max(counts, key=lambda count: count[0] / count[1])

    def _status(self) -> str:
        rate = (self.agent.timesteps - self._first_step) / (time.perf_counter() - self._bar.started)
        mean = "" if self._returns is None else f"return {self._returns.mean():.1f}  "
        epsilon = self.agent.exploration_rate
        return f"episode {self.agent.episodes:,}  {mean}epsilon {epsilon:.3f}  {_short(rate)} steps/s"


def _short(rate: float) -> str:
    return f"{rate / 1e6:.1f} M" if rate >= 1e6 else f"{rate / 1e3:.1f} k"  # noqa: PLR2004


class Stopping:
    """Lets a first Ctrl-C, SIGTERM or SIGHUP end training with the episode under way, and a second one at once."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._at_once = budget, True

    def hear(self, *_: object) -> None:
        """Takes a signal."""
        self._budget.abort = self._budget.stop
        if self._budget.abort and self._at_once:
            raise KeyboardInterrupt
        self._budget.stop = True

    @contextmanager
    def between_looks(self, world: Any) -> Iterator[None]:
        """Lets a second signal wait in the compiled loop for its next look: what that shares with Python is whole."""
        self._at_once = world is None
        try:
            yield
        finally:
            self._at_once = True


@contextmanager
def stopping_on_signal(budget: Budget) -> Iterator[Stopping]:
    """Lets signals end what is trained within a budget."""
    stopping = Stopping(budget)
    with ending_by(stopping.hear):
        yield stopping
