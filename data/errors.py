"""Every error that a user can cause, as one tree.

A message says what was given, what was expected and what to do next. The command line prints it as
one sentence and exits with `exit_code`; nothing in this tree is ever shown as a traceback.
"""

from __future__ import annotations


class FaultlineError(Exception):
    """Base of every error that Faultline raises on purpose."""

    exit_code = 1


class UsageError(FaultlineError):
    """The request itself is wrong: an unknown column, a bad filter, an impossible path."""

    exit_code = 2


class StoreError(FaultlineError):
    """The store is missing, damaged, or not a store."""


class StoreMissing(StoreError):
    """There is no store at the path given."""


class StoreBusy(StoreError):
    """Another process has been writing for longer than the caller waits."""


class VersionGone(StoreError):
    """The requested version never existed or has been vacuumed."""

    @classmethod
    def vacuumed(cls, version: str) -> VersionGone:
        """The error for a version whose files have been deleted."""
        return cls(f"Version {version} has been vacuumed; open the latest version instead.")


class IngestError(FaultlineError):
    """An input cannot be read as traces at all."""


class TurnConflict(IngestError):
    """Records have the id of another turn, and nothing is to be stored then."""

    @classmethod
    def of(cls, records: int, turn_id: str | None, file: str) -> TurnConflict:
        """The error for a number of records, the first of them with this id in this file."""
        first = f", the first one '{turn_id[:80]}'" if turn_id is not None else ""
        return cls(
            f"{file}: {records} of the records have the id of another turn{first}; nothing was "
            "stored. Make the ids unique, or choose --on-conflict keep or replace."
        )


class ModelError(FaultlineError):
    """A model is missing, damaged, or does not fit the data."""


class NotInstalled(FaultlineError):
    """An optional package or a program that the request needs is not installed."""


class TextFileError(FaultlineError):
    """A file of phrases or words cannot be read; the message names the file and the line."""


class NotEnoughLabels(ModelError):
    """There are too few labelled turns to train or evaluate."""


class WorkerLost(FaultlineError):
    """A process that did part of the work was killed."""
