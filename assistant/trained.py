"""A folder of trained components remembers the settings that they were trained with."""

from __future__ import annotations

from pathlib import Path

import orjson

from assistant.releases import PARTS
from data.errors import UsageError

NAME = "trained-with.json"


def agree(folder: Path, **settings: object) -> None:
    """Write the settings into a fresh folder; in a used one, compare them with those in there.

    Raises
    ------
    UsageError: the folder's components were trained with others.
    """
    asked = {name: repr(value) for name, value in settings.items()}
    place = folder / NAME
    if not place.exists():
        if any((folder / part).exists() for part in PARTS):
            raise UsageError(
                f"{folder} has trained components but no {NAME} that says with which settings; "
                "give an empty folder."
            )
        place.write_bytes(orjson.dumps(asked, option=orjson.OPT_INDENT_2))
        return
    found = orjson.loads(place.read_bytes())
    other = sorted(name for name in asked if found.get(name) != asked[name])
    if other:
        raise UsageError(
            f"The components in {folder} were trained with another {' and '.join(other)}; give an "
            "empty folder, or the settings that they were trained with."
        )
