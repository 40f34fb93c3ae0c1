"""Screenshots of the pages for the documentation: python -m docs.screenshots STORE [TURN].

`python -m docs.screenshots sources` takes those of the guides to other systems' logs instead: a
turn of each of the small logs that the tests have.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from data.ingest.adapters.adapter import Settings
from data.ingest.ingest import ingest
from data.queries.filters import Filter
from data.queries.overview import defects
from data.store.store import Store
from tests.browser import browse, served

IMAGES = Path(__file__).parent / "images"
# name, path, width in pixels, dark
SHOTS = (
    ("overview", "/", 1440, False),
    ("overview-dark", "/", 1440, True),
    ("overview-narrow", "/", 400, False),
    ("triage", "/triage?failing=er", 1440, False),
    ("triage-narrow", "/triage?failing=er", 400, False),
    ("turn", "/turn?turn={turn}", 1440, False),
    ("turn-dark", "/turn?turn={turn}", 1440, True),
    ("turn-narrow", "/turn?turn={turn}", 400, False),
    ("model", "/model", 1440, False),
    ("annotate", "/annotate", 1440, False),
    ("explore", "/explore", 1440, False),
    ("rewrites", "/rewrites", 1440, False),
    ("labels", "/labels", 1440, False),
    ("teaching", "/teaching", 1440, False),
    ("data", "/data", 1440, False),
)
# Triage searches for slices and Overview for change points before they can be shown.
_WAIT_MS = 4_000


# Logs of the tests by the name of their picture, and the mapping of a table.
_LOGS = Path(__file__).parent.parent / "tests" / "data" / "adapters"
_TABLE = (_LOGS / "tables" / "calls.csv", _LOGS / "tables" / "calls.toml")
# What went wrong is what people look for.
_TURN = """
SELECT turn_id FROM turns
ORDER BY len(asr.hypotheses) > 0 DESC, result.status IS NOT DISTINCT FROM 'no_match' DESC, turn_id
LIMIT 1
"""


def shoot_sources(to: Path = IMAGES / "sources") -> list[Path]:
    """Take a picture of a turn of every system's log; returns the files written."""
    to.mkdir(parents=True, exist_ok=True)
    logs = {path.stem: (path, None) for path in sorted((_LOGS / "own").iterdir())}
    files = []
    for name, (log, mapping) in {**logs, "table": _TABLE}.items():
        with tempfile.TemporaryDirectory() as folder:
            store = Store.create(Path(folder) / name)
            settings = Settings(mapping=mapping)
            ingest(store, [log], format="table" if mapping else None, settings=settings)
            with store.snapshot() as snapshot:
                turn = snapshot.query(_TURN).to_pylist()[0]["turn_id"]
            with served(store.path) as address, browse(width=1000, height=760) as watch:
                watch.page.goto(f"{address}/turn?turn={turn}")
                watch.settle()
                files.append(to / f"{name}.png")
                watch.page.screenshot(path=files[-1])
    return files


def shoot(store: Path, turn: str | None = None, to: Path = IMAGES) -> list[Path]:
    """Take every screenshot of one scored store; `turn` defaults to its most certain defect.

    Returns the files written. Exits with a message if the store has no model or no defect.
    """
    if turn is None:
        with Store.open(store).snapshot() as snapshot:
            if snapshot.model is None:
                sys.exit(f"The store {store} has no model: train and score it first.")
            page = defects(snapshot, snapshot.model, Filter(), order="most certain", rows=1)
            if page.num_rows == 0:
                sys.exit(f"The store {store} has no predicted defect; name a turn to show.")
            turn = str(page["turn_id"].to_pylist()[0])
    to.mkdir(parents=True, exist_ok=True)
    files = []
    with served(store) as address:
        for name, path, width, dark in SHOTS:
            with browse(width=width, dark=dark) as watch:
                watch.page.goto(address + path.format(turn=turn))
                watch.settle()
                if name.startswith("annotate"):
                    watch.page.get_by_role("textbox", name="Your name").fill("Ada")
                    watch.page.get_by_role("button", name="Start").click()
                watch.page.wait_for_timeout(_WAIT_MS)
                watch.settle()
                # The page scrolls within the window, so the window must be as high as the page.
                height = watch.page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
                shown = min(int(height) + 40, 4000)
                watch.page.set_viewport_size({"width": width, "height": shown})
                watch.settle()
                files.append(to / f"{name}.png")
                watch.page.screenshot(path=files[-1])
    return files


if __name__ == "__main__":
    if sys.argv[1:] == ["sources"]:
        for file in shoot_sources():
            print(file)
        sys.exit()
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    for file in shoot(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else None):
        print(file)
