"""Sentences about estimates, changes, releases, periods, moved cells and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from analysis.change_points import Change
from analysis.error_budget import Budget
from analysis.period_comparison import Period
from analysis.periods import Shift
from analysis.rates import ANNOTATED, Estimate
from charts.formatting import (
    THIN,
    count,
    percent,
    points,
    short,
)
from data.queries.releases import Release
from data.schema.vocabulary import NAMES, failure_of, stage_of
from data.store.misdated import words

_DIMENSIONS = {"device_type": "device"}


def day_words(day: date, year: bool = False) -> str:
    """`18 March`, or `18 March 2026`."""
    return f"{day.day} {day:%B %Y}" if year else f"{day.day} {day:%B}"


def misdated_words(turns: int) -> str:
    """How many turns have impossible dates, and that figures leave them out."""
    arrival, they = ("its", "it is") if turns == 1 else ("their", "they are")
    return (
        f"{words(turns, count(turns))} (before 2000, or later than {arrival} arrival); {they} not "
        "in these figures."
    )


def period_words(period: Period) -> str:
    """`3 May to 30 May 2026`; one day as itself."""
    if period.since == period.until:
        return day_words(period.until, year=True)
    other = period.since.year != period.until.year
    return f"{day_words(period.since, other)} to {day_words(period.until, True)}"


def dimension_words(dimension: str) -> str:
    """The name of a column that turns are grouped by: `device`, `ASR version`."""
    if dimension.startswith("version_"):
        return f"{NAMES[failure_of(dimension.removeprefix('version_'))]} version"
    return _DIMENSIONS.get(dimension, dimension)


def value_words(dimension: str, value: str | None) -> str:
    """A value as it stands in a sentence: `en-GB`, `domain not logged`, `ASR 4.2`."""
    if value is None:
        return f"{dimension_words(dimension)} not logged"
    if not value.strip():
        return f"{dimension_words(dimension)} empty"
    if dimension.startswith("version_"):
        return version_words(dimension.removeprefix("version_"), value)
    return short(value, 40)


def version_words(stage: str, version: str) -> str:
    """A version with its stage: `asr-4.2` unchanged, `4.2` as `ASR 4.2`."""
    text = short(version, 30)
    return text if stage in text.lower() else f"{NAMES.get(failure_of(stage), stage)} {text}"


def release_words(release: Release) -> str:
    """The name of a release, see `version_words`."""
    return version_words(release.stage, release.version)


def releases_words(releases: Sequence[Release]) -> str:
    """All releases and their days as one sentence."""
    named = ", ".join(
        f"{release_words(release)} on {day_words(release.day)}" for release in releases
    )
    return f"Releases: {named}."


def change_words(change: Change) -> str:
    """`ASR rose from 3.0 to 10.8 % on 18 March, en-GB, with asr-4.2, until 28 March`."""
    verb = "rose" if change.after > change.before else "fell"
    parts = [
        f"{NAMES[change.failure_point]} {verb} from {100 * change.before:.1f} to "
        f"{percent(change.after)} on {day_words(change.start)}",
        *(value_words(name, value) for name, value in change.where),
    ]
    if change.release:
        parts.append(f"with {version_words(stage_of(change.failure_point), change.release)}")
    if change.end and change.end != change.start:
        parts.append(f"until {day_words(change.end)}")
    return ", ".join(parts)


def extra_words(extra: float) -> str:
    """How many more or fewer turns failed: `about 12 turns more than before`."""
    about = count(abs(extra))
    turns = "turn" if about == "1" else "turns"
    return f"about {about} {turns} {'more' if extra > 0 else 'fewer'} than before"


def cell_words(row: Mapping[str, Any]) -> str:
    """The cell of a row of `analysis.period_comparison.SCHEMA`: `ASR · en-GB`."""
    return f"{NAMES[row['failure_point']]} · {value_words(row['dimension'], row['value'])}"


def span_words(row: Mapping[str, Any]) -> str:
    """The interval of a moved cell's change, in percentage points: `+1.2 to +3.4 pts`."""
    return f"{100 * row['low']:+.1f} to {points(row['high'])}"


def shift_words(shift: Shift) -> str:
    """Whether a change of the headline rate is significant: `clear` or `may be chance`."""
    return "clear" if shift.clear else "may be chance"


def estimate_words(estimate: Estimate) -> str:
    """How an estimate was computed, as a sentence."""
    if estimate.method == ANNOTATED:
        return (
            f"From {count(estimate.labelled)} annotated turns and the model’s probabilities of "
            f"all {count(estimate.turns)} (prediction-powered inference); the 95{THIN}% interval "
            "allows for turns of one dialogue being alike, and holds even if the model is wrong."
        )
    return (
        "Model estimate: the mean of each turn’s calibrated probability. Fewer than 100 of these "
        "dialogues were annotated at random (with their logs), or the filter itself is about "
        f"annotation, so nothing checks the model here, and the 95{THIN}% interval does not say "
        "how far it can be trusted."
    )


def lead_words(defect: Estimate, shift: Shift | None, worst: str, rate: float) -> str:
    """The leading sentence of the Overview: the defect rate, its change, and the worst stage."""
    text = (
        f"{percent(defect.value)} of turns failed ({100 * defect.low:.1f} to "
        f"{percent(defect.high)})"
    )
    if shift:
        direction = "up" if shift.value > 0 else "down"
        text += f", {direction} {points(abs(shift.value)).lstrip('+')} on the period before"
        text += "" if shift.clear else ", which may be chance"
    return f"{text}; the largest part in {NAMES[worst]} ({percent(rate)} of turns)."


def budget_words(budget: Budget) -> str:
    """The state of a budget at the end of its period."""
    if budget.burn_rate is None:
        return "no turns yet"
    if budget.left < 0 and budget.used_up:
        return f"used up on {day_words(budget.used_up)}"
    return "kept" if budget.left >= 0 else "used up"


def spent_share(budget: Budget) -> float:
    """The share of a budget that is spent; 0 if nothing is allowed."""
    return budget.spent / budget.allowed if budget.allowed else 0.0


def changes_words(changes: Sequence[Change]) -> str:
    """The changes as one text, for readers who cannot see the chart."""
    return " ".join(f"{change_words(change)}." for change in changes)
