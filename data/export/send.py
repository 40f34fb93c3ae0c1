"""Sends spans to an OpenTelemetry receiver, by HTTP.

As https://opentelemetry.io/docs/specs/otlp/#otlphttp says: which answers are asked again, and that
an answer of success may reject some spans.
"""

from __future__ import annotations

import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import IO
from urllib.parse import urlsplit

from data.errors import UsageError

# A receiver that takes longer than this is not waited for.
_SECONDS = 30.0
# Answers that say: not now.
_LATER = (429, 502, 503, 504)
# How often one request is sent, and the seconds waited in between, all together.
_TRIES, _WAITS = 5, 60.0
# An answer says how many spans were rejected; what is longer than this is something else.
_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said of a request it took: spans it rejected, and its message to people."""

    rejected: int = 0
    message: str = ""


def sender(endpoint: str, headers: Sequence[str] = ()) -> Callable[[bytes], Answer]:
    """A function that posts requests of Protocol Buffers to `endpoint`, an address of spans.

    `headers`: as `Name: value`; they go to that address only, as redirects are not followed. A
    receiver that is busy is asked again, for a minute at most. Raises `UsageError` for another
    address or header; the function does so where the receiver cannot be reached, or refuses.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"Cannot send to '{endpoint}'; give an address such as http://127.0.0.1:4318/v1/traces."
        )
    sent = {"Content-Type": "application/x-protobuf", **dict(map(_header, headers))}
    return lambda body: _post(endpoint, sent, body)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip().isascii() or "\n" in text or "\r" in text or not name.strip():
        # Without its value, which may be a secret.
        raise UsageError(f"The header '{name[:40]}' has no value; write it as 'Name: value'.")
    return name.strip(), value.strip()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects become errors: urllib would send a GET there, with all headers."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


def _post(endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
    request = urllib.request.Request(endpoint, body, dict(headers), method="POST")
    opener = urllib.request.build_opener(_NoRedirects)
    left = _WAITS
    for attempt in range(_TRIES):
        try:
            with opener.open(request, timeout=_SECONDS) as response:
                return _answer(response.headers.get_content_type(), response.read(_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                wait = _wait(error.headers.get("Retry-After"), attempt)
                again = error.code in _LATER and attempt + 1 < _TRIES and wait <= left
                if not again:
                    raise _refusal(endpoint, error) from error
            time.sleep(wait)
            left -= wait
        except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UsageError(
                f"Cannot reach {endpoint} ({reason}); check the address and that it listens."
            ) from error
    raise AssertionError("the last try returns or raises")


def _refusal(endpoint: str, error: urllib.error.HTTPError) -> UsageError:
    answered = f"{endpoint} answered {error.code} {error.reason}"
    if target := error.headers.get("Location"):
        return UsageError(
            f"{answered}, a redirect to {target}, which is not followed as the headers may hold "
            "secrets; if you trust that address, give it with --endpoint."
        )
    if error.code in _LATER:
        after = error.headers.get("Retry-After")
        asked = f" (it asks for a wait: Retry-After: {after})" if after else ""
        return UsageError(f"{answered}{asked}; it is busy, send again later.")
    return UsageError(f"{answered}; check the address and its headers.")


def _wait(after: str | None, attempt: int) -> float:
    """Seconds to wait: as `Retry-After` says, a number or a date, else 1, 2, 4 and so on."""
    if after is None:
        return float(2**attempt)
    try:
        seconds = float(after)
    except ValueError:
        try:
            date = parsedate_to_datetime(after)
        except ValueError:
            return float(2**attempt)
        # A date without a zone is in UTC.
        at = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (at - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else float(2**attempt)


def _answer(kind: str, content: bytes) -> Answer:
    """The answer in the body of a success; receivers may leave it empty."""
    from google.protobuf.json_format import Parse, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    try:
        if kind == "application/json":
            Parse(content or b"{}", response, ignore_unknown_fields=True)
        elif content:
            response.ParseFromString(content)
    except (ParseError, DecodeError, UnicodeDecodeError):
        return Answer(message="its answer is none of OTLP; see there whether the spans arrived")
    partial = response.partial_success
    return Answer(partial.rejected_spans, partial.error_message)
