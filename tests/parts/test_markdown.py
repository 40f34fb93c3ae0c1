"""Whatever Streamlit reads as Markdown is the pages' own text, or has passed through `plain`.

A new place is found by its expression. If it cannot hold text from logs, people or addresses, it
belongs to `REVIEWED`; otherwise it must pass through `plain`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from charts.html import ROOT

# Elements of Streamlit whose first argument, or a keyword below, is Markdown.
ELEMENTS = {
    "badge", "button", "caption", "chat_message", "checkbox", "date_input", "download_button",
    "error", "expander", "feedback", "file_uploader", "form_submit_button", "header", "info",
    "link_button", "markdown", "metric", "multiselect", "number_input", "page_link", "pills",
    "popover", "progress", "radio", "segmented_control", "select_slider", "selectbox", "slider",
    "spinner", "status", "subheader", "success", "text_area", "text_input", "title", "toast",
    "toggle", "warning", "write",
}  # fmt: skip
KEYWORDS = {"help", "label", "text", "body", "delta", "caption"}
# Functions that make text safe, or return only the program's own words and numbers.
SAFE = {
    "plain", "inert", "count", "percent", "points", "several", "number", "milliseconds",
    "confidence", "len", "round", "colour_of", "moment", "period_words", "reader_zone", "size",
    "comparison_words", "scaled_words", "over_words", "labels_words",
}  # fmt: skip

# Expressions that somebody has looked at: what they can hold.
REVIEWED = {
    "parts/model/judges.py": {
        "_about(compared)": "numbers, and a currency through `plain`",
        "_verdict(compared)": "numbers, and the judge's name through `plain`",
    },
    "parts/overview/alerts.py": {
        "firing": "a count",
        "muted": "a constant",
    },
    "parts/shared/alert_button.py": {"label": "a constant"},
    "parts/overview/comparison.py": {
        "_label(compared)": "constants, and a release through `plain`",
        "words": "days and percentages",
    },
    "parts/overview/releases.py": {"label": "a constant"},
    "parts/annotate/files.py": {"parts": "counts", "suffix": "of `SUFFIXES`"},
    "parts/annotate/queue.py": {"label": "a constant"},
    "parts/annotate/retrain.py": {"_p(comparison.p_value)": "a number"},
    "parts/data/ingest_runs.py": {
        "label": "a constant",
        "most": "a number",
        "value": "a number or a time",
    },
    "parts/data/signals.py": {
        "_level(psi)": "a constant",
        "icon": "a constant",
        "read.all": "a number",
    },
    "parts/explore/downloads.py": {"label": "a format"},
    "parts/explore/pivot.py": {
        "estimated": "a constant, and a number",
        "pivot_words(table, measure, failure)": "names of measures and failures",
        "title": "a constant",
    },
    "parts/annotate/first_turns.py": {"label": "a constant", "worth()": "numbers"},
    "parts/data/sources.py": {
        "logged": "numbers and constants",
        "notes": "numbers and constants",
        "weaker_words(missing)": "names of stages",
        "when": "a constant",
    },
    "parts/explore/sql_answer.py": {"more": "a number"},
    "parts/explore/turn_table.py": {"beyond": "numbers"},
    "parts/jobs/widget.py": {
        "about": "constants and numbers",
        "cancel": "a constant",
        "label": "a constant",
        "progress_words(job)": "passes through `plain`",
        "job.progress.share": "a number",
    },
    "parts/model/comparison.py": {
        "_verdict(comparison, plain(model), plain(other))": "numbers and plain names",
        "label": "passes through `plain`",
    },
    "parts/model/later_logs.py": {
        "_expected(figures)": "numbers, and a reason that passes through `plain`",
        "_source(figures)": "numbers, and words that pass through `plain`",
    },
    "parts/model/quality.py": {
        "_points(metrics.get('defect_calibration_error'), spans.get('defect_calibration_error'))": (
            "numbers"
        ),
        "_with_span(here.recall, (low, high))": "numbers",
        "_with_span(metrics['macro_f1'], spans['macro_f1'])": "numbers",
        "_with_span(right.sum() / failed, (low, high))": "numbers",
        "_with_span(right.sum() / n, (low, high))": "numbers",
        "about": "numbers",
        "absent": "names of failures",
        "name": "the name of a failure",
        "name[0]": "the name of a failure",
        "name[1:]": "the name of a failure",
    },
    "parts/overview/changes.py": {"colour": "a colour", "number": "a number"},
    "parts/shared/conversation.py": {
        "dot": "a colour",
        "heard": "passes through `plain`",
    },
    "parts/shared/filter_bar.py": {
        "label": "a constant",
        "title": "a constant",
        "turns": "numbers",
    },
    "parts/labels/dialogue.py": {
        "day_words(turns[0]['day'], True)": "a day",
        "label": "a constant",
        "place": "numbers",
    },
    "parts/labels/differences.py": {"noun": "a constant"},
    "parts/labels/export.py": {"label": "a constant", "words": "names of tasks, and numbers"},
    "parts/labels/making.py": {"_known(view)": "numbers", "label": "a constant"},
    "parts/labels/tasks.py": {"missing": "names of tasks"},
    "parts/labels/thresholds.py": {"share": "numbers"},
    "parts/teaching/one.py": {
        "_facts(row)": "times, and what passes through `plain`",
        "change_words(change)": "numbers",
        "minute(row['last_used_at'], reader_zone())": "a time",
        "verb": "a constant",
        "words": "a constant",
    },
    "parts/shared/headline.py": {
        "goal_words(rate, reached.goals)": "numbers",
        "_turns_delta(head)": "numbers",
        "estimate_words(defect)": "numbers",
    },
    "parts/shared/page_frame.py": {"label": "a constant", "parts": "passes through `plain`"},
    "parts/shared/verdict_form.py": {
        "about": "a constant",
        "label": "a constant",
        "colour": "a colour",
        "decided": "a constant",
        "name": "the name of a failure",
        "part": "passes through `plain`",
        "words": "the name of a failure",
    },
    "parts/rewrites/decision.py": {
        "_by(row)": "a time, and a name through `plain`",
        "label": "a constant",
    },
    "parts/rewrites/detail.py": {
        "_facts(row)": "passes through `plain`",
        "mended": "a number",
        "per": "a constant",
    },
    "parts/rewrites/evidence.py": {"help": "a constant", "title": "a constant"},
    "parts/triage/rewrites.py": {"a_week(mended, span)": "numbers", "share": "a number"},
    "parts/triage/slice_detail.py": {
        "parts": "numbers",
        "stages": "names of stages",
        "where": "a constant",
    },
    "parts/shared/log_upload.py": {
        "more": "a number",
        "refusal": "constants and a number",
        "report_words(files[0])": "numbers, and the file’s name through `plain`",
    },
    "parts/shared/model_jobs.py": {"label": "a constant", "scored": "a number"},
    "parts/triage/slice_picker.py": {"found.words()": "numbers"},
    "parts/triage/stage_evidence.py": {"evidence.words()": "numbers", "nothing": "a constant"},
    "parts/triage/ticket.py": {"_places(found)": "passes through `plain`"},
    "parts/turn/detail.py": {"label": "a constant", "parts": "numbers"},
    "parts/turn/rewrite.py": {"how": "a constant"},
    "parts/turn/verdict.py": {
        "title": "a constant",
        "name": "the name of a failure",
        "other": "names of failures",
        "stages": "names of stages, and numbers",
    },
    "pages/model.py": {"quality.precision_words(quality.figures(view))": "numbers"},
    "pages/overview.py": {"misdated_words(misdated)": "numbers"},
    "pages/triage.py": {"result.found.words()": "numbers"},
    "pages/turn.py": {"facts": "passes through `plain`", "verdict_words": "a failure and a number"},
}


def parts(node: ast.expr) -> Iterator[ast.expr]:
    """The expressions of which a text consists, without constants and what is safe by its form."""
    match node:
        case ast.Constant():
            return
        case ast.JoinedStr(values=values) | ast.BoolOp(values=values):
            for value in values:
                yield from parts(value)
        case ast.FormattedValue(value=value, format_spec=spec):
            # A format of numbers or times.
            written = ast.unparse(spec) if spec else ""
            if not re.search(r"[fdg%,]'?$|%[a-zA-Z-]", written):
                yield from parts(value)
        case ast.BinOp(left=left, right=right):
            yield from parts(left)
            yield from parts(right)
        case ast.IfExp(body=body, orelse=orelse):
            yield from parts(body)
            yield from parts(orelse)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            for element in elements:
                yield from parts(element)
        case ast.Starred(value=value):
            yield from parts(value)
        case ast.GeneratorExp(elt=element) | ast.ListComp(elt=element):
            yield from parts(element)
        case ast.Call(func=ast.Name(id=name)) if name in SAFE:
            return
        case ast.Call(func=ast.Attribute(attr="join"), args=[joined]):
            yield from parts(joined)
        case ast.Call(func=ast.Attribute(attr=method, value=value)) if method in (
            "replace", "capitalize", "lower", "upper", "lstrip",
        ):  # fmt: skip
            yield from parts(value)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name.isupper():
            return
        # A mapping of constants: NAMES[point], TITLES[point]; limits.
        case ast.Attribute(value=ast.Name(id=name)) if name.isupper():
            return
        case ast.Subscript(value=ast.Name(id=name)) if name.isupper():
            return
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get")) if name.isupper():
            return
        case _:
            yield node


def unguarded(source: str) -> set[str]:
    """Expressions in Markdown texts of some code that are neither constant nor made safe."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if node.func.attr not in ELEMENTS or not isinstance(owner, ast.Name):
            continue
        if owner.id == "address":  # Writes the page's address, not a text on it.
            continue
        several = 2 if node.func.attr == "metric" else 1
        texts = [
            *node.args[:several],
            *(k.value for k in node.keywords if k.arg in KEYWORDS),
            *(k.value for k in node.keywords if k.arg == "value" and node.func.attr == "metric"),
        ]
        found |= {ast.unparse(part) for text in texts for part in parts(text)}
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("st.caption(f'a {plain(x)} {count(3)} {NAMES[y]}')", set()),
        ("st.caption(f'a {x}')", {"x"}),
        ("left.button('a' + (x if y else 'b'), help=plain(z))", {"x"}),
        ("st.button('a', help=str(error))", {"str(error)"}),
        ("st.error(str(error))", {"str(error)"}),
        ("st.metric('a', value)", {"value"}),
        ("st.markdown(' · '.join([plain(a), *(row['b'] for row in rows)]))", {"row['b']"}),
        ("st.text(str(error)); st.code(x)", set()),
        ("st.caption(f'{day:%-d %B %Y} {share:.1f}')", set()),
    ],
)
def test_the_scan_sees_what_is_not_guarded(source: str, expected: set[str]) -> None:
    assert unguarded(source) == expected


def test_markdown_holds_only_own_words_and_plain_text() -> None:
    files = [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "parts").rglob("*.py")]
    assert len(files) > 40
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        new = unguarded(file.read_text("utf-8")) - set(REVIEWED.get(name, ()))
        assert new == set(), f"{name}: pass these through `plain`, or add them to REVIEWED"


def test_nothing_reviewed_is_gone() -> None:
    for name, expressions in REVIEWED.items():
        assert set(expressions) <= unguarded(Path(ROOT / name).read_text("utf-8")), name


def test_no_element_interprets_html() -> None:
    for folder in ("parts", "pages"):
        for file in (ROOT / folder).rglob("*.py"):
            assert "unsafe_allow_html" not in file.read_text("utf-8"), file
