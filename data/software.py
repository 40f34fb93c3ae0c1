"""Which Faultline this is, for what is recorded with its results."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """The version that is installed; "unknown" where it runs without being installed."""
    try:
        return importlib.metadata.version("faultline-voice")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
