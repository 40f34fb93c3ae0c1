"""Optional packages: imported where they are needed, with advice if one is not installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from data.errors import NotInstalled


def optional(module: str, package: str, purpose: str) -> Any:
    """The module called `module`.

    Raises
    ------
    NotInstalled: it is not installed; the message says that `purpose` needs `package`, and how to
        install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise NotInstalled(
            f"{purpose} needs the package {package}; install it with: "
            "pip install 'faultline-voice[demo]'"
        ) from error
