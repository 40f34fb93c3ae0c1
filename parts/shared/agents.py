"""What "NLU" means where a language model chooses tools: said once per page, beside its filters."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from charts.formatting import plain, short
from charts.signals import name_of
from data.queries import ingest_runs
from data.schema.vocabulary import NAMES, TOOL_CHOICE
from parts.server.caching import cached_data
from parts.shared.view import View, snapshot_at

# Formats of logs whose turns come from agents that call tools: an intent is the tool called.
_FORMATS = frozenset(("otlp",))
# Pages that name stages of turns.
_PAGES = ("overview", "triage", "turn", "explore", "model", "annotate")
_MOST = 3

Agents = tuple[tuple[str | None, ...], bool]


@cached_data(max_entries=8, show_spinner=False)
def _agents(path: str, version: str) -> Agents:
    """Assistants that are agents, and whether every assistant of the store is one."""
    rows = ingest_runs.sources(snapshot_at(path, version)).to_pylist()
    agents = {row["assistant"] for row in rows if row["format"] in _FORMATS}
    every = all(row["format"] in _FORMATS for row in rows)
    return tuple(sorted(agents, key=name_of)), every


def words(agents: Sequence[str | None], every: bool, chosen: Sequence[str]) -> str:
    """The caption; empty where no agent is shown.

    Parameters
    ----------
    agents: assistants that call tools. every: whether there are no others. chosen: assistants of
    the filter, empty for all.
    """
    shown = [name for name in agents if not chosen or name in chosen]
    if not shown:
        return ""
    whose = ""
    if not every and (not chosen or len(shown) < len(chosen)):
        names = [short(name_of(name), 40) for name in shown[:_MOST]]
        more = f" and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
        whose = f" of {', '.join(names)}{more}"
    return f"{NAMES['nlu']}{whose}: {TOOL_CHOICE}."


def _of(view: View) -> Agents:
    """As `_agents`; none where no log was read by ingest."""
    if not view.snapshot.counts()["runs"]:
        return (), False
    return _agents(view.path, view.snapshot.version)


def calls_tools(view: View, assistant: str | None) -> bool:
    """Whether an assistant is an agent that calls tools: without an intent it called none."""
    return assistant in _of(view)[0]


def note(view: View, page: str) -> None:
    """Draw what "NLU" stands for on this page, where agents that call tools are shown."""
    if page not in _PAGES:
        return
    agents, every = _of(view)
    if said := words(agents, every, view.chosen.assistant):
        st.caption(plain(said))
