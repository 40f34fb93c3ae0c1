"""Issues of a GitHub repository, on github.com or GitHub Enterprise Server.

https://docs.github.com/en/rest/issues/issues and https://docs.github.com/en/rest/search/search
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from requests.auth import AuthBase

from data.errors import TicketError, UsageError
from data.store.workspace import web_address
from tickets.http import Client
from tickets.tracker import LABELS, Ticket

API = "https://api.github.com"
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_VARIABLES = "FAULTLINE_GITHUB_TOKEN and FAULTLINE_GITHUB_REPOSITORY"
_VERSION = "2022-11-28"
# A title has at most so many characters.
_LONGEST_TITLE = 256
# The newest issues that are looked through; the search index may not know them yet.
_NEWEST = 100


class _Issue(msgspec.Struct):
    number: int
    html_url: str
    state: str
    state_reason: str | None = None
    closed_at: datetime | None = None
    body: str | None = None
    pull_request: Any = None


class _Found(msgspec.Struct):
    items: list[_Issue]


class _Bearer(AuthBase):
    # As an `auth`, so that requests does not look into ~/.netrc.
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self._token}"
        return r


class GitHub:
    """The issues of one repository; a `Tracker`.

    `base`: address of the REST API. Raises UsageError if `repository` is not `owner/name`.
    """

    name = "github"
    title = "GitHub"
    longest = 60_000

    def __init__(self, base: str, repository: str, token: str) -> None:
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(
                "FAULTLINE_GITHUB_REPOSITORY is not a repository; give it as owner/name."
            )
        self.place = repository
        self._issues = f"/repos/{repository}/issues"
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": _VERSION}
        self._client = Client(self.title, base, token, _Bearer(token), headers, _VARIABLES)

    def create(self, title: str, body: str) -> Ticket:
        """See `Tracker.create`. GitHub drops labels that the token may not set."""
        content = {"title": title[:_LONGEST_TITLE], "body": body, "labels": list(LABELS)}
        return self._ticket(self._client.post(self._issues, _Issue, content))

    def find(self, marker: str) -> Ticket | None:
        """See `Tracker.find`."""
        newest: dict[str, str | int] = {
            "state": "open",
            "sort": "created",
            "direction": "desc",
            "per_page": _NEWEST,
        }
        issues = self._client.get(self._issues, list[_Issue], newest)
        if (ticket := self._marked(issues, marker)) or len(issues) < _NEWEST:
            return ticket
        query = f'"{marker}" repo:{self.place} is:issue is:open in:body'
        params: dict[str, str | int] = {"q": query, "sort": "created", "order": "desc"}
        return self._marked(self._client.get("/search/issues", _Found, params).items, marker)

    def state(self, key: str) -> Ticket:
        """See `Tracker.state`. An issue that was moved to another repository is followed."""
        return self._ticket(self._client.get(f"{self._issues}/{key.removeprefix('#')}", _Issue, {}))

    def key_of(self, url: str) -> str | None:
        """See `Tracker.key_of`."""
        parts = urlsplit(url)
        match = re.fullmatch(rf"/{re.escape(self.place)}/issues/(\d+)", parts.path, re.IGNORECASE)
        return f"#{match[1]}" if match and parts.hostname == self._web_host() else None

    def _web_host(self) -> str | None:
        """The host of pages: that of the API, except on github.com and ghe.com."""
        return (urlsplit(self._client.base).hostname or "").removeprefix("api.")

    def _marked(self, issues: Sequence[_Issue], marker: str) -> Ticket | None:
        marked = (
            issue for issue in issues if issue.pull_request is None and marker in (issue.body or "")
        )
        return next(map(self._ticket, marked), None)

    def _ticket(self, issue: _Issue) -> Ticket:
        if not web_address(issue.html_url):
            raise TicketError(f"{self.title} gave no web address for issue #{issue.number}.")
        closed = issue.state == "closed"
        reason = (issue.state_reason or "").replace("_", " ")
        return Ticket(
            self.name,
            f"#{issue.number}",
            issue.html_url,
            "closed" if closed else "open",
            f"closed as {reason}" if closed and reason else issue.state,
            issue.closed_at if closed else None,
        )
