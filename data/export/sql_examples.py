"""Statements to start from. `slice` is the turns that the filters select."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A statement with a title, and in plain words what it answers."""

    title: str
    about: str
    sql: str


EXAMPLES = (
    Example(
        "Failures by intent",
        "Which intents have the most predicted failures.",
        """SELECT intent, count(*) AS turns, sum(p_defect) AS failures
FROM slice
GROUP BY intent
ORDER BY failures DESC
LIMIT 20""",
    ),
    Example(
        "Failure rate by day",
        "How the estimated failure rate moves from day to day; draw it as a line.",
        """SELECT day, avg(p_defect) AS failure_rate
FROM slice
GROUP BY day
ORDER BY day""",
    ),
    Example(
        "Failure rate by ASR release",
        "Whether a release of the recogniser fails more often; draw it as bars.",
        """SELECT version_asr, avg(p_defect) AS failure_rate, avg(p_asr) AS asr_rate,
  count(*) AS turns
FROM slice
GROUP BY version_asr
HAVING count(*) >= 30
ORDER BY version_asr""",
    ),
    Example(
        "N-best lists of likely ASR errors",
        "What the recogniser's other hypotheses were, beside what the logs' gold says.",
        """SELECT slice.turn_id, p_asr, turns.asr.hypotheses[1].text AS first,
  turns.asr.hypotheses[2].text AS second, turns.gold.transcript AS gold
FROM slice
JOIN turns USING (turn_id, day)
ORDER BY p_asr DESC
LIMIT 50""",
    ),
    Example(
        "Predicted against known failure points",
        "A confusion matrix on the turns whose failure point the logs' gold says.",
        """SELECT labelled.failure_point AS known, slice.failure_point AS predicted,
  count(*) AS turns
FROM slice
JOIN labelled USING (turn_id)
WHERE labelled.failure_point IS NOT NULL
GROUP BY ALL
ORDER BY turns DESC""",
    ),
)
