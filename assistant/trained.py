"""A folder of trained components stores the settings that they were trained with."""

from __future__ import annotations

from pathlib import Path

import orjson

from assistant.releases import PARTS
from data.errors import UsageError

NAME = "trained-with.json"


def agree(folder: Path, **settings: object) -> None:
    """Write the settings into a new folder; in a used folder, compare them with those stored there.

    Raises
    ------
    UsageError: the folder's components were trained with other settings.
    """
    requested = {name: repr(value) for name, value in settings.items()}
    path = folder / NAME
    if not path.exists():
        if any((folder / part).exists() for part in PARTS):
            raise UsageError(
                f"{folder} has trained components but no {NAME} that says with which settings; "
                "give an empty folder."
            )
        path.write_bytes(orjson.dumps(requested, option=orjson.OPT_INDENT_2))
        return
    stored = orjson.loads(path.read_bytes())
    differing = sorted(name for name in requested if stored.get(name) != requested[name])
    if differing:
        raise UsageError(
            f"The components in {folder} were trained with another {' and '.join(differing)}; "
            "give an empty folder, or the settings that they were trained with."
        )
