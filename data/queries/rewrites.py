"""Rewrites beside the turns that they are for: how often each is asked for, and what it mends.

A turn asks for the rewrites of its request: what was heard, in lower case and with single spaces.
Where its user has a row of their own for it, that one counts, else the row for everybody. Texts are
matched once, by `asked`; the lists and shares are then made of its sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.queries.dimensions import condition_sql
from data.queries.filters import Filter
from data.schema.requests import HEARD, PAUSE_S, SPEAKER, frame_sql, request_sql
from data.schema.trace import FAILURES
from data.store.misdated import DATED
from data.store.rewrites import APPROVED, LIVE, PROPOSED, STATES

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot

# What is not decided against; only these count where the pages say what rewrites would mend.
OPEN = (PROPOSED, APPROVED, LIVE)
# How long what follows a turn may last at most, in seconds.
_AFTER_S = 600.0
# Orders of the list: name in a link -> SQL over the columns of `ranked`.
ORDERS: Mapping[str, str] = {
    "mended": "mended_defect DESC",
    "support": "users DESC, sessions DESC",
    "success": "p_after - p_before DESC",
    "wins": "wins - losses DESC, wins DESC",
    "heard": "asked DESC",
    **{f"mended_{name}": f"mended_{name} DESC" for name in (*FAILURES, "defect")},
}


# Outcomes are summed over days and sources.
_WITH_OUTCOMES = """
WITH became AS (
    SELECT rewrite_id, sum(wins) AS wins, sum(losses) AS losses, sum(no_help) AS no_help,
        sum(turns_with) AS turns_with, sum(good_with) AS good_with,
        sum(turns_without) AS turns_without, sum(good_without) AS good_without
    FROM rewrite_outcomes GROUP BY 1
)
SELECT w.*, coalesce(b.wins, 0)::BIGINT AS wins, coalesce(b.losses, 0)::BIGINT AS losses,
    coalesce(b.no_help, 0)::BIGINT AS no_help,
    coalesce(b.turns_with, 0)::BIGINT AS turns_with, coalesce(b.good_with, 0) AS good_with,
    coalesce(b.turns_without, 0)::BIGINT AS turns_without,
    coalesce(b.good_without, 0) AS good_without
FROM rewrites w LEFT JOIN became b USING (rewrite_id)
"""

# Expected turns mended, of one turn that fails: how much likelier success becomes.
_GAIN = "greatest(p_after - p_before, 0)"
_POINTS = ", ".join(f"p_{name}" for name in FAILURES)
_POINT_SUMS = ", ".join(f"coalesce(sum(p_{name}), 0)::DOUBLE AS p_{name}" for name in FAILURES)

_SCORED = f"""
SELECT turn_id, day, heard, coalesce(assistant, '') AS assistant, p_defect, {_POINTS}
FROM predictions WHERE model_id = $model AND {{clause}} AND {{inside}}
"""
_LOGGED = f"""
SELECT turn_id, day, {HEARD} AS heard, coalesce(assistant, '') AS assistant,
  NULL::FLOAT AS p_defect, {", ".join(f"NULL::FLOAT AS p_{name}" for name in FAILURES)}
FROM turns WHERE {DATED}
"""

# Distinct texts are normalised before the turns are joined: there are far fewer of them. The turns
# are read twice, as that is less work than keeping all of them in between.
_ASKED = f"""
WITH said AS NOT MATERIALIZED ({{turns}}), forms AS MATERIALIZED (
  SELECT heard, request
  FROM (SELECT heard, {request_sql("heard")} AS request FROM (SELECT DISTINCT heard FROM said))
  SEMI JOIN rewrites USING (request)
), own AS MATERIALIZED (
  SELECT DISTINCT assistant, request, user_id FROM rewrites WHERE user_id IS NOT NULL
), matched AS MATERIALIZED (
  SELECT said.*, forms.request FROM said JOIN forms USING (heard)
), users AS (
  SELECT turn_id, user_id FROM turns
  WHERE {{owners}}
    AND turn_id IN (SELECT turn_id FROM matched SEMI JOIN own USING (assistant, request))
)
SELECT m.assistant, m.request, own.user_id, date_trunc('week', m.day)::DATE AS week,
  count(*) AS turns, coalesce(sum(p_defect), 0)::DOUBLE AS failing, {_POINT_SUMS}
