"""Measures rewrites again, and writes the tables into its documents.

    python -m benchmarks.rewrites.document CORPORA [PART...]

CORPORA has the folder `rewrites` and the corpora beside it; parts that need it are left as they
are where it is not there. In a document, each table stands between `<!-- PART -->` and
`<!-- end -->`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT, SERVER = Path("docs/rewrites.md"), Path("docs/rewrite-server.md")
# Part → its document, and the benchmark that prints it; {corpora} is the folder of the corpora.
PARTS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "replay": (DOCUMENT, ("benchmarks.rewrites.replay", "{corpora}/rewrites")),
    "assistant": (DOCUMENT, ("benchmarks.rewrites.assistant",)),
    "feedback": (DOCUMENT, ("benchmarks.rewrites.feedback",)),
    "online": (SERVER, ("benchmarks.rewrites.online", "{corpora}/rewrites")),
}


def put(text: str, part: str, table: str) -> str:
    """A document with a part's table replaced; raises ValueError if it has no such part."""
    place = re.compile(rf"(<!-- {re.escape(part)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"the document has no <!-- {part} --> … <!-- end -->")
    return place.sub(lambda match: f"{match[1]}\n{table.strip()}\n\n{match[2]}", text, count=1)


def main(corpora: Path, parts: list[str]) -> None:
    for part in parts or PARTS:
        document, (module, *arguments) = PARTS[part]
        if any("{corpora}" in argument for argument in arguments) and not corpora.is_dir():
            print(f"{part}: no corpora at {corpora}; left as it is")
            continue
        given = [argument.format(corpora=corpora) for argument in arguments]
        print(f"{part}: {module}", flush=True)
        ran = subprocess.run(
            [sys.executable, "-m", module, *given], check=True, stdout=subprocess.PIPE, text=True
        )
        document.write_text(put(document.read_text("utf-8"), part, ran.stdout), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
