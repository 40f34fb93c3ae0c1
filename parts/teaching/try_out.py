"""Teaching in a dialogue on the page: say something, and see what the next request then means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from charts.formatting import plain, short
from labels.teaching.conversation import Answer, Conversation
from labels.teaching.preferences import count_uses
from parts.server.access import open_store
from parts.shared.view import View, go_to_newest
from parts.shared.writing import refused

_SAID = "teaching-said"
_TALK = "teaching-talk"
# Lines that stay on the page.
_MOST = 30


def try_out(view: View) -> None:
    """Draw the dialogue: what was said and answered, and a field for what is said next."""
    st.subheader(
        "Teach",
        anchor=False,
        help="As a user would by voice. What is taught is stored for this user, and used on the "
        "very next request.",
    )
    with st.container(horizontal=True, gap="small"):
        user = st.text_input(
            "User", key="teaching-user", max_chars=120, placeholder="as in the logs", width=240
        ).strip()
        device = st.text_input(
            "Device type", key="teaching-device", max_chars=40, placeholder="any", width=160
        ).strip()
    lines: list[tuple[str, str]] = st.session_state.setdefault(_SAID, [])
    with st.container(border=True, key="teaching-dialogue"):
        if not lines:
            st.caption(
                "Say, for example: when I say cosy, dim the lights to 30. Then answer yes, and "
                "say: cosy."
            )
        else:
            _draw(lines[-_MOST:])
        text = st.chat_input(
            "Say something" if user else "Name the user first",
            key="teaching-say",
            max_chars=300,
            disabled=not user,
        )
    if not text:
        return
    answers: list[Answer] = []
    talk = _talk(view.path, user, device or None)
    problem = refused(lambda: answers.append(talk.say(text, datetime.now(UTC))), view.path)
    if problem:
        st.error(plain(problem))
        return
    (answer,) = answers
    if answer.used is not None:
        used = answer.used
        refused(lambda: count_uses(open_store(view.path), {used: 1}, datetime.now(UTC)), view.path)
    lines.append((short(text, 300), _words(answer)))
    if answer.did in ("stored", "forgot") or answer.used is not None:
        go_to_newest()
    st.rerun()


def _draw(lines: list[tuple[str, str]]) -> None:
    # So that the field below stays in sight, and the last line too.
    with st.container(height=420 if len(lines) > 2 else "content", border=False):
        for said, answered in lines:
            with st.chat_message("user", avatar=":material/person:"):
                st.text(said)
            with st.chat_message("assistant", avatar=":material/graphic_eq:"):
                st.text(answered)


def _talk(path: str, user: str, device: str | None) -> Conversation:
    """The dialogue of this session with a user; another user begins another one."""
    key = (path, user, device)
    kept: tuple[Any, Conversation] | None = st.session_state.get(_TALK)
    if kept is None or kept[0] != key:
        kept = (key, Conversation(open_store(path), user, device))
        st.session_state[_TALK] = kept
    return kept[1]


def _words(answer: Answer) -> str:
    if answer.did == "listed":
        known = [
            f"{row['name']} {'means' if row['kind'] == 'concept' else 'is'} {row['value']}"
            for row in answer.known
        ]
        return short("; ".join(known), 600) or "You haven't taught me anything yet."
    if answer.meaning is not None:
        return f"I take it for: {short(answer.meaning, 300)}"
    return answer.text or "Nothing was taught about this; the assistant does what it always does."
