"""Measures again what documents state, and writes the tables into them.

    python -m benchmarks.document rewrites|labels|later|cold CORPORA [PART...]
    python -m benchmarks.document peers|capacity STORE

CORPORA has the folders `rewrites` and `goals` and the corpora beside them; parts that need them
are left as they are where they are not there. STORE is a scored store. In a document, each table
stands between `<!-- PART -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_REWRITES, _SERVER = Path("docs/rewrites.md"), Path("docs/rewrite-server.md")
_EVALUATION = Path("docs/evaluation.md")
_LABELS, _TEACHING = Path("docs/labels.md"), Path("docs/teaching.md")
_PEERS, _SCALE = Path("docs/benchmarks.md"), Path("docs/scale.md")
# Subject → part → its document, and the benchmark that prints it; {folder} is the folder given.
PARTS: Mapping[str, Mapping[str, tuple[Path, tuple[str, ...]]]] = {
    "rewrites": {
        "replay": (_REWRITES, ("benchmarks.rewrites.replay", "{folder}/rewrites")),
        "assistant": (_REWRITES, ("benchmarks.rewrites.assistant",)),
        "feedback": (_REWRITES, ("benchmarks.rewrites.feedback",)),
        "online": (_SERVER, ("benchmarks.rewrites.online", "{folder}/rewrites")),
    },
    "labels": {
        "signals": (_LABELS, ("benchmarks.labels.feedback", "{folder}")),
        "goals": (_LABELS, ("benchmarks.labels.goals", "{folder}")),
        "frames": (_LABELS, ("benchmarks.labels.frames", "{folder}")),
        "failure-points": (_LABELS, ("benchmarks.labels.failure_points", "{folder}")),
        "demo": (_LABELS, ("benchmarks.labels.demo",)),
        "teaching": (_TEACHING, ("benchmarks.labels.teaching",)),
    },
    "peers": {
        "peers": (_PEERS, ("benchmarks.peers", "{folder}")),
    },
    "capacity": {
        "capacity": (_SCALE, ("benchmarks.capacity", "--measure", "{folder}")),
    },
    "later": {
        "later-logs": (_EVALUATION, ("benchmarks.later_logs", "{folder}")),
    },
    "cold": {
        "cold-start": (_EVALUATION, ("benchmarks.cold_start", "{folder}")),
        "first-annotations": (
            _EVALUATION,
            ("benchmarks.cold_start", "{folder}", "--part", "curve"),
        ),
        "warm-start": (
            _EVALUATION,
            (
                *("benchmarks.warm_start", "{folder}", "slurp", "dstc1", "dstc2", "world"),
                *("--draws", "2", "--turns", "2400"),
            ),
        ),
    },
}


def put(text: str, part: str, table: str) -> str:
    """A document with a part's table replaced; raises ValueError if it has no such part."""
    place = re.compile(rf"(<!-- {re.escape(part)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"the document has no <!-- {part} --> … <!-- end -->")
    return place.sub(lambda match: f"{match[1]}\n{table.strip()}\n\n{match[2]}", text, count=1)


def main(subject: str, folder: Path, parts: list[str]) -> None:
    for part in parts or PARTS[subject]:
        document, (module, *arguments) = PARTS[subject][part]
        if any("{folder}" in argument for argument in arguments) and not folder.is_dir():
            print(f"{part}: no folder {folder}; left as it is")
            continue
        given = [argument.format(folder=folder) for argument in arguments]
        print(f"{part}: {module}", flush=True)
        ran = subprocess.run(
            [sys.executable, "-m", module, *given], check=True, stdout=subprocess.PIPE, text=True
        )
        document.write_text(put(document.read_text("utf-8"), part, ran.stdout), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in PARTS:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
