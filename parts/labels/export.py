"""Generated labels as a file with a manifest, with the thresholds of the page."""

from __future__ import annotations

import shlex
import tempfile
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import streamlit as st

from charts.formatting import several
from data.errors import FaultlineError
from data.export.labels import export_labels
from parts.labels.label_model import TASKS
from parts.server.access import download
from parts.shared.view import View

_FORMS = {"rows": "A row per turn", "bio": "BIO tags"}
_SUFFIXES = {"jsonl": "JSONL", "parquet": "Parquet"}


def export_menu(view: View, turns: int, least: Mapping[str, float]) -> None:
    """Downloads of the labels within the filters, and the command that writes those of all turns.

    `turns` is how many they are, `least` the threshold of each task.
    """
    with st.popover("Export", icon=":material/download:"):
        form = st.segmented_control(
            "Form",
            tuple(_FORMS),
            default="rows",
            required=True,
            format_func=_FORMS.__getitem__,
            key="labels-export-form",
            help="A row per turn: goal, defect, intent and slots with their probabilities. BIO "
            "tags: words with their slots, and where values stand in the text, to train a tagger.",
        )
        st.markdown(f"**{several(turns, 'turn')}** within these filters, with a manifest")
        if least:
            words = ", ".join(f"{TASKS[name].lower()} {value:.2f}" for name, value in least.items())
            st.caption(f"Labels below a threshold are left out: {words}.")
        with st.container(horizontal=True, gap="small"):
            for suffix, label in _SUFFIXES.items():
                st.download_button(
                    label,
                    data=download(
                        "export",
                        f"generated labels ({suffix})",
                        partial(content, view, suffix, str(form), dict(least)),
                    ),
                    file_name=f"labels-{view.snapshot.version}-{suffix}.zip",
                    mime="application/zip",
                    icon=":material/download:",
                    on_click="ignore",
                    key=f"labels-export-{suffix}",
                    disabled=not turns,
                )
        st.caption("Of all turns, on the command line:")
        command = ["faultline", "labels", "export", "--to", "labels.jsonl", "--format", str(form)]
        command += [w for name, p in least.items() for w in ("--min", f"{name}={p:.2f}")]
        st.code(shlex.join([*command, "--store", view.path]), language=None, wrap_lines=True)


def content(view: View, suffix: str, form: str, least: Mapping[str, float]) -> bytes:
    """The zip of the file and its manifest; if that fails, of a text file that says why."""
    with tempfile.TemporaryDirectory(prefix="faultline-labels-") as folder:
        file = Path(folder) / f"labels-{view.snapshot.version}.{suffix}"
        pack = Path(folder) / "labels.zip"
        chosen = view.chosen if view.model else None
        try:
            export_labels(
                view.snapshot, file, form=form, least=least, chosen=chosen, model=view.model
            )
        except FaultlineError as error:
            with zipfile.ZipFile(pack, "w") as zipped:
                zipped.writestr("not-exported.txt", f"{error}\n")
            return pack.read_bytes()
        with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as zipped:
            for part in sorted(Path(folder).glob(f"{file.name}*")):
                zipped.writestr(part.name, part.read_bytes())
        return pack.read_bytes()
