"""Arrow schemas of the derived tables; `data.schema.trace.TURNS` is the schema of `turns`."""

from __future__ import annotations

import pyarrow as pa

from data.schema.trace import (
    FAILURE_POINTS,
    STAGES,
    schema,
)

EVIDENCE = (*STAGES, "dialogue", "text")

_STR = pa.string()
_DIMENSIONS = [
    ("assistant", _STR),
    ("locale", _STR),
    ("device_type", _STR),
    ("domain", _STR),
    ("intent", _STR),
    *[(f"version_{stage}", _STR) for stage in STAGES],
]
DIMENSIONS = tuple(name for name, _ in _DIMENSIONS)

# Further columns that filters and pivots use. They have too many values for the daily sums.
_FACETS = [
    # The recogniser's first hypothesis, its number of words, and its confidence.
    ("heard", _STR),
    ("words", pa.int16()),
    ("asr_confidence", pa.float32()),
    # Names of the slots in the first frame, each once, sorted.
    ("slots", pa.list_(_STR)),
    ("action", _STR),
    ("status", _STR),
]
FACETS = tuple(name for name, _ in _FACETS)

REASON = pa.struct(
    [
        ("feature", _STR),
        ("stage", _STR),
        # Null when the signal was not logged: its absence is then the reason.
        ("value", pa.float64()),
        # Log-odds (before calibration) towards the predicted class.
        ("contribution", pa.float64()),
    ]
)

PREDICTIONS = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("turn_index", pa.int32()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        *_DIMENSIONS,
        *_FACETS,
        ("model_id", _STR),
        ("failure_point", _STR),
        *[(f"p_{name}", pa.float32()) for name in FAILURE_POINTS],
        ("p_defect", pa.float32()),
        ("base_value", pa.float32()),
        *[(f"evidence_{name}", pa.float32()) for name in EVIDENCE],
        ("reasons", pa.list_(REASON)),
        # Fingerprint, at scoring time, of the turn and of every turn that its features read.
        ("context_digest", pa.int64()),
        ("day", pa.date32()),
    ]
)

# What estimates, filters and charts read of predictions.
_JUDGED = (
    *("turn_id", "dialogue_id", "started_at", *DIMENSIONS, *FACETS, "model_id", "failure_point"),
    *(f"p_{name}" for name in (*FAILURE_POINTS, "defect")),
    "day",
)
# Predictions of turns with gold in the logs, the rows of `labelled`: looking them up among all
# predictions takes a second for ten million turns.
JUDGED = pa.schema([PREDICTIONS.field(name) for name in _JUDGED])

ROLLUP = schema(
    [
        ("day", pa.date32()),
        ("model_id", _STR),
        *_DIMENSIONS,
        ("failure_point", _STR),
        ("turns", pa.int64()),
        *[(f"sum_p_{name}", pa.float64()) for name in FAILURE_POINTS],
        # Sums of squares, from which the variance of the probabilities follows.
        *[(f"sum_pp_{name}", pa.float64()) for name in (*FAILURE_POINTS, "defect")],
    ]
)

