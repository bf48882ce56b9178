"""What a server counts, in Prometheus's text format, in a registry of its own."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from rlbench.drifting import Monitor, State
    from rlbench.web.served import Answer, Served

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)  # seconds
LABELS = ("name", "version")  # a run's id or a model's name
COUNTERS = {
    "decisions": "Decisions that were answered.",
    "decisions_seen": "Decisions in states that were observed in training, where that is known.",
    "decisions_unseen": "Decisions in states that were never observed in training, where that is known.",
    "decisions_dropped": "Decisions that were answered but could not be stored.",
    "observations_out_of_range": "Observations outside of what the agent learnt in, answered or refused.",
    "requests_refused": "Requests that were malformed or out of range.",
}
WATCHED = {  # of a monitor's state
    "drift_windows": "Windows of incoming rows that were compared with what was learnt from.",
    "drift_alarms": "Windows that had drifted.",
}
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics(Collector):
    """The metrics of one server, by what it serves: plain numbers until Prometheus asks, so that requests are quick."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._of: dict[tuple[str, str], Meter] = {}

    def of(self, served: Served) -> Meter:
        """Returns the metrics of one version of a run or a model."""
        return self._of.setdefault((served.name, served.version), Meter())

    def text(self) -> bytes:
        """Returns all of them as Prometheus reads them."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics as Prometheus's library takes them."""
        meters = list(self._of.items())
        for name, text in COUNTERS.items():
            counter = CounterMetricFamily(f"rlbench_{name}", text, labels=LABELS)
            for key, meter in meters:
                counter.add_metric(key, meter.counts[name])
            yield counter
        yield from self._drift([(key, meter.monitor.state) for key, meter in meters if meter.monitor is not None])
        seconds = HistogramMetricFamily(
            "rlbench_request_seconds", "Time from a whole request to its answer.", labels=LABELS
        )
        for key, meter in meters:
            bounds = [*map(str, BUCKETS), "+Inf"]
            seconds.add_metric(key, [*zip(bounds, accumulate(meter.buckets), strict=True)], meter.seconds)
        yield seconds

    @staticmethod
    def _drift(states: list[tuple[tuple[str, str], State]]) -> Iterator[Metric]:
        """Yields what monitors found, if there are any."""
        if not states:
            return
        for name, text in WATCHED.items():
            counter = CounterMetricFamily(f"rlbench_{name}", text, labels=LABELS)
            for key, state in states:
                counter.add_metric(key, getattr(state, name.removeprefix("drift_")))
            yield counter
        score = GaugeMetricFamily("rlbench_drift_score", "Of the last window; above 1 it had drifted.", labels=LABELS)
        for key, state in states:
            score.add_metric(key, state.score / state.threshold)
        yield score


class Meter:
    """The metrics of one version of a run or a model; `monitor` watches what comes in for drift."""

    monitor: Monitor | None = None

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self._lock = Lock()

    def answered(self, answer: Answer, seconds: float) -> None:
        """Counts the decisions of a request."""
        count = answer.decisions
        with self._lock:
            self.counts["decisions"] += count
            if answer.unseen is not None:
                self.counts["decisions_unseen"] += answer.unseen
                self.counts["decisions_seen"] += count - answer.unseen
            self.counts["observations_out_of_range"] += answer.out_of_range
            self.buckets[bisect_left(BUCKETS, seconds)] += 1
            self.seconds += seconds

    def refused(self, out_of_range: int) -> None:
        """Counts a request that was refused, and its observations that were out of range."""
        with self._lock:
            self.counts["requests_refused"] += 1
            self.counts["observations_out_of_range"] += out_of_range

    def dropped(self, count: int) -> None:
        """Counts decisions that could not be stored."""
        with self._lock:
            self.counts["decisions_dropped"] += count
