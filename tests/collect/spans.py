"""Spans in JSON, as exporters write them."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def as_json(body: bytes) -> bytes:
    """A request in protobuf as exporters write it in JSON; ids in capital letters, as some do."""
    message: dict[str, Any] = MessageToDict(ExportTraceServiceRequest.FromString(body))
    for resource in message["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex().upper()
                span["kind"] = 1
    return json.dumps(message).encode()
