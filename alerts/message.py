"""What a channel is told of alerts: a subject, sentences, links and charts; no words of users."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlencode

from alerts.chart import picture
from alerts.evaluation import Figures, daily
from alerts.rule import KINDS, Rule
from charts.formatting import several, short, unlinked

# Of the page Data, for kinds that are not about a view of turns.
_PARTS = {"late": "arrivals", "signal": "signals"}
_FIRING, _RESOLVED = "Firing", "Resolved"


@dataclass(frozen=True, slots=True)
class Told:
    """One alert in a message.

    Attributes
    ----------
    key: of this change of state; the same where it is sent again. alert_id, name, kind: the rule's.
    firing: or resolved. words: the rule. sentence: what was found. link: the view; empty if the
    dashboard's address is not known.
    """

    key: str
    alert_id: str
    name: str
    kind: str
    failure_point: str
    firing: bool
    words: str
    sentence: str
    link: str

    @property
    def title(self) -> str:
        return f"{_FIRING if self.firing else _RESOLVED}: {self.name}"


@dataclass(frozen=True, slots=True)
class Message:
    """Something to send.

    Attributes
    ----------
    subject: on one line. text: for people who read plain text. key: the same where the same is
    sent again. files: name, type and content of attachments.
    """

    subject: str
    text: str
    key: str
    files: Sequence[tuple[str, str, bytes]] = field(default=(), repr=False)


def told(row: Mapping[str, Any], link: str) -> Told:
    """A row of the table `alerts` as it is told."""
    rule = Rule.of_row(row)
    state = f"{row['alert_id']} {row['state']} {row['pending_at'] or row['fired_at']}"
    return Told(
        hashlib.sha256(state.encode()).hexdigest()[:32],
        row["alert_id"],
        rule.name,
        rule.kind,
        rule.point,
        row["state"] == "firing",
        rule.words(),
        row["sentence"] or "",
        link,
    )


def address(base: str, figures: Figures, row: Mapping[str, Any]) -> str:
    """The address of the view of a rule: the version, model and days that were looked at."""
    if not base:
        return ""
    if not KINDS[row["kind"]].of_turns:
        at = {"at": figures.snapshot.version, "part": _PARTS[row["kind"]]}
        return f"{base}/data?{urlencode(at)}"
    pins = {"at": [figures.snapshot.version]}
    if figures.model:
        pins["model"] = [figures.model]
    dates = {name: [row[name].isoformat()] for name in ("since", "until") if row[name]}
    parameters = {**pins, **parse_qs(row["query"], keep_blank_values=True), **dates}
    return f"{base}/?{urlencode(parameters, doseq=True)}"


def message(alerts: Sequence[Told], files: Sequence[tuple[str, str, bytes]] = ()) -> Message:
    """One message about one alert or several."""
    firing = sum(one.firing for one in alerts)
    # Names and values may come from logs: no address in them becomes a link, nobody is mentioned.
    subject = alerts[0].title
    if len(alerts) > 1:
        subject = f"{several(firing, 'alert')} firing, {len(alerts) - firing} resolved"
    paragraphs = [
        "\n".join(
            filter(
                None, [*map(unlinked, [one.title, one.sentence, f"Rule: {one.words}"]), one.link]
            )
        )
        for one in alerts
    ]
    key = hashlib.sha256(" ".join(sorted(one.key for one in alerts)).encode()).hexdigest()[:32]
    return Message(f"Faultline: {short(subject, 150)}", "\n\n".join(paragraphs) + "\n", key, files)


def chart(figures: Figures, row: Mapping[str, Any]) -> bytes | None:
    """The daily rates that a rule watches, as a PNG; None where it watches no rate."""
    rule = Rule.of_row(row)
    until: date | None = row["until"]
    if not KINDS[rule.kind].of_turns or until is None:
        return None
    days = daily(figures, rule, until)
    if not days:
        return None
    interval = None
    if row["low"] is not None and row["high"] is not None:
        interval = (row["since"], until, row["low"], row["high"])
    bound = rule.bound if rule.kind == "rate" else None
    return picture(
        days, short(f"{rule.name}: {rule.words()}", 150), rule.failure_point, bound, interval
    )
