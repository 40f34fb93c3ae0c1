"""Values that users asked for and that the assistant named: what is new, what is replaced.

A goal often ends where a wanted value is replaced by another. The values of a slot are those that
the NLU found in the turns that the model was trained on; where no NLU is logged there are none, and
all columns are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from labels.generated.dialogues import Dialogues
from labels.generated.words import words

COLUMNS = (
    "wanted now",
    "wanted first",
    "wanted again",
    "wanted instead",
    "support of replacement",
    "support of replaced",
    "wanted so far",
    "named now",
    "named instead",
    "named again",
    "named as wanted",
    "named against wanted",
    "wanted against named",
    "turns since replacement",
)
_LONGEST = 4
# A value of more than this many slots' turns is kept; one seen once may be a slip of the NLU.
_MOST_VALUES = 20_000


@dataclass(frozen=True, slots=True)
class Values:
    """Which slot a run of words is a value of."""

    slot: Mapping[str, str]

    @classmethod
    def fit(cls, dialogues: Dialogues) -> Values:
        """Values that the NLU found at least twice, the most frequent slot of each."""
        counts: dict[str, dict[str, int]] = {}
        for slots in dialogues.slots:
            for name, value in slots:
                key = " ".join(words(value))
                if key:
                    of = counts.setdefault(key, {})
                    of[name] = of.get(name, 0) + 1
        kept = sorted(
            (v for v, of in counts.items() if sum(of.values()) > 1),
            key=lambda v: (-sum(counts[v].values()), v),
        )[:_MOST_VALUES]
        return cls({v: max(sorted(counts[v]), key=counts[v].__getitem__) for v in kept})

    def found(self, text: str) -> dict[str, str]:
        """The last value of each slot that `text` holds, longer runs of words before shorter."""
        if not self.slot or not text:
            return {}
        said, at, result = words(text), 0, {}
        while at < len(said):
            for size in range(min(_LONGEST, len(said) - at), 0, -1):
                run = " ".join(said[at : at + size])
                if run in self.slot:
                    result[self.slot[run]] = run
                    at += size
                    break
            else:
                at += 1
        return result

    def columns(self, dialogues: Dialogues) -> np.ndarray:
        """`COLUMNS` of each turn, float32; NaN where no NLU values are known; (n, len(COLUMNS))."""
        n = len(dialogues)
        x = np.full((n, len(COLUMNS)), np.nan, np.float32)
        if not self.slot:
            return x
        named_in: dict[str, dict[str, str]] = {}
        wanted: dict[str, str] = {}
        named: dict[str, str] = {}
        replaced_at = -1
        for i in range(n):
            if dialogues.position[i] == 0:
                text = dialogues.prompt[i]
                wanted, named, replaced_at = {}, dict(self.found(text)), -1
            now = {name: " ".join(words(v)) for name, v in dialogues.slots[i]}
            instead = {k: v for k, v in now.items() if k in wanted and wanted[k] != v}
            new = [k for k in now if k not in wanted]
            against = sum(1 for k, v in now.items() if k in named and named[k] != v)
            response = dialogues.response[i]
            if response not in named_in:
                named_in[response] = self.found(response)
            answer = named_in[response]
            if instead:
                replaced_at = i
            support = self._support(dialogues, i, list(instead.values()))
            kept = self._support(dialogues, i, [wanted[k] for k in instead])
            wanted = wanted | now
            x[i] = (
                len(now),
                len(new),
                len(now) - len(new) - len(instead),
                len(instead),
                support,
                kept,
                len(wanted),
                len(answer),
                sum(1 for k, v in answer.items() if k in named and named[k] != v),
                sum(1 for k, v in answer.items() if named.get(k) == v),
                sum(1 for k, v in answer.items() if wanted.get(k) == v),
                sum(1 for k, v in answer.items() if k in wanted and wanted[k] != v),
                against,
                i - replaced_at if replaced_at >= 0 else np.nan,
            )
            named = named | answer
        return x

    @staticmethod
    def _support(dialogues: Dialogues, row: int, values: list[str]) -> float:
        """Largest share of the recogniser's hypotheses that hold one of `values`."""
        if not values:
            return float("nan")
        heard = [dialogues.request[row], *dialogues.others[row]]
        joined = [f" {' '.join(words(h))} " for h in heard]
        return max(sum(f" {v} " in j for j in joined) / len(joined) for v in values)
