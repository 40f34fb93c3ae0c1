"""A plan of questions as a file, written by `faultline labels ask`, read where it is followed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson
import pyarrow as pa

from data.errors import UsageError, machine_error
from data.store.durability import replacing
from labels.feedback.asking import Asking
from labels.feedback.exploration import asking


class _Intent(msgspec.Struct):
    assistant: str
    intent: str
    propensity: Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Plan(msgspec.Struct):
    rate: Annotated[float, msgspec.Meta(gt=0)]
    intents: Annotated[list[_Intent], msgspec.Meta(min_length=1)]


def content(table: pa.Table, budget: float, rate: float) -> dict[str, Any]:
    """A table of `labels.feedback.exploration.plan` with its settings: what the file holds."""
    return {"budget": budget, "rate": rate, "intents": table.to_pylist()}


def write_plan(to: Path, plan: Mapping[str, Any]) -> None:
    """Write `content` to a file ending in .json.

    Raises UsageError for another ending, or a file that cannot be written.
    """
    target = to.expanduser()
    if target.suffix.lower() != ".json":
        raise UsageError(f"Cannot write a plan to '{target.name}'; its name must end in .json.")
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"Cannot write {target}; give a file in a folder that exists.")
    try:
        with replacing(target) as draft:
            draft.write_bytes(orjson.dumps(plan, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        problem = machine_error(error, target)
        raise problem or UsageError(f"Cannot write {target}: {error.strerror or error}.") from error


def read_plan(path: Path, seed: int = 0) -> Asking:
    """What an assistant needs to ask by the plan in a file, as `exploration.asking` has it.

    Raises UsageError where it cannot be read or holds no plan, with what is wrong in it.
    """
    try:
        plan = msgspec.json.decode(path.expanduser().read_bytes(), type=_Plan)
    except OSError as error:
        raise UsageError(
            f"Cannot read the plan {path}: {error.strerror or error}. {_WRITE}"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} holds no plan of questions: {error}. {_WRITE}") from error
    rows = [msgspec.structs.asdict(intent) for intent in plan.intents]
    return asking(pa.Table.from_pylist(rows), plan.rate, seed)


_WRITE = "Write one with: faultline labels ask --to plan.json"
