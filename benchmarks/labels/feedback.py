"""What users' behaviour says about defects, measured where the truth is known.

    python -m benchmarks.labels.feedback CORPORA [--turns N] [--seed N]

CORPORA has the folder `goals` and the older corpora beside it; without it, only the reference
assistant is measured. Two tables: the signals, and label models that were fitted without any
annotation. Those of crowd-kit and Snorkel are measured if they are installed (neither is needed):
pip install crowd-kit snorkel
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa

from assistant.demo import Setup, write_demo
from data.ingest.ingest import ingest
from data.store.snapshot import Snapshot
from data.store.store import Store
from labels.feedback.label_model import RATE, fit
from labels.feedback.quality import measures, quality, repaired, truth
from labels.feedback.sessions import friction
from labels.feedback.signals import SIGNALS
from labels.feedback.table import collect
from labels.feedback.waterfall import decide
from rewrites.interpretations import Counts, total
from rewrites.success import estimate

CORPORA = ("dstc1", "dstc2", "lia", "uss", "dbdc3")
# One dialogue in so many is held out: nothing was chosen by them.
HELD_OUT = 3
_NAMES = [signal.name for signal in SIGNALS]


@dataclass(frozen=True)
class Logs:
    """Signals of one corpus, what is known about its turns, and what friction was logged."""

    name: str
    table: pa.Table
    known: pa.Table
    repaired: pa.Table
    friction: list[pa.Table]

    @classmethod
    def of(cls, name: str, snapshot: Snapshot) -> Logs:
        return cls(
            name,
            collect(snapshot),
            truth(snapshot),
            repaired(snapshot),
            # Pauses that are made up part no sessions.
            list(friction(snapshot, gap_s=45.0 if name == "demo" else 1e6)),
        )

    def held_out(self) -> np.ndarray:
        """The turns of the dialogues held out, boolean (turns,)."""
        return np.array(
            [
                crc32(str(name).encode()) % HELD_OUT == 0
                for name in self.table["dialogue_id"].to_pylist()
            ]
        )

    def defect(self) -> np.ndarray:
        """1 for a defect, 0 for none, NaN where it is not known, float64 (turns,)."""
        known = dict(
            zip(self.known["turn_id"].to_pylist(), self.known["defect"].to_pylist(), strict=True)
        )
        values = [known.get(name) for name in self.table["turn_id"].to_pylist()]
        return np.array([np.nan if value is None else float(value) for value in values])


def logs(corpora: Path | None, turns: int, seed: int, folder: Path) -> Iterator[Logs]:
    """The reference assistant, with gold on every turn, and the corpora."""
    setup = Setup(homes=120, gold=1.0)
    report = write_demo(folder / "demo", turns, seed, 60, setup=setup, processes=1)
    paths = {"demo": report.traces}
    if corpora is not None:
        for name in CORPORA:
            found = [corpora / f"{name}.jsonl.gz", corpora / "goals" / f"{name}.jsonl.gz"]
            paths.update((name, file) for file in found if file.is_file())
    for name, path in paths.items():
        store = Store.create(folder / f"{name}-store")
        ingest(store, [path])
        with store.snapshot() as snapshot:
            yield Logs.of(name, snapshot)


def votes(table: pa.Table) -> np.ndarray:
    """What each signal says of each turn: 1 defect, 0 none, -1 nothing, int64 (turns, signals)."""
    columns = table.select(_NAMES).to_pandas()
    cast = np.full((len(columns), len(_NAMES)), -1)
    for number, signal in enumerate(SIGNALS):
        cast[columns[signal.name].eq(True).fillna(False).to_numpy(bool), number] = signal.defect
    return cast


def majority(given: Logs) -> np.ndarray:
    cast = votes(given.table)
    bad, good = (cast == 1).sum(axis=1), (cast == 0).sum(axis=1)
    shares: np.ndarray = (bad + RATE) / (bad + good + 1)
    return shares


def waterfall(given: Logs) -> np.ndarray:
    decided = decide(given.table)["defect"].to_pylist()
    return np.array([RATE if value is None else float(value) for value in decided])


def crowd_kit(given: Logs) -> np.ndarray:
    """Dawid–Skene: every signal that can be observed votes, for or against."""
    from crowdkit.aggregation import DawidSkene

    columns = given.table.select(_NAMES).to_pandas()
    rows = []
    for signal in SIGNALS:
        fires = columns[signal.name].eq(True).fillna(False).to_numpy(bool)
        # Users who don't answer a question say nothing.
        says = fires if signal.kind == "explicit" else columns[signal.name].notna().to_numpy()
        label = np.where(fires, signal.defect, not signal.defect).astype(int)
        task = np.flatnonzero(says)
        rows.append(pd.DataFrame({"task": task, "worker": signal.name, "label": label[says]}))
    shares = DawidSkene(n_iter=100).fit(pd.concat(rows)).probas_
    p = np.full(len(columns), RATE)
    p[shares.index] = shares[1]
    return p


def snorkel(given: Logs) -> np.ndarray:
    """The label model of Ratner et al. (2019); signals that don't fire abstain."""
    from snorkel.labeling.model import LabelModel

    cast = votes(given.table)
    some = cast[:, (cast >= 0).any(axis=0)]
    model = LabelModel(cardinality=2, verbose=False)
    model.fit(some, n_epochs=300, seed=0, progress_bar=False, class_balance=[1 - RATE, RATE])
    p: np.ndarray = model.predict_proba(some)[:, 1]
    return np.where((some >= 0).any(axis=1), p, RATE)


