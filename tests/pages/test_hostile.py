"""Hostile texts in every field: on every page they are shown as they are, or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Dialog
from streamlit.testing.v1 import AppTest

from charts.formatting import distinct, inert, plain
from data.export.export import export
from data.store.store import Store
from report.page import weekly
from tests.app import Open, html
from tests.browser import Watch, browse, chromium, served
from tests.hostile import TEXTS, fill
from tests.markup import live, live_in_charts, markdown
from tests.once import Once
from tests.parts.test_html import must_be_inert

# Every page, with what its main choices show.
PAGES: list[tuple[str | None, dict[str, str]]] = [
    (None, {}),
    ("triage", {"failing": "asr"}),
    ("triage", {"failing": "defect"}),
    ("model", {}),
    ("model", {"look": "thresholds"}),
    ("model", {"look": "comparison"}),
    ("model", {"look": "labels"}),
    ("annotate", {}),
    ("annotate", {"task": "differences"}),
    ("annotate", {"task": "agreement"}),
    ("annotate", {"task": "files"}),
    ("annotate", {"task": "train"}),
    ("explore", {"rows": "domain", "cols": "intent"}),
    ("explore", {"rows": "slot", "cols": "device"}),
    ("explore", {"show": "table"}),
    ("explore", {"show": "sql", "sql": "FROM turns"}),
    ("data", {}),
    ("data", {"part": "signals"}),
    ("data", {"part": "drift"}),
    ("data", {"part": "storage"}),
    ("rewrites", {}),
    ("turn", {}),
]


@pytest.fixture(scope="module")
def hostile(once: Once) -> Store:
    return Store.open(once("hostile", lambda folder: fill(folder / "store")) / "store")


def turns(store: Store) -> list[dict[str, Any]]:
    """The first turn of each text, by the number of the text."""
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT turn_id, day FROM turns WHERE turn_index = 0 AND "
            "day = (SELECT min(day) FROM turns) ORDER BY started_at, turn_id"
        )
    return list(rows.to_pylist())


def must_be_text(at: AppTest) -> None:
    """Nothing on the page is more than text, but for what the pages themselves write."""
    assert not at.exception
    # Of a model's card, headings and tables are interpreted.
    for text in markdown(at):
        assert live(text) == [], text[:500]
    assert live_in_charts(at) == []
    for block in at.get("html"):
        must_be_inert(block.proto.body, links=True)


def test_there_are_many_texts() -> None:
    assert len(set(TEXTS)) == len(TEXTS) >= 40


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_one_function_for_each_destination(number: int) -> None:
    text = TEXTS[number]
    for around in ("{}", "**{}**", "a {} b", ":small[:gray[{}]]", "“{}”", "x\n\n{}"):
        assert live(around.format(plain(text))) == []
    label = inert(text, None)
    assert not set("<$") & set(label)
    assert "%{" not in label
    # A reader sees the text itself, but for invisible characters.
    if text.isascii() and text.isprintable() and text == " ".join(text.split()):
        shown = plain(text).replace("\u2060", "")
        assert "".join(c for i, c in enumerate(shown) if not _escapes(shown, i)) == text[:2_000] + (
            "…" if len(text) > 2_000 else ""
        )


def _escapes(shown: str, i: int) -> bool:
    """Whether character `i` is the backslash of an escape."""
    before = len(shown[:i]) - len(shown[:i].rstrip("\\"))
    return shown[i] == "\\" and before % 2 == 0 and i + 1 < len(shown)


@pytest.mark.parametrize(
    "text",
    ["www.x.example", "me@x.example", "https://x.example", "[a](b)", ":red[x]", "$x$", ":+1:",
     "<b>", "![a](b)", "# a", "- a", "1. a", "    a", "**a**\n---"],
)  # fmt: skip
def test_the_check_sees_what_is_live(text: str) -> None:
    assert live(text)


def test_names_of_columns_differ() -> None:
    assert distinct(["a", "b", "a", "a (2)"], ["b"]) == ["a", "b (2)", "a (2)", "a (2) (2)"]


# With `make test` one of the choices of each page; with `make exam` all.
_QUICK = (0, 1, 3, 7, 12, 16, 17, 20)


@pytest.mark.parametrize(
    ("page", "query"),
    [pytest.param(*p, marks=[] if i in _QUICK else pytest.mark.long) for i, p in enumerate(PAGES)],
)
def test_a_page_of_hostile_texts_is_text(
    opened: Open, hostile: Store, page: str | None, query: dict[str, str]
) -> None:
    at = opened(hostile.path, page, **query)
    must_be_text(at)
    if page == "annotate":
        at.session_state["annotator_name"] = TEXTS[1]
        must_be_text(at.run())
    if query.get("show") == "sql":
        next(b for b in at.button if b.label == "Run").click().run()
        must_be_text(at)


_SOME = range(1, len(TEXTS), 24)


@pytest.mark.parametrize(
    "number",
    [pytest.param(i, marks=[] if i in _SOME else pytest.mark.long) for i in range(len(TEXTS))],
)
def test_a_turn_of_a_hostile_text_is_text(opened: Open, hostile: Store, number: int) -> None:
    row = turns(hostile)[number]
    at = opened(hostile.path, "turn", turn=row["turn_id"], day=row["day"].isoformat())
    must_be_text(at)
    assert "failure" in html(at) or "outlined" in html(at) or at.header


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_pages_filtered_by_a_hostile_text_are_text(
    opened: Open, hostile: Store, number: int
) -> None:
    # Filters bring a text into chips, captions, tables, charts, and the captions of exports.
    text = TEXTS[number]
    for page, key in (
        (None, "domain"),
        ("triage", "device"),
        ("explore", "intent"),
        ("data", "assistant"),
    ):
        must_be_text(opened(hostile.path, page, **{key: text}))


_ODD = [
    ("at", "t99999999999999999999"),
    ("at", "<script>"),
    ("at", "t1.t1"),
    ("model", "www.x.example"),
    ("since", "2024-99-99"),
    ("since", "x" * 9_000),
    ("until", "0001-01-01"),
    ("hour", "99.."),
    ("confidence", "nan..inf"),
    ("words", "-1..x"),
    ("defect", "1e999.."),
    ("stage", "me@x.example"),
    ("version", "asr"),
    ("version", ":::"),
    ("source", "[a](b)"),
    ("text", "\u202e%_\\"),
    ("turn", "\x00"),
    ("turn", "x" * 9_000),
    ("day", "tomorrow"),
    ("slice", "asr:"),
    ("slice", "asr:domain=;;;=="),
    ("slice", "x:y=z"),
    ("failing", "www.x.example"),
    ("look", "<b>"),
    ("other", "me@x.example"),
    ("speaking", "x"),
    ("threshold", "1e9"),
    ("task", "$x$"),
    ("part", "\ud7ff"),
    ("show", "javascript:"),
    ("rows", "nosuch"),
    ("cols", "nosuch"),
    ("of", "x"),
    ("measure", "x"),
    ("order", "x; DROP"),
    ("columns", "a,b,*,heard"),
    ("sql", "\x00'; --" * 99),
    ("back", "//x.example"),
    ("list", "x"),
    ("point", "x"),
    ("target", "x"),
    ("domain", "x" * 9_000),
    ("locale", "\ufffe"),
    ("device", "null"),
    ("slot", "1"),
    ("status", "okay"),
    ("embed", "true"),
]


@pytest.mark.long
@pytest.mark.parametrize(("key", "value"), _ODD)
def test_an_odd_link_opens_or_is_refused_in_one_sentence(
    opened: Open, hostile: Store, key: str, value: str
) -> None:
    for page in (None, "triage", "turn", "model", "annotate", "explore", "data", "rewrites"):
        must_be_text(opened(hostile.path, page, **{key: value}))


def test_a_report_of_hostile_texts_is_text(hostile: Store) -> None:
    with hostile.snapshot() as snapshot:
        page, _ = weekly(snapshot, 1)
    head, body = page.split("<body>")
    must_be_inert(body.split("</body>")[0])
    assert head.count("<style>") == head.count("</style>") == 1
    assert "<script" not in head


def test_exports_hold_the_texts_and_no_formula(hostile: Store, tmp_path: Path) -> None:
    with hostile.snapshot() as snapshot:
        for table in ("predictions", "annotations", "quarantine", "views", "triage"):
            export(snapshot, table, tmp_path / f"{table}.csv")
            export(snapshot, table, tmp_path / f"{table}.jsonl")
            rows = snapshot.counts()[table]
            with (tmp_path / f"{table}.csv").open(newline="", encoding="utf-8") as file:
                cells = [cell for row in csv.DictReader(file) for cell in row.values()]
            assert len(cells) == rows * len(snapshot.query(f"FROM {table} LIMIT 0").column_names)
            assert not [c for c in cells if c and c[0] in "=@\t\r" and c not in ("-1",)]
            lines = (tmp_path / f"{table}.jsonl").read_text("utf-8").split("\n")
            assert len([json.loads(line) for line in lines if line]) == rows


# In a real browser ------------------------------------------------------------------------------

needs_chromium = pytest.mark.skipif(
    chromium() is None and os.environ.get("CI") != "true", reason="Chromium is not installed"
)
# Links that the pages themselves have.
_LIVE = """() => {
  const app = document.querySelector('[data-testid=stApp]'), found = [];
  for (const a of app.querySelectorAll('a')) {
    const to = a.getAttribute('href') || a.getAttribute('xlink:href') || '';
    const own = to.startsWith('#') || to.startsWith('?') || to === ''
      || (to.startsWith('/') && !to.startsWith('//'))
      || to.startsWith(location.origin) || to.startsWith('explore?') || /^[a-z]+$/.test(to)
      || a.closest('[data-testid=stLinkButton]');
    if (!own) found.push('a ' + to + ' ' + a.textContent);
  }
  for (const e of app.querySelectorAll('img,script,iframe,object,embed,form,base,math,.katex,h1'))
    // The code editor is the one thing that is framed, from this server.
    if (!e.classList.contains('vega-bindings')
      && !(e.matches('iframe.stCustomComponentV1') && new URL(e.src).origin === location.origin))
      found.push(e.outerHTML.slice(0, 200));
  const active = '[data-testid=stHtml] style, [onerror], [onload], [onmouseover]';
  for (const e of app.querySelectorAll(active))
    found.push(e.outerHTML.slice(0, 200));
  return found;
}"""


@pytest.fixture(scope="module")
def address(hostile: Store) -> Iterator[str]:
    with served(hostile.path) as url:
        yield url


def must_be_text_in_browser(watch: Watch, path: str) -> None:
    watch.settle()
    assert watch.page.locator("[data-testid=stException]").count() == 0, path
    assert watch.page.evaluate(_LIVE) == [], path
    assert watch.strangers == [], path


@needs_chromium
@pytest.mark.long
def test_a_browser_shows_hostile_texts_as_text(address: str, hostile: Store) -> None:
    links = [f"/{page or ''}?{urlencode(query)}" for page, query in PAGES]
    links += [f"/turn?{urlencode({'turn': r['turn_id'], 'day': r['day']})}"
              for r in turns(hostile)[: len(TEXTS)]]  # fmt: skip
    links += [f"/{page}?{urlencode({key: text})}" for text in TEXTS[:45:4]
              for page, key in (("", "domain"), ("data", "assistant"))]  # fmt: skip
    with browse() as watch:
        dialogs: list[str] = []

        def close(dialog: Dialog) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        watch.page.on("dialog", close)
        for link in links:
            watch.page.goto(address + link)
            must_be_text_in_browser(watch, link)
        assert dialogs == []


@needs_chromium
@pytest.mark.long
def test_hover_texts_of_charts_are_text(address: str) -> None:
    with browse() as watch:
        for link in ("/", "/data", f"/data?{urlencode({'assistant': TEXTS[8]})}",
                     f"/?{urlencode({'domain': TEXTS[8]})}"):  # fmt: skip
            watch.page.goto(address + link)
            watch.settle()
            charts = watch.page.locator(".js-plotly-plot")
            for i in range(charts.count()):
                charts.nth(i).scroll_into_view_if_needed()
                box = charts.nth(i).bounding_box()
                assert box is not None
                for part in (0.2, 0.5, 0.8):
                    watch.page.mouse.move(
                        box["x"] + part * box["width"], box["y"] + 0.5 * box["height"]
                    )
                    watch.page.wait_for_timeout(150)
                    assert watch.page.locator(".js-plotly-plot a").count() == 0
            must_be_text_in_browser(watch, link)
