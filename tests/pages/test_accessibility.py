"""Every page with axe-core and the contrast of all text, in a real browser, light and dark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charts.palette import COLOURS, GROUND, INK, TEXT_ON
from data.store.store import Store
from tests.browser import Watch, browse, chromium, served
from tests.rewritten import GENERAL

# Fetched by `.ci/run`; nothing here needs the network.
AXE = Path(__file__).parents[2] / ".cache/axe-core/package/axe.min.js"
LEAST = 4.5
IN_CI = os.environ.get("CI") == "true"
# Of a model that was trained; the others need no such model.
LOOKS = ("quality", "later", "thresholds", "reasons", "comparison", "labels", "learning", "card")
# Every other page, and every view of it.
PAGES = (
    "",
    "triage",
    "turn",
    "turn?turn=d001-0",
    *(f"annotate?task={task}" for task in ("queue", "differences", "agreement", "files", "train")),
    *(f"explore?show={part}" for part in ("pivot", "table", "sql")),
    "rewrites",
    "labels",
    "teaching",
    *(f"data?part={part}" for part in ("arrivals", "signals", "drift", "storage", "upload")),
)
# Streamlit's own: the dot that follows the pointer on the small chart of a number has no name, and
# cannot be given one. The chart itself is described by the number above it.
EXCLUDED = ["[data-testid=stMetricChart] [role=graphics-symbol]"]

_RUN = """async (excluded) => (await axe.run({exclude: excluded.map(s => [s])},
  {resultTypes: ['violations']})).violations
  .filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])"""

# axe does not look at the text of charts, which is SVG.
_CHART_TEXT = """() => [...document.querySelectorAll('.js-plotly-plot text')]
  .filter(t => t.textContent.trim() && t.getBoundingClientRect().width
    && !t.closest('.heatmaplayer, .hoverlayer, .bars'))
  .map(t => {
    const style = getComputedStyle(t)
    const box = t.closest('.annotation')?.querySelector('rect.bg')
    const under = box && getComputedStyle(box)
    return [t.textContent.slice(0, 40), style.fill, Number(style.fillOpacity),
      under && Number(under.fillOpacity) === 1 ? under.fill : null]
  })"""


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance as WCAG 2 defines it; channels from 0 to 255."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def rgb(text: str) -> tuple[float, ...]:
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))


def mixed(colour: str, alpha: float, ground: str) -> tuple[float, ...]:
    return tuple(
        alpha * over + (1 - alpha) * under
        for over, under in zip(rgb(colour), rgb(ground), strict=True)
    )


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(rgb("#777777"), rgb("#FFFFFF")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", list(COLOURS))
def test_text_on_a_stage_colour_can_be_read(name: str) -> None:
    assert contrast(rgb(COLOURS[name]), rgb(TEXT_ON[name])) >= LEAST


@pytest.mark.parametrize("share", [1.0, 0.68, 0.6])
@pytest.mark.parametrize("dark", [False, True])
def test_quiet_text_can_be_read(share: float, dark: bool) -> None:
    """Captions have 60 % of the text colour, quiet parts of templates 68 %."""
    assert contrast(mixed(INK[dark], share, GROUND[dark]), rgb(GROUND[dark])) >= LEAST


@pytest.fixture(scope="module")
def address(scored_store: Store) -> Iterator[str]:
    with served(scored_store.path) as url:
        yield url


@pytest.fixture(scope="module")
def model_address(six_annotated: Store) -> Iterator[str]:
    with served(six_annotated.path) as url:
        yield url


@pytest.fixture(scope="module")
def rewritten_address(rewritten_store: Store) -> Iterator[str]:
    with served(rewritten_store.path) as url:
        yield url


@pytest.fixture(scope="module")
def learned_address(learned_store: Store) -> Iterator[str]:
    with served(learned_store.path) as url:
        yield url


@pytest.fixture(scope="module")
def unscored_address(unscored_store: Store) -> Iterator[str]:
    with served(unscored_store.path) as url:
        yield url


def _axe() -> str:
    if chromium() is None and not IN_CI:
        pytest.skip("Chromium is not installed")
    if not AXE.exists():
        if IN_CI:
            pytest.fail(f"{AXE} is missing; .ci/run fetches it")
        pytest.skip(f"axe-core is not here; .ci/run fetches it to {AXE.parent.name}")
    return AXE.read_text("utf-8")


def findings(watch: Watch, axe: str, address: str, pages: tuple[str, ...]) -> list[Any]:
    """Serious findings of axe-core, and text of charts that can hardly be read, by page."""
    found: list[Any] = []
    for path in pages:
        watch.page.goto(f"{address}/{path}")
        watch.settle()
        watch.page.evaluate(axe)
        for rule, nodes in watch.page.evaluate(_RUN, EXCLUDED):
            found.append((path, rule, nodes))
        ground = watch.page.evaluate(
            "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        )
        for text, fill, opacity, box in watch.page.evaluate(_CHART_TEXT):
            paper = _parsed(box or ground)[0]
            colour, alpha = _parsed(fill)
            alpha *= opacity
            seen = tuple(
                alpha * over + (1 - alpha) * under
                for over, under in zip(colour, paper, strict=True)
            )
            if contrast(seen, paper) < LEAST:
                found.append((path, "text of a chart", text, fill))
    return found


def _parsed(css: str) -> tuple[tuple[float, ...], float]:
    """`rgb(1, 2, 3)` or `rgba(1, 2, 3, 0.5)` as channels and opacity."""
    numbers = [float(n) for n in css[css.index("(") + 1 : -1].split(",")]
    return tuple(numbers[:3]), numbers[3] if len(numbers) > 3 else 1.0


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_has_a_serious_finding(address: str, dark: bool) -> None:
    axe = _axe()
    with browse(dark=dark) as watch:
        # The name is asked first, by a page of its own.
        watch.page.goto(f"{address}/annotate")
        watch.settle()
        watch.page.evaluate(axe)
        assert watch.page.evaluate(_RUN, EXCLUDED) == []
        found = findings(watch, axe, address, PAGES)
        assert found == [], json.dumps(found, indent=1)


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_view_of_a_trained_model_has_a_serious_finding(model_address: str, dark: bool) -> None:
    pages = tuple(f"model?look={look}" for look in LOOKS)
    with browse(dark=dark) as watch:
        found = findings(watch, _axe(), model_address, pages)
        assert found == [], json.dumps(found, indent=1)


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_first_step_has_a_serious_finding(unscored_address: str, dark: bool) -> None:
    with browse(dark=dark) as watch:
        found = findings(watch, _axe(), unscored_address, ("", "data?part=upload", "annotate"))
        assert found == [], json.dumps(found, indent=1)


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_about_rewrites_has_a_serious_finding(rewritten_address: str, dark: bool) -> None:
    pages = (
        "rewrites",
        "rewrites?part=evidence",
        f"rewrites?rewrite={GENERAL}",
        "turn?turn=00-0-0",
        "triage?slice=er:device_type=phone",
    )
    with browse(dark=dark) as watch:
        found = findings(watch, _axe(), rewritten_address, pages)
        assert found == [], json.dumps(found, indent=1)


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_about_labels_and_teaching_has_a_serious_finding(
    learned_address: str, dark: bool
) -> None:
    pages = (
        "",
        *(f"labels?part={part}" for part in ("goals", "thresholds", "tasks", "differences")),
        *(f"teaching?part={part}" for part in ("taught", "moments", "teach")),
        "teaching?preference=p-cosy",
        "turn?turn=d007-2",
    )
    with browse(dark=dark) as watch:
        found = findings(watch, _axe(), learned_address, pages)
        assert found == [], json.dumps(found, indent=1)


@pytest.mark.long
def test_text_that_can_hardly_be_read_is_found(address: str) -> None:
    """The test of the test: pale text and a chart's pale text are both reported."""
    axe = _axe()
    with browse() as watch:
        watch.page.goto(address)
        watch.settle()
        watch.page.evaluate(axe)
        watch.page.evaluate("document.querySelector('h2, h3').style.color = '#bbb'")
        assert "color-contrast" in [rule for rule, _ in watch.page.evaluate(_RUN, EXCLUDED)]
