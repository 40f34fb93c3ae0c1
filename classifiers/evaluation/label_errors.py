"""Labels that are likely wrong, by confident learning."""

from __future__ import annotations

import numpy as np

Doubtful = tuple[np.ndarray, np.ndarray]


def suspects(truth: np.ndarray, probability: np.ndarray, classes: tuple[str, ...]) -> Doubtful:
    """Rows whose label the model doubts, the most doubtful first, and the class it would rather.

    Confident learning (Northcutt, Jiang & Chuang 2021): a label is suspect if another class is
    more probable than that class usually is where it is the label, and it is among the least
    probable of its class, as many as the confusion of labels with verdicts predicts.

    Parameters
    ----------
    truth: labels (n,), of `classes`. probability: (n, k), calibrated and held out.

    Returns
    -------
    Row numbers and class numbers. None where fewer than two classes have labels.
    """
    none = np.zeros(0, np.int64)
    number = {name: i for i, name in enumerate(classes)}
    label = np.array([number[name] for name in truth], np.int64)
    present = np.unique(label)
    p = probability[:, present]
    # A model that never saw a class gives it nothing: nobody is doubted on its account.
    known = p.max(0, initial=0) > 0
    rows = np.flatnonzero(np.isin(label, present[known]))
    present, p = present[known], p[:, known][rows]
    if len(present) < 2 or len(rows) < 2:
        return none, none
    # Two seconds to import.
    from cleanlab.filter import find_label_issues

    total = p.sum(1, keepdims=True)
    p = np.where(total > 0, p / np.maximum(total, 1e-12), 1 / len(present))
    found = find_label_issues(
        np.searchsorted(present, label[rows]),
        p,
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
        verbose=False,
    )
    rather = present[p[found].argmax(1)]
    doubted = np.asarray(rows[found], np.int64)
    keep = rather != label[doubted]
    return doubted[keep], rather[keep]
