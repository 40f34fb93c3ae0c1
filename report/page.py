"""The Overview as one self-contained HTML file: no network, no script, no font."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.periods import PREVIOUS, Against, Shift
from analysis.rates import MODEL
from charts import stage_heatmap
from charts.formatting import count, minute, percent, points
from charts.html import render as render_template
from charts.palette import COLOURS
from charts.rates import target_level, trend_words
from charts.sentences import (
    BURN_RATE,
    against_words,
    budget_status,
    budget_words,
    burn_words,
    cell_words,
    change_words,
    comparison_words,
    count_of,
    estimate_words,
    extra_count,
    extra_words,
    goal_words,
    misdated_words,
    no_comparison_words,
    over_words,
    period_words,
    q_words,
    scaled_words,
    shift_words,
    span_words,
)
from data.errors import ModelError, UsageError, machine_error
from data.queries import goals, ingest_runs, overview
from data.queries.filters import Filter
from data.schema.trace import FAILURES
from data.schema.vocabulary import LEVEL_MEANING, NAMES, UNCHECKED, UNCHECKED_MEANING
from data.store import workspace
from data.store.durability import replacing
from progress import Progress, silent
from report import contents, figures
from report.goal_success import GoalSuccess, success

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

WEEKS = 520
CHANGES = 12
ROWS = 15


@dataclass(frozen=True)
class Source:
    """What a report is about: data version, model, filter, and when logs last arrived.

    `misdated` turns have impossible dates, and are not in it. `unchecked`: the model learned from
    no label of a person. `level_assumed`: it did, but not how many turns fail.
    """

    version: str
    model: str
    chosen: Filter
    arrived: datetime | None
    misdated: int = 0
    unchecked: bool = False
    level_assumed: bool = False


def check(weeks: int, to: Path) -> None:
    """Raise UsageError if the period is invalid or the file cannot be written."""
    if not 1 <= weeks <= WEEKS:
        raise UsageError(f"A report of {weeks} weeks cannot be made; give 1 to {WEEKS}.")
    _target(to)


def weekly(
    snapshot: Snapshot, weeks: int, progress: Progress = silent, against: Against = PREVIOUS
) -> tuple[str, contents.Headline]:
    """The report on the last `weeks` up to the last scored day, as HTML, and its numbers.

    With a release to compare `against`, it is on the days since this release. `progress` is told
    each step. Raises ModelError for a store without predictions, UsageError where the periods
    cannot be compared.
    """
    models = overview.models(snapshot)
    model = snapshot.model if snapshot.model in models else models[0] if models else None
    bounds = overview.bounds(snapshot, model) if model else None
    if model is not None and bounds is None:
        raise ModelError(
            f"No scored turn of version {snapshot.version} has a possible date, so there is no "
            "period to report on; see them with: faultline export misdated --to misdated.csv"
        )
    if model is None or bounds is None:
        raise ModelError(
            f"No turn of version {snapshot.version} has been scored, so there is nothing to "
            "report; run 'faultline train' if there is no model, then 'faultline score'."
        )
    days = bounds[:2]
    start = days[1] - timedelta(days=7 * weeks - 1)
    chosen = Filter(since=max(start, days[0]), until=days[1])
    compared = contents.compared_periods(snapshot, model, chosen, days, against)
    if compared and compared.released:
        chosen = replace(chosen, since=compared.released)
    progress(0, 2, "estimating the rates")
    head = contents.headline(snapshot, model, chosen, days, against=against)
    assert head is not None
    if head.periods.previous is None and against.mode in ("release", "days"):
        raise UsageError(no_comparison_words(head.periods))
    progress(1, 2, "looking for change points and comparing the periods")
    happened = contents.events(snapshot, model, chosen, days, against)
    reached = None
    if snapshot.counts()["goals"]:
        told = goals.annotated(snapshot)
        reached = success(snapshot, model, chosen, head.periods, head.by, told)
    source = source_of(snapshot, model, chosen)
    return render(source, head, happened, workspace.targets(snapshot), reached), head


def source_of(snapshot: Snapshot, model: str, chosen: Filter) -> Source:
    """What a report on this filter is about."""
    arrived = ingest_runs.newest(snapshot)
    return Source(
        snapshot.version,
        model,
        chosen,
        arrived,
        snapshot.counts()["misdated"],
        unchecked=not snapshot.learned_from_people(model),
        level_assumed=snapshot.level_is_assumed(model),
    )


def write(html: str, to: Path) -> None:
    """Write a report; the file appears once it is complete. Raises UsageError if that fails."""
    target = _target(to)
    try:
        with replacing(target) as draft:
            draft.write_text(html, encoding="utf-8")
    except OSError as error:
        problem = machine_error(error, target)
        raise problem or UsageError(f"Cannot write {target}: {error.strerror}.") from error


def _target(to: Path) -> Path:
    target = to.expanduser()
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"Cannot write {target}; give a file in a folder that exists.")
    return target


def render(
    source: Source,
    head: contents.Headline,
    happened: contents.Events,
    targets: Mapping[str, float],
    reached: GoalSuccess | None = None,
) -> str:
    """The HTML of a period's numbers, of the goals `reached`, and of what happened in it."""
    return render_template(
        "report/page.html",
        **_top(source, head, reached),
        **_over_time(head, happened, targets),
        **_tables(head, happened),
        **_budgets(head, targets),
        scaled=scaled_words(head.rates["defect"]),
        foot=_foot(source),
    )


