"""The adapters by name, and which of them a file belongs to."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from data.ingest.adapters.adapter import Adapter
from data.ingest.block import TRACE_FORMATS

# Name and module. The order is that of recognition: what is told by one certain mark comes first.
_MODULES: dict[str, str] = {
    "otlp": "otlp",
    "lex-v2": "lex",
    "home-assistant": "home_assistant",
    "rasa": "rasa",
}
NAMES = tuple(_MODULES)
# Values of --format.
FORMATS = (*TRACE_FORMATS, *NAMES)


@cache
def named(name: str) -> Adapter:
    """The adapter of this name, one of `NAMES`; a module is imported when its format occurs."""
    adapter: Adapter = import_module(f"data.ingest.adapters.{_MODULES[name]}").ADAPTER
    return adapter


def recognised(head: bytes) -> str | None:
    """The name of the adapter whose system wrote a file that begins with `head`, if any."""
    return next((name for name in NAMES if named(name).recognises(head)), None)
