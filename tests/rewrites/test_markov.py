"""The algebra of absorbing chains: against chains solved by hand, and random walks."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from rewrites import markov
from rewrites.markov import absorption


def _solved(q: list[list[float]], r: list[list[float]]) -> np.ndarray:
    result: np.ndarray = absorption(sp.csr_array(np.array(q)), sp.csr_array(np.array(r))).toarray()
    return result


def test_a_line_is_solved_by_hand() -> None:
    # a → b with 1/2, b works with 3/4: a ends well in b with 3/8.
    found = _solved([[0, 0.5], [0, 0]], [[0.25, 0], [0, 0.75]])
    np.testing.assert_allclose(found, [[0.25, 0.375], [0, 0.75]])


def test_a_cycle_is_solved_by_hand() -> None:
    # N = 1 / (1 − 1/4) · [[1, 1/2], [1/2, 1]].
    found = _solved([[0, 0.5], [0.5, 0]], [[0.5, 0], [0, 0.5]])
    np.testing.assert_allclose(found, np.array([[2, 1], [1, 2]]) / 3)


def test_a_state_that_repeats_itself_ends_in_the_end() -> None:
    np.testing.assert_allclose(_solved([[0.9]], [[0.1]]), [[1.0]])


@pytest.mark.parametrize("q", [[[1.0]], [[0, 1.0], [1.0, 0]]])
@pytest.mark.parametrize("dense", [True, False])
def test_states_without_an_end_are_an_error(
    q: list[list[float]], dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not dense:
        monkeypatch.setattr(markov, "DENSE", 0)
    with pytest.raises(ValueError, match="no walk is absorbed"):
        _solved(q, [[0.0]] * len(q))


def test_no_states() -> None:
    assert absorption(sp.csr_array((0, 0)), sp.csr_array((0, 3))).shape == (0, 3)


def _random(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.random((n, 2 * n)) * (rng.random((n, 2 * n)) < 0.4) + 1e-3
    p /= p.sum(axis=1, keepdims=True)
    return p[:, :n] * 0.9, p[:, n:]


@given(seed=st.integers(0, 10_000), n=st.integers(1, 9))
def test_the_three_ways_to_solve_agree(seed: int, n: int) -> None:
    q, r = _random(seed, n)
    wanted = np.linalg.solve(np.eye(n) - q, r)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markov, "NEGLIGIBLE", 1e-12)
        for dense, factored in ((192, 2500), (0, 2500), (0, 0)):
            patch.setattr(markov, "DENSE", dense)
            patch.setattr(markov, "FACTORED", factored)
            found = absorption(sp.csr_array(q), sp.csr_array(r)).toarray()
            np.testing.assert_allclose(found, wanted, atol=1e-8)


@settings(max_examples=10)
@given(seed=st.integers(0, 1_000), n=st.integers(1, 5))
def test_walks_end_where_the_algebra_says(seed: int, n: int) -> None:
    q, r = _random(seed, n)
    p = np.hstack([q, r])
    p = np.hstack([p, 1 - p.sum(axis=1, keepdims=True)])
    rng, walks = np.random.default_rng(seed), 20_000
    state = np.zeros(walks, np.int64)
    for _ in range(500):
        going = np.flatnonzero(state < n)
        if not len(going):
            break
        steps = (rng.random(len(going))[:, None] > p[state[going]].cumsum(axis=1)).sum(axis=1)
        state[going] = np.minimum(steps, 2 * n)
    ends = np.bincount(state[state >= n] - n, minlength=n + 1)[:n] / walks
    np.testing.assert_allclose(ends, _solved(q.tolist(), r.tolist())[0], atol=0.02)