def _top(source: Source, head: contents.Headline, reached: GoalSuccess | None) -> dict[str, Any]:
    total, table, defect, worst = head.total, head.trend, head.rates["defect"], head.worst
    turns: list[Any] = table["turns"].to_pylist()
    columns: dict[str, list[Any]] = {n: table[f"p_{n}"].to_pylist() for n in FAILURES}
    failed = [sum(columns[n][i] for n in FAILURES) / turns[i] for i in range(len(turns))]
    called = [n - c for n, c in zip(turns, table["n_correct"].to_pylist(), strict=True)]
    share = [s / n for s, n in zip(columns[worst], turns, strict=True)]
    rate = head.rates[worst].value
    estimated = " (model estimate)" if defect.method == MODEL else ""
    per_day = None if head.per_day is None else percent(head.per_day, 0, "+")
    words = [chip.words for chip in source.chosen.chips() if chip.key not in ("since", "until")]
    return {
        "title": f"Faultline, {period_words(head.periods.shown)}",
        "caption": " · ".join(words) or "All turns",
        "lead": head.lead,
        "unchecked": f"{UNCHECKED}. {UNCHECKED_MEANING}" if source.unchecked else "",
        "level": LEVEL_MEANING if source.level_assumed else "",
        "numbers": [
            {
                "label": "Turns",
                "value": count(total.turns),
                "note": _against(head, per_day and f"{per_day} per day"),
                "line": figures.line(turns),
            },
            {
                "label": f"Defect rate{estimated}",
                "value": percent(defect.value),
                "note": _joined(
                    f"{percent(defect.low)} to {percent(defect.high)}",
                    _against(head, _change(head, "defect")),
                ),
                "line": figures.line(failed),
            },
            *([] if reached is None else [_goals(head, reached)]),
            {
                "label": "Worst stage, a guess" if source.unchecked else "Worst stage",
                "value": NAMES[worst],
                "note": _joined(f"{percent(rate)} of turns", _against(head, _change(head, worst))),
                "line": figures.line(share),
            },
            *([] if reached is not None else [_predicted(head, called)]),
        ],
        "how": estimate_words(defect),
        "goals": "" if reached is None else goal_words(reached.rate, reached.goals),
        "misdated": misdated_words(source.misdated) if source.misdated else "",
    }


def _predicted(head: contents.Headline, called: Sequence[int]) -> dict[str, Any]:
    total = head.total
    return {
        "label": "Predicted defects",
        "value": count(total.defects),
        "note": f"{percent(total.defects / total.turns)} of turns",
        "line": figures.line(called),
    }


def _goals(head: contents.Headline, reached: GoalSuccess) -> dict[str, Any]:
    rate = reached.rate
    change = reached.shift and _shift(reached.shift)
    return {
        "label": f"Goal success{' (model estimate)' if rate.method == MODEL else ''}",
        "value": percent(rate.value),
        "note": _joined(
            f"{percent(rate.low)} to {percent(rate.high)}", _against(head, change or None)
        ),
        "line": figures.line(reached.trend),
    }


def _change(head: contents.Headline, name: str) -> str | None:
    if name not in head.shifts:
        return None
    return _shift(head.shifts[name])