FROM matched m LEFT JOIN users USING (turn_id)
LEFT JOIN own ON own.user_id = users.user_id AND own.request = m.request
  AND own.assistant = m.assistant
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3 NULLS FIRST, 4
"""

_OWNERS = "SELECT DISTINCT user_id FROM rewrites WHERE user_id IS NOT NULL ORDER BY 1"
_FEW_OWNERS = 500

_RANKED = f"""
WITH sums AS (
  SELECT assistant, request, user_id, sum(turns) AS asked, sum(failing) AS failing_now,
    {", ".join(f"sum(p_{name}) AS p_{name}" for name in FAILURES)}
  FROM asked GROUP BY ALL
), listed AS (
  SELECT w.* EXCLUDE (examples, chain), coalesce(s.asked, 0)::BIGINT AS asked,
    coalesce(s.failing_now, 0)::DOUBLE AS failing_now,
    coalesce(s.failing_now * {_GAIN}, 0)::DOUBLE AS mended_defect,
    {", ".join(f"coalesce(s.p_{n} * {_GAIN}, 0)::DOUBLE AS mended_{n}" for n in FAILURES)}
  FROM ({_WITH_OUTCOMES}) w LEFT JOIN sums s ON s.request = w.request
    AND s.assistant = coalesce(w.assistant, '') AND s.user_id IS NOT DISTINCT FROM w.user_id
  WHERE list_contains($states, w.state) AND ($method IS NULL OR w.method = $method)
    AND ($only IS NULL OR w.rewrite_id = $only) AND w.rewrite <> w.request
)
SELECT *, count(*) OVER () AS rewrites FROM listed
{{within}}
ORDER BY {{order}}, mended_defect DESC, failing DESC NULLS LAST, turns DESC, rewrite_id
LIMIT $rows OFFSET $skip
"""

# Of several rows for one text, the one with the highest score counts.
_COVERED = f"""
WITH best AS (
  SELECT coalesce(assistant, '') AS assistant, request, user_id,
    arg_max({{{{'gain': {_GAIN}, 'same': rewrite = request}}}}, score) AS row
  FROM rewrites WHERE list_contains($states, state) GROUP BY ALL
), chosen AS (
  SELECT a.*, coalesce(own.row, everybody.row) AS row FROM asked a
  LEFT JOIN (FROM best WHERE user_id IS NOT NULL) own
    ON own.assistant = a.assistant AND own.request = a.request AND own.user_id = a.user_id
  LEFT JOIN (FROM best WHERE user_id IS NULL) everybody
    ON everybody.assistant = a.assistant AND everybody.request = a.request
)
SELECT week, sum(turns)::BIGINT AS turns, sum(failing)::DOUBLE AS failing,
  sum(failing * row.gain)::DOUBLE AS mended_defect,
  {", ".join(f"sum(p_{n} * row.gain)::DOUBLE AS mended_{n}" for n in FAILURES)}
FROM chosen WHERE row IS NOT NULL AND NOT row.same
GROUP BY week ORDER BY week
"""

# What would be mended: failing turns, by how much likelier success becomes.
_LISTED = f"""
SELECT *, count(*) OVER () AS total FROM ({_WITH_OUTCOMES})
WHERE (len($states) = 0 OR list_contains($states, state)) AND request <> rewrite
ORDER BY failing * (p_after - p_before) DESC, turns DESC, rewrite_id
LIMIT $most
"""

_IN_STATES = f"""
WITH became AS ({_WITH_OUTCOMES}), chosen AS (
    FROM became WHERE list_contains($states, state) AND request <> rewrite
), keeping AS (
    SELECT k.* FROM became k WHERE k.request = k.rewrite AND k.state <> 'rejected'
        AND EXISTS (FROM chosen c WHERE c.assistant = k.assistant AND c.request = k.request
            AND c.user_id IS NULL)
)
FROM (FROM chosen UNION ALL FROM keeping)
QUALIFY row_number() OVER (PARTITION BY assistant, request, user_id
    ORDER BY score DESC, rewrite) = 1