QUARANTINE = schema(
    [
        ("run_id", _STR),
        ("file", _STR),
        ("line", pa.int64()),
        ("field", _STR),
        ("reason", _STR),
        # The first 2,000 characters of the line, so that it can be found and fixed.
        ("excerpt", _STR),
        ("quarantined_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Turns whose date cannot be right, see `data.store.misdated`.
MISDATED = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("day", pa.date32()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("arrived_at", pa.timestamp("us", tz="UTC")),
    ]
)

RUNS = schema(
    [
        ("run_id", _STR),
        ("file", _STR),
        ("format", _STR),
        ("turns", pa.int64()),
        ("replaced", pa.int64()),
        ("quarantined", pa.int64()),
        # Unknown field -> number of records that had it, as JSON.
        ("unknown_fields", _STR),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("finished_at", pa.timestamp("us", tz="UTC")),
        # Lines whose turn id is another turn's, see `data.ingest.versions`.
        ("conflicts", pa.int64()),
        # Interim results that arrived after the final one, and did not replace it.
        ("interim", pa.int64()),
        # Turns whose date cannot be right.
        ("misdated", pa.int64()),
        # Whose turns they are, for logs of other systems.
        ("assistants", pa.list_(_STR)),
    ]
)
# Files of earlier versions end before them.
RUNS_ADDED = ("conflicts", "interim", "misdated", "assistants")

# Values that ingestion left out of valid turns, counted per file and field.
LEFT_OUT = schema(
    [
        ("run_id", _STR),
        ("file", _STR),
        ("field", _STR),
        # "not a number" (NaN or infinite), "out of range" (`data.schema.bounds`).
        ("cause", _STR),
        ("values", pa.int64()),
    ]
)

_SLOTS = pa.list_(pa.struct([("name", _STR), ("value", _STR)]))

# Verdicts of annotators in the dashboard, one row each; `data.queries.annotations` settles
# disagreements.
ANNOTATIONS = schema(
    [
        ("annotation_id", _STR),
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("day", pa.date32()),
        ("annotator", _STR),
        ("failure_point", _STR),
        ("transcript", _STR),
        ("intent", _STR),
        ("slots", _SLOTS),
        ("note", _STR),
        # True for the adjudicator's verdict, which decides where annotators disagree.
        ("adjudicated", pa.bool_()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        # Whether a goal begins at this turn, and whether its goal was reached.
        ("goal_start", pa.bool_()),
        ("goal_reached", pa.bool_()),
    ]
)
# Files of earlier versions end before them.
ANNOTATIONS_ADDED = ("goal_start", "goal_reached")

# Verdicts of outside judges, such as a language model or a vendor; at most one per judge and turn.
# They are annotations of "judge:NAME" in a table of their own: what reads `annotations` as truth
# cannot meet them.
JUDGE_VERDICTS = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("day", pa.date32()),
        # "judge:NAME", see `data.store.judges`.
        ("annotator", _STR),
        # Null where the judge gave no verdict.
        ("failure_point", _STR),
        # "verdict", "refused" (no failure point) or "unreadable" (none that can be used).
        ("answer", _STR),
        # Null where it gave no probabilities.
        *[(f"p_{name}", pa.float32()) for name in FAILURE_POINTS],
        # The judge's own probability that its verdict is right.
        ("confidence", pa.float32()),
        ("reason", _STR),
        # What the answer cost, and in which currency.
        ("cost", pa.float64()),
        ("currency", _STR),
        # Fingerprint of the turn when the verdict was imported.
        ("digest", pa.int64()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Failure points that follow from the gold in the logs; derived from `turns` by
# `labels.rules.derived`.
LABELLED = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("day", pa.date32()),
        # Null where the turn has gold, but not enough to decide.
        ("failure_point", _STR),
        # "annotated" or "derived", see `labels.rules.failure_point.labels`.
        ("source", _STR),
        # Fingerprint of the turn and its gold at the time the label was derived.
        ("gold_digest", pa.int64()),
    ]
)

# Saved views of the Explore page: a name for a set of URL parameters.
VIEWS = schema(
    [
        ("name", _STR),
        ("page", _STR),
        # URL parameters, as in the address.
        ("query", _STR),
        ("note", _STR),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Decisions about slices, made on the Triage page; one row per slice.
TRIAGE = schema(
    [
        ("slice", _STR),
        ("failure_point", _STR),
        ("owner", _STR),
        ("state", _STR),
        # The release that contains the fix, where the state is "fixed".
        ("version", _STR),
        ("note", _STR),
        ("link", _STR),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)

# What an issue tracker said of tickets, when it was last asked; one row per ticket. Which slices a
# ticket is about is in `TRIAGE.link`.
TICKETS = schema(
    [
        # Its address, for people.
        ("url", _STR),
        # "github" or "jira".
        ("tracker", _STR),
        # #12, VA-12.
        ("key", _STR),
        # "open", "closed" or "missing", and the tracker's own word for it.
        ("state", _STR),
        ("status", _STR),
        # Null for one that is not closed.
        ("closed_at", pa.timestamp("us", tz="UTC")),
        ("checked_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Rules of alerts, and what came of each when it was last evaluated (`alerts.rule`).
ALERTS = schema(
    [
        ("alert_id", _STR),
        ("name", _STR),
        # "rate", "unusual", "change", "budget", "late" or "signal".
        ("kind", _STR),
        # Null for any failure.
        ("failure_point", _STR),
        # The filter as URL parameters, without days.
        ("query", _STR),
        ("bound", pa.float64()),
        ("days", pa.int32()),
        ("muted", pa.bool_()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        # "new", "ok", "firing" or "no data".
        ("state", _STR),
        ("sentence", _STR),
        # Of the last evaluation; null where the kind has no such figure.
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("since", pa.date32()),
        ("until", pa.date32()),
        ("fired_at", pa.timestamp("us", tz="UTC")),
        ("resolved_at", pa.timestamp("us", tz="UTC")),
        # Channels that have not been told of the state yet, and since when.
        ("pending", pa.list_(_STR)),
        ("pending_at", pa.timestamp("us", tz="UTC")),
        ("notified_at", pa.timestamp("us", tz="UTC")),
        ("acknowledged_by", _STR),
        ("acknowledged_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Settings made in the dashboard, for all its users; one row per name.
SETTINGS = schema(
    [
        ("name", _STR),
        # JSON.
        ("value", _STR),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Error budgets: the share of turns that each failure point may cost.
TARGETS = schema(
    [
        ("failure_point", _STR),
        ("target", pa.float64()),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)

# Rewrites mined from sessions, with their provenance and what was decided about them
# (`rewrites.outcomes`); one row per request, rewrite and user.
REWRITES = schema(
    [
        ("rewrite_id", _STR),
        ("assistant", _STR),
        # As it is heard: lower case, single spaces.
        ("request", _STR),
        ("rewrite", _STR),
        # Null on general rows.
        ("user_id", _STR),
        # "chain", "chain, personal".
        ("method", _STR),
        # What NLU made of both: domain|intent|slot=value….
        ("request_state", _STR),
        ("rewrite_state", _STR),
        # Users and sessions in which the request was said again.
        ("users", pa.int64()),
        ("sessions", pa.int64()),
        # Turns with the request, and how many of them probably failed.
        ("turns", pa.int64()),
        ("failing", pa.float64()),
        # Predicted success of the request as it is, and of its rewrite.
        ("p_before", pa.float64()),
        ("p_after", pa.float64()),
        # Share of turns that fail and, as far as they are said again, end in this outcome.
        ("score", pa.float64()),
        # What failed on the scored ones of its turns, mostly; null where none is scored.
        ("failure_point", _STR),
        # Turns with the request that were said again, at most `rewrites.candidates.EXAMPLES`.
        ("examples", pa.list_(_STR)),
        # The chain around the request, as JSON, see `rewrites.candidates`.
        ("chain", _STR),
        # "proposed", "approved", "live", "retired" or "rejected".
        ("state", _STR),
        ("reason", _STR),
        ("decided_by", _STR),
        ("decided_at", pa.timestamp("us", tz="UTC")),
        ("mined_at", pa.timestamp("us", tz="UTC")),
    ]
)

# What became of rewrites on later sessions, one row per rewrite, day and source; rows of several
# days add up.
REWRITE_OUTCOMES = schema(
    [
        ("rewrite_id", _STR),
        ("day", pa.date32()),
        # "replay": what it would have done; "use": what it did.
        ("source", _STR),
        ("turns", pa.int64()),
        ("wins", pa.int64()),
        ("losses", pa.int64()),
        ("no_help", pa.int64()),
        # Of turns in use, with the rewrite and without it: their number, and expected successes.
        ("turns_with", pa.int64()),
        ("good_with", pa.float64()),
        ("turns_without", pa.int64()),
        ("good_without", pa.float64()),
    ]
)

# What users' behaviour says about turns (`labels.feedback`), one row per turn with a signal.
FEEDBACK = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("day", pa.date32()),
        # The signals that were seen, implicit and explicit, see `labels.feedback.signals`.
        ("signals", pa.list_(_STR)),
        # "yes" or "no" to "did I answer your question?"; stars.
        ("explicit", _STR),
        ("rating", pa.float32()),
        # Whether the assistant asked, and how likely it was to ask before it was known whether it
        # would leave the user alone (0 where it did); null where not logged.
        ("asked", pa.bool_()),
        ("propensity", pa.float32()),
        # The verdict of the waterfall, and the signal that decided it; null where none did.
        ("defect", pa.bool_()),
        ("decided_by", _STR),
        # Of a defect, by the label model over all signals.
        ("p_defect", pa.float32()),
    ]
)

# Goals found in dialogues by a label model (`labels.generated`): consecutive turns that serve one.
GOALS = schema(
    [
        ("dialogue_id", _STR),
        # g0, g1, … in the order of the dialogue.
        ("goal_id", _STR),
        # Of its first turn.
        ("day", pa.date32()),
        ("assistant", _STR),
        ("user_id", _STR),
        ("first_turn", _STR),
        ("last_turn", _STR),
        ("turns", pa.int32()),
        # Null where the model cannot say.
        ("p_reached", pa.float32()),
        ("reached", pa.bool_()),
        ("model_id", _STR),
    ]
)

# From here on a generated label is likelier right than wrong, and a yes likelier than a no:
# probabilities are calibrated.
EVEN = 0.5

# Labels that a label model gave to turns, with what they rest on.
GENERATED_LABELS = schema(
    [
        ("turn_id", _STR),
        ("dialogue_id", _STR),
        ("turn_index", pa.int32()),
        ("day", pa.date32()),
        ("model_id", _STR),
        ("goal_id", _STR),
        # Probabilities: a goal begins here; its goal was reached; the response was a defect.
        ("goal_start", pa.float32()),
        ("goal_reached", pa.float32()),
        ("turn_defect", pa.float32()),
        # What was meant, each with the probability that it is right.
        ("transcript", _STR),
        ("p_transcript", pa.float32()),
        ("intent", _STR),
        ("p_intent", pa.float32()),
        ("slots", _SLOTS),
        # Characters of the request where each of `slots` stands, null for one that does not.
        ("spans", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
        ("p_slots", pa.float32()),
        ("failure_point", _STR),
        ("p_failure_point", pa.float32()),
        # Of the whole row: the least of its probabilities.
        ("confidence", pa.float32()),
        # The evidence used beside the turn itself, as "feedback" or "next request".
        ("signals", pa.list_(_STR)),
        # Fingerprint of the turn when it was labelled.
        ("digest", pa.int64()),
    ]
)
GENERATED_LABELS_ADDED = ("spans",)

# What users taught the assistant (`labels.teaching`); one row per user, scope, kind and name.
PREFERENCES = schema(
    [
        ("preference_id", _STR),
        ("user_id", _STR),
        # Null: for every assistant of the store.
        ("assistant", _STR),
        # "user", or a device type that it is limited to.
        ("scope", _STR),
        # "preference" (a value to prefer) or "concept" (a phrase and what it means).
        ("kind", _STR),
        # The slot or topic of a preference; the phrase of a concept.
        ("name", _STR),
        # The preferred value; for a concept what to do, in the words that the user gave.
        ("value", _STR),
        # How the user said it, and the turns of the dialogue that it was taught in.
        ("said", _STR),
        ("turn_ids", pa.list_(_STR)),
        ("created_at", pa.timestamp("us", tz="UTC")),
        # Null: it does not expire.
        ("expires_at", pa.timestamp("us", tz="UTC")),
        ("used", pa.int64()),
        ("last_used_at", pa.timestamp("us", tz="UTC")),
    ]
)

# When something taught was last edited or forgotten, without what it was: what logs taught before
# is then settled. The id is that of `PREFERENCES`; a row that was forgotten is here alone.
PREFERENCE_CHANGES = schema(
    [
        ("preference_id", _STR),
        ("user_id", _STR),
        ("changed_at", pa.timestamp("us", tz="UTC")),
        ("forgotten", pa.bool_()),
    ]
)

# Who may sign in, and what they may do and see (`data.schema.access`); one row per address.
USERS = schema(
    [
        # As `data.store.people.address_of` writes it.
        ("address", _STR),
        ("role", _STR),
        # Empty: of all.
        ("assistants", pa.list_(_STR)),
        ("locales", pa.list_(_STR)),
        ("since", pa.timestamp("us", tz="UTC")),
        # The admin's address, or "command line".
        ("given_by", _STR),
    ]
)

# What people did that an admin may want to know; rows are only ever added.
AUDIT = schema(
    [
        ("happened_at", pa.timestamp("us", tz="UTC")),
        ("who", _STR),
        # Of `data.store.people.EVENTS`.
        ("what", _STR),
        # The page, the file, the address.
        ("object", _STR),
        ("details", _STR),
    ]
)
