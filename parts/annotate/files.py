"""Annotations as files: export and import."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from annotation.files import Imported, import_annotations
from annotation.row_files import PACKED, SUFFIXES
from charts.formatting import (
    count,
    plain,
    several,
)
from data.errors import FaultlineError
from data.export.export import export
from data.queries.annotations import latest, without_sql
from data.queries.visibility import Reader
from data.store.annotations import DESK
from parts.server.access import download, may, open_store, require
from parts.shared.verdict_form import Desk
from parts.shared.view import View

_KINDS = {"jsonl": "application/x-ndjson", "csv": "text/csv", "parquet": "application/octet-stream"}
_PROBLEMS = 200


def files_task(view: View, who: str, now: Desk) -> None:
    """Draw the export of the annotations to a file, and the import of a file."""
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(
            "Export", anchor=False, help="Download all annotations, the latest of each person."
        )
        hidden = _hidden(now.annotations, now.reader(who))
        exported = now.annotations.num_rows - len(hidden)
        st.text(f"{several(exported, 'annotation')}, the latest of each person.")
        if hidden:
            st.caption(
                f"{count(len(hidden))} verdicts of others are left out until a second person has "
                "judged their turns."
            )
        with st.container(horizontal=True):
            for suffix, kind in _KINDS.items():
                st.download_button(
                    suffix.upper() if suffix != "parquet" else "Parquet",
                    _content(view.path, suffix, who),
                    f"annotations.{suffix}",
                    kind,
                    icon=":material/download:",
                    on_click="ignore",
                    disabled=not now.annotations.num_rows,
                )
    # A file names the annotators of its verdicts, so that it could speak for others.
    if not may("maintain"):
        return
    with right:
        st.subheader(
            "Import",
            anchor=False,
            help="Read labels from a file; rows with mistakes go to quarantine with the reason.",
        )
        upload = st.file_uploader(
            "A file with one annotation per row: turn_id, annotator, failure_point, and optionally "
            "the other fields of an export",
            [suffix.removeprefix(".") for suffix in (*SUFFIXES, *PACKED)],
            key=f"upload-{st.session_state.get('uploads', 0)}",
        )
        if upload is not None:
            st.button(
                "Import",
                type="primary",
                on_click=_import,
                args=(view.path, upload.name, upload.getvalue()),
            )
        outcome = st.session_state.get("imported")
        if isinstance(outcome, str):
            st.error(plain(outcome), icon=":material/error:")
        elif isinstance(outcome, tuple):
            _report(*outcome)


def _hidden(annotations: pa.Table, reader: Reader) -> list[str]:
    """Ids of the annotations that a person may not see yet."""
    visible, every = reader.shown(annotations)["annotation_id"], annotations["annotation_id"]
    return [str(i) for i in every.filter(pc.invert(pc.is_in(every, visible))).to_pylist()]


def _content(path: str, suffix: str, who: str) -> Callable[[], bytes]:
    make = partial(_export, path, suffix, who)
    return download("export", f"annotations ({suffix})", make)


def _export(path: str, suffix: str, who: str) -> bytes:
    """The bytes of an export, written when the button is pressed, from the annotations then."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(path).snapshot(only=DESK) as snapshot,
    ):
        hidden = _hidden(latest(snapshot), Reader.of(snapshot, who))
        to = Path(folder) / f"annotations.{suffix}"
        export(snapshot, "annotations", to, without_sql(hidden))
        return to.read_bytes()


def _import(path: str, name: str, content: bytes) -> None:
    try:
        require("maintain", "import of annotations")
        report = import_annotations(open_store(path), content, name)
        st.session_state["imported"] = (name, report)
    except FaultlineError as error:
        st.session_state["imported"] = str(error)
    # A new uploader, so that the same file is not offered again.
    st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1


def _report(name: str, imported: Imported) -> None:
    parts = [f"{several(imported.added, 'annotation')} added"]
    if imported.present:
        parts.append(f"{count(imported.present)} were there already")
    if imported.problems:
        parts.append(f"{several(len(imported.problems), 'row')} rejected")
    st.markdown(f"{plain(name)}: {', '.join(parts)}.")
    if imported.problems:
        rows = imported.problems[:_PROBLEMS]
        st.dataframe(
            {
                "Line": [row.line for row in rows],
                "Field": [row.field or "–" for row in rows],
                "Reason": [row.reason for row in rows],
            },
            hide_index=True,
            height="content" if len(rows) < 12 else 400,
        )
        st.caption("They are in the quarantine, without their verdicts.")