ORDER BY assistant, request, user_id NULLS FIRST
"""

_ONE = f"SELECT * FROM ({_WITH_OUTCOMES}) WHERE rewrite_id = $id"

_METHODS = "SELECT DISTINCT method FROM rewrites WHERE method IS NOT NULL ORDER BY 1"
_STATES = "SELECT state, count(*) AS n FROM rewrites WHERE rewrite <> request GROUP BY 1"
_MINED = "SELECT count(*) AS n, max(mined_at) AS at FROM rewrites"

_FAILING = f"""
SELECT turn_id, dialogue_id, started_at, day, failure_point, p_defect, p_defect AS p, assistant,
  locale, device_type, domain, intent, heard
FROM predictions p WHERE model_id = $model AND {{clause}} AND failure_point <> 'correct'
  AND heard IN (SELECT heard FROM (SELECT DISTINCT heard FROM predictions WHERE model_id = $model)
    WHERE {request_sql("heard")} = $request)
  AND coalesce(assistant, '') = $assistant {{of_user}}
ORDER BY p_defect DESC, turn_id LIMIT $rows
"""
_OF_USER = "AND turn_id IN (SELECT turn_id FROM turns WHERE user_id = $user)"

_FRAME = frame_sql(
    *("nlu.hypotheses[1].domain", "nlu.hypotheses[1].intent", "nlu.hypotheses[1].slots")
)

_DAYS_OF = "SELECT turn_id, day FROM turns WHERE turn_id IN (SELECT unnest($turns))"

# Turns of the speakers of some first turns, from those on until a pause.
_SESSIONS = f"""
WITH near AS (
  SELECT turn_id, dialogue_id, turn_index, day, started_at, coalesce(assistant, '') AS assistant,
    {SPEAKER} AS speaker, {HEARD} AS heard, {_FRAME} AS frame,
    result.response AS response
  FROM turns WHERE day IN ({{days}})
), first AS (
  SELECT turn_id AS example, started_at AS began, assistant, speaker FROM near
  WHERE turn_id IN (SELECT unnest($turns))
), after AS (
  SELECT f.example, f.began, n.*, epoch(n.started_at) - epoch(coalesce(lag(n.started_at)
      OVER (PARTITION BY f.example ORDER BY n.started_at, n.turn_index, n.turn_id),
      n.started_at)) AS pause
  FROM first f JOIN near n ON n.speaker = f.speaker AND n.assistant = f.assistant
    AND n.started_at >= f.began AND n.started_at <= f.began + to_seconds($longest)
    AND (n.started_at > f.began OR n.turn_id >= f.example)
), joined AS (
  SELECT *, max(pause) OVER (PARTITION BY example ORDER BY started_at, turn_index, turn_id)
    AS longest
  FROM after
)
SELECT example, turn_id, dialogue_id, day, started_at, heard, response,
  ({request_sql("heard")} = $rewrite) AS said, coalesce(frame = $state, false) AS reached,
  epoch(started_at) - epoch(began) AS after_s
FROM joined WHERE longest <= $pause
ORDER BY list_position($turns, example), started_at, turn_index, turn_id
"""

_EXAMPLES = """
SELECT s.turn_id, s.dialogue_id, s.day, coalesce(s.heard, '') AS text, s.started_at,
  coalesce((SELECT arg_min(coalesce(a.heard, ''), (a.after_s, a.turn_id)) FROM steps a
    WHERE a.example = s.example AND a.turn_id <> a.example), '') AS after
FROM steps s WHERE s.turn_id = s.example
ORDER BY list_position($turns, s.example)
"""

_FOR_TURN = f"""
SELECT w.* EXCLUDE (chain) FROM ({_WITH_OUTCOMES}) w
WHERE request = {request_sql("$heard")} AND coalesce(assistant, '') = $assistant
  AND (user_id IS NULL OR user_id = $user) AND list_contains($states, state)
