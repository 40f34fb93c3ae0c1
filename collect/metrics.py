"""Figures about the receiver for Prometheus: what it was sent, what it answered, how far behind it
is.

Those of the ingesting process begin at 0 when it is started again, as counters may.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from collect.ingester import COMMIT_BOUNDS, Figures
from collect.spool import oldest, size
from data.monitoring import ServerMetrics

_PREFIX = "faultline_collector_"
# Seconds: a request is acknowledged after them; the goal is a quarter for 99 of 100.
_WAITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics(ServerMetrics):
    """Counts while requests are answered, and looks at spool and figures when asked.

    Parameters
    ----------
    spool: its folder. figures: the last that the ingesting process told.
    ready: whether requests are taken and can be stored.
    """

    def __init__(
        self, spool: Path, figures: Callable[[], Figures], ready: Callable[[], bool]
    ) -> None:
        super().__init__(_PREFIX)
        self._spool = spool
        self._figures = figures
        self._ready = ready
        self.requests = self.counter("requests", "Requests for traces, by status.", ["status"])
        self.rejected = self.counter(
            "rejected", "Requests that were not taken, by reason.", ["reason"]
        )
        self.bytes = self.counter("received_bytes", "Bytes of bodies, unpacked.")
        self.spans = self.counter(
            "spans", "Spans of requests that were taken, by outcome.", ["outcome"]
        )
        self.writing = self.histogram(
            "spool_write_seconds", "Time until a request was on disk, in the spool.", _WAITS
        )

    def collect(self) -> Iterator[Metric]:
        """What is looked up rather than counted; see `prometheus_client.registry.Collector`."""
        told = self._figures()
        for name, help, value in (
            ("ingested_spans", "Spans read from the spool.", told.spans),
            ("turns", "New turns that were stored.", told.turns),
            ("replaced_turns", "Stored turns that were replaced.", told.replaced),
            ("quarantined", "Records put in quarantine.", told.quarantined),
            ("late_spans", "Spans that came after their trace had ended.", told.late),
            ("damaged_bytes", "Bytes of the spool that were no records.", told.damaged_bytes),
        ):
            yield CounterMetricFamily(_PREFIX + name, help, value)
        first = oldest(self._spool)
        for name, help, amount in (
            ("open_traces", "Traces that have not ended.", told.open_traces),
            ("held_bytes", "Bytes of spans of open traces, in memory.", told.held_bytes),
            ("spool_bytes", "Bytes in the spool.", size(self._spool)),
            ("spool_unread_bytes", "Bytes of the spool that were not read yet.", told.unread_bytes),
            (
                "spool_oldest_age_seconds",
                "Age of the oldest record in the spool; 0 if it is empty.",
                max(0.0, time.time() - first) if first is not None else 0.0,
            ),
            ("lag_seconds", "Time since the oldest turn was due that is not stored.", told.lag),
            (
                "last_commit_timestamp_seconds",
                "When a batch was stored last; 0 if none was since the ingesting process began.",
                told.stored_at,
            ),
            ("ready", "Whether requests are taken and can be stored: 1 if so.", self._ready()),
        ):
            yield GaugeMetricFamily(_PREFIX + name, help, float(amount))
        upper = [*map(str, COMMIT_BOUNDS), "+Inf"]
        yield HistogramMetricFamily(
            f"{_PREFIX}commit_seconds",
            "Time to bring a batch into the store.",
            buckets=list(zip(upper, itertools.accumulate(told.commits), strict=True)),
            sum_value=told.commit_seconds,
        )
