"""Rewrites mined from real recordings, without gold, mend later turns of the same users."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rewrites.replay import divided, tables
from rewrites.replay import parts, replay, rewritten


@pytest.mark.long
def test_later_turns_are_mended(corpora: Path) -> None:
    split = divided(corpora / "rewrites")
    outcomes, times = split.heard()
    rewrites = rewritten(split.later, tables(split)["… + neighbours"])
    score = replay(split.later, rewrites, outcomes)
    assert score.net > 0.3
    assert score.precision > 0.8
    unseen = parts(split.later, times)["unseen"]
    assert replay(split.later[unseen], rewrites[unseen], outcomes).net > 0
