"""What pages show of rewrites: cached sums over the view's turns, links, and a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import count, percent, several, short
from charts.html import piece
from data.queries import rewrites
from data.queries.slices import Conditions
from data.queries.slices import daily as daily_sums
from parts.server.caching import cached_data
from parts.shared.view import CacheKey, View

TEMPLATE = "parts/shared/rewrites.html"
# A list holds at most so many characters of a text.
_LONGEST = 160
Row = Mapping[str, Any]


def any_mined(view: View) -> bool:
    """Whether the store has rewrites at all."""
    return bool(view.snapshot.counts()["rewrites"])


def asked(view: View, conditions: Conditions = ()) -> pa.Table:
    """`data.queries.rewrites.asked` of the view's turns, or of a slice of them."""
    return _asked(view.turns_key, _mined(view.cache_key("rewrites"), view), conditions, view)


@cached_data(max_entries=64, show_spinner=False)
def _mined(key: CacheKey, _view: View) -> tuple[int, str]:
    return rewrites.mined(_view.snapshot)


@cached_data(max_entries=64, show_spinner=False)
def _asked(key: CacheKey, mined: tuple[int, str], conditions: Conditions, _view: View) -> pa.Table:
    # A decision changes no text, so that `mined` stands for the table.
    return rewrites.asked(_view.snapshot, _view.model, _view.chosen, conditions)


def ranked(view: View, conditions: Conditions = (), **how: Any) -> pa.Table:
    """`data.queries.rewrites.ranked` of the view's turns; `how` are its further parameters."""
    return _ranked(view.cache_key(), conditions, tuple(sorted(how.items())), view)


@cached_data(max_entries=128, show_spinner=False)
def _ranked(
    key: CacheKey, conditions: Conditions, how: tuple[tuple[str, Any], ...], _view: View
) -> pa.Table:
    return rewrites.ranked(_view.snapshot, asked(_view, conditions), **dict(how))


def covered(view: View, conditions: Conditions = ()) -> pa.Table:
    """`data.queries.rewrites.covered` of the view's turns, or of a slice of them."""
    return _covered(view.cache_key(), conditions, view)


@cached_data(max_entries=128, show_spinner=False)
def _covered(key: CacheKey, conditions: Conditions, _view: View) -> pa.Table:
    return rewrites.covered(_view.snapshot, asked(_view, conditions))


def failures(view: View) -> float:
    """How many of the view's turns probably failed; its model must have scored them."""
    return _failures(view.turns_key, view)


@cached_data(max_entries=64, show_spinner=False)
def _failures(key: CacheKey, _view: View) -> float:
    assert _view.model is not None
    (days,) = daily_sums(_view.snapshot, _view.model, "defect", _view.chosen, [()])
    totals: list[Any] = days["total"].to_pylist()
    return float(sum(totals))


def weeks(view: View) -> float | None:
    """How many weeks the view's period has; None where no turn is scored."""
    if view.bounds is None:
        return None
    since, until = view.chosen.since or view.bounds[0], view.chosen.until or view.bounds[1]
    return max((until - since).days + 1, 1) / 7


def a_week(turns: float, weeks: float | None) -> str:
    """Turns as so many a week: `3.2 a week`; of a period shorter than two weeks, all of them."""
    return " ".join(weekly(turns, weeks))


def weekly(turns: float, weeks: float | None) -> tuple[str, str]:
    """The number of `a_week`, and what it is of."""
    if weeks is None or weeks < 2:
        return _few(turns), "in this period"
    return _few(turns / weeks), "a week"


def _few(turns: float) -> str:
    if turns >= 10 or not turns:
        return count(turns)
    return f"{turns:.1f}" if turns >= 1 else f"{turns:.2f}"


def success_words(row: Row) -> str:
    """Predicted success before and after: `12 → 81 %`."""
    return f"{100 * row['p_before']:.0f} → {percent(row['p_after'], 0)}"


def support_words(row: Row) -> str:
    """`41 users, 52 sessions`."""
    return f"{several(row['users'], 'user')}, {several(row['sessions'], 'session')}"


def outcome_words(row: Row) -> str | None:
    """Outcomes on later sessions: `12 wins : 1 loss`; None where it was not replayed."""
    if not row["wins"] + row["losses"] + row["no_help"]:
        return None
    losses = "1 loss" if row["losses"] == 1 else f"{count(row['losses'])} losses"
    return f"{several(row['wins'], 'win')} : {losses}"


def href(view: View, row: Row) -> str:
    """The address of one rewrite."""
    return view.href("rewrites", rewrite=row["rewrite_id"])


def pair(view: View, row: Row) -> dict[str, Any]:
    """A rewrite as the templates draw it."""
    return {
        "request": short(row["request"], _LONGEST),
        "rewrite": short(row["rewrite"], _LONGEST),
        "user": short(row["user_id"], 40),
        "href": href(view, row),
    }


def lines(view: View, rows: Sequence[Row], words: Sequence[str]) -> None:
    """Draw some rewrites, one to a line, `words` behind each."""
    told = [{**pair(view, row), "words": text} for row, text in zip(rows, words, strict=True)]
    st.html(piece(TEMPLATE, "lines", rows=told))


def mends(table: pa.Table, point: str = "defect") -> float:
    """Failures of a `covered` table that are expected to be mended."""
    turns: list[Any] = table[f"mended_{point}"].to_pylist()
    return float(sum(turns))


def mended_share(view: View) -> None:
    """Draw the share of the view's failures that rewrites would mend; nothing without rewrites."""
    if view.model is None or not any_mined(view):
        return
    failed = failures(view)
    mended = mends(covered(view))
    if not failed:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f"Rewrites would mend **{percent(mended / failed)}** of these failures",
            width="content",
            help="Of the turns that probably failed, those whose request has a rewrite that is "
            "proposed, approved or live, each counted as much as the rewrite is expected to raise "
            f"its success: about {count(mended)} of {count(failed)} failures. The rewrites were "
            "learned from turns like these; what they were worth on later ones is on the page "
            "Rewrites, under Evidence.",
        )
        st.html(
            piece(TEMPLATE, "way", words="See them", href=view.href("rewrites")), width="content"
        )
