"""One rewrite: its numbers, the chain around it, the sessions behind it, what it would mend."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pyarrow as pa
import streamlit as st

from charts.formatting import count, minute, percent, plain, points, several, short
from charts.html import piece
from charts.layout import CONFIG
from charts.rewrites import Around, around, chain, chain_words
from data.queries import rewrites
from parts.rewrites.decision import decision
from parts.server.caching import cached_data
from parts.shared.address import PARAMETERS
from parts.shared.rewrites import TEMPLATE, Row, ranked, weekly, weeks
from parts.shared.turn_list import choose
from parts.shared.view import CacheKey, View, reader_zone

# Sessions that are shown at once, and steps of each.
_SESSIONS, _STEPS = 4, 6
_WORDS = 90
# Behind a text from right to left: what follows still stands to the right of it.
_LTR = "\N{LEFT-TO-RIGHT MARK}"


def detail(view: View, rewrite_id: str) -> None:
    """Draw one rewrite, or say that there is none with this id."""
    _way_back(view)
    row = _one(view.cache_key("rewrites", "rewrite_outcomes"), rewrite_id, view)
    if row is None:
        st.subheader("No such rewrite", anchor=False)
        st.text(
            f"There is no rewrite “{short(rewrite_id)}” in version {view.snapshot.version} of this "
            "store. A later mining may not have found it again: only those that somebody decided "
            "on stay."
        )
        return
    st.header(
        f"“{plain(short(row['request'], _WORDS))}”{_LTR} → "
        f"“{plain(short(row['rewrite'], _WORDS))}”",
        anchor=False,
    )
    st.caption(_facts(row))
    _numbers(view, row)
    left, right = st.columns([1.7, 1], gap="medium")
    with left:
        _chain(row)
    with right:
        decision(view, row)
    _sessions(view, row)
    _failing(view, row)


@cached_data(max_entries=256, show_spinner=False)
def _one(key: CacheKey, rewrite_id: str, _view: View) -> dict[str, Any] | None:
    return rewrites.one(_view.snapshot, rewrite_id)


def _way_back(view: View) -> None:
    # The list is found as it was left: its state, method, order and page may be any.
    own = " ".join(key for key in PARAMETERS["rewrites"] if key != "rewrite")
    st.html(piece(TEMPLATE, "back", href=view.href("rewrites"), own=own), width="content")


def _facts(row: Row) -> str:
    parts = [
        f"only for {plain(short(row['user_id'], 60))}" if row["user_id"] else "for everybody",
        plain(row["method"]),
        *(["keeps the request as it is"] if row["request"] == row["rewrite"] else []),
        *([plain(short(row["assistant"], 60))] if row["assistant"] else []),
    ]
    if row["request_state"] and row["rewrite_state"] and "|" in row["rewrite_state"]:
        states = (plain(short(row[name], 120)) for name in ("request_state", "rewrite_state"))
        parts.append(f"understood as {next(states)}{_LTR} → {next(states)}")
    return f"{_LTR} · ".join(parts)


def _numbers(view: View, row: Row) -> None:
    here = ranked(view, rows=1, only=row["rewrite_id"]).to_pylist()
    now = here[0] if here else {"asked": 0, "mended_defect": 0.0, "failing_now": 0.0}
    with st.grid(4, min_column_width=150, gap="small"):
        st.metric(
            "Success",
            percent(row["p_after"], 0),
            delta=points(row["p_after"] - row["p_before"]),
            delta_color="off",
            help="Predicted of the rewrite; of the request as it is, "
            f"{percent(row['p_before'], 0)}.",
            **_BOX,
        )
        st.metric(
            "Support",
            several(row["users"], "user"),
            delta=several(row["sessions"], "session"),
            delta_color="off",
            delta_arrow="off",
            help="In whose sessions the request was said again.",
            **_BOX,
        )
        replayed = row["wins"] + row["losses"] + row["no_help"]
        st.metric(
            "Wins : losses",
            f"{count(row['wins'])} : {count(row['losses'])}" if replayed else "–",
            delta=f"{count(row['no_help'])} without help" if replayed else "not replayed",
            delta_color="off",
            delta_arrow="off",
            help="On later sessions: failing turns that it mended, and turns that worked and that "
            "it broke.",
            **_BOX,
        )
        if view.model is None:
            st.metric(
                "Heard", several(int(now["asked"]), "turn"), help="Turns with the request.", **_BOX
            )
        else:
            mended, per = weekly(now["mended_defect"], weeks(view))
            st.metric(
                f"Mends {per}",
                mended,
                delta=f"of {count(now['asked'])} heard, {count(now['failing_now'])} failing",
                delta_color="off",
                delta_arrow="off",
                help="Failures within these filters that it is expected to mend.",
                **_BOX,
            )


_BOX: dict[str, Any] = {"border": True, "height": "stretch"}


def _chain(row: Row) -> None:
    st.subheader(
        "Chain",
        anchor=False,
        help="What people say after the request, pooled over users. A walk ends where it works or "
        "where they give up; arcs are what is said next, with its probability.",
    )
    states = _around(row)
    if states is None:
        st.caption("No chain is stored with this rewrite.")
        return
    rewrite = row["rewrite"]
    st.plotly_chart(
        chain(states, rewrite), config=CONFIG, alt=chain_words(states, rewrite), key="chain"
    )
    if states.hidden:
        st.caption(f"{several(states.hidden, 'rarer state')} left out.")


def _around(row: Row) -> Around | None:
    try:
        stored = json.loads(row["chain"] or "{}")
        return around(stored, row["rewrite"]) if isinstance(stored, dict) else None
    except (ValueError, KeyError, TypeError):
        return None


@cached_data(max_entries=64, show_spinner=False)
def _behind(key: CacheKey, rewrite_id: str, _view: View) -> pa.Table:
    row = rewrites.one(_view.snapshot, rewrite_id)
    assert row is not None
    return rewrites.sessions(_view.snapshot, row)


def _sessions(view: View, row: Row) -> None:
    st.subheader(
        "Sessions behind it",
        anchor=False,
        help="Turns with the request, and what their users said next.",
    )
    table = _behind(
        view.cache_key("turns", "rewrites", "rewrite_outcomes"), row["rewrite_id"], view
    )
    walks = _walks(table.to_pylist())
    if not walks:
        st.caption("None of its turns is in this store any more.")
        return
    _draw(view, walks[:_SESSIONS])
    if len(walks) > _SESSIONS:
        with st.expander(f"{several(len(walks) - _SESSIONS, 'more session')}"):
            _draw(view, walks[_SESSIONS:])


def _walks(steps: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The steps of each session, once; those in which the user got there come first."""
    seen: set[str] = set()
    walks = []
    for _, same in groupby(steps, key=lambda step: step["example"]):
        walk = list(same)
        if walk[0]["turn_id"] not in seen:
            walks.append(walk)
        seen |= {step["turn_id"] for step in walk}
    return sorted(walks, key=lambda walk: not any(_there(step) for step in walk[1:]))


