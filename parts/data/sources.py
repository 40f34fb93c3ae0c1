"""Sources on the Data page: per assistant, what its logs cannot say, and what they do say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import streamlit as st

from charts.formatting import moment, percent, plain
from charts.signals import name_of
from data.ingest.adapters import registry
from data.queries import ingest_runs
from data.queries.filters import Filter
from data.schema.vocabulary import FAILURE_WORDS, failure_of
from parts.data.signals import coverage
from parts.server.caching import cached_data
from parts.shared.view import View, reader_zone, snapshot_at

_TRACES = "Trace records"
# Assistants that are shown, those with the most turns first.
_MOST = 12


class Field(NamedTuple):
    """A signal that verdicts rest on.

    words: its name for people. stage: whose verdicts are weaker without it. marks: an adapter that
    says any of these among what its logs never hold means this signal.
    """

    words: str
    stage: str
    marks: tuple[str, ...]


FIELDS: Mapping[str, Field] = {
    "wake.score": Field("wake-word scores", "wake", ("wake",)),
    "asr.hypotheses": Field("what was heard", "asr", ("what was heard",)),
    "asr.confidence": Field(
        "ASR confidence", "asr", ("asr confidence", "asr alternatives and confidence")
    ),
    "nlu.intent": Field("intents", "nlu", ()),
    "nlu.confidence": Field(
        "NLU confidence", "nlu", ("nlu confidence", "confidence of intents", "intent confidence")
    ),
    "er.mentions": Field("entity mentions", "er", ("entit", "mention", "resol")),
    "er.score": Field("scores of entities", "er", ("entit", "candidates", "resol")),
    "result.status": Field("the status of results", "result", ("status", "failures of", "whether")),
}


class Source(NamedTuple):
    """Where the turns of an assistant come from.

    titles: of the kinds of logs. newest: when one was last read; None if no run is recorded.
    cannot_know: what they never hold. weaker: what follows for verdicts. logged: signal -> share of
    turns.
    """

    assistant: str | None
    titles: tuple[str, ...]
    newest: Any
    cannot_know: tuple[str, ...]
    weaker: str
    logged: Mapping[str, float]

    @property
    def missing(self) -> list[Field]:
        """Fields that its logs could hold, and that it has never logged."""
        known = " ".join(self.cannot_know).lower()
        return [
            field
            for name, field in FIELDS.items()
            if not self.logged.get(name) and not any(mark in known for mark in field.marks)
        ]


def of_assistants(runs: pa.Table, logged: pa.Table) -> list[Source]:
    """The sources of each assistant that has turns.

    Parameters
    ----------
    runs: of `data.queries.ingest_runs.sources`. logged: of `data.queries.signal_coverage.logged`.
    """
    shares: dict[str | None, dict[str, list[int]]] = {}
    for row in logged.to_pylist():
        counts = shares.setdefault(row["assistant"], {}).setdefault(row["signal"], [0, 0])
        counts[0] += row["logged"]
        counts[1] += row["turns"]
    rows = runs.to_pylist()
    return [
        _source(
            assistant,
            [row for row in rows if not row["traces"] and row["assistant"] == assistant]
            or [row for row in rows if row["traces"]],
            {name: n / turns for name, (n, turns) in signals.items() if turns},
        )
        for assistant, signals in sorted(shares.items(), key=_turns, reverse=True)
    ]


def _turns(item: tuple[str | None, dict[str, list[int]]]) -> int:
    return max((turns for _, turns in item[1].values()), default=0)


def _source(
    assistant: str | None, rows: Sequence[Mapping[str, Any]], logged: Mapping[str, float]
) -> Source:
    titles: list[str] = []
    never: list[set[str]] = []
    weaker: list[str] = []
    order: list[str] = []
    for row in rows:
        # Of a format that this version does not know, only its name.
        adapter = registry.named(row["format"]) if row["format"] in registry.NAMES else None
        titles.append(adapter.title if adapter else _TRACES if row["traces"] else row["format"])
        known = adapter.cannot_know if adapter else ()
        never.append(set(known[:-1]))
        order += known[:-1]
        weaker += known[-1:]
    # What one kind of its logs holds is known, though another does not hold it.
    cannot = set.intersection(*never) if never else set()
    return Source(
        assistant,
        tuple(dict.fromkeys(titles)),
        max((row["newest"] for row in rows), default=None),
        tuple(dict.fromkeys(name for name in order if name in cannot)),
        weaker[0] if len(weaker) == len(rows) == 1 else "",
        logged,
    )


def weaker_words(missing: Sequence[Field]) -> str:
    """What follows from missing fields for verdicts, as a clause."""
    stages = dict.fromkeys(FAILURE_WORDS[failure_of(field.stage)] for field in missing)
    *first, last = stages
    return f"expect weaker verdicts on {' and '.join(filter(None, [', '.join(first), last]))}"


@cached_data(max_entries=8, show_spinner=False)
def _sources(path: str, version: str) -> tuple[list[Source], bool]:
    """The sources, and whether what is logged was read on some days only."""
    read, logged, _, _ = coverage(path, version, Filter())
    return of_assistants(ingest_runs.sources(snapshot_at(path, version)), logged), read.sampled


def sources(view: View) -> None:
    """Draw for each assistant where its turns come from, and what verdicts cannot rest on."""
    found, sampled = _sources(view.path, view.snapshot.version)
    if not found:
        return
    st.subheader(
        "Sources",
        anchor=False,
        help="What each assistant’s logs can say at all, and what they have said so far: verdicts "
        "rest on no more than that.",
    )
    for source in found[:_MOST]:
        with st.container(border=True, gap="xsmall"):
            facts = [*source.titles]
            if source.newest:
                facts.append(f"last read {moment(source.newest, reader_zone())}")
            st.markdown(
                f"**{plain(name_of(source.assistant))}** :small[:gray[{plain(' · '.join(facts))}]]"
            )
            if source.cannot_know:
                never = ", ".join(source.cannot_know)
                st.markdown(
                    f"Such logs never say: {plain(never)}"
                    + (f": {plain(source.weaker)}." if source.weaker else ".")
                )
            if missing := source.missing:
                fields = ", ".join(field.words for field in missing)
                when = " on these days" if sampled else ""
                st.markdown(
                    f"Never logged{when}, though such logs can hold it: {plain(fields)}: "
                    f"{weaker_words(missing)}."
                )
            logged = [
                f"{field.words} {percent(source.logged[name], 0)}"
                for name, field in FIELDS.items()
                if source.logged.get(name)
            ]
            st.caption(f"Logged, share of turns: {', '.join(logged) or 'nothing of a stage'}.")
    notes = ["What is logged was counted on a sample of days."] if sampled else []
    if len(found) > _MOST:
        notes.append(f"The {_MOST} assistants with the most turns are shown.")
    if notes:
        st.caption(" ".join(notes))
