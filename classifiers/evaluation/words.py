"""What an evaluation says of later logs, in sentences for the command line, the card and a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from classifiers.settings import Settings
from classifiers.splits import without_dates
from data.counted import counted, number
from data.schema.vocabulary import FAILURE_WORDS
from data.store.model_folders import GOLD

# Instead of `expected`, where a training has labels of people but no headline.
UNEXPECTED = (
    "What to expect on later logs is not known: the verdicts learned from were chosen, and the "
    "share of defects is assumed."
)
_SPLITS = {"folds": "random folds", "forward": "a forward split"}
# Labels that are not of people, one and many, by `Settings.labels`; a judge's have its name.
_OTHERS = {
    "behaviour": ("derived label", "derived labels"),
    "both": ("generated label", "generated labels"),
}
_MANY = {1: "One dialogue", 2: "Two dialogues", 3: "Three dialogues", 4: "Four dialogues"}


def with_interval(value: float, interval: tuple[float, float] | None) -> str:
    """`0.735 (0.690–0.780)`."""
    return f"{value:.3f} ({interval[0]:.3f}–{interval[1]:.3f})" if interval else f"{value:.3f}"


def expected(headline: Mapping[str, Any], folds: float, forward: Mapping[str, Any]) -> str:
    """What to expect on later logs, and which splits say so. `folds`: macro-F1 in random folds."""
    figure = with_interval(headline["macro_f1"], headline["interval"])
    if "macro_f1" not in forward:
        return (
            f"Expect macro-F1 {figure} on later logs, by random folds alone. There is no forward "
            f"split, because {forward['reason']}: later logs may well be harder."
        )
    other = {"folds": folds, "forward": forward["macro_f1"]}
    higher = next(name for name in other if name != headline["split"])
    # Earlier versions counted none.
    undated = forward.get("undated", 0)
    return (
        f"Expect macro-F1 {figure} on later logs: by {_SPLITS[headline['split']]}, the lower of "
        f"two estimates ({_SPLITS[higher]}: {other[higher]:.3f})."
        + (f" In the forward split: {without_dates(undated)}." if undated else "")
    )


def others_counted(settings: Settings, metrics: Mapping[str, Any]) -> str:
    """How much each label that is not of a person counted in a training; "" where there was none,
    and of models that do not say."""
    count = metrics.get("generated_count")
    if settings.labels == GOLD or count is None:
        return ""
    one, many = _OTHERS.get(settings.labels, _OTHERS["both"])
    if settings.judge:
        one, many = f"verdict of {settings.judge}", f"verdicts of {settings.judge}"
    if not count:
        return f"No {many} were learned from: labels of people are foretold better without them."
    share = "" if count == 1 else f"{100 * count:.2g}% of "
    return (
        f"Each {one} counted as {share}a label of a person, times the probability that it is right."
    )


def period(forward: Mapping[str, Any]) -> str:
    """What a forward split learned from and was tested on."""
    start, cut, end = (_day(forward[name]) for name in ("start", "cut", "end"))
    repeated = (
        f"; {counted(forward['repeated'], 'later turn')} of sentences said before left out"
        if forward["repeated"]
        else ""
    )
    return (
        f"learned from {number(forward['learned'])} labelled turns of {start} to {cut}, tested on "
        f"{counted(forward['turns'], 'later one')} until {end}{repeated}"
    )


def _day(text: str) -> str:
    return f"{datetime.fromisoformat(text):%-d %B %Y}"


def bursts(concentration: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A warning for each failure point of which few dialogues hold much."""
    return [
        f"{_MANY.get(len(row['heaviest']), 'Five dialogues')} (or sentences) hold "
        f"{row['share']:.0%} of the {FAILURE_WORDS[name]} turns "
        f"({', '.join(map(str, row['heaviest']))} of {number(row['turns'])}): figures of "
        f"{FAILURE_WORDS[name]} say most of these few, and later logs without such bursts may be "
        "worse."
        for name, row in concentration.items()
    ]


def shifted(shift: Mapping[str, Any]) -> str:
    """How far features and failure points moved between the two parts of a forward split."""
    shares = ", ".join(
        f"{FAILURE_WORDS[name]} {early:.1%} to {late:.1%}"
        for name, (early, late) in shift["shares"].items()
    )
    sentence = (
        f"{number(shift['noticeable'])} of {counted(shift['features'], 'feature')} moved "
        "noticeably between the two parts (population stability index above 0.1), "
        f"{number(shift['large'] or 'none')} of them far (above 0.25)"
    )
    if shift["top"]:
        farthest = "; ".join(f"{row['sentence']} ({row['psi']:.2f})" for row in shift["top"])
        sentence += f"; the farthest: {farthest}"
    return f"{sentence}. Failure points (index {shift['labels']:.2f}): {shares}."


def ceiling(limits: Mapping[str, Any]) -> list[str]:
    """What any model could reach on these labels and logs at most, and what says so."""
    sentences = [
        f"Accuracy is at most about {limits['accuracy']:.3f}, and macro-F1 "
        f"{limits['macro_f1']:.3f}: the most similar turn of another dialogue (by "
        f"{limits['space']}) has another label for {limits['nearest']:.1%} of the turns (Cover and "
        "Hart's bound, which takes features as they are and assumes many turns).",
        f"Confident learning suspects {limits['suspects']:.1%} of the labels: there either the "
        "label or the model is wrong.",
    ]
    if limits["unseen"] is not None:
        sentences.append(
            f"{limits['unseen']:.1%} of the defects look like correct turns, to the model and by "
            "their most similar turns: no evidence of them seems to be logged."
        )
    reading = limits["reading"]
    if reading["turns"]:
        sentences.append(
            f"The rules read the same gold without replay as the labels do in "
            f"{reading['accuracy']:.1%} of {counted(reading['turns'], 'turn')} (macro-F1 "
            f"{reading['macro_f1']:.3f}): the rest is convention."
        )
    people = limits["people"]
    sentences.append(
        f"Two people agree on {people['accuracy']:.1%} of {counted(people['turns'], 'turn')} that "
        f"both judged (macro-F1 {people['macro_f1']:.3f})."
        if people
        else "How far people agree is not known: too few turns were judged by two."
    )
    return sentences
