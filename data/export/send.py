"""Sends spans to an OpenTelemetry receiver, by HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from data.errors import UsageError

# A receiver that takes longer than this is not waited for.
_SECONDS = 30.0


def sender(endpoint: str, headers: Sequence[str] = ()) -> Callable[[bytes], None]:
    """A function that posts requests of Protocol Buffers to `endpoint`, an address of spans.

    `headers`: as `Name: value`. Raises `UsageError` for another address or header; the function
    does so where the receiver cannot be reached, or refuses.
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


def _post(endpoint: str, headers: Mapping[str, str], body: bytes) -> None:
    request = urllib.request.Request(endpoint, body, dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):
            pass
    except urllib.error.HTTPError as error:
        raise UsageError(
            f"{endpoint} answered {error.code} {error.reason}; check the address and its headers."
        ) from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UsageError(
            f"Cannot reach {endpoint} ({reason}); check the address and that it listens."
        ) from error
