"""Download buttons of Explore: a zip of the file and its manifest, written when clicked."""

from __future__ import annotations

import shlex
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from charts.formatting import count
from data.errors import FaultlineError
from data.export.manifest import (
    SUFFIXES,
    answer_zip,
    command,
    most_rows,
    slice_zip,
)
from parts.explore.saved_views import link_query
from parts.server.access import download
from parts.shared.verdict_form import desk, signed_in
from parts.shared.view import View

_WORDS = {"parquet": "Parquet", "csv": "CSV", "jsonl": "JSONL"}
_ADDED = {"stages": "Raw stage output", "gold": "Gold"}
Make = Callable[[Path], object]


def slice_buttons(view: View, turns: int) -> None:
    """The slice as a file, in three formats, and the command that does the same."""
    assert view.model is not None
    with st.popover("Export", icon=":material/download:"):
        st.markdown(f"**{count(turns)} rows** of predictions, with a manifest")
        picked = st.pills(
            "Add to each turn",
            tuple(_ADDED),
            selection_mode="multi",
            format_func=_ADDED.__getitem__,
            key="explore-export-added",
            help="What every stage logged: hypotheses, slots, entity candidates, result; and what "
            "the logs’ gold says.",
        )
        added = tuple(name for name in _ADDED if name in picked)
        for suffix in SUFFIXES:
            most = most_rows(suffix, added)
            make = partial(
                slice_zip,
                view.snapshot,
                view.model,
                view.chosen,
                suffix,
                link=link_query(view),
                added=added,
            )
            _button(
                f"{_WORDS[suffix]}" + (f" (at most {count(most)} rows)" if turns > most else ""),
                f"predictions-{view.snapshot.version}-{suffix}.zip",
                make,
                disabled=turns > most,
            )
        st.caption(
            "A zip of the file and of a manifest: the filter in words, the SQL, version, model, "
            "rows, checksum. In CSV, texts that a spreadsheet would run start with an "
            "apostrophe. Without a limit, on the command line:"
        )
        words = command(view.model, view.chosen, "parquet", view.path, view.snapshot.version, added)
        st.code(shlex.join(words), language=None, wrap_lines=True)


def answer_buttons(view: View, sql: str) -> None:
    """All rows of a statement as a file; it runs again, within the same limits."""
    reader = desk(view.path).reader(signed_in())
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for suffix in SUFFIXES:
            make = partial(
                answer_zip,
                view.snapshot,
                view.model,
                view.chosen,
                sql,
                suffix,
                link=link_query(view),
                reader=reader,
            )
            _button(_WORDS[suffix], f"answer-{view.snapshot.version}-{suffix}.zip", make)


def _button(label: str, name: str, make: Callable[..., object], disabled: bool = False) -> None:
    st.download_button(
        label,
        data=download("export", name, partial(_content, make)),
        file_name=name,
        mime="application/zip",
        icon=":material/download:",
        on_click="ignore",
        key=f"download-{name}",
        disabled=disabled,
    )


def _content(make: Make) -> bytes:
    """The zip that `make` writes; if that fails, a zip with a text file that says why."""
    with tempfile.TemporaryDirectory(prefix="faultline-export-") as folder:
        target = Path(folder) / "export.zip"
        try:
            make(target)
        except FaultlineError as error:
            return _failure(target, str(error))
        return target.read_bytes()


def _failure(target: Path, reason: str) -> bytes:
    with zipfile.ZipFile(target, "w") as pack:
        pack.writestr("not-exported.txt", reason + "\n")
    return target.read_bytes()
