"""The tables that lie beside this module."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any


def read(name: str) -> str:
    """The text of the file `name`."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def table(name: str) -> dict[str, Any]:
    """The contents of the TOML file `name`."""
    return tomllib.loads(read(name))
