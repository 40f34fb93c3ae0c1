"""What the servers answer to whoever watches them: /metrics for Prometheus, and /ready."""

from __future__ import annotations

from collections.abc import Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import JSONResponse, Response

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types


class ServerMetrics(Collector):
    """Figures of one server: counted while requests are answered, or looked up when asked.

    Subclasses count in what `counter` and `histogram` make, and yield in `collect` what is looked
    up; `prefix` begins all names.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A figure that only grows, by `labels`."""
        return Counter(self.prefix + name, help, labels, registry=self.registry)

    def histogram(self, name: str, help: str, buckets: Sequence[float]) -> Histogram:
        """How often values were up to each of `buckets`."""
        return Histogram(self.prefix + name, help, buckets=buckets, registry=self.registry)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return prometheus_client.generate_latest(self.registry)

    def response(self) -> Response:
        """The answer to /metrics."""
        kind = prometheus_client.CONTENT_TYPE_LATEST
        return Response(self.text(), headers={"content-type": kind})


def readiness(problem: str | None) -> Response:
    """The answer to /ready: 503 with a sentence if there is a problem (not None nor empty)."""
    content = {"ready": not problem, "problem": problem or None}
    return JSONResponse(content, 503 if problem else 200)
