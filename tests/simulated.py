"""What the tests of simulated turns share: a small setup, and helpers to inspect its turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assistant.demo import Setup, simulate
from assistant.releases import PARTS, Assembly, Incident
from assistant.simulate import Simulated

SETUP = Setup(seed=3, days=30, homes=120)
TURNS = 2400


def train(folder: Path) -> Path:
    """Train the components of `SETUP` into a folder."""
    list(simulate(1, SETUP, processes=1, trained=folder))
    return folder


def run(trained: Path, turns: int = TURNS, processes: int = 2) -> list[Simulated]:
    """Turns of `SETUP` in order of time."""
    batches = simulate(turns, SETUP, processes=processes, trained=trained)
    return [turn for batch in batches for turn in batch]


def assembly(trained: Path) -> Assembly:
    """The stages of `SETUP`."""
    parts = {part: (trained / part).read_bytes() for part in PARTS}
    return Assembly(SETUP.world(), SETUP.timeline(), parts)


def concerns(incident: Incident, turn: Simulated) -> bool:
    """Whether a turn is one of those that an incident describes, whenever it was."""
    columns = _columns(turn.record)
    return all(columns[column] in values for column, values in incident.where.items())


def _columns(record: dict[str, Any]) -> dict[str, Any]:
    """The values that a trace record has in the columns of predictions that people filter by."""
    understood = record["nlu"]["hypotheses"][0] if record["nlu"]["hypotheses"] else {}
    return {
        "assistant": record["assistant"],
        "locale": record["locale"],
        "device_type": record["device"]["type"],
        "domain": understood.get("domain"),
        "intent": understood.get("intent"),
        **{f"version_{stage}": version for stage, version in record["versions"].items()},
    }
