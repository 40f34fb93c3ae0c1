"""The pipeline of one turn as a waterfall: when each stage began, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from charts.formatting import milliseconds
from charts.layout import bare, from_the_top
from charts.palette import NEUTRAL, colour_of
from data.schema.vocabulary import STAGE_TITLES, failure_of

_ORDER = ("wake", "listening", "asr", "nlu", "er", "result", "tts")
_NAMES = {**STAGE_TITLES, "listening": "Listening", "tts": "Speech"}
# Starts are logged to tenths of a millisecond; sums of them have rounding errors.
_SLACK_MS = 1.0


@dataclass(frozen=True, slots=True)
class Span:
    """One bar: from `start` on, `length` long, both in milliseconds."""

    stage: str
    start: float
    length: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars in pipeline order. `measured`: starts were logged; else the bars lie end to end."""

    spans: tuple[Span, ...]
    measured: bool

    @property
    def end(self) -> float:
        return max((span.start + span.length for span in self.spans), default=0.0)


def timeline(turn: Mapping[str, Any]) -> Timeline | None:
    """Start and length of each stage of a row of `turns`; None where no length was logged.

    If any stage with a length has no start, all bars are laid end to end. The recogniser's length
    is counted from the end of the audio if the next stage starts only after that, and the audio is
    then a bar of its own; otherwise it is counted from the recogniser's start.
    """
    logged = [(name, turn.get(name) or {}) for name in _ORDER if name != "listening"]
    timed = [(name, r) for name, r in logged if r.get("latency_ms") is not None]
    if not timed:
        return None
    measured = all(record.get("start_ms") is not None for _, record in timed)
    if not measured:
        spans, start = [], 0.0
        for name, record in timed:
            length = max(0.0, float(record["latency_ms"]))
            spans.append(Span(name, start, length))
            start += length
        return Timeline(tuple(spans), False)
    spans = []
    for i, (name, record) in enumerate(timed):
        start, length = float(record["start_ms"]), max(0.0, float(record["latency_ms"]))
        audio = record.get("audio_ms") if name == "asr" else None
        if audio:
            after = timed[i + 1][1] if i + 1 < len(timed) else None
            waits = after is None or float(after["start_ms"]) + _SLACK_MS >= start + audio + length
            if waits:
                spans.append(Span("listening", start, float(audio)))
                start += float(audio)
        spans.append(Span(name, start, length))
    return Timeline(tuple(spans), True)


def pipeline_times(line: Timeline, blamed: str | None = None) -> go.Figure:
    """Bars from left to right in milliseconds; stages other than `blamed`, if any, are paler."""
    figure = go.Figure()
    labels = [_NAMES[span.stage] for span in line.spans]
    figure.add_bar(
        x=[span.length for span in line.spans],
        base=[span.start for span in line.spans],
        y=labels,
        orientation="h",
        marker={
            "color": [
                NEUTRAL if span.stage in ("listening", "tts") else colour_of(span.stage)
                for span in line.spans
            ],
            "opacity": [
                0.35 if span.stage == "listening" else 1.0 if _hit(span.stage, blamed) else 0.6
                for span in line.spans
            ],
            "line": {"width": 0},
        },
        customdata=[(milliseconds(span.start), milliseconds(span.length)) for span in line.spans],
        hovertemplate="%{y}: %{customdata[1]}"
        + (", from %{customdata[0]}" if line.measured else "")
        + "<extra></extra>",
    )
    bare(
        figure,
        44 + 24 * len(labels),
        bargap=0.35,
        xaxis={"range": [0, max(line.end, 1.0) * 1.02], "ticksuffix": " ms", "nticks": 6},
        yaxis=from_the_top(
            labels,
            [
                f"{label}  {milliseconds(span.length)}"
                for label, span in zip(labels, line.spans, strict=True)
            ],
        ),
    )
    return figure


def pipeline_words(line: Timeline) -> str:
    """The waterfall as a sentence."""
    parts = [
        f"{_NAMES[span.stage]} {milliseconds(span.length)}"
        + (f" from {milliseconds(span.start)}" if line.measured else "")
        for span in line.spans
    ]
    return f"The pipeline took {milliseconds(line.end)}: " + ", ".join(parts) + "."


def _hit(stage: str, blamed: str | None) -> bool:
    return blamed is None or failure_of(stage) == blamed
