"""Mining from the page: a background job, and what the page says before there are rewrites."""

from __future__ import annotations

import shlex

import streamlit as st

from charts.formatting import several
from parts.jobs.job import Jobs, jobs
from parts.jobs.process import ProcessJob
from parts.jobs.widget import watch
from parts.shared.view import View, go_to_newest

MINE = "mine-rewrites"


def nothing_mined(view: View) -> None:
    """A page for a store without rewrites: what they are, and what makes them."""
    st.header("No rewrites yet", anchor=False)
    st.text(
        "When a request fails, people say it again differently, and in the end it often works. "
        "Mining reads that from the sessions, without annotators."
    )
    mine_button(view, primary=True)
    st.caption("Or on the command line:")
    st.code(f"faultline rewrites mine --store {shlex.quote(view.path)}", language=None)


def mine_button(view: View, primary: bool = False) -> None:
    """The button that mines; while that runs its progress, and at its end a way to its rewrites."""
    work = jobs(view.path)
    job = work.get(MINE)
    if job is None:
        st.button(
            "Mine rewrites" if primary else "Mine again",
            type="primary" if primary else "tertiary",
            icon=":material/play_arrow:",
            help="Reads all sessions; a minute for 100\u2009000 turns. Decisions stay.",
            on_click=_start,
            args=(view.path, work),
        )
    elif job.state == "running":
        watch(job, cancel="Stop")
    elif job.state == "done":
        found = int((job.result or {}).get("in_store", 0))
        if not found:
            st.text("No failing request is said again, in words that work, often enough.")
            st.button("Back", on_click=work.forget, args=(MINE,))
            return
        st.markdown(f"Mined: {several(found, 'rewrite')} in the store.")
        st.button(
            "Show them", type="primary", icon=":material/update:", on_click=_show, args=(work,)
        )
    else:
        st.text(str(job.error or "The mining was stopped."))
        st.button("Back", on_click=work.forget, args=(MINE,))


def _start(path: str, work: Jobs) -> None:
    command = ["rewrites", "mine", "--json", "--store", path]
    work.start(MINE, lambda: ProcessJob("Mining", "cli", command, polite=True))


def _show(work: Jobs) -> None:
    work.forget(MINE)
    go_to_newest()
