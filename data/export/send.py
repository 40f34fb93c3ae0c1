"""Sends spans to an OpenTelemetry receiver, by HTTP.

As https://opentelemetry.io/docs/specs/otlp/#otlphttp says: which answers are asked again, and that
an answer of success may reject some spans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from data.errors import UsageError
from data.web_addresses import web_parts
from data.web_requests import (
    LATER,
    REDIRECTS,
    Reply,
    WebFailure,
    ask,
    asked_again,
)

# A receiver that takes longer than this is not waited for.
_SECONDS = 30.0
# How often one request is sent, and the seconds waited in between, all together.
_TRIES, _WAITS = 5, 60.0
# An answer says how many spans were rejected; what is longer than this is something else.
_ANSWER_BYTES = 1 << 20
_WHY = {
    "timeout": "no answer in time",
    "too long": "its answer is too long",
    "certificate": "its certificate is not trusted",
    "connection": "no connection",
    "lost": "the connection was lost",
}


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
    if web_parts(endpoint) is None:
        raise UsageError(
            f"Cannot send to '{_shown(endpoint)[:200]}'; give an address such as http://127.0.0.1:4318/v1/traces."
        )
    sent = {"Content-Type": "application/x-protobuf", **dict(map(_header, headers))}
    return lambda body: _post(endpoint, sent, body)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip().isascii() or "\n" in text or "\r" in text or not name.strip():
        # Without its value, which may be a secret.
        raise UsageError(f"The header '{name[:40]}' has no value; write it as 'Name: value'.")
    return name.strip(), value.strip()


def _post(endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
    try:
        reply = asked_again(
            lambda: ask(
                "POST", endpoint, body=body, headers=headers, whole_s=_SECONDS,
                most_bytes=_ANSWER_BYTES,
            ),
            _TRIES,
            _WAITS,
        )  # fmt: skip
    except WebFailure as error:
        why = _WHY.get(error.reason, error.cause)
        raise UsageError(
            f"Cannot reach {_shown(endpoint)} ({why}); check the address and that it listens."
        ) from error
    if not reply.ok:
        raise _refusal(endpoint, reply)
    return _answer(reply.kind, reply.content)


def _shown(endpoint: str) -> str:
    """An address for people: a user and a password in it are for the receiver."""
    scheme, marks, rest = endpoint.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{marks}{host.rpartition('@')[2]}{slash}{path}"


def _refusal(endpoint: str, reply: Reply) -> UsageError:
    answered = f"{_shown(endpoint)} answered {reply.status} {reply.reason}".rstrip()
    if reply.status in REDIRECTS and (target := reply.headers.get("Location", "")[:200]):
        return UsageError(
            f"{answered}, a redirect to {target}, which is not followed as the headers may hold "
            "secrets; if you trust that address, give it with --endpoint."
        )
    if reply.status in LATER:
        after = reply.headers.get("Retry-After", "")[:60]
        asked = f" (it asks for a wait: Retry-After: {after})" if after else ""
        return UsageError(f"{answered}{asked}; it is busy, send again later.")
    return UsageError(f"{answered}; check the address and its headers.")


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
