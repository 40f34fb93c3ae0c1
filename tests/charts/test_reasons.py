"""Reasons in words: what a person reads, on which side it stands, and what is not told."""

from __future__ import annotations

from typing import Any

import pytest

from charts.prediction import evidence, evidence_words
from charts.reasons import reason, reasons, sides
from data.schema.tables import EVIDENCE
from data.schema.trace import FAILURE_POINTS
from features.catalogue import catalogue
from features.text import HEADS, LEXICAL


@pytest.mark.parametrize(
    ("feature", "value", "contribution", "target", "words"),
    [
        ("text.words_nlu", 0.7, 1.0, "nlu", "Similar wording was usually an NLU error"),
        ("text.words_nlu", 0.3, 1.0, "nlu", "Similar wording was often an NLU error"),
        ("text.words_nlu", 0.01, -1.0, "nlu", "Similar wording was seldom an NLU error"),
        ("text.words_correct", 0.1, 1.0, "nlu", "Similar wording was seldom a correct turn"),
        ("text.words_correct", 0.9, -1.0, "nlu", "Similar wording was usually a correct turn"),
        ("text.words_er", 0.9, 1.0, "defect", "Similar wording was usually an entity-resolution "
         "error"),
        # What says the opposite of its side is not told.
        ("text.words_correct", 0.9, 1.0, "nlu", None),
        ("text.words_nlu", 0.9, -1.0, "nlu", None),
        ("text.words_er", 0.9, 1.0, "nlu", None),
        ("text.words_nlu", None, 1.0, "nlu", None),
        ("asr.confidence", 0.3, 1.0, "asr", "ASR confidence of the first hypothesis"),
    ],
)  # fmt: skip
def test_a_reason_is_a_sentence(
    feature: str, value: float | None, contribution: float, target: str, words: str | None
) -> None:
    told = reason(feature, value, contribution, target)
    assert (told.words if told else None) == words
    assert told is None or told.supports == (contribution > 0)


def test_every_text_score_has_a_sentence() -> None:
    heads: Any = (*HEADS, *LEXICAL)
    for head in heads:
        for point in FAILURE_POINTS:
            told = reason(head.column(point), 0.9, 1.0, point)
            assert told is not None
            assert "usually" in told.words
            # As a feature it has the field's name.
            assert catalogue()[head.column(point)].sentence.startswith("Text-model score: ")


def prediction(**more: Any) -> dict[str, Any]:
    rows = [
        {"feature": "text.words_nlu", "stage": "text", "value": 0.8, "contribution": 0.9},
        {"feature": "asr.confidence", "stage": "asr", "value": 0.97, "contribution": -1.4},
        {"feature": "nlu.confidence", "stage": "nlu", "value": 0.2, "contribution": 0.5},
        {"feature": "er.mentions", "stage": "er", "value": 1.0, "contribution": 0.0},
    ]
    evidence = {f"evidence_{name}": 0.0 for name in EVIDENCE}
    evidence |= {"evidence_nlu": 1.5, "evidence_asr": -0.5}
    return {"failure_point": "nlu", "reasons": rows, **evidence, **more}


def test_reasons_against_stand_apart_from_those_for() -> None:
    supporting, opposing = sides(reasons(prediction()))
    assert [one.feature for one in supporting] == ["text.words_nlu", "nlu.confidence"]
    assert [one.feature for one in opposing] == ["asr.confidence"]
    assert reasons(prediction(reasons=None)) == []


def test_the_bars_of_evidence_speak_of_shares_not_of_log_odds() -> None:
    words = evidence_words(prediction())
    assert "NLU 75\u2009% of the evidence, for NLU" in words
    assert "ASR 25\u2009% of the evidence, against NLU" in words
    figure = evidence(prediction())
    shown = (
        *figure.layout.yaxis.ticktext,
        *figure.layout.xaxis.ticktext,
        *figure.data[0].customdata,
    )
    assert not any("1.5" in text or "log-odds" in text for text in shown)
