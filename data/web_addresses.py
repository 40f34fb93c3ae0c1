"""Addresses on the web, as people give them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

# Names of this machine, which nobody on the way to it listens to.
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def web_parts(address: str) -> SplitResult | None:
    """The parts of an address of http or https with a host and, if it has one, a possible port;
    None of any other text."""
    try:
        parts = urlsplit(address)
        _ = parts.port
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    return parts if is_web else None
