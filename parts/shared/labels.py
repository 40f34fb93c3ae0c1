"""What pages show of generated labels and goals: whether any are there, and a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charts.formatting import percent
from charts.palette import COLOURS, NEUTRAL
from data.schema.tables import EVEN
from parts.shared.view import View

TEMPLATE = "parts/shared/labels.html"
Row = Mapping[str, Any]


def any_labels(view: View) -> bool:
    """Whether the store has generated labels at all."""
    return bool(view.snapshot.counts()["generated_labels"])


def verdict_of(p_reached: float | None, reached: bool | None = None) -> dict[str, str]:
    """Whether a goal was reached, as the templates draw it: `mark`, `words`, `p` and `colour`."""
    if p_reached is None:
        return {"mark": "?", "words": "cannot say", "p": "", "colour": NEUTRAL}
    yes = {"mark": "✓", "words": "reached", "colour": COLOURS["correct"]}
    no = {"mark": "✗", "words": "not reached", "colour": COLOURS["result"]}
    # The model's threshold between the two need not be even.
    if reached if reached is not None else p_reached >= EVEN:
        return {**yes, "p": f"{percent(p_reached, 0)} likely"}
    return {**no, "p": f"only {percent(p_reached, 0)} likely to be"}


def slots_words(slots: Any) -> str:
    """Slots with their values: `artist = rani kumar, room = kitchen`."""
    return ", ".join(
        f"{slot['name']} = {slot['value']}" if slot["value"] is not None else str(slot["name"])
        for slot in slots or ()
    )


def label_parts(label: Row) -> list[dict[str, str]]:
    """The parts of a generated label as the templates draw them: name, value, probability."""

    def yes_no(name: str, column: str, yes: str, no: str) -> None:
        p = label[column]
        if p is not None:
            parts.append(_part(name, yes if p >= EVEN else no, max(p, 1 - p)))

    parts: list[dict[str, str]] = []
    yes_no("Goal begins", "goal_start", "here", "before this turn")
    yes_no("Goal reached", "goal_reached", "yes, in the end", "no")
    yes_no("Response", "turn_defect", "a defect", "no defect")
    if label["failure_point"] in COLOURS:
        parts.append(
            {**_part("Failed first", label["failure_point"], label["p_failure_point"]),
             "kind": "failure"}
        )  # fmt: skip
    if label["transcript"]:
        parts.append(_part("Said", f"“{label['transcript']}”", label["p_transcript"]))
    if label["intent"]:
        parts.append(_part("Meant", label["intent"], label["p_intent"]))
    if label["slots"]:
        parts.append(_part("With", slots_words(label["slots"]), label["p_slots"]))
    return parts


def _part(name: str, value: str, p: float | None) -> dict[str, str]:
    return {"name": name, "value": value, "p": "–" if p is None else percent(p, 0), "kind": "text"}
