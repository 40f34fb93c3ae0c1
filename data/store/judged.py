"""The table `judged`: predictions of turns with gold in the logs, kept in step with both.

Estimates of rates need these rows again and again. Every cycle that changes predictions or labels
brings the table up to date before it commits, whatever it was for: scoring, ingesting, deleting,
a repair. The first such cycle of a store of an earlier version fills it; until then, the rows are
looked up among all predictions (`data.queries.ground_truth`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.schema.layout import TABLES
from data.store.rollup import replace_days
from data.store.snapshot import scan

if TYPE_CHECKING:
    from data.store.parquet import DataFile
    from data.store.transaction import Cycle

# A turn may be judged on a day that it has since moved from.
_ROWS = "FROM ({{predictions}}) SEMI JOIN ({labelled}) USING (turn_id, day)"
_MOVED = """
SELECT DISTINCT day::VARCHAR FROM (
  (FROM ({old}) EXCEPT FROM ({new})) UNION ALL (FROM ({new}) EXCEPT FROM ({old}))
)
"""
_KEYS = "SELECT turn_id, day FROM ({})"
_NONE = "SELECT NULL::VARCHAR AS turn_id, NULL::DATE AS day WHERE false"


def keep(cycle: Cycle) -> None:
    """Bring the table up to date with what a cycle has changed in predictions and labels."""
    predictions, labels = (cycle.changed(name) for name in ("predictions", "labelled"))
    if not any((*predictions, *labels)):
        return
    if not cycle.versions.get("judged", 0):
        rebuild(cycle)
        return
    days = _scored(cycle)
    touched: dict[str, set[str]] = {}
    for file in (*predictions[0], *predictions[1]):
        touched.setdefault(file.partition["model_id"], set()).add(file.partition["day"])
    moved = _moved(cycle, *labels)
    for model, scored in days.items():
        touched.setdefault(model, set()).update(scored & moved)
    _replace(cycle, touched)


def rebuild(cycle: Cycle) -> None:
    """Fill the table anew from all predictions and labels."""
    cycle.remove("judged", list(cycle.files("judged")))
    _replace(cycle, _scored(cycle))


def _scored(cycle: Cycle) -> dict[str, set[str]]:
    """The days of which there are predictions, by model."""
    days: dict[str, set[str]] = {}
    for file in cycle.files("predictions").values():
        days.setdefault(file.partition["model_id"], set()).add(file.partition["day"])
    return days


def _replace(cycle: Cycle, days: dict[str, set[str]]) -> None:
    labelled = _keys(cycle, list(cycle.files("labelled").values()))
    for model, some in days.items():
        replace_days(cycle, "judged", some, model, _ROWS.format(labelled=labelled))


def _moved(cycle: Cycle, old: list[DataFile], new: list[DataFile]) -> set[str]:
    """The days (ISO dates) of turns that some files of `labelled` have and others have not."""
    sql = _MOVED.format(old=_keys(cycle, old), new=_keys(cycle, new))
    return {day for (day,) in cycle.con.execute(sql).fetchall()}


def _keys(cycle: Cycle, files: list[DataFile]) -> str:
    # Of a cycle that wrote labels, some are live no longer.
    paths = cycle.fetched("labelled", files)
    return _KEYS.format(scan(TABLES["labelled"], paths)) if paths else _NONE
