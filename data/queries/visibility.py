"""Who may see what of a store: the rules that pages, downloads and users' own SQL share.

There are two rules. Most of a store is for everybody who can open the dashboard. An annotation is
hidden while its turn waits for a second opinion: then only the person who gave it sees it. Every
column has a rule in `RULES`; a table without one is not offered to users' own SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from data.schema.tables import EVIDENCE
from data.schema.trace import FAILURE_POINTS, STAGES
from data.store.annotations import DEFAULT_SHARE, SHARE, complete, wants_second
from data.store.workspace import setting

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


class Rule(NamedTuple):
    """Who sees a table's rows, and the columns (with fields, as `asr.audio_ms`) that it covers.

    `blind`: a row is hidden while its turn waits for a second opinion.
    """

    columns: frozenset[str]
    blind: bool = False


def _columns(*texts: str) -> frozenset[str]:
    """The columns named in texts; `a.{b c}` stands for `a.b a.c`."""
    names: set[str] = set()
    for text in texts:
        head, brace, fields = text.partition(".{")
        names |= {f"{head}.{name}" for name in fields.rstrip("}").split()} if brace else {
            *text.split()
        }  # fmt: skip
    return frozenset(names)


_DIMENSIONS = "assistant locale device_type domain intent " + " ".join(
    f"version_{stage}" for stage in STAGES
)
# What a new column of the store has to be added to, after deciding who may see it. A list's fields
# are named like those of its elements.
RULES: Mapping[str, Rule] = {
    "turns": Rule(
        _columns(
            "turn_id dialogue_id turn_index started_at assistant user_id locale versions extra",
            "digest day",
            "device.{type id has_screen state}",
            "prompt.{text acts.act acts.slots.name acts.slots.value}",
            "wake.{score threshold phrase start_ms latency_ms signals}",
            "asr.{hypotheses.text hypotheses.confidence audio_ms endpoint start_ms latency_ms}",
            "asr.signals",
            "nlu.{hypotheses.domain hypotheses.intent hypotheses.confidence}",
            "nlu.{hypotheses.slots.name hypotheses.slots.value start_ms latency_ms signals}",
            "er.{mentions.slot mentions.text mentions.candidates.id mentions.candidates.name}",
            "er.{mentions.candidates.score start_ms latency_ms signals}",
            "result.{action status response acts.act acts.slots.name acts.slots.value items}",
            "result.{start_ms latency_ms signals}",
            "tts.{start_ms latency_ms}",
            "feedback.{barge_in barge_in_ms explicit terminated rating}",
            # From the logs: nobody is asked to judge a turn that has gold.
            "gold.{addressed transcript domain intent slots.name slots.value entities action}",
            "gold.{result_ok unsupported replay.intent replay.slots.name replay.slots.value}",
            "gold.{failure_point annotator goal_id goal_reached defect corrects correction}",
            "gold.{ratings.annotator ratings.of ratings.value}",
        )
    ),
    "predictions": Rule(
        _columns(
            "turn_id dialogue_id turn_index started_at model_id failure_point p_defect base_value",
            "heard words asr_confidence slots action status context_digest day",
            "reasons.{feature stage value contribution}",
            _DIMENSIONS,
            *(f"p_{name}" for name in FAILURE_POINTS),
            *(f"evidence_{name}" for name in EVIDENCE),
        )
    ),
    "rollup": Rule(
        _columns(
            "day model_id failure_point turns sum_pp_defect",
            _DIMENSIONS,
            *(f"sum_{power}_{name}" for name in FAILURE_POINTS for power in ("p", "pp")),
        )
    ),
    "judged": Rule(
        _columns(
            "turn_id dialogue_id started_at model_id failure_point p_defect day",
            "heard words asr_confidence slots action status",
            _DIMENSIONS,
            *(f"p_{name}" for name in FAILURE_POINTS),
        )
    ),
    # Lines of a file of annotations are kept without their verdicts, see `annotation.files`.
    "quarantine": Rule(_columns("run_id file line field reason excerpt quarantined_at")),
    "left_out": Rule(_columns("run_id file field cause values")),
    "misdated": Rule(_columns("turn_id dialogue_id day started_at arrived_at")),
    "runs": Rule(
        _columns(
            "run_id file format turns replaced quarantined unknown_fields started_at finished_at "
            "conflicts interim misdated assistants"
        )
    ),
    # Derived from gold in the logs.
    "labelled": Rule(_columns("turn_id dialogue_id day failure_point source gold_digest")),
    "annotations": Rule(
        _columns(
            "annotation_id turn_id dialogue_id day annotator failure_point transcript intent",
            "slots.{name value}",
            "note adjudicated created_at goal_start goal_reached",
        ),
        blind=True,
    ),
    # No person's, so that no second opinion could be swayed by a colleague's.
    "judge_verdicts": Rule(
        _columns(
            "turn_id dialogue_id day annotator failure_point answer confidence reason cost",
            "currency digest created_at",
            *(f"p_{name}" for name in FAILURE_POINTS),
        )
    ),
    "triage": Rule(_columns("slice failure_point owner state version note link updated_at")),
    "tickets": Rule(_columns("url tracker key state status closed_at checked_at")),
    "alerts": Rule(
        _columns(
            "alert_id name kind failure_point query bound days muted created_at state sentence",
            "value low high since until fired_at resolved_at pending pending_at notified_at",
            "acknowledged_by acknowledged_at",
        )
    ),
    "targets": Rule(_columns("failure_point target updated_at")),
    "views": Rule(_columns("name page query note created_at")),
    "settings": Rule(_columns("name value updated_at")),
    "rewrites": Rule(
        _columns(
            "rewrite_id assistant request rewrite user_id method request_state rewrite_state users",
            "sessions turns failing p_before p_after score failure_point examples chain state",
            "reason decided_by decided_at mined_at",
        )
    ),
    "rewrite_outcomes": Rule(
        _columns(
            "rewrite_id day source turns wins losses no_help turns_with good_with turns_without",
            "good_without",
        )
    ),
    "feedback": Rule(
        _columns(
            "turn_id dialogue_id day signals explicit rating asked propensity defect decided_by",
            "p_defect",
        )
    ),
    "goals": Rule(
        _columns(
            "dialogue_id goal_id day assistant user_id first_turn last_turn turns p_reached",
            "reached model_id",
        )
    ),
    # Offered for confirmation, but never beside a blind second opinion; see `Reader`.
    "generated_labels": Rule(
        _columns(
            "turn_id dialogue_id turn_index day model_id goal_id goal_start goal_reached",
            "turn_defect transcript p_transcript intent p_intent",
            "slots.{name value}",
            "spans.{start end}",
            "p_slots failure_point p_failure_point confidence signals digest",
        )
    ),
    "preferences": Rule(
        _columns(
            "preference_id user_id assistant scope kind name value said turn_ids created_at",
            "expires_at used last_used_at",
        )
    ),
    "preference_changes": Rule(_columns("preference_id user_id changed_at forgotten")),
}


@dataclass(frozen=True)
class Reader:
    """Somebody who looks at annotations, and what decides which of them they see.

    Attributes
    ----------
    name: the annotator's name; None for somebody who has not given one.
    share: the share of turns that need a second opinion.
    complete: ids of turns that have their second opinion, or are decided.
    """

    name: str | None
    share: float
    complete: frozenset[str]

    @classmethod
    def of(cls, snapshot: Snapshot, name: str | None = None) -> Reader:
        """A reader of a snapshot that holds annotations and settings."""
        share = share_of(snapshot)
        if not snapshot.counts()["annotations"]:
            return cls(name, share, frozenset())
        return cls.now(
            snapshot.query("SELECT turn_id, annotator, adjudicated FROM annotations"), share, name
        )

    @classmethod
    def now(cls, annotations: pa.Table, share: float, name: str | None = None) -> Reader:
        """A reader when these are all annotations: turn_id, annotator, adjudicated."""
        by_turn: dict[str, list[dict[str, object]]] = {}
        for row in annotations.select(["turn_id", "annotator", "adjudicated"]).to_pylist():
            by_turn.setdefault(row["turn_id"], []).append(row)
        return cls(name, share, frozenset(t for t, rows in by_turn.items() if complete(rows)))

    def waiting(self, turns: Iterable[Any]) -> set[str]:
        """Those of the turns that wait for a second opinion once somebody has judged them."""
        return {
            turn for turn in turns if turn not in self.complete and wants_second(turn, self.share)
        }

    def shown(self, annotations: pa.Table) -> pa.Table:
        """The rows of `annotations` (turn_id, annotator, …) that this person may see."""
        waiting = self.waiting(pc.unique(annotations["turn_id"]).to_pylist())
        if not waiting:
            return annotations
        turn, annotator = pc.field("turn_id"), pc.field("annotator")
        shown = ~turn.isin(pa.array(sorted(waiting), pa.string()))
        return annotations.filter(shown if self.name is None else shown | (annotator == self.name))

    def read(self, snapshot: Snapshot, table: str = "annotations") -> pa.Table:
        """All rows of a table with a blind rule that this person may see."""
        return self.shown(snapshot.query(f'FROM "{table}"'))


def share_of(snapshot: Snapshot) -> float:
    """The share of turns that need a second opinion, as it is for whoever the snapshot is for.

    For somebody who sees pseudonyms of the turns, all of them if any do: whether one does is
    decided by its real id.
    """
    share = float(setting(snapshot, SHARE, DEFAULT_SHARE))
    return 1.0 if share > 0 and snapshot.access.aggregates_only else share


def paths(schema: pa.Schema) -> Iterator[str]:
    """Every column of a schema, and every field of a nested one: `asr.hypotheses.text`."""

    def of(name: str, kind: pa.DataType) -> Iterator[str]:
        while pa.types.is_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            for field in kind:
                yield from of(f"{name}.{field.name}", field.type)
        else:
            yield name

    for field in schema:
        yield from of(field.name, field.type)
