"""Who may do and see what: the roles, and what each table shows to which of them.

A role says which pages and actions somebody has (`MAY`), and whether they see single turns at all.
Limits say whose turns: those of some assistants, of some locales, or both. `data.store.limits`
makes SQL views of both, so that every query is limited alike, including those written later.

Nothing here is shown by default: a column that `SHOWN` lacks is null to viewers, and a table that
it lacks is empty for everybody with a limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import unquote

from data.errors import NotPermitted, UsageError
from data.schema.tables import DIMENSIONS, EVIDENCE
from data.schema.trace import FAILURE_POINTS

Role = Literal["viewer", "triager", "analyst", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "triager", "analyst", "admin")

# What each role may do beside what the one before it may.
_ADDED: Mapping[Role, tuple[str, ...]] = {
    # Rates, slices and the quality of models.
    "viewer": ("aggregates",),
    # Single turns, with texts; verdicts; decisions on slices and rewrites, tickets; alerts and
    # error budgets; reports.
    "triager": ("turns", "annotate", "decide", "alert", "report"),
    # The SQL editor; files of rows; saved views and what a store's users share; preferences of
    # users; training, scoring and mining; what arrived.
    "analyst": ("sql", "export", "save", "teach", "run", "arrivals"),
    # Logs and files of the store; roles and the audit.
    "admin": ("maintain", "people"),
}
# What needs all turns: its results cannot be attributed to an assistant or a locale.
_OF_EVERY_TURN = frozenset({"alert", "save", "teach", "run", "arrivals", "maintain", "people"})
ACTIONS = tuple(action for actions in _ADDED.values() for action in actions)
MAY: Mapping[Role, frozenset[str]] = {
    role: frozenset(
        action for earlier in ROLES[: number + 1] for action in _ADDED[earlier]
    )
    for number, role in enumerate(ROLES)
}  # fmt: skip

# What somebody has to be allowed so that a change of the table is theirs to make; of the tables
# that are not named here, "maintain".
WRITES: Mapping[str, str] = {
    "annotations": "annotate",
    "triage": "decide",
    "tickets": "decide",
    "rewrites": "decide",
    "alerts": "alert",
    "targets": "alert",
    "views": "save",
    "settings": "save",
    "preferences": "teach",
    "preference_changes": "teach",
    "users": "people",
    # Rows of a file of annotations that cannot be used.
    "quarantine": "annotate",
}

Rows = Literal[
    "own", "assistant", "turn", "first_turn", "rewrite", "slice", "link", "every", "none"
]


class Shown(NamedTuple):
    """What a table shows to somebody with a limit.

    Attributes
    ----------
    rows: which rows belong to some assistants or locales: by its columns `assistant` and `locale`
        ("own"), by the former alone, so none within locales ("assistant"), by the turn that it
        names, by the rewrite, by the slice's conditions, by the link that a visible slice has;
        all of them, as they say nothing about turns ("every"), or none.
    open: columns that viewers see. ids: those of which they see a pseudonym of this server's start,
        so that rows can be counted and joined. All other columns are null to them.
    closed: whether the table is empty for viewers.
    """

    rows: Rows
    open: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    @property
    def closed(self) -> bool:
        return not self.open


def _shown(rows: Rows, open: str = "", ids: str = "", hidden: str = "") -> Shown:
    return Shown(rows, *(frozenset(names.split()) for names in (open, ids, hidden)))


_DIMENSIONS = " ".join(DIMENSIONS)
_SUMS = " ".join(
    [
        *(f"sum_{power}_{name}" for name in FAILURE_POINTS for power in ("p", "pp")),
        "sum_pp_defect",
    ]
)
_P = " ".join(f"p_{name}" for name in FAILURE_POINTS)

# What the rule of some rows reads besides their table.
_READ: Mapping[Rows, tuple[str, ...]] = {
    "turn": ("turns",),
    "first_turn": ("turns",),
    "slice": ("turns",),
    "link": ("triage", "turns"),
    "rewrite": ("rewrites",),
}

# A new column has to be named here, after deciding whether viewers see it; `hidden` is what they do
# not see. A table without open columns is closed to them.
SHOWN: Mapping[str, Shown] = {
    "turns": _shown(
        "own",
        "turn_index started_at assistant locale versions day",
        "turn_id dialogue_id user_id",
        "device prompt wake asr nlu er result tts feedback gold extra digest",
    ),
    "predictions": _shown(
        "own",
        f"turn_index started_at {_DIMENSIONS} model_id failure_point {_P} p_defect base_value "
        "words asr_confidence slots action status reasons day "
        + " ".join(f"evidence_{name}" for name in EVIDENCE),
        "turn_id dialogue_id",
        "heard context_digest",
    ),
    "judged": _shown(
        "own",
        f"started_at {_DIMENSIONS} model_id failure_point {_P} p_defect words asr_confidence slots "
        "action status day",
        "turn_id dialogue_id",
        "heard",
    ),
    "rollup": _shown("own", f"day model_id {_DIMENSIONS} failure_point turns {_SUMS}"),
    "quarantine": _shown("none", hidden="run_id file line field reason excerpt quarantined_at"),
    "left_out": _shown("none", hidden="run_id file field cause values"),
    "runs": _shown(
        "none",
        "run_id format turns replaced quarantined started_at finished_at conflicts interim "
        "misdated assistants",
        hidden="file unknown_fields",
    ),
    "misdated": _shown("turn", "day started_at arrived_at", "turn_id dialogue_id"),
    "labelled": _shown("turn", "day failure_point source", "turn_id dialogue_id", "gold_digest"),
    "annotations": _shown(
        "turn",
        "day failure_point adjudicated created_at goal_start goal_reached",
        "annotation_id turn_id dialogue_id annotator",
        "transcript intent slots note",
    ),
    "judge_verdicts": _shown(
        "turn",
        f"day annotator failure_point answer confidence cost created_at {_P}",
        "turn_id dialogue_id",
        "reason currency digest",
    ),
    "triage": _shown(
        "slice", "slice failure_point state updated_at", hidden="owner version note link"
    ),
    "tickets": _shown("link", hidden="url tracker key state status closed_at checked_at"),
    # Their figures are of all turns, and their filters may hold words that somebody said.
    "alerts": _shown(
        "none",
        hidden="alert_id name kind failure_point query bound days muted created_at state sentence "
        "value low high since until fired_at resolved_at pending pending_at notified_at "
        "acknowledged_by acknowledged_at",
    ),
    "targets": _shown("every", "failure_point target updated_at"),
    "views": _shown("none", hidden="name page query note created_at"),
    "settings": _shown("every", "name value updated_at"),
    "rewrites": _shown(
        "assistant",
        hidden="rewrite_id assistant request rewrite user_id method request_state rewrite_state "
        "users sessions turns failing p_before p_after score failure_point examples chain state "
        "reason decided_by decided_at mined_at",
    ),
    "rewrite_outcomes": _shown(
        "rewrite",
        hidden="rewrite_id day source turns wins losses no_help turns_with good_with turns_without "
        "good_without",
    ),
    "feedback": _shown(
        "turn",
        "day signals explicit rating asked propensity defect decided_by p_defect",
        "turn_id dialogue_id",
    ),
    "goals": _shown(
        "first_turn",
        "goal_id day assistant turns p_reached reached model_id",
        "dialogue_id user_id first_turn last_turn",
    ),
    "generated_labels": _shown(
        "turn",
        "turn_index day model_id goal_id goal_start goal_reached turn_defect p_transcript p_intent "
        "p_slots failure_point p_failure_point confidence signals",
        "turn_id dialogue_id",
        "transcript intent slots spans digest",
    ),
    "preferences": _shown(
        "none",
        hidden="preference_id user_id assistant scope kind name value said turn_ids created_at "
        "expires_at used last_used_at",
    ),
    "preference_changes": _shown("none", hidden="preference_id user_id changed_at forgotten"),
    # Opened apart from all others, and by admins alone (`data.store.people`).
    "users": _shown("none", hidden="address role assistants locales since given_by"),
    "audit": _shown("none", hidden="happened_at who what object details"),
}
PEOPLE = ("users", "audit")
# Settings that all pages need; what else is there may name turns.
OPEN_SETTINGS = ("second_opinions", "ticket_prefix", "label_model")


@dataclass(frozen=True)
class Access:
    """What somebody may do and see; equal ones see the same.

    Attributes
    ----------
    assistants, locales: only turns of these; empty for all.
    """

    role: Role = "admin"
    assistants: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()

    @property
    def limited(self) -> bool:
        """Whether some turns are not theirs to see."""
        return bool(self.assistants or self.locales)

    @property
    def aggregates_only(self) -> bool:
        return "turns" not in MAY[self.role]

    @property
    def everything(self) -> bool:
        """Whether there is nothing that they may not read."""
        return not (self.limited or self.aggregates_only)

    def may(self, action: str) -> bool:
        """Whether they may do one of `ACTIONS`."""
        return action in MAY[self.role] and not (self.limited and action in _OF_EVERY_TURN)

    def require(self, action: str) -> None:
        """Raise `NotPermitted` unless they may do it."""
        if not self.may(action):
            raise NotPermitted(self.refusal(action))

    def refusal(self, action: str) -> str:
        """Why they may not do it, in one sentence."""
        least = next(role for role in ROLES if action in MAY[role])
        if action in MAY[self.role]:
            return (
                "This reads the turns of every assistant and locale, and you see those of some; "
                f"ask an admin, or somebody whose role {least} has no limits."
            )
        return f"This needs the role {least}, and yours is {self.role}; ask an admin for it."

    def decides(self, slice_key: str) -> bool:
        """Whether a decision on a slice is theirs: not on one with turns that they cannot see."""
        named = [part.partition("=") for part in slice_key.partition(":")[2].split(";")]
        found = {name: unquote(value) for name, _, value in named}
        return self.may("decide") and all(
            not allowed or found.get(name) in allowed
            for name, allowed in (("assistant", self.assistants), ("locale", self.locales))
        )

    def with_sources(self, tables: Sequence[str]) -> tuple[str, ...]:
        """These tables, and those that decide which of their rows somebody with a limit sees."""
        if not self.limited:
            return tuple(tables)
        read = (source for name in tables for source in _READ.get(SHOWN[name].rows, ()))
        return tuple(dict.fromkeys((*tables, *read)))

    def reads(self, table: str) -> bool:
        """Whether anything of a table is theirs to see."""
        if table in PEOPLE:
            return self.may("people")
        shown = SHOWN[table]
        if self.aggregates_only and shown.closed:
            return False
        if not self.limited:
            return True
        return shown.rows != "none" and not (shown.rows == "assistant" and self.locales)


EVERYTHING = Access()


def role_named(text: str) -> Role:
    """The role of this name; raises UsageError for any other text."""
    for role in ROLES:
        if role == text:
            return role
    raise UsageError(f"Unknown role '{text[:60]}'; give one of {', '.join(ROLES)}.")
