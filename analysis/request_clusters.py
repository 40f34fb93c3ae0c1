"""Groups of similar requests in a slice, named by the words that set each group apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from labels.normalise import normalise

# Distinct texts that are looked at, the commonest first.
MOST_TEXTS = 1_000
# Requests at a cosine of at least about this to each other on average are alike.
ALIKE = 0.5


class Encodes(Protocol):
    """What is needed of `classifiers.encoder.Encoder`."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, shape (len(texts), size)."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that are alike.

    Attributes
    ----------
    name: the words that set the group apart. typical: the request nearest to its middle.
    turns: that made the requests. texts: distinct requests, the commonest first.
    """

    name: str
    typical: str
    turns: int
    texts: tuple[str, ...]


def groups(
    texts: Sequence[str | None], encoder: Encodes, *, least: int = 2, top: int = 8, words: int = 3
) -> list[Group]:
    """Group what was heard on the turns of a slice; the largest groups first.

    Average-linkage clustering of the distinct texts by cosine distance, cut at 1 - `ALIKE`: the
    same texts give the same groups in any order. A group needs `least` distinct texts or `least`
    turns. Names: class-based TF-IDF (Grootendorst 2022, BERTopic, eq. 2), where a word weighs by
    its count in the group times log(1 + mean words of a group / its count in all groups).
    """
    counted = Counter(normalise(text) for text in texts if text and text.strip())
    counted.pop("", None)
    chosen = sorted(counted, key=lambda text: (-counted[text], text))[:MOST_TEXTS]
    if not chosen:
        return []
    vectors = np.asarray(encoder.encode(chosen), float)
    labels = np.zeros(len(chosen), int)
    if len(chosen) > 1:
        labels = AgglomerativeClustering(
            n_clusters=None, distance_threshold=1 - ALIKE, metric="cosine", linkage="average"
        ).fit_predict(vectors)
    members: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(int(label), []).append(place)
    names = _names([[chosen[at] for at in places] for places in members.values()], counted, words)
    found = []
    for places, name in zip(members.values(), names, strict=True):
        turns = sum(counted[chosen[at]] for at in places)
        if max(turns, len(places)) < least:
            continue
        shares = np.array([counted[chosen[at]] for at in places], float)
        middle = (shares[:, None] * vectors[places]).sum(0)
        # Rounded, as the last bits of a product depend on the machine.
        typical = places[int(np.argmax(np.round(vectors[places] @ middle, 6)))]
        found.append(Group(name, chosen[typical], turns, tuple(chosen[at] for at in places)))
    return sorted(found, key=lambda group: (-group.turns, group.typical))[:top]


def _names(groups: Sequence[Sequence[str]], turns: Counter[str], words: int) -> list[str]:
    """The `words` words of each group with the greatest class-based TF-IDF, in spoken order."""
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
        telling = [word for word in spoken if word not in ENGLISH_STOP_WORDS] or list(spoken)
        telling.sort(key=lambda w: (-spoken[w] * np.log1p(mean / everywhere[w]), w))
        kept = set(telling[:words])
        first = texts[0].split()
        # In the order of the commonest request, the rest after it.
        order = {word: place for place, word in reversed(list(enumerate(first)))}
        ranked = sorted(kept, key=lambda w: (order.get(w, len(first)), telling.index(w)))
        names.append(" ".join(ranked))
    return names
