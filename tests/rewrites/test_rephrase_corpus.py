"""Rephrases of failed turns of real logs are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rewrites.rephrase import Links, crossed, read


@pytest.mark.long
@pytest.mark.parametrize(("name", "least"), [("dstc1", 0.5), ("dstc2", 0.55), ("saif", 0.8)])
def test_rephrases_of_real_logs(corpora: Path, name: str, least: float) -> None:
    assert f1(crossed(read(corpora, name), "pair features", folds=3)) > least


def f1(links: Links) -> float:
    hits = sum(row[0] for row in links.rows)
    return 2 * hits / sum(row[1] + row[2] for row in links.rows)
