"""Labels that are likely wrong, by confident learning."""

from __future__ import annotations

import numpy as np

Suspects = tuple[np.ndarray, np.ndarray]


def suspects(truth: np.ndarray, probability: np.ndarray, classes: tuple[str, ...]) -> Suspects:
    """Rows whose label is probably wrong, the most doubtful first, and the class suggested instead.

    Confident learning (Northcutt, Jiang & Chuang 2021): a label is suspect if another class is
    more probable than that class is on average where it is the label, and if it is among the least
    probable labels of its class, as many as the confusion of labels with verdicts predicts.

    Parameters
    ----------
    truth: labels (n,), of `classes`. probability: (n, k), calibrated and out of fold.

    Returns
    -------
    Row numbers and class numbers, one each per suspect; both are empty where fewer than two classes
    have labels.
    """
    empty = np.zeros(0, np.int64)
    number = {name: i for i, name in enumerate(classes)}
    label = np.array([number[name] for name in truth], np.int64)
    present = np.unique(label)
    p = probability[:, present]
    # A class that the model did not learn has probability 0: its labels are not suspect.
    learned = p.max(0, initial=0) > 0
    rows = np.flatnonzero(np.isin(label, present[learned]))
    present, p = present[learned], p[:, learned][rows]
    if len(present) < 2 or len(rows) < 2:
        return empty, empty
    # Takes two seconds to import.
    from cleanlab.filter import find_label_issues

    total = p.sum(1, keepdims=True)
    p = np.where(total > 0, p / np.maximum(total, 1e-12), 1 / len(present))
    issues = find_label_issues(
        np.searchsorted(present, label[rows]),
        p,
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
        verbose=False,
    )
    suggested = present[p[issues].argmax(1)]
    suspect = np.asarray(rows[issues], np.int64)
    keep = suggested != label[suspect]
    return suspect[keep], suggested[keep]