def _there(step: Row) -> bool:
    return bool(step["said"] or step["reached"])


def _draw(view: View, walks: list[list[dict[str, Any]]]) -> None:
    zone = reader_zone()
    with st.grid(2, min_column_width=320, gap="small"):
        for walk in walks:
            steps = [
                {
                    "heard": step["heard"],
                    "response": step["response"],
                    "href": view.href("turn", turn=step["turn_id"], day=step["day"].isoformat()),
                    "note": _note(step) if number else "",
                }
                for number, step in enumerate(walk[:_STEPS])
            ]
            when = minute(walk[0]["started_at"], zone)
            st.html(piece(TEMPLATE, "session", when=when, steps=steps))


def _note(step: Row) -> str:
    after = f"after {step['after_s']:.0f}\u2009s"
    if step["said"]:
        return f"the rewrite, {after}"
    return f"got there, {after}" if step["reached"] else ""


@cached_data(max_entries=64, show_spinner=False)
def _mends(key: CacheKey, rewrite_id: str, _view: View) -> pa.Table:
    assert _view.model is not None
    row = rewrites.one(_view.snapshot, rewrite_id)
    assert row is not None
    return rewrites.failing_turns(_view.snapshot, _view.model, _view.chosen, row)


def _failing(view: View, row: Row) -> None:
    st.subheader(
        "Failing turns it would mend",
        anchor=False,
        help="Turns with the request, within these filters, that the model calls a failure: the "
        "surest first.",
    )
    if view.model is None:
        st.caption("No turn is scored yet, so none is known to fail.")
        return
    rows = _mends(view.turns_key, row["rewrite_id"], view)
    if rows.num_rows:
        choose(rows, view)
    else:
        st.caption("No failing turn of these filters has this request.")