def _shift(shift: Shift) -> str:
    return points(shift.value) + ("" if shift.clear else f" ({shift_words(shift)})")


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _against(head: contents.Headline, change: str | None) -> str:
    if not head.periods.whole:
        # The lead and the period comparison name the days that are compared.
        return ""
    if change is None:
        return "no period to compare with"
    return f"{change} {against_words(head.periods)}"


def _over_time(
    head: contents.Headline, happened: contents.Events, targets: Mapping[str, float]
) -> dict[str, Any]:
    changes = [head.scaled_change(change) for change in happened.changes[:CHANGES]]
    target = target_level(targets, head.rates)
    return {
        "by": head.by,
        "legend": [(NAMES[name], COLOURS[name]) for name in FAILURES],
        "charts": [
            figures.trend(head.trend, head.by, happened.releases, changes, target, width)
            for width in (figures.WIDTH, figures.NARROW)
        ],
        "over": over_words(targets) if target is not None else "",
        "alt": trend_words(head.trend, head.by, happened.releases, changes, target=target),
        "changes": [
            {"words": change_words(change), "extra": extra_words(change.extra_turns)}
            for change in changes
        ],
    }


def _tables(head: contents.Headline, happened: contents.Events) -> dict[str, Any]:
    domains = head.scaled(happened.domains)
    rates = stage_heatmap.rates(domains)
    highest = stage_heatmap.highest(rates)
    turns: list[Any] = domains["turns"].to_pylist()
    cells = None if happened.moved is None else head.scaled_rates(happened.moved.slice(0, ROWS))
    moved = [] if cells is None else cells.to_pylist()
    return {
        "stages": [
            {
                "name": NAMES[name],
                "colour": COLOURS[name],
                "share": percent(head.rates[name].value),
                "interval": f"{percent(head.rates[name].low)} to {percent(head.rates[name].high)}",
                "change": (_change(head, name) if head.periods.whole else None) or "–",
                "predicted": count(head.total.counts[name]),
            }
            for name in FAILURES
        ],
        "moved_caption": _moved_caption(head, happened),
        "moved": [
            {
                "where": cell_words(row),
                "before": percent(row["before"]),
                "after": percent(row["after"]),
                "span": span_words(row),
                "extra": extra_count(row["extra_turns"]),
                "q": q_words(row["q_value"]),
                "sure": row["significance"],
            }
            for row in moved
        ],
        "domains": [
            {
                "name": name,
                "turns": count(n),
                "cells": [
                    (
                        "–" if rate is None else percent(rate),
                        stage_heatmap.shade(failure, rate, highest),
                        stage_heatmap.ink_on(failure, rate, highest, dark=False),
                        stage_heatmap.ink_on(failure, rate, highest, dark=True),
                    )
                    for failure, rate in zip(FAILURES, row, strict=True)
                ],
            }
            for name, n, row in zip(stage_heatmap.labels(domains), turns, rates, strict=True)
        ],
        "few": stage_heatmap.FEW,
    }


def _moved_caption(head: contents.Headline, happened: contents.Events) -> str:
    previous = head.periods.previous
    if happened.moved is None or previous is None:
        return no_comparison_words(head.periods)
    caption = (
        f"{comparison_words(head.periods)}; {count(happened.compared)} cells of stage and "
        "dimension compared, false discovery rate controlled (Benjamini–Hochberg). "
        f"{scaled_words(head.rates['defect'])}"
    )
    if happened.moved.num_rows:
        return caption
    return f"{caption} None moved further than chance explains."


def _budgets(head: contents.Headline, targets: Mapping[str, float]) -> dict[str, Any]:
    return {
        "budget_caption": f"{period_words(head.periods.shown)}. {BURN_RATE}",
        "budgets": [
            {
                "name": NAMES[budget.failure_point],
                "status": budget_status(budget),
                "target": percent(budget.target),
                "share": percent(budget.spent / budget.turns) if budget.turns else "–",
                "spent": count_of(budget.spent, budget.allowed),
                "burn_rate": burn_words(budget),
                "words": budget_words(budget),
            }
            for budget in head.budgets(targets)
        ],
    }


def _foot(source: Source) -> str:
    parts = [f"Data version {source.version}", f"model {source.model}"]
    if source.arrived:
        parts.append(f"last logs {minute(source.arrived, UTC)}")
    parts.append(f"made {minute(datetime.now(UTC), UTC)}")
    return " · ".join(parts)
