"""Who may sign in, and what the audit says of them; for admins alone."""

from __future__ import annotations

import streamlit as st

from data.store.people import audited, users
from parts.server.access import open_store, require
from parts.shared.formatted import MINUTE, SECOND
from parts.shared.view import reader_zone

_MOST = 1_000


def roles(path: str) -> None:
    """Everybody who has a role of their own."""
    require("people", "the list of people")
    st.subheader(
        "Roles", anchor=False, help="Set and taken away with `faultline users set` and `remove`."
    )
    known = list(users(open_store(path)).values())
    if not known:
        st.caption("Nobody has a role of their own; all have the one in the sign-in file.")
        return
    st.dataframe(
        {
            "Address": [user.address for user in known],
            "Role": [user.access.role for user in known],
            "Assistants": [", ".join(user.access.assistants) or "all" for user in known],
            "Locales": [", ".join(user.access.locales) or "all" for user in known],
            "Since": [user.since.astimezone(reader_zone()) for user in known],
            "By": [user.by for user in known],
        },
        hide_index=True,
        column_config={"Since": st.column_config.DatetimeColumn(format=MINUTE)},
    )


def audit(path: str) -> None:
    """The newest events, the last first."""
    require("people", "the audit")
    st.subheader(
        "Audit",
        anchor=False,
        help="Sign-ins and sign-outs, exports, statements, deletions, changes of roles, and what "
        "was refused. It is written about a second after it happened.",
    )
    rows = audited(open_store(path), _MOST)
    if not rows:
        st.caption("Nothing is noted yet.")
        return
    st.dataframe(
        {
            "When": [row["happened_at"].astimezone(reader_zone()) for row in rows],
            "Who": [row["who"] for row in rows],
            "What": [row["what"] for row in rows],
            "About": [row["object"] for row in rows],
            "Details": [row["details"] for row in rows],
        },
        hide_index=True,
        column_config={"When": st.column_config.DatetimeColumn(format=SECOND)},
    )
