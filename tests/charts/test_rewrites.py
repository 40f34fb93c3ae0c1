"""Charts of rewrites: the chain's edges add up, and labels stand apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from charts.rewrites import (
    MOST_STATES,
    Around,
    around,
    chain,
    chain_words,
    net_mended,
    net_words,
    outcome_words,
    outcomes,
)
from tests.rewritten import HEARD, LONG, MEANT, evaluation, rewrite
from tests.scored import NASTY


def ring(n: int) -> dict[str, Any]:
    """A chain of n states, each of which leads to all others."""
    nodes = [{"text": f"s{i}", "state": "", "failure": 0.8, "turns": i} for i in range(n)]
    edges = [{"from": i, "to": j, "p": 0.9 / n} for i in range(n) for j in range(n)]
    return {"nodes": nodes, "edges": edges}


def states(stored: dict[str, Any], text: str = "") -> Around:
    found = around(stored, text)
    assert found is not None
    return found


def test_what_leaves_a_state_adds_up() -> None:
    found = states(json.loads(rewrite(HEARD, MEANT)["chain"]), MEANT)
    assert found.texts == (HEARD, MEANT)
    (step,) = found.steps
    assert (step.start, step.end, round(step.p, 9)) == (0, 1, 0.72)
    whole = found.success[0] + found.given_up[0] + found.again[0] + step.p
    assert whole == pytest.approx(1)
    assert [round(p, 9) for p in (found.success[0], found.given_up[0], found.again[0])] == [
        0.1,
        0.09,
        0.09,
    ]


def test_the_request_is_at_the_top_and_its_rewrite_at_the_foot() -> None:
    found = states(ring(20), "s3")
    assert len(found.texts) == MOST_STATES
    assert found.hidden == 20 - MOST_STATES
    assert (found.texts[0], found.texts[-1]) == ("s0", "s3")
    # In between, those heard most.
    assert found.texts[1:-1] == ("s19", "s18", "s17", "s16", "s15", "s14")


@pytest.mark.parametrize("n", [1, 2, 8])
def test_any_chain_is_drawn(n: int) -> None:
    found = states(ring(n))
    figure = chain(found)
    assert len(figure.data[0].x) == n
    assert figure.layout.height < 700
    places = [(mark.x, mark.y) for mark in figure.layout.annotations if mark.bgcolor]
    assert len(set(places)) == len(places)
    for x, _ in places:
        assert 0 < x < 0.3
    assert chain_words(found).count("works") == n


def test_texts_are_inert_and_cut() -> None:
    found = states(json.loads(rewrite(NASTY, LONG)["chain"]), LONG)
    figure = chain(found, LONG)
    told = " ".join(str(mark.text) for mark in figure.layout.annotations)
    assert "<img" not in told
    assert "<img" not in str(figure.data[0].customdata)
    assert max(len(mark.text) for mark in figure.layout.annotations) < 150
    assert len(chain_words(found, LONG)) < 500


@pytest.mark.parametrize("stored", [{}, {"nodes": []}, {"nodes": None, "edges": None}])
def test_without_states_there_is_no_chain(stored: dict[str, Any]) -> None:
    assert around(stored) is None


def test_odd_edges_and_missing_numbers_are_left_out() -> None:
    stored = {
        "nodes": [{"text": None, "failure": None, "turns": None}, {"text": "b", "failure": 2}],
        "edges": [{"from": 0, "to": 7, "p": 1.0}, {"from": 1, "to": 0, "p": 0.5}],
    }
    found = states(stored)
    assert found.success == (1.0, 0.0)
    assert chain(found).data


def test_net_mended_carries_intervals() -> None:
    rows = evaluation()["rows"]
    figure = net_mended(rows)
    assert list(figure.data[0].x) == [0.0, 0.18, 0.24]
    assert figure.data[0].error_x.array[1] == pytest.approx(0.03)
    assert figure.data[0].customdata[0][3] == "–"
    assert "chain + personal 24.0" in net_words(rows)
    assert net_mended([]).layout.height


def test_outcomes_are_stacked_from_wins_to_losses() -> None:
    rows = evaluation()["parts"]
    figure = outcomes(rows)
    assert [bar.name for bar in figure.data] == ["wins", "no help", "losses"]
    assert list(figure.data[0].x) == [40] * 4
    assert "head: 40 wins, 15 without help, 5 losses" in outcome_words(rows)
