"""Drift while it is served: what comes in, against what was learnt from, window by window."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from rlbench.drifting import monitor_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rlbench.drifting import Monitor
    from rlbench.web.served import Served

MOST_ROWS = 2**18  # that wait to be looked at; those that come on top are not


class Watch:
    """Watches the rows of one version: takes them as they come, and looks at them when it is told to.

    Args:
        served: what they are for.
        tell: called with a line when they have drifted.

    Raises:
        UsageError: nothing is known of what it learnt from.
    """

    def __init__(self, served: Served, tell: Callable[[str], object]) -> None:
        self.monitor: Monitor = monitor_of(served.source)
        self._title, self._tell = f"{served.name}, version {served.version}", tell
        self._taken: deque[NDArray[Any]] = deque()
        self._in = self._out = 0

    def take(self, rows: NDArray[Any]) -> None:
        """Notes rows; one thread takes at a time, or a few rows more than MOST_ROWS wait."""
        if self._in - self._out <= MOST_ROWS:
            self._in += len(rows)
            self._taken.append(rows)

    def look(self) -> None:
        """Looks at the rows that came."""
        while self._taken:
            rows = self._taken.popleft()
            self._out += len(rows)
            alarms = self.monitor.state.alarms
            state = self.monitor.observe(rows)
            if state.alarms > alarms:
                columns = ", ".join(state.columns) or "rows"
                self._tell(
                    f"{columns} of {self._title} drifted: score {state.score:.3g}, {state.threshold:.3g} allowed"
                )
