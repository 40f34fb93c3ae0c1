"""The ranker: it learns to prefer what was wanted, and abstains as often as it is told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rewrites.online.history import contexts
from rewrites.online.ranking import FEATURES, SAID, Example, Ranker, learn, winner_of

_FUZZY, _FRAME = FEATURES.index("fuzzy"), SAID.index("frame_given")


def _examples(n: int, noise: float = 0.0, seed: int = 0) -> list[Example]:
    """Of five candidates the most similar one is wanted, if the request fails: every other one."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        table = rng.random((5, len(FEATURES))) * 0.1
        table[:, _FUZZY] = rng.random(5) * 0.5
        wanted = np.zeros(5)
        fails = float(i % 4 < 2)
        if fails:
            table[i % 5, _FUZZY] = 0.9
            wanted[i % 5] = rng.random() >= noise
        said = np.zeros(len(SAID))
        said[_FRAME] = i % 2
        made.append(Example(table, said, np.arange(5), wanted, wanted * fails, fails))
    return made


def test_what_was_wanted_ranks_first_and_is_trusted() -> None:
    ranker = learn(_examples(400), _examples(200, seed=1))
    right = 0
    for example in _examples(100, seed=2):
        first, row, _ = winner_of(ranker, example.table, example.said, example.outcome)
        given = ranker.trust(row) >= ranker.threshold(row)
        assert given == (example.failed > 0)
        right += given and example.wanted[first] == 1
    assert right == 50


def test_false_triggers_stay_within_the_rate() -> None:
    noisy = _examples(400, noise=0.3)
    # Some turns that look like failures went well.
    held_out = [
        Example(e.table, e.said, e.outcome, e.wanted, e.mends * 0, 0.0) if i % 10 == 0 else e
        for i, e in enumerate(_examples(400, noise=0.3, seed=1))
    ]
    for rate in (0.0, 0.02, 1.0):
        ranker = learn(noisy, held_out, false_triggers=rate)
        assert ranker.figures.get("unheard_false_triggers", 0.0) <= rate + 1e-9
    assert learn(noisy, held_out, false_triggers=0.0).thresholds[0] > 0.5


def test_winners_trusted_the_same_are_given_together() -> None:
    # A hundred turns that look the same: six in ten are mended, the others went well as they were.
    alike = next(e for e in _examples(1) if e.failed)
    fine = Example(alike.table, alike.said, alike.outcome, alike.wanted * 0, alike.mends * 0, 0.0)
    for held_out in ([alike] * 60 + [fine] * 40, [fine] * 40 + [alike] * 60):
        for rate, given in ((0.0, False), (0.5, False), (1.0, True)):
            ranker = learn(_examples(400), held_out, false_triggers=rate, least=0.0)
            _, row, _ = winner_of(ranker, alike.table, alike.said, alike.outcome)
            # All of the 40 would be false triggers, or none is.
            assert (ranker.trust(row) >= ranker.threshold(row)) == given
            assert ranker.figures.get("unheard_false_triggers", 0.0) == given


def test_too_little_to_learn_from_abstains() -> None:
    for ranker in (learn([], []), learn(_examples(20), []), Ranker.untrained()):
        example = _examples(1)[0]
        _, row, _ = winner_of(ranker, example.table, example.said, example.outcome)
        assert ranker.trust(row) < ranker.threshold(row)


def test_the_same_examples_give_the_same_ranker(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        learn(_examples(200), _examples(100, seed=1)).save(tmp_path / name)
    for file in ("ranker.txt", "trust.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_what_is_saved_ranks_the_same(tmp_path: Path) -> None:
    ranker = learn(_examples(200), _examples(100, seed=1))
    ranker.save(tmp_path)
    loaded = Ranker.load(tmp_path)
    example = _examples(1, seed=3)[0]
    _, a, _ = winner_of(ranker, example.table, example.said, example.outcome)
    _, b, _ = winner_of(loaded, example.table, example.said, example.outcome)
    assert loaded.trust(b) == pytest.approx(ranker.trust(a))
    assert loaded.thresholds == ranker.thresholds


def test_a_context_is_words() -> None:
    device = {"type": "oven", "state": {"oven": "on", "room": "kitchen"}}
    assert contexts(device, 3_600.0, None, "home|on|what=lamp") == [
        *("device:oven", "state:oven=on", "location:kitchen", "hour:0", "before:home|on")
    ]
    assert contexts() == []