ORDER BY user_id IS NULL, score DESC, rewrite LIMIT 1
"""


def mined(snapshot: Snapshot) -> tuple[int, str]:
    """How many rewrites there are and when the last were mined; changes with what is matched."""
    if not snapshot.counts()["rewrites"]:
        return 0, ""
    row = snapshot.query(_MINED).to_pylist()[0]
    return int(row["n"]), str(row["at"] or "")


def asked(
    snapshot: Snapshot,
    model: str | None,
    chosen: Filter,
    conditions: Sequence[tuple[str, str]] = (),
) -> pa.Table:
    """How often the requests that have a rewrite were heard in a filter's turns, by week.

    `conditions` are those of a slice. Without a model, all turns count, and none as failing.

    Columns: assistant ('' for none), request, user_id (of users with a row of their own for it,
    else null), week (its Monday), turns, failing and p_<failure point> (summed probabilities).
    """
    owners, users = _owners(snapshot)
    if model is None:
        return snapshot.query(_ASKED.format(turns=_LOGGED, owners=owners), users)
    clause, params = chosen.where()
    inside, values = condition_sql(tuple(conditions))
    turns = _SCORED.format(clause=clause, inside=f"coalesce({inside}, false)")
    sql = _ASKED.format(turns=turns, owners=owners)
    return snapshot.query(sql, {"model": model, **params, **values, **users})


def _owners(snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
    """A condition that a turn is of a user with rewrites of their own, and its parameters.

    Given as values, few users are looked for before the other columns of a turn are read.
    """
    users: list[Any] = snapshot.query(_OWNERS)["user_id"].to_pylist()
    if not 0 < len(users) <= _FEW_OWNERS:
        return ("user_id IN (SELECT user_id FROM own)" if users else "false"), {}
    params = {f"owner_{i}": user for i, user in enumerate(users)}
    return f"user_id IN ({', '.join('$' + name for name in params)})", params


def ranked(
    snapshot: Snapshot,
    asked: pa.Table,
    states: Sequence[str] = STATES,
    method: str | None = None,
    order: str = "mended",
    rows: int = 20,
    skip: int = 0,
    mending: bool = False,
    only: str | None = None,
) -> pa.Table:
    """Rewrites by what they mend among the turns that `asked` counts.

    Columns: those of the table but examples and chain; wins, losses, no_help; asked and failing_now
    (turns with the request, and how many of them probably failed), mended_defect and
    mended_<failure point> (expected), and rewrites (how many there are in all). With `mending`,
    only those that mend something; `only` is the id of a single one. Rows by which a user keeps a
    request as it is are left out.
    """
    sql = _RANKED.format(order=ORDERS[order], within="WHERE mended_defect > 0" if mending else "")
    params = {"states": list(states), "method": method, "only": only, "rows": rows, "skip": skip}
    return snapshot.query(sql, params, {"asked": asked})


def covered(snapshot: Snapshot, asked: pa.Table, states: Sequence[str] = OPEN) -> pa.Table:
    """What rewrites in some states would mend, by week; of the turns that `asked` counts.

    Columns: week (its Monday), turns and failing (with a rewrite: their number, and how many of
    them probably failed), mended_defect and mended_<failure point> (expected).
    """
    return snapshot.query(_COVERED.format(), {"states": list(states)}, {"asked": asked})


def one(snapshot: Snapshot, rewrite_id: str) -> dict[str, Any] | None:
    """One rewrite with its outcomes summed; None if there is none with this id."""
    rows = snapshot.query(_ONE, {"id": rewrite_id}).to_pylist()
    return dict(rows[0]) if rows else None


def listed(snapshot: Snapshot, states: Sequence[str] = (), most: int = 20) -> pa.Table:
    """Rewrites in some states (all by default), those first that would mend most.

    Columns: those of the table; wins, losses and no_help on later sessions; turns_with and
    turns_without of its use, with their expected successes good_with and good_without; and total,
    the rewrites in these states. Rows by which a user keeps a request as it is are left out.
    """
    return snapshot.query(_LISTED, {"states": list(states), "most": most})


def in_states(snapshot: Snapshot, states: Sequence[str]) -> pa.Table:
    """The rewrites in some states, one for each request and user: the one with the highest score.

    A row by which a user keeps a request as it is comes with the rewrite that it excepts them from.
    Columns as of `listed`.
    """
    return snapshot.query(_IN_STATES, {"states": list(states)})


def methods(snapshot: Snapshot) -> list[str]:
    """The methods that rewrites were mined by."""
    return [str(method) for method in snapshot.query(_METHODS)["method"].to_pylist()]


def by_state(snapshot: Snapshot) -> dict[str, int]:
    """How many rewrites are in each state, in the order of `STATES`."""
    found = {row["state"]: int(row["n"]) for row in snapshot.query(_STATES).to_pylist()}
    return {state: found.get(state, 0) for state in STATES}


def failing_turns(
    snapshot: Snapshot, model: str, chosen: Filter, row: Mapping[str, Any], rows: int = 10
) -> pa.Table:
    """Turns with a rewrite's request (and of its user) that probably failed, the surest first.

    Columns as `data.queries.slices.examples`.
    """
    clause, params = chosen.where()
    params |= {"model": model, "request": row["request"], "assistant": row["assistant"] or ""}
    if row["user_id"] is not None:
        params["user"] = row["user_id"]
    of_user = "" if row["user_id"] is None else _OF_USER
    sql = _FAILING.format(clause=clause, of_user=of_user)
    return snapshot.query(sql, {**params, "rows": rows})


def sessions(
    snapshot: Snapshot, row: Mapping[str, Any], turns: Sequence[str] | None = None
) -> pa.Table:
    """The turns that a rewrite was mined from, each with what followed it in its session.

    `turns`: ids of other turns to begin at. Columns: example (id of the first turn), turn_id,
    dialogue_id, day, started_at, heard, response, said (the rewrite was), reached (NLU made the
    rewrite's interpretation of it), after_s (seconds since the first turn).
    """
    begin = list(row["examples"] or ()) if turns is None else list(turns)
    days = {other["day"] for other in snapshot.query(_DAYS_OF, {"turns": begin}).to_pylist()}
    days |= {day + timedelta(days=1) for day in days if day.year < 9999}
    # As literals: with bound days, DuckDB would open the files of all.
    listed = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(days)) or "NULL"
    params = {
        "turns": begin,
        "rewrite": row["rewrite"],
        "state": row["rewrite_state"],
        "pause": PAUSE_S,
        "longest": _AFTER_S,
    }
    return snapshot.query(_SESSIONS.format(days=listed), params)


def example_turns(snapshot: Snapshot, row: Mapping[str, Any]) -> pa.Table:
    """The turns that a rewrite was mined from, and what was said next in the session of each.

    Columns: turn_id, dialogue_id, day, text, started_at, after ('' where nothing followed).
    """
    steps = sessions(snapshot, row)
    return snapshot.query(_EXAMPLES, {"turns": list(row["examples"] or ())}, {"steps": steps})


def for_turn(
    snapshot: Snapshot, turn: Mapping[str, Any], states: Sequence[str] = OPEN
) -> dict[str, Any] | None:
    """The rewrite of a turn (a row of `data.queries.turns.turn`), its user's own first, or None.

    Beside its columns, `later`: the turn of the same session by which the user got there (see
    `sessions`), or None. A user who keeps the request as it is has no rewrite.
    """
    hypotheses = (turn["asr"] or {}).get("hypotheses") or []
    heard = hypotheses[0]["text"] if hypotheses else None
    if not heard or not snapshot.counts()["rewrites"]:
        return None
    params = {
        "heard": heard,
        "assistant": turn["assistant"] or "",
        "user": turn["user_id"],
        "states": list(states),
    }
    rows = snapshot.query(_FOR_TURN, params).to_pylist()
    if not rows or rows[0]["rewrite"] == rows[0]["request"]:
        return None
    row = dict(rows[0])
    after = sessions(snapshot, row, [turn["turn_id"]]).to_pylist()
    there = (step for step in after[1:] if step["said"] or step["reached"])
    return {**row, "later": next(there, None)}
