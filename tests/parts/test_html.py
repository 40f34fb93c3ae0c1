"""Every template escapes what it prints, and no Python code writes tags."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from jinja2 import UndefinedError
from jinja2.runtime import Macro

from analysis.request_clusters import Group
from charts.html import ENVIRONMENT, ROOT, compile_templates, piece, render
from parts.shared.stage_output import aftermath, annotation, pipeline

# Short enough that no template cuts it.
HOSTILE = "<img src=x onerror=a()>\"'&amp;\u202e\x07{{7**9}}"
SHOWN = HOSTILE.replace("\u202e", "\ufffd").replace("\x07", "\ufffd")
PIECES = "parts/shared/pieces.html"
STAGES = "parts/shared/stage_output.html"
SLICES = "parts/triage/slices.html"
REWRITES = "parts/shared/rewrites.html"
GENERATED = "parts/shared/labels.html"
LABELS = "parts/labels/labels.html"
TEACHING = "parts/teaching/teaching.html"
RATE = {"rate": 0.2, "low": 0.1, "high": 0.3, "elsewhere": 0.05, "reach": 0.5, "colour": "#000"}
DECISION = {"state": HOSTILE, "release": None, "owner": HOSTILE, "ticket": HOSTILE}
SLOTS = [{"name": HOSTILE, "value": HOSTILE}]
FRAME = {"domain": HOSTILE, "intent": HOSTILE, "slots": SLOTS, "confidence": 0.5}
CANDIDATES = [{"name": HOSTILE, "id": HOSTILE, "score": 0.5}] * 2
MENTIONS = [{"slot": HOSTILE, "text": f"{HOSTILE}{i}", "candidates": CANDIDATES} for i in range(5)]
SIGNALS = {HOSTILE: 1.0}
PAIR = dict.fromkeys(("request", "rewrite", "user", "href"), HOSTILE)
HEARD = [{"text": HOSTILE, "confidence": 0.1}, {"text": HOSTILE, "confidence": 0.9}]
RECORDS: dict[str, dict[str, Any]] = {
    "wake": {"phrase": HOSTILE, "score": 0.5, "threshold": 0.4, "signals": SIGNALS},
    "asr": {"hypotheses": HEARD, "endpoint": HOSTILE, "audio_ms": 1.0, "signals": SIGNALS},
    "nlu": {"hypotheses": [FRAME, FRAME], "signals": SIGNALS},
    "er": {"mentions": MENTIONS, "signals": SIGNALS},
    "result": {
        "action": HOSTILE,
        "response": HOSTILE,
        "acts": [{"act": HOSTILE, "slots": SLOTS}],
        "items": [HOSTILE],
        "signals": SIGNALS,
    },
}
GOLD = {
    "transcript": HOSTILE,
    "intent": HOSTILE,
    "entities": {HOSTILE: HOSTILE},
    "action": HOSTILE,
    "annotator": HOSTILE,
    "replay": FRAME,
    "goal_id": HOSTILE,
    "goal_reached": False,
    "defect": True,
    "ratings": [{"annotator": HOSTILE, "of": HOSTILE, "value": 2.0}],
    "corrects": HOSTILE,
    "correction": HOSTILE,
}
VERDICT = dict.fromkeys(("mark", "words", "p", "colour"), HOSTILE)
PART = {"name": HOSTILE, "value": HOSTILE, "p": HOSTILE, "kind": "text"}


def stage(name: str, **values: object) -> dict[str, object]:
    return {"title": HOSTILE, "colour": "#000", "record": RECORDS[name], "failed": True, **values}


def inside() -> str:
    return HOSTILE


# Each macro, and values with a hostile text wherever text is possible.
CASES: dict[tuple[str, str], dict[str, Any]] = {
    (PIECES, "logged"): {"value": HOSTILE},
    (PIECES, "quiet"): {"inner": HOSTILE},
    (PIECES, "dot"): {"colour": HOSTILE},
    (PIECES, "chip"): {"failure_point": "asr"},
    (PIECES, "line"): {"caller": inside},
    (PIECES, "quiet_line"): {"caller": inside},
    (PIECES, "block"): {
        "title": HOSTILE,
        "colour": HOSTILE,
        "head": HOSTILE,
        "outline": True,
        "note": HOSTILE,
        "caller": inside,
    },
    (PIECES, "table"): {"heads": [HOSTILE], "caller": inside},
    (PIECES, "row"): {"cells": [HOSTILE, HOSTILE], "numbers": [1]},
    (PIECES, "cell"): {"inner": HOSTILE},
    (PIECES, "plain_table"): {"heads": [HOSTILE], "rows": [[HOSTILE]]},
    (PIECES, "fold"): {"summary": HOSTILE, "caller": inside},
    ("parts/shared/conversation.html", "prompt"): {"words": HOSTILE},
    ("parts/shared/conversation.html", "request"): {"words": HOSTILE},
    ("parts/shared/conversation.html", "present_request"): {
        "words": HOSTILE,
        "failure_point": "asr",
    },
    (STAGES, "absent"): {"title": HOSTILE, "colour": HOSTILE},
    (STAGES, "absent_failure"): {"title": HOSTILE, "colour": HOSTILE},
    (STAGES, "wake"): stage("wake"),
    (STAGES, "asr"): stage("asr", right=(1, "transcript"), higher=HEARD[1]),
    (STAGES, "nlu"): stage("nlu", calls_tools=False),
    (STAGES, "er"): stage("er", mentions=MENTIONS),
    (STAGES, "result"): stage("result"),
    (STAGES, "aftermath"): {"feedback": {"explicit": HOSTILE, "barge_in": True}},
    (STAGES, "annotation"): {
        "gold": GOLD,
        "replay": FRAME,
        "ratings": [{"of": HOSTILE, "mean": 2.0, "n": 3}],
        "href": HOSTILE,
    },
    ("parts/annotate/first_turns.html", "progress"): {
        "done": 3,
        "all": 50,
        "words": HOSTILE,
    },
    ("parts/shared/unchecked.html", "way"): {"href": HOSTILE, "words": HOSTILE},
    ("parts/shared/frame.html", "top"): {
        "home": HOSTILE,
        "store": HOSTILE,
        "where": HOSTILE,
        "groups": [(HOSTILE, [{"href": HOSTILE, "present": True, "title": HOSTILE}])],
    },
    ("parts/shared/kept_name.html", "keep"): dict.fromkeys(("cookie", "value", "age"), HOSTILE),
    ("parts/shared/turn_links.html", "turns"): {
        "words": HOSTILE,
        "columns": [
            {
                **dict.fromkeys(("title", "help", "href"), HOSTILE),
                "kind": "text",
                "sorted": "ascending",
                "opens": opens,
            }
            for opens in (True, False)
        ],
        "rows": [
            {"href": HOSTILE, "cells": [HOSTILE, HOSTILE]},
            {"href": HOSTILE, "cells": [None] * 2},
        ],
    },
    ("parts/turn/prediction.html", "ways_back"): {"ways": [(HOSTILE, HOSTILE, HOSTILE)]},
    ("parts/turn/prediction.html", "range_strip"): {
        **dict.fromkeys(("value", "low", "high", "first"), 0.5),
        "last": 1.0,
        "colour": HOSTILE,
    },
    ("parts/triage/inline_bars.html", "dot_and_interval"): {**RATE, "words": HOSTILE},
    ("parts/triage/inline_bars.html", "sparkline"): {
        "values": [0.1, None, 0.0],
        "colour": HOSTILE,
        "words": HOSTILE,
    },
    ("parts/triage/inline_bars.html", "bar"): {
        "inside": 0.2,
        "elsewhere": 0.1,
        "reach": 0.0,
        "colour": HOSTILE,
        "words": HOSTILE,
    },
    (SLICES, "card"): {
        **RATE,
        **dict.fromkeys(("impact", "weekly", "against", "trend", "p_value", "certainty"), HOSTILE),
        "values": [None],
        "decision": DECISION,
    },
    (SLICES, "decided"): {"decision": {**DECISION, "release": HOSTILE}},
    (SLICES, "reasons"): {
        "features": [
            {
                **dict.fromkeys(("sentence", "colour", "averages", "named", "words"), HOSTILE),
                **dict.fromkeys(("inside", "elsewhere", "reach"), 0.5),
            }
        ]
    },
    (SLICES, "request_groups"): {"groups": [Group(HOSTILE, HOSTILE, 2, (HOSTILE, HOSTILE))]},
    (REWRITES, "pair"): PAIR,
    (REWRITES, "outlined"): {"words": HOSTILE},
    (REWRITES, "ranked"): {
        "columns": [
            {**dict.fromkeys(("title", "help", "href"), HOSTILE), "kind": kind, "sorted": True}
            for kind in ("text", "failure", "state", "number", "text")
        ],
        "rows": [{**PAIR, "cells": ["asr", HOSTILE, HOSTILE, None]}],
    },
    (REWRITES, "lines"): {"rows": [{**PAIR, "words": HOSTILE}]},
    (REWRITES, "way"): {"words": HOSTILE, "href": HOSTILE},
    (REWRITES, "back"): {"href": HOSTILE, "own": HOSTILE},
    (REWRITES, "session"): {
        "when": HOSTILE,
        "steps": [dict.fromkeys(("heard", "response", "href", "note"), HOSTILE)],
    },
    (GENERATED, "generated"): {
        "parts": [PART, {**PART, "value": "asr", "kind": "failure"}],
        "goal": {
            **dict.fromkeys(("title", "where", "began", "href"), HOSTILE),
            "verdict": VERDICT,
        },
        "signals": HOSTILE,
        "model": HOSTILE,
    },
    (GENERATED, "values"): {"parts": [PART]},
    (LABELS, "goals"): {
        "goals": [
            {
                "title": HOSTILE,
                "verdict": VERDICT,
                "turns": [
                    dict.fromkeys(
                        ("href", "heard", "defect", "colour", "meant", "response"), HOSTILE
                    )
                ]
                * 10,
            }
        ]
        * 14
    },
    (LABELS, "dialogues"): {
        "rows": [{**dict.fromkeys(("href", "heard", "goals", "day"), HOSTILE), "present": True}]
    },
    (LABELS, "tasks"): {
        "heads": [HOSTILE] * 7,
        "rows": [
            {
                **dict.fromkeys(("task", "words", "name"), HOSTILE),
                **dict.fromkeys(("first", "used", "baseline"), True),
                "cells": [HOSTILE] * 5,
            }
        ],
    },
    (TEACHING, "taught"): {
        "rows": [
            {
                **dict.fromkeys(("href", "name", "value"), HOSTILE),
                "kind": "concept",
                "expired": True,
                "cells": [HOSTILE] * 4,
            }
        ]
    },
    (TEACHING, "pair"): {"kind": "preference", "name": HOSTILE, "value": HOSTILE},
    (TEACHING, "back"): {"href": HOSTILE, "own": HOSTILE},
    (TEACHING, "dialogue"): {"steps": [dict.fromkeys(("href", "heard", "response"), HOSTILE)]},
    ("parts/triage/stage_evidence.html", "confusions"): {
        "rows": [
            {
                **dict.fromkeys(("heard", "slot", "source", "first", "second"), HOSTILE),
                "kind": "unresolved",
                "turns": 1,
            }
        ],
        "columns": dict.fromkeys(("heard", "slot", "source", "first", "kind"), HOSTILE),
    },
    ("parts/triage/stage_evidence.html", "rates"): {
        "rows": [{"device": HOSTILE, "turns": 2, "failures": 1.0}],
        "columns": {"device": HOSTILE},
    },
}
# Templates with links, all written by `parts.shared.address` (`test_links_stay_in_the_dashboard`).
LINKING = {
    "parts/shared/frame.html",
    "parts/shared/unchecked.html",
    GENERATED,
    LABELS,
    REWRITES,
    STAGES,
    TEACHING,
    "parts/shared/turn_links.html",
    "parts/turn/prediction.html",
}
# Templates that are rendered whole. `tests/report` renders the report with hostile texts.
WHOLE = {"parts/model/card.html", "report/page.html"}


class Parsed(HTMLParser):
    """Tags that are open at the end, and all tags, attributes and text, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: dict[str, str] = {}
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(value or "")
            self.attributes[name] = self.attributes.get(name, "") + (value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def must_be_inert(html: str, *, links: bool = False) -> Parsed:
    """With `links`, it may have some, which lead nowhere else than to this dashboard."""
    parsed = Parsed(html)
    assert parsed.open == []
    assert not parsed.tags & {"img", "script", "iframe"}
    if links:
        assert all(re.match(r"\?|/(?![/\\])", link) for link in parsed.links), parsed.links
    else:
        assert "a" not in parsed.tags
    assert not [name for name in parsed.attributes if name.startswith("on") or name == "src"]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
    assert str(7**9) not in html
    return parsed


def macros(template: str) -> set[str]:
    exported = vars(ENVIRONMENT.get_template(template).module)
    return {name for name, value in exported.items() if isinstance(value, Macro)}


def test_every_macro_has_a_case() -> None:
    names = compile_templates("parts", "report")
    assert {(name, macro) for name in set(names) - WHOLE for macro in macros(name)} == set(CASES)
    assert set(names) >= WHOLE


@pytest.mark.parametrize(("template", "macro"), CASES)
def test_a_macro_shows_hostile_text_as_it_is(template: str, macro: str) -> None:
    values = CASES[template, macro]
    # Where links lead is their writer's affair, not the template's.
    parsed = must_be_inert(
        re.sub(r' href="[^"<>]*"', ' href="?"', piece(template, macro, **values)),
        links=template in LINKING,
    )
    if macro != "chip":
        assert SHOWN in parsed.text or SHOWN in "".join(parsed.attributes.values())


def test_a_macro_needs_all_its_values_and_no_others() -> None:
    with pytest.raises(UndefinedError):
        piece(PIECES, "logged")
    with pytest.raises(TypeError):
        piece(PIECES, "logged", value="a", colour="#000")
    with pytest.raises(UndefinedError):
        render("report/page.html")


def test_a_turn_of_hostile_texts_is_inert() -> None:
    turn = {**RECORDS, "feedback": {"explicit": HOSTILE, "rating": 1.0}, "gold": GOLD}
    blocks = [*pipeline(turn, "asr", (1, "said again")), aftermath(turn), annotation(turn)]
    for block in blocks:
        assert block is not None
        assert SHOWN in must_be_inert(block).text


def test_a_piece_inside_another_is_escaped() -> None:
    """Only templates put HTML together: what Python passes on is text."""
    bold = piece(PIECES, "logged", value="a")
    assert piece(PIECES, "quiet", inner=bold).count("&lt;bdi&gt;") == 1


def test_characters_that_cannot_be_encoded_are_replaced() -> None:
    piece(PIECES, "logged", value="a\ud800b").encode("utf-8")


@pytest.mark.parametrize("template", compile_templates("parts", "report"))
def test_a_template_leaves_escaping_on(template: str) -> None:
    source = (ROOT / template).read_text("utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|xmlattr|tojson", source)
    bare = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", re.sub(r"\{\{.*?\}\}", "X", source), flags=re.S)
    assert not re.search(r"='?X", bare), "an attribute without quotation marks"
    if template in LINKING:
        # An address is whole and from Python: nothing of a turn is pasted into it here.
        bare = bare.replace('<a href="X"', "<a").replace(' href="X"', "")
    assert not re.search(r"<script|\son\w+=|javascript:|(?:href|src)=", bare)


# A tag, or the beginning of one whose attributes a formatted string fills in.
TAG = re.compile(r"</?[a-zA-Z][\w-]*(?=[\s/>]|$)|&(?:[a-zA-Z]+|#\d+);")
# What Plotly reads in labels and hover texts; `charts.formatting.inert` escapes the text in them.
PLOTLY = re.compile(r"</?(?:b|br|extra)>")
FOLDERS = ("parts", "pages", "report", "charts")


def tags(source: str) -> list[str]:
    """Tags and entities in the strings of some Python code, docstrings left out."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        tag
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in docstrings
        if isinstance(node.value, str)
        for tag in TAG.findall(node.value)
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = f'<div style=\"{y}\">{z}</div>'", ["<div", "</div"]),
        ("x = '<b>' + y", ["<b"]),
        ("x = y + '&ensp;'", ["&ensp;"]),
        ("'''A docstring: <b>.'''", []),
        ("x = 'a < b and c > d, R&B'", []),
    ],
)
def test_the_scan_sees_tags(source: str, expected: list[str]) -> None:
    assert tags(source) == expected


def test_python_writes_no_tags() -> None:
    files = [ROOT / "app.py", *(file for name in FOLDERS for file in (ROOT / name).rglob("*.py"))]
    assert len(files) > 60
    for file in files:
        source = file.read_text("utf-8")
        written = tags(PLOTLY.sub("", source) if file.parent.name == "charts" else source)
        assert written == [], file
        assert not re.search("unsafe_allow|markupsafe", source), file
        # Jinja2 escapes HTML; the one exception escapes for Plotly.
        assert file.name == "formatting.py" or not re.search(r"\bescape\(", source), file