def requests(given: Logs) -> np.ndarray:
    """The label model of rewrites, which also knows what else became of the same request."""
    counted = total(Counts.of(table) for table in given.friction)
    failed = estimate(counted).failed
    p: dict[str, float] = {}
    for table in given.friction:
        cells = failed[counted.cell_of(table)]
        names: list[Any] = table["turn_id"].to_pylist()
        p.update(zip(names, cells.tolist(), strict=True))
    return np.array([p.get(str(name), RATE) for name in given.table["turn_id"].to_pylist()])


def ours(given: Logs) -> np.ndarray:
    return fit(given.table).p_defect(given.table)


MODELS: dict[str, Callable[[Logs], np.ndarray]] = {
    "majority vote": majority,
    "waterfall": waterfall,
    "Dawid–Skene (crowd-kit)": crowd_kit,
    "Snorkel": snorkel,
    "label model of rewrites": requests,
    "latent classes over groups (default)": ours,
}


def compared(given: Logs) -> list[dict[str, float | str]]:
    """One row per label model, on the dialogues held out; those not installed are left out."""
    defect = given.defect()
    mine = given.held_out() & ~np.isnan(defect)
    rows: list[dict[str, float | str]] = []
    for name, model in MODELS.items():
        try:
            p = model(given)
        except ImportError:
            continue
        rows.append({"corpus": given.name, "model": name, "turns": int(mine.sum()),
                     **measures(p[mine], defect[mine].astype(bool))})  # fmt: skip
    return rows


def signal_table(given: list[Logs]) -> list[str]:
    """The section's table of signals, as lines of Markdown."""
    lines = [
        "| signal | " + " | ".join(some.name for some in given) + " |",
        "|---|" + "---:|" * len(given),
    ]
    qualities = [quality(some.table, some.known).set_index("signal") for some in given]
    for signal in SIGNALS:
        cells = []
        for of in qualities:
            row = of.loc[signal.name]
            if not row["turns"]:
                cells.append("not logged")
            elif not row["fires"]:
                cells.append("never fires")
            else:
                cells.append(
                    f"{_p(row['precision'])} ({_p(row['low'])}–{_p(row['high'])}) · "
                    f"{_p(row['coverage'])} · {int(row['fires']):,}"
                )
        points = "" if signal.defect else " (success)"
        lines.append(f"| `{signal.name}`{points} | " + " | ".join(cells) + " |")
    bases = [float(np.nanmean(some.defect())) for some in given]
    lines.append("| *defect rate* | " + " | ".join(_p(base) for base in bases) + " |")
    return lines


def repair_table(given: list[Logs]) -> list[str]:
    """Signals against the corrections that gold marks, where it does."""
    lines: list[str] = []
    for some in given:
        if not some.repaired.num_rows:
            continue
        marked = set(some.repaired["turn_id"].to_pylist())
        ids = some.table["turn_id"].to_pylist()
        known = pa.table({"turn_id": ids, "defect": [name in marked for name in ids]})
        found = quality(some.table, known).set_index("signal")
        lines += [f"| {some.name}: signal | fires | precision | coverage |", "|---|---:|---:|---:|"]
        for name, row in found[found["defect"] & (found["fires"] > 0)].iterrows():
            lines.append(
                f"| `{name}` | {row['fires']:,} | {_p(row['precision'])} ({_p(row['low'])}–"
                f"{_p(row['high'])}) | {_p(row['coverage'])} |"
            )
        lines.append(f"| *share of turns that are corrected* | | {len(marked) / len(ids):.2f} | |")
    return lines


def model_table(rows: list[dict[str, float | str]]) -> list[str]:
    """Label models by corpus: average precision of a defect, Brier score, calibration error."""
    frame = pd.DataFrame(rows)
    corpora = list(dict.fromkeys(frame["corpus"]))
    lines = ["| label model | " + " | ".join(corpora) + " |", "|---|" + "---:|" * len(corpora)]
    for name in dict.fromkeys(frame["model"]):
        cells = []
        for corpus in corpora:
            (row,) = frame[(frame["model"] == name) & (frame["corpus"] == corpus)].to_dict(
                "records"
            )
            cells.append(f"{row['average_precision']:.3f} · {row['brier']:.3f} · {row['ece']:.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    first = frame.drop_duplicates("corpus")
    lines.append(
        "| *everything gets the defect rate* | "
        + " | ".join(f"{b:.3f} · {b * (1 - b):.3f} · 0" for b in first["base"])
        + " |"
    )
    lines.append("| *turns* | " + " | ".join(f"{n:,}" for n in first["turns"]) + " |")
    return lines


def section(corpora: Path | None, turns: int = 12_000, seed: int = 8) -> str:
    """The section on feedback of docs/labels.md, with its tables, measured again."""
    with TemporaryDirectory() as temporary:
        given = list(logs(corpora, turns, seed, Path(temporary)))
    rows = [row for some in given for row in compared(some)]
    parts = [
        "Signals: precision (95 % interval over dialogues) · coverage · times fired. Coverage is "
        "the share of the defects that a signal finds, or of the successes.",
        "\n".join(signal_table(given)),
        "\n".join(repair_table(given)),
        "Label models, fitted without annotation: average precision of a defect · Brier score · "
        "expected calibration error, on the third of the dialogues by which nothing was chosen.",
        "\n".join(model_table(rows)),
    ]
    return "\n\n".join(part for part in parts if part)


def _p(share: Any) -> str:
    return "–" if share != share else f"{share:.2f}".removeprefix("0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="?", type=Path)
    parser.add_argument("--turns", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=8)
    given = parser.parse_args()
    print(section(given.corpora, given.turns, given.seed))


if __name__ == "__main__":
    main()
