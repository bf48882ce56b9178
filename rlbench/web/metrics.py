"""What a server counts, in Prometheus's text format, in a registry of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
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
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The metrics of one server, by what it serves."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters = {
            name: Counter(f"rlbench_{name}", text, LABELS, registry=self._registry) for name, text in COUNTERS.items()
        }
        self._seconds = Histogram(
            "rlbench_request_seconds",
            "Time from a whole request to its answer.",
            LABELS,
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._of: dict[tuple[str, str], Meter] = {}

    def of(self, served: Served) -> Meter:
        """Returns the metrics of one version of a run or a model."""
        key = (served.name, served.version)
        if key not in self._of:
            counters = {name: counter.labels(*key) for name, counter in self._counters.items()}
            self._of[key] = Meter(counters, self._seconds.labels(*key))
        return self._of[key]

    def text(self) -> bytes:
        """Returns all of them as Prometheus reads them."""
        return generate_latest(self._registry)


class Meter:
    """The metrics of one version of a run or a model."""

    def __init__(self, counters: dict[str, Any], seconds: Any) -> None:
        self._counters, self._seconds = counters, seconds

    def answered(self, answer: Answer, seconds: float) -> None:
        """Counts the decisions of a request."""
        count = answer.decisions
        self._counters["decisions"].inc(count)
        self._seconds.observe(seconds)
        if answer.unseen is not None:
            self._counters["decisions_unseen"].inc(answer.unseen)
            self._counters["decisions_seen"].inc(count - answer.unseen)
        if answer.out_of_range:
            self._counters["observations_out_of_range"].inc(answer.out_of_range)

    def refused(self, out_of_range: int) -> None:
        """Counts a request that was refused, and its observations that were out of range."""
        self._counters["requests_refused"].inc()
        self._counters["observations_out_of_range"].inc(out_of_range)

    def dropped(self, count: int) -> None:
        """Counts decisions that could not be stored."""
        self._counters["decisions_dropped"].inc(count)
