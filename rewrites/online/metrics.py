"""Figures about the server of rewrites for Prometheus: requests, answers, and the index in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric

from data.monitoring import ServerMetrics

_PREFIX = "faultline_rewrites_"
# Seconds: an assistant waits for the answer while somebody waits for the assistant.
_ANSWERS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class InUse:
    """The index in use: the name of its generation, when it was read in seconds since 1970, whether
    a newer one could not be read, and how much is in it, by what it is."""

    generation: str
    loaded_at: float
    stale: bool
    sizes: Mapping[str, int]


class Metrics(ServerMetrics):
    """Counts while requests are answered, and asks about the index when it is asked.

    Parameters
    ----------
    index: tells the index in use.
    """

    def __init__(self, index: Callable[[], InUse]) -> None:
        super().__init__(_PREFIX)
        self._index = index
        self.requests = self.counter("requests", "Requests for a rewrite, by status.", ["status"])
        self.answers = self.counter(
            "answers",
            "Answers by method, and whether something else is to be heard.",
            ["method", "rewritten"],
        )
        self.seconds = self.histogram(
            "request_seconds", "Time to answer, without that of the network.", _ANSWERS
        )

    def collect(self) -> Iterator[Metric]:
        """What is looked up rather than counted; see `prometheus_client.registry.Collector`."""
        index = self._index()
        about = {"generation": index.generation}
        yield InfoMetricFamily(f"{_PREFIX}index", "The index in use.", about)
        for name, help, value in (
            ("loaded_timestamp_seconds", "When the index was read.", index.loaded_at),
            ("stale", "Whether a newer index could not be read: 1 if so.", float(index.stale)),
            *((name, f"The index's number of {name}.", size) for name, size in index.sizes.items()),
        ):
            yield GaugeMetricFamily(f"{_PREFIX}index_{name}", help, value)
