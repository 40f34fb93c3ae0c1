"""What Faultline asks of an issue tracker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

State = Literal["open", "closed", "missing"]
# The label of every ticket that Faultline opens.
LABELS = ("faultline",)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as its tracker last described it.

    Attributes
    ----------
    tracker: its tracker's `name`. key: as people call it: `#12`, `VA-12`.
    url: its address, for people.
    state: "missing" where the tracker has none of this key, or does not show it.
    status: the tracker's own word: `open`, `In Progress`, `closed as completed`.
    closed_at: None where it is not closed, or the tracker does not say.
    """

    tracker: str
    key: str
    url: str
    state: State
    status: str
    closed_at: datetime | None = None

    def row(self) -> dict[str, Any]:
        """Its row of the store's table `tickets`; it was asked for just now."""
        return {**asdict(self), "checked_at": datetime.now(UTC)}


class Tracker(Protocol):
    """An issue tracker. Each method raises `TicketError` where the tracker cannot or will not.

    Attributes
    ----------
    name, title: "github", "GitHub". place: where tickets go: `owner/repository`.
    longest: characters that a ticket's body may have.
    """

    name: str
    title: str
    place: str
    longest: int

    def create(self, title: str, body: str) -> Ticket:
        """Open a ticket; `body` is Markdown. Not repeatable: a second call opens a second one."""
        ...

    def find(self, marker: str) -> Ticket | None:
        """The newest open ticket whose body contains `marker`, one word of letters and digits."""
        ...

    def state(self, key: str) -> Ticket:
        """A ticket as it is now. Raises `TicketMissing` if there is none of this key."""
        ...

    def key_of(self, url: str) -> str | None:
        """The key of the ticket at an address; None if it is not one of this tracker's."""
        ...
