"""The absorbing Markov chain of requests (Ponnusamy et al., AAAI 2020).

Transient states are requests; a walk is absorbed by success, in the interpretation of the request
that worked, or by giving up. With P = [[Q, R], [0, I]], the fundamental matrix N = (I − Q)⁻¹ holds
expected visits (Kemeny and Snell 1960, theorem 3.2.4) and N·R where walks end (theorem 3.3.7).

Unlike in the paper, whether a turn failed is a probability and not a rule (`rewrites.success`), so
R and Q are expectations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from rewrites.interpretations import PART, Counts
from rewrites.success import Success

# SciPy has no type stubs.
Sparse = Any

# Retries that a request is taken to have had besides, without a success: few prove little.
PRIOR_RETRIES = 1.0
# Edges with fewer expected retries, or taken with a lower probability, only join components.
LEAST_RETRIES = 0.05
LEAST_STEP = 0.0005
# Components up to this size are solved as dense matrices, many at once; up to the next one by
# sparse LU, whose factors fill up on larger ones (10 s at 5,000 states of a random graph).
DENSE = 192
FACTORED = 2_500
_BATCH_CELLS = 4_000_000
# Columns of a large component that are solved at once.
_COLUMNS = 256
# Smaller probabilities of absorption are dropped: no decision rests on them.
NEGLIGIBLE = 1e-4
_MOST_STEPS = 10_000
_UNABSORBED = "The chain has states from which no walk is absorbed."


@dataclass(frozen=True, slots=True)
class Chain:
    """Expected retries and successes between requests.

    Attributes
    ----------
    requests: as in `Counts`. outcome: per request, the number of its interpretation, int64.
    interpretations: the distinct interpretations. assistants: the assistant of each.
    failure: per request, its failure rate. retries: per request, expected number of retries.
    successes: per request, expected number of turns that went well.
    again: expected retries from one request to another, CSR (requests, requests).
    step: the probability that a request that is said again is said so, CSR, same shape. Giving up
        is not in it: those who did wanted what the others did.
    """

    requests: pa.Table
    interpretations: tuple[str, ...]
    assistants: tuple[str, ...]
    outcome: np.ndarray
    failure: np.ndarray
    retries: np.ndarray
    successes: np.ndarray
    again: Sparse
    step: Sparse

    @classmethod
    def of(cls, counts: Counts, success: Success) -> Self:
        """The chain of counts, with what the label model says of their cells."""
        n, cells = counts.requests.num_rows, counts.cells
        turns = cells["turns"].to_numpy(np.float64)
        request, following = cells["request"].to_numpy(), cells["next"].to_numpy()
        follows = following >= 0
        again = matrix(
            (turns * success.retried)[follows], request[follows], following[follows], (n, n)
        )
        retries = np.bincount(request, turns * success.retried, n)
        step = again.copy()
        step.data = again.data / np.repeat(retries + PRIOR_RETRIES, np.diff(again.indptr))
        step.data[(again.data < LEAST_RETRIES) | (step.data < LEAST_STEP)] = 0.0
        step.eliminate_zeros()
        outcome, distinct = counts.number("interpretation")
        parts = [name.split(PART, 1) for name in distinct.to_pylist()]
        return cls(
            counts.requests,
            tuple(part[1] for part in parts),
            tuple(part[0] for part in parts),
            outcome,
            success.failure,
            retries,
            np.bincount(request, turns * (1 - success.failed), n),
            again,
            step,
        )

    def absorbed(self) -> Sparse:
        """Where walks end that begin with a request: CSR (requests, interpretations).

        Row i is the probability of success in each interpretation, that of the first request
        included; the rest of the row's mass is giving up.
        """
        n = len(self.failure)
        going_on = sp.csr_array(sp.diags_array(self.failure) @ self.step)
        success = matrix(
            1 - self.failure, np.arange(n), self.outcome, (n, len(self.interpretations))
        )
        return absorption(going_on, success)


def absorption(q: Sparse, r: Sparse) -> Sparse:
    """N·R = (I − Q)⁻¹·R for the transient part Q and the absorbing part R of a chain, as CSR.

    Q: (n, n), R: (n, m), not negative; every row of Q sums to less than one on some state that can
    be reached, or ValueError is raised. Entries below `NEGLIGIBLE` are left out. Each connected
    component of Q is solved on its own: small ones as stacks of dense matrices, larger ones by
    sparse LU, the largest as the series R + QR + Q²R + … without its negligible terms.
    """
    q, r = sp.csr_array(q), sp.csr_array(r)
    n, m = r.shape
    if not n:
        return sp.csr_array((n, m))
    number, label = connected_components(q, directed=False)
    order = np.argsort(label, kind="stable")
    sizes = np.bincount(label, minlength=number)
    starts = np.cumsum(sizes) - sizes
    parts: list[Sparse] = []
    for size in np.unique(sizes):
        first = starts[sizes == size]
        if size > DENSE:
            solve = _large if size <= FACTORED else _largest
            parts += [solve(q, r, np.sort(order[start : start + size])) for start in first]
            continue
        most = max(1, _BATCH_CELLS // int(size * size))
        for chunk in range(0, len(first), most):
            members = order[first[chunk : chunk + most, None] + np.arange(size)]
            parts.append(_small(q, r, members))
    total = _stack(parts, (n, m))
    total.sort_indices()
    if not np.isfinite(total.data).all() or (total.data < -NEGLIGIBLE).any():
        raise ValueError(_UNABSORBED)
    return total


def _small(q: Sparse, r: Sparse, members: np.ndarray) -> Sparse:
    """Components of one size, as dense matrices; members: (components, size)."""
    count, size = members.shape
    states = members.ravel()
    # Position of each state in its component; of others none, but rows have no others.
    place = np.zeros(q.shape[0], np.int64)
    place[states] = np.tile(np.arange(size), count)
    inside = sp.coo_array(q[states])
    rows = inside.coords[0]
    dense = np.zeros((count, size, size))
    np.add.at(dense, (rows // size, rows % size, place[inside.coords[1]]), inside.data)
    try:
        visits = np.linalg.inv(np.eye(size) - dense)
    except np.linalg.LinAlgError as error:
        raise ValueError(_UNABSORBED) from error
    visits = np.where(np.abs(visits) < NEGLIGIBLE / 10, 0.0, visits)
    component, row, column = np.nonzero(visits)
    fundamental = matrix(
        visits[component, row, column],
        component * size + row,
        component * size + column,
        (len(states), len(states)),
    )
    return _placed(fundamental @ r[states], states, r.shape)


def _large(q: Sparse, r: Sparse, states: np.ndarray) -> Sparse:
    """One large component, by sparse LU, in blocks of the columns of R that it reaches."""
    inside = q[states][:, states]
    right = sp.csc_array(r[states])
    reached = np.flatnonzero(np.diff(right.indptr))
    try:
        factors = splu(sp.csc_array(sp.eye_array(len(states)) - inside))
    except RuntimeError as error:
        raise ValueError(_UNABSORBED) from error
    blocks = []
    for start in range(0, len(reached), _COLUMNS):
        columns = reached[start : start + _COLUMNS]
        solved = factors.solve(right[:, columns].toarray())
        solved[np.abs(solved) < NEGLIGIBLE] = 0.0
        row, column = np.nonzero(solved)
        blocks.append((row, columns[column], solved[row, column]))
    if not blocks:
        # No walk ends well.
        return sp.csr_array(r.shape)
    rows, cols, data = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return _placed(matrix(data, rows, cols, right.shape), states, r.shape)


def _largest(q: Sparse, r: Sparse, states: np.ndarray) -> Sparse:
    """One component too large to factor: walks of ever more steps, until they carry nothing."""
    inside = sp.csr_array(q[states][:, states])
    # Repeating a request is summed up at once: such walks can be very long.
    staying = inside.diagonal()
    if (staying >= 1).any():
        raise ValueError(_UNABSORBED)
    scale = sp.diags_array(1 / (1 - staying))
    moving = sp.csr_array(scale @ (inside - sp.diags_array(staying)))
    term = total = sp.csr_array(scale @ r[states])
    for _ in range(_MOST_STEPS):
        term = sp.csr_array(moving @ term)
        term.data[term.data < NEGLIGIBLE / 10] = 0.0
        term.eliminate_zeros()
        if not term.nnz:
            return _placed(total, states, r.shape)
        total = total + term
    raise ValueError(_UNABSORBED)


def _placed(block: Sparse, states: np.ndarray, shape: tuple[int, int]) -> Sparse:
    block = sp.coo_array(block)
    keep = np.abs(block.data) >= NEGLIGIBLE
    rows, columns = block.coords
    return matrix(block.data[keep], states[rows[keep]], columns[keep], shape)


def _stack(parts: list[Sparse], shape: tuple[int, int]) -> Sparse:
    """The sum of matrices that share no row."""
    found = [sp.coo_array(part) for part in parts]
    data = np.concatenate([part.data for part in found])
    rows = np.concatenate([part.coords[0] for part in found])
    columns = np.concatenate([part.coords[1] for part in found])
    return matrix(data, rows, columns, shape)


def matrix(
    data: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]
) -> Sparse:
    """A CSR matrix of entries, of which several at one place are added."""
    return sp.csr_array(sp.coo_array((data, (rows, columns)), shape=shape))
