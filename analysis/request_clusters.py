"""Clusters of similar requests in a slice, named by the words that distinguish each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from labels.rules.normalise import normalise

# Distinct texts that are clustered at most, the commonest first.
MOST_TEXTS = 1_000
# Requests whose mean cosine similarity is at least about this form a cluster.
ALIKE = 0.5


class Encodes(Protocol):
    """The part of `classifiers.encoder.Encoder` that is needed here."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, shape (len(texts), size)."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """A cluster of similar requests.

    Attributes
    ----------
    name: the words that distinguish the cluster. typical: the request nearest to its centroid.
    turns: number of turns with these requests. texts: distinct requests, the commonest first.
    """

    name: str
    typical: str
    turns: int
    texts: tuple[str, ...]


def groups(
    texts: Sequence[str | None], encoder: Encodes, *, least: int = 2, top: int = 8, words: int = 3
) -> list[Group]:
    """Cluster the texts heard on the turns of a slice; the `top` largest clusters, largest first.

    Average-linkage clustering of the distinct texts by cosine distance, cut at 1 - `ALIKE`: the
    same texts give the same clusters in any order. A cluster needs `least` distinct texts or
    `least` turns. Names have `words` words, selected by class-based TF-IDF (Grootendorst 2022,
    BERTopic, eq. 2): the weight of a word is its count in the cluster times
    log(1 + mean words of a cluster / its count in all clusters).
    """
    counted = Counter(normalise(text) for text in texts if text and text.strip())
    counted.pop("", None)
    distinct = sorted(counted, key=lambda text: (-counted[text], text))[:MOST_TEXTS]
    if not distinct:
        return []
    vectors = np.asarray(encoder.encode(distinct), float)
    labels = np.zeros(len(distinct), int)
    if len(distinct) > 1:
        labels = AgglomerativeClustering(
            n_clusters=None, distance_threshold=1 - ALIKE, metric="cosine", linkage="average"
        ).fit_predict(vectors)
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(int(label), []).append(index)
    names = _names(
        [[distinct[index] for index in indices] for indices in members.values()], counted, words
    )
    clusters = []
    for indices, name in zip(members.values(), names, strict=True):
        turns = sum(counted[distinct[index]] for index in indices)
        if max(turns, len(indices)) < least:
            continue
        shares = np.array([counted[distinct[index]] for index in indices], float)
        centroid = (shares[:, None] * vectors[indices]).sum(0)
        # Rounded, as the last bits of a product depend on the machine.
        typical = indices[int(np.argmax(np.round(vectors[indices] @ centroid, 6)))]
        clusters.append(
            Group(name, distinct[typical], turns, tuple(distinct[index] for index in indices))
        )
    return sorted(clusters, key=lambda group: (-group.turns, group.typical))[:top]


def _names(groups: Sequence[Sequence[str]], turns: Counter[str], words: int) -> list[str]:
    """The `words` words of each cluster with the highest class-based TF-IDF, in spoken order."""
    counts = []
    for texts in groups:
        spoken: Counter[str] = Counter()
        for text in texts:
            for word in set(text.split()):
                spoken[word] += turns[text]
        counts.append(spoken)
    everywhere: Counter[str] = Counter()
    for spoken in counts:
        everywhere.update(spoken)
    mean = everywhere.total() / len(counts)
    names = []
    for texts, spoken in zip(groups, counts, strict=True):
        candidates = [word for word in spoken if word not in ENGLISH_STOP_WORDS] or list(spoken)
        candidates.sort(key=lambda w: (-spoken[w] * np.log1p(mean / everywhere[w]), w))
        best = set(candidates[:words])
        first = texts[0].split()
        # Words of the commonest request in their order, then the others.
        order = {word: position for position, word in reversed(list(enumerate(first)))}
        ranked = sorted(best, key=lambda w: (order.get(w, len(first)), candidates.index(w)))
        names.append(" ".join(ranked))
    return names
