"""Sentences about estimates, changes, releases, periods, moved cells and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import isinf
from typing import Any

from analysis.change_points import Change
from analysis.error_budget import Budget
from analysis.period_comparison import Period
from analysis.periods import Periods, Shift
from analysis.rates import ANNOTATED, MINIMUM, Estimate
from charts.formatting import (
    THIN,
    count,
    percent,
    points,
    short,
)
from data.queries.releases import Release
from data.schema.trace import FAILURES
from data.schema.vocabulary import NAMES, STAGE_TITLES, release_title, stage_of
from data.store.misdated import words

_DIMENSIONS = {"device_type": "device"}
_SAME = "unchanged"


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
        return f"{STAGE_TITLES[dimension.removeprefix('version_')]} version"
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
    """A version with its stage, see `release_title`."""
    return release_title(stage, short(version, 30))


def release_words(release: Release) -> str:
    """The name of a release, see `version_words`."""
    return version_words(release.stage, release.version)


def day_name(titles: Sequence[str]) -> str:
    """The releases of a day as a label of at most some twenty letters."""
    if len(titles) > 2:
        return f"{len(titles)} releases"
    return ", ".join(short(title, 18 // len(titles)) for title in titles)


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


def q_words(q: float) -> str:
    """An adjusted p-value: `0.012`, `< 0.001`."""
    return f"<{THIN}0.001" if q < 0.001 else f"{q:.3f}"


def extra_count(extra: float) -> str:
    """Failed turns beyond those expected, with sign: `+1 204`, `−12` as `-12`, `0`."""
    return f"{round(extra):+,}".replace(",", THIN) if round(extra) else "0"


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


def goal_words(success: Estimate, goals: int) -> str:
    """How the goal success rate was computed, as sentences; `goals` are all that were found."""
    about = (
        "The share of goals that users reached: a goal is one or more turns of a dialogue that "
        "serve the same end, and counts on the day of its first turn. "
    )
    missing = goals - success.turns
    if success.method == ANNOTATED:
        about += (
            f"From {count(success.labelled)} goals that annotators judged and the label model’s "
            f"probabilities of all {count(success.turns)} (prediction-powered inference), with a "
            f"95{THIN}% interval over dialogues."
        )
    else:
        about += (
            "The mean of the label model’s probabilities; fewer than 100 of these dialogues have "
            f"goals that annotators judged, so nothing checks it here, and the 95{THIN}% interval "
            "does not say how far it can be trusted."
        )
    if missing > 0:
        about += f" Of {count(missing)} goals the model cannot say."
    return about


def scaled_words(defect: Estimate) -> str:
    """How days, domains and budgets are estimated, as a sentence."""
    if defect.method == ANNOTATED:
        return "Model estimates, scaled so that they add up to the rates above."
    return (
        f"Model estimates, not scaled: fewer than {MINIMUM} annotated dialogues are within these "
        "filters."
    )


def against_words(compared: Periods) -> str:
    """What a period is compared with, to end a sentence: `on the period before`."""
    if compared.against.release and compared.released:
        release = version_words(*compared.against.release)
        return f"since {release} on {day_words(compared.released)}"
    if compared.previous is None or compared.against.mode == "previous":
        return "on the period before"
    if compared.against.mode == "weekdays":
        return f"on the same weekdays before ({period_words(compared.previous)})"
    return f"on {period_words(compared.previous)}"


# Where the rate shown is corrected by annotations, and its change cannot be.
UNLIKE = (
    "The changes are the model's own estimates: only one of the two periods has enough annotated "
    "dialogues."
)


def comparison_words(compared: Periods) -> str:
    """The two compared periods: `3 May to 30 May 2026 against 5 April to 2 May 2026`."""
    assert compared.previous is not None
    return f"{period_words(compared.recent)} against {period_words(compared.previous)}"


def no_comparison_words(compared: Periods) -> str:
    """Why nothing is compared, and what to do."""
    shown, days = compared.shown, compared.against.days
    if compared.against.mode == "release":
        if compared.released and compared.released > shown.until:
            release = version_words(*compared.against.release) if compared.against.release else ""
            return (
                f"{release} was first seen on {day_words(compared.released, True)}, after the days "
                "shown; choose a later end."
            )
        return "No day before this release was scored; choose another one."
    if days:
        overlap = days.since <= shown.until and days.until >= shown.since
        return (
            f"{period_words(days)} overlaps the days shown, {period_words(shown)}; choose days "
            "outside them, or set From and To."
            if overlap
            else f"No day of {period_words(days)} was scored; choose other days."
        )
    return (
        "There is nothing to compare with: the scored days do not include an equally long "
        "period before this one. Choose a shorter one."
    )


def lead_words(
    compared: Periods,
    defect: Estimate,
    recent: Estimate | None,
    shift: Shift | None,
    worst: str,
    rate: float,
) -> str:
    """The leading sentence of the Overview: the defect rate, its change, and the worst stage.

    A change of other days than those shown is a sentence of its own, with its own rate `recent`.
    """
    text = (
        f"{_during(compared.shown)}, {percent(defect.value)} of turns failed "
        f"({100 * defect.low:.1f} to {percent(defect.high)})"
    )
    largest = f"the largest part in {worst} ({percent(rate)} of turns)."
    if shift is None or recent is None:
        return f"{text}; {largest}"
    direction = _direction(shift)
    change = f"{direction} {against_words(compared)}"
    change += "" if shift.clear or direction == _SAME else ", which may be chance"
    if compared.whole:
        return f"{text}, {change}; {largest}"
    return f"{text}; {largest} {_during(compared.recent)} it was {percent(recent.value)}, {change}."


def _during(period: Period) -> str:
    single = period.since == period.until
    return f"On {period_words(period)}" if single else f"From {period_words(period)}"


def _direction(shift: Shift) -> str:
    size = points(abs(shift.value)).lstrip("+")
    if size.startswith("0.0"):
        return _SAME
    return f"{'up' if shift.value > 0 else 'down'} {size}"


BURN_RATE = (
    "Burn rate: how many times faster than evenly over the period the budget was used in the last "
    "seven days."
)
# Status of a budget -> its symbol; the words beside it say the same.
_SYMBOLS = {"within": "\u2713", "risk": "\u25b2", "spent": "\u2715", "none": "\u2013"}


def budget_status(budget: Budget) -> str:
    """`within`, at `risk` (kept so far, but spent faster than evenly), `spent`, or `none`."""
    if budget.burn_rate is None:
        return "none"
    if budget.left < 0:
        return "spent"
    return "risk" if budget.burn_rate > 1 else "within"


def budget_words(budget: Budget) -> str:
    """The state of a budget at the end of its period, after a symbol that says it too."""
    status = budget_status(budget)
    if status == "none":
        return f"{_SYMBOLS[status]} no turns yet"
    words = {
        "within": "within budget",
        "risk": "within budget, burning too fast",
        "spent": f"used up on {day_words(budget.used_up)}" if budget.used_up else "used up",
    }[status]
    return f"{_SYMBOLS[status]} {percent(spent_share(budget), 0)} spent, {words}"


def over_words(targets: Mapping[str, float]) -> str:
    """What the target line of the trend stands for."""
    named = [f"{NAMES[name]} {percent(targets[name])}" for name in FAILURES if name in targets]
    rest = "" if len(named) == len(FAILURES) else " and the other stages as they are"
    return f"The dashed line is the height of the bars at the targets: {', '.join(named)}{rest}."


def burn_words(budget: Budget) -> str:
    """The burn rate: `1.9×`, `∞` where nothing is allowed."""
    if budget.burn_rate is None:
        return "–"
    return "\u221e" if isinf(budget.burn_rate) else f"{budget.burn_rate:.1f}×"


def count_of(part: float, whole: float) -> str:
    """`1 204 of 1 500`."""
    return f"{count(part)} of {count(whole)}"


def spent_share(budget: Budget) -> float:
    """The share of a budget that is spent; 0 if nothing is allowed."""
    return budget.spent / budget.allowed if budget.allowed else 0.0


def changes_words(changes: Sequence[Change]) -> str:
    """The changes as one text, for readers who cannot see the chart."""
    return " ".join(f"{change_words(change)}." for change in changes)
