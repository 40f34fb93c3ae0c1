"""What limits on what people may see cost: first and second visits to pages, role by role.

    python -m benchmarks.roles STORE [--locale TAG]

STORE is a scored store; people are added to a copy of it that shares its files. Everybody signs in
through a local provider, at a server of their own that has just started, and opens pages in
Chromium; a visit ends when the page has run. Prints Markdown for docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from data.schema.access import Role
from data.store.people import set_user
from data.store.store import Store
from tests.browser import browse
from tests.pages.test_sign_in import guarded, settle

_PAGES = ("", "triage", "model")
_PATIENCE_MS = 120_000


def visits(store: Store, person: str, folder: Path) -> dict[str, tuple[float, float]]:
    """Seconds of a person's first and second visit to each page.

    The first to Overview is where the provider leads back to.
    """
    found = {}
    with guarded(store, folder) as address, browse() as watch:
        page = watch.page
        page.set_default_timeout(_PATIENCE_MS)
        page.goto(address)
        settle(watch)
        page.get_by_role("button", name="Sign in").click()
        me = page.get_by_role("button", name=person, exact=True)
        me.wait_for()

        def signed_in() -> None:
            me.click()
            page.get_by_role("button", name="Sign out").wait_for()

        for name in _PAGES:
            seconds = []
            for number in range(2):
                began = time.perf_counter()
                if name or number:
                    page.goto(f"{address}/{name}", wait_until="commit")
                else:
                    signed_in()
                settle(watch)
                seconds.append(time.perf_counter() - began)
            found[name or "overview"] = (seconds[0], seconds[1])
    return found


def main(path: Path, locale: str) -> None:
    """Print a table with a row per role."""
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        copy = Path(name) / "store"
        # A lock that both stores shared would be one lock.
        unshared = shutil.ignore_patterns(".lock", "*.lock", "*.held")
        shutil.copytree(path, copy, copy_function=os.link, ignore=unshared)
        store = Store.open(copy)
        people: Sequence[tuple[str, str, Role, tuple[str, ...]]] = (
            ("admin", "ada@example.org", "admin", ()),
            ("triager", "tom@example.org", "triager", ()),
            (f"triager of {locale}", "ann@example.org", "triager", (locale,)),
            ("viewer", "vera@example.org", "viewer", ()),
        )
        for _, person, role, locales in people:
            set_user(store, person, role, locales=locales)
        print("| role | " + " | ".join(page or "overview" for page in _PAGES) + " |")
        print("|---|" + "---:|" * len(_PAGES))
        for title, person, _, _ in people:
            times = visits(store, person, Path(name))
            cells = (f"{first:.1f}, {second:.1f} s" for first, second in times.values())
            print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--locale", default="en-GB", help="that of the limited triager")
    asked = parser.parse_args()
    main(asked.store.resolve(), asked.locale)
