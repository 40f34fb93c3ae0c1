"""Optional packages: asked for where they are needed, and what to do when one is not there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from data.errors import NotInstalled


def optional(module: str, package: str, purpose: str, extra: str = "demo") -> Any:
    """The module called `module`.

    Raises
    ------
    NotInstalled: it is not there; the message says that `purpose` needs `package`, and how to get
        it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise NotInstalled(
            f"{purpose} needs the package {package}; install it with: "
            f"pip install 'faultline[{extra}]'"
        ) from error
