"""Watches training: the progress bar, and the signals that ask it to end."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlbench.signals import ending_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from rlbench.agents import Agent
    from rlbench.store import EpisodeChunk
    from rlbench.training.budgets import Budget

PATIENCE = 1.0  # seconds before a bar appears: shorter trainings need none
INTERVAL = 0.1  # seconds between two looks


class Monitor:
    """Shows a progress bar, on a terminal, for anything over a second."""

    def __init__(self, agent: Agent, budget: Budget, *, shown: bool) -> None:
        self.agent, self.budget, self.shown = agent, budget, shown
        self.mean_return: float | None = None
        self.started = self._last = time.perf_counter()
        self._first_step = agent.timesteps
        self._bar: Any = None
        self._task: Any = None

    def hear(self, chunk: EpisodeChunk) -> None:
        """Notes the returns of a finished chunk."""
        returns = chunk.figures["return"]
        if len(returns):
            self.mean_return = float(returns[-1000:].mean())

    def look(self) -> None:
        """Draws the bar, if it is due."""
        now = time.perf_counter()
        if not self.shown or now - self._last < INTERVAL or now - self.started < PATIENCE:
            return
        self._last = now
        if self._bar is None:
            self._start()
        completed, total = self._nearer()
        self._bar.update(self._task, completed=completed, total=total, status=self._status(now))

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

    def _nearer(self) -> tuple[int, int]:
        """Returns how far training has come and where it ends, by the budget that is nearer to its end."""
        agent, budget = self.agent, self.budget
        counts = ((agent.episodes, budget.episodes), (agent.timesteps, budget.timesteps))
        return max(counts, key=lambda count: count[0] / count[1])

    def _status(self, now: float) -> str:
        rate = (self.agent.timesteps - self._first_step) / (now - self.started)
        mean = "" if self.mean_return is None else f"return {self.mean_return:.1f}  "
        epsilon = self.agent.exploration_rate
        return f"episode {self.agent.episodes:,}  {mean}epsilon {epsilon:.3f}  {_short(rate)} steps/s"


def _short(rate: float) -> str:
    return f"{rate / 1e6:.1f} M" if rate >= 1e6 else f"{rate / 1e3:.1f} k"  # noqa: PLR2004


@contextmanager
def stopping_on_signal(budget: Budget, *, at_once: bool = True) -> Iterator[None]:
    """Lets a first Ctrl-C, SIGTERM or SIGHUP end training with the episode under way, and a second one at once.

    Not quite at once in the compiled loop, but when it next looks up: what it shares with Python is whole then.
    """

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        budget.abort = budget.stop
        if budget.abort and at_once:
            raise KeyboardInterrupt
        budget.stop = True

    with ending_by(stop):
        yield
