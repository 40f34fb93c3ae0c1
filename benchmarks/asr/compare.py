"""Compare the noisy channel with real speech: two Markdown tables for docs/evaluation.md.

    python -m benchmarks.asr.compare [TURNS=2000] [CHANNEL=5 × TURNS]

The same world is simulated twice: CHANNEL turns with the channel, and TURNS turns with espeak-ng →
room → pocketsphinx. The first table compares the recognisers' errors. For the second, a classifier
is trained on fully annotated channel turns and tested on held-out dialogues of the channel and on
all turns of real speech.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assistant.demo import Setup
from assistant.stages import LOCALES
from benchmarks.asr.error_statistics import (
    Errors,
    Turn,
    measure,
)
from benchmarks.asr.real_speech import RealSpeech
from benchmarks.demo import HELD_OUT, Demo, fitted, make, of_model
from data.schema.trace import FAILURE_POINTS

TURNS = 2000


def transcripts(demo: Demo, locale: str = "") -> list[Turn]:
    """True words and n-best list of the turns addressed to the assistant, of one locale or all."""
    gold = demo.truth["gold"]
    columns = (
        pc.struct_field(gold, "addressed"),
        demo.turns["locale"],
        pc.struct_field(gold, "transcript"),
        pc.struct_field(demo.turns["asr"], "hypotheses"),
    )
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return [
        (truth or "", [(row["text"], row["confidence"]) for row in n_best or ()])
        for addressed, its_locale, truth, n_best in rows
        if addressed and locale in ("", its_locale)
    ]


def errors(columns: dict[str, list[Turn]]) -> list[str]:
    """Error statistics, one column for each set of turns."""
    statistics = {name: measure(turns) for name, turns in columns.items() if _spoken(turns)}
    figures: list[tuple[str, Any]] = [
        ("turns", lambda e: f"{e.turns:,}"),
        ("words in a turn", lambda e: f"{e.words:.1f}"),
        ("word error", lambda e: _percent(e.word_error)),
        ("turns with an error", lambda e: _percent(e.turn_error)),
        ("of the errors: substitutions", lambda e: _percent(e.substituted)),
        ("… deletions", lambda e: _percent(e.deleted)),
        ("… insertions", lambda e: _percent(e.inserted)),
        ("… that the 5-best list repairs", lambda e: _percent(e.gain)),
        ("AUC of confidence", lambda e: "–" if math.isnan(e.auc) else f"{e.auc:.3f}"),
        ("median confidence", lambda e: f"{e.confident:.3f}"),
    ]
    bands = sorted({low for each in statistics.values() for low, _, _ in each.bands})
    figures += [
        (f"wrong turns at confidence {low:.1f}–{low + 0.2:.1f} (share of turns)", _band(low))
        for low in bands
    ]
    return [
        "| | " + " | ".join(statistics) + " |",
        "|---|" + "---:|" * len(statistics),
        *(
            f"| {name} | " + " | ".join(show(each) for each in statistics.values()) + " |"
            for name, show in figures
        ),
    ]


def _spoken(turns: Sequence[Turn]) -> bool:
    return any(truth.split() for truth, _ in turns)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _band(low: float) -> Any:
    def show(each: Errors) -> str:
        for lower, share, bad in each.bands:
            if lower == low:
                return f"{_percent(bad)} ({_percent(share)})"
        return "–"

    return show


def scores(columns: dict[str, dict[str, Any]]) -> list[str]:
    """Quality of the verdicts, one column for each set of turns."""
    rows = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    cells = [f"{each['turns']:,}" for each in columns.values()]
    rows.append("| turns | " + " | ".join(cells) + " |")
    cells = []
    for each in columns.values():
        low, high = each["intervals"]["macro_f1"]
        cells.append(f"{each['macro_f1']:.3f} ({low:.3f}–{high:.3f})")
    rows.append("| macro-F1 (95 %) | " + " | ".join(cells) + " |")
    for name in FAILURE_POINTS:
        of_class = [each["classes"][name] for each in columns.values()]
        cells = [f"{row['f1']:.3f} of {row['support']:,}" for row in of_class]
        rows.append(f"| F1 {name} | " + " | ".join(cells) + " |")
    cells = [f"{each['accuracy']:.3f}" for each in columns.values()]
    return [*rows, "| accuracy | " + " | ".join(cells) + " |"]


def main(turns: int = TURNS, channel_turns: int | None = None) -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory(prefix="faultline-speech-") as name:
        folder = Path(name)
        channel = make(folder / "channel", channel_turns or 5 * turns, Setup(gold=1.0))
        began = time.perf_counter()
        speech = make(folder / "speech", turns, Setup(gold=1.0, adapt=RealSpeech()))
        print(f"Real speech took {time.perf_counter() - began:.0f} s.\n")
        columns = {"channel": transcripts(channel), "real speech": transcripts(speech)}
        columns |= {f"real speech, {locale}": transcripts(speech, locale) for locale in LOCALES}
        print("\n".join(errors(columns)), flush=True)

        names, dialogue = np.unique(channel.dialogues, return_inverse=True)
        test = (np.random.default_rng(61).random(len(names)) < HELD_OUT)[dialogue]
        model = fitted(channel.turns.filter(pa.array(~test)))
        everything = np.ones(speech.turns.num_rows, bool)
        print(f"\nA classifier trained on {(~test).sum():,} channel turns:\n")
        results = {
            "channel, held out": of_model(channel, test, model),
            "real speech": of_model(speech, everything, model),
        }
        print("\n".join(scores(results)))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
