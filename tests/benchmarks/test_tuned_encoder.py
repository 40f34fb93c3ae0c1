"""Tuning on cached lower layers: the cache changes nothing, and only the upper ones are trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from benchmarks.tuned_encoder import Pieces, Plan, States, Tuned, wrong_words

NOTHING: dict[int, np.ndarray] = {}


def network() -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    model: Any = BertModel(config, add_pooling_layer=False)
    return model.eval()


def pieces() -> Pieces:
    """60 turns of words heard (field 1) and one of three frames (field 2)."""
    rng = np.random.default_rng(0)
    texts = [np.r_[1, rng.integers(3, 6, 1 + i % 4), 2] for i in range(60)]
    texts += [np.array([1, 10 + i, 2]) for i in range(3)]
    words = [np.r_[-1, np.arange(len(text) - 2), -1] for text in texts]
    return Pieces(texts, words, [[(1, i), (2, 60 + i % 3)] for i in range(60)])


@pytest.mark.parametrize(
    ("given", "true", "expected"),
    [
        ("play queen", "play queen", [0, 0, 0]),
        ("play green now", "play queen now", [0, 1, 0, 0]),
        ("play now", "play queen now", [0, 1, 0]),
        ("play", "play queen", [0, 1]),
        ("", "play", [1]),
        ("play it", "", [1, 1, 0]),
    ],
)
def test_words_are_wrong_where_they_replace_or_follow_what_was_said(
    given: str, true: str, expected: list[int]
) -> None:
    assert wrong_words(given.split(), true.split()).tolist() == expected


def test_lower_layers_computed_once_give_what_the_whole_network_gives() -> None:
    model = network()
    for depth in (0, 2):
        states = States.of(model, pieces(), Plan(depth, joined=True), [NOTHING] * 60)
        hidden = states.values[torch.from_numpy(states.rows[7])].float()[None]
        with torch.no_grad():
            for layer in model.encoder.layer[depth:]:
                hidden = layer(hidden)
            first, second = pieces().ids[7], pieces().ids[61]
            ids = torch.from_numpy(np.r_[first, second[1:]])[None]
            expected = model(input_ids=ids).last_hidden_state
        torch.testing.assert_close(hidden, expected, atol=5e-3, rtol=0)


def test_wrong_words_are_labels_of_their_tokens() -> None:
    known = [{1: np.array([0.0, 1.0, 0.0], np.float32)}] + [NOTHING] * 59
    words = Pieces([np.array([1, 5, 6, 6, 2])], [np.array([-1, 0, 1, 1, -1])], [[(1, 0)]])
    states = States.of(network(), words, Plan(1), known[:1])
    np.testing.assert_array_equal(states.wrong[0], [np.nan, 0, 1, 1, 0])


@pytest.mark.parametrize(
    "plan", [Plan(2, epochs=12, rate=1e-2, batch=8), Plan(1, bias_only=True, tokens=1)]
)
def test_a_seed_gives_the_same_scores_and_lower_layers_stay(plan: Plan) -> None:
    target = np.arange(60) % 3 // 2  # the frame tells
    rows = np.arange(60)
    scores = []
    for _ in range(2):
        model = network()
        before = {name: value.clone() for name, value in model.named_parameters()}
        known = [{1: np.zeros(9, np.float32)}] * 60
        states = States.of(model, pieces(), plan, known)
        tuned = Tuned(model, states, plan, 2)
        assert list(tuned.fit(rows, target)) == list(range(1, plan.epochs + 1))
        scores.append(tuned.scores(rows[::-1]))
        changed = {n for n, value in model.named_parameters() if not value.equal(before[n])}
        assert changed
        assert all(int(name.split(".")[2]) >= plan.depth for name in changed)
        if plan.bias_only:
            assert all(name.endswith("bias") or "LayerNorm" in name for name in changed)
    np.testing.assert_array_equal(scores[0], scores[1])
    if plan.epochs > 3:
        assert (scores[0].argmax(1) == target[::-1]).all()
