"""The adapters by name, and which of them a file belongs to."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from data.ingest.adapters.adapter import Adapter, Bindable, Settings
from data.ingest.block import TRACE_FORMATS

# Name and module. The order is that of recognition: what is told by one certain mark comes first.
_MODULES: dict[str, str] = {
    "otlp": "otlp",
    "lex-v2": "lex",
    "home-assistant": "home_assistant",
    "rasa": "rasa",
    "dialogflow-cx": "dialogflow_cx",
    "dialogflow-es": "dialogflow_es",
    "rhasspy-hermes": "rhasspy",
    "ovos": "ovos",
    "table": "table",
}
NAMES = tuple(_MODULES)
# What every trace has.
_OWN = (b'"turn_id"', b'"dialogue_id"', b'"turn_index"', b'"started_at"')
# Values of --format.
FORMATS = (*TRACE_FORMATS, *NAMES)


def named(name: str, settings: Settings | None = None) -> Adapter:
    """The adapter of this name, one of `NAMES`, for use with these settings; a module is imported
    when its format occurs.

    Raises `FaultlineError` where the adapter cannot work with the settings.
    """
    adapter = _loaded(name)
    if settings is not None and isinstance(adapter, Bindable):
        return adapter.bound(settings)
    return adapter


@cache
def _loaded(name: str) -> Adapter:
    adapter: Adapter = import_module(f"data.ingest.adapters.{_MODULES[name]}").ADAPTER
    return adapter


def recognised(head: bytes) -> str | None:
    """The name of the adapter whose system wrote a file that begins with `head`, if any."""
    if all(mark in head for mark in _OWN):
        # Traces: no adapter has to be imported.
        return None
    return next((name for name in NAMES if named(name).recognises(head)), None)


def without_turns(input: str, name: str) -> str:
    """What to say of an input without turns that was read by the adapter `name`: what it was taken
    for, and what the turns of that cannot be without."""
    adapter = named(name)
    needs = getattr(adapter, "needs", "")
    made_of = f"; turns are made of {needs}" if needs else ""
    return (
        f"{input} holds no turns; it was read as {adapter.title} (--format names another "
        f"format){made_of}."
    )
