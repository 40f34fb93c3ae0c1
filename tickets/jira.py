"""Issues of a project of Jira Cloud.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/ and
https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from requests.auth import HTTPBasicAuth

from charts.formatting import short
from data.errors import TicketError, UsageError
from data.store.workspace import web_address
from tickets.document_format import document
from tickets.http import Client, TicketRefused
from tickets.tracker import LABELS, State, Ticket

_PROJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]+")
_KEY = re.compile(r"[A-Z][A-Z0-9_]+-\d+")
_VARIABLES = (
    "FAULTLINE_JIRA_URL, FAULTLINE_JIRA_USER, FAULTLINE_JIRA_TOKEN and FAULTLINE_JIRA_PROJECT"
)
_ISSUE = "/rest/api/3/issue"
# A summary has at most so many characters.
_LONGEST_SUMMARY = 255


class _Created(msgspec.Struct):
    key: str


class _Category(msgspec.Struct):
    # "new", "indeterminate", "done".
    key: str


class _Status(msgspec.Struct):
    name: str
    statusCategory: _Category


class _Fields(msgspec.Struct):
    status: _Status
    resolutiondate: str | None = None
    description: Any = None


class _Issue(msgspec.Struct):
    key: str
    fields: _Fields


class _Found(msgspec.Struct):
    issues: list[_Issue]


class Jira:
    """The issues of one project; a `Tracker`.

    `base`: address of the site. Raises UsageError if `project` is not a project's key.
    """

    name = "jira"
    title = "Jira"
    # A description has at most 32,767 characters, of which formatting takes some.
    longest = 30_000

    def __init__(self, base: str, project: str, user: str, token: str, issue_type: str) -> None:
        if not _PROJECT.fullmatch(project):
            raise UsageError(
                "FAULTLINE_JIRA_PROJECT is not the key of a project; give one such as VA."
            )
        self.place = project.upper()
        self._issue_type = issue_type
        auth = HTTPBasicAuth(user.encode(), token.encode())
        headers = {"Accept": "application/json"}
        self._client = Client(self.title, base, token, auth, headers, _VARIABLES)

    def create(self, title: str, body: str) -> Ticket:
        """See `Tracker.create`. Without labels where the project has no field for them."""
        fields = {
            "project": {"key": self.place},
            "issuetype": {"name": self._issue_type},
            "summary": short(title, _LONGEST_SUMMARY),
            "description": document(body),
            "labels": list(LABELS),
        }
        try:
            created = self._client.post(_ISSUE, _Created, {"fields": fields})
        except TicketRefused as error:
            # It was refused as a whole, so that nothing was opened.
            if "labels" not in error.refused:
                raise
            del fields["labels"]
            created = self._client.post(_ISSUE, _Created, {"fields": fields})
        try:
            return self.state(created.key)
        except TicketError:
            # It is there, whatever the next question was answered.
            return self._ticket(created.key, "open", "new")

    def find(self, marker: str) -> Ticket | None:
        """See `Tracker.find`."""
        jql = (
            f'project = "{self.place}" AND statusCategory != Done '
            f'AND description ~ "\\"{marker}\\"" ORDER BY created DESC'
        )
        params: dict[str, str | int] = {
            "jql": jql,
            "fields": "status,resolutiondate,description",
            "maxResults": 10,
        }
        for issue in self._client.get("/rest/api/3/search/jql", _Found, params).issues:
            if marker in msgspec.json.encode(issue.fields.description).decode():
                return self._described(issue)
        return None

    def state(self, key: str) -> Ticket:
        """See `Tracker.state`."""
        params = {"fields": "status,resolutiondate"}
        return self._described(self._client.get(f"{_ISSUE}/{key}", _Issue, params))

    def key_of(self, url: str) -> str | None:
        """See `Tracker.key_of`: of any project of the site."""
        key = url.removeprefix(f"{self._client.base}/browse/")
        return key if _KEY.fullmatch(key) else None

    def _described(self, issue: _Issue) -> Ticket:
        status = issue.fields.status
        closed = status.statusCategory.key == "done"
        when = _time(issue.fields.resolutiondate) if closed else None
        return self._ticket(issue.key, "closed" if closed else "open", status.name, when)

    def _ticket(
        self, key: str, state: State, status: str, closed_at: datetime | None = None
    ) -> Ticket:
        url = f"{self._client.base}/browse/{key}"
        if not _KEY.fullmatch(key) or not web_address(url):
            raise TicketError(f"What {self.title} calls an issue, '{short(key, 40)}', is no key.")
        return Ticket(self.name, key, url, state, short(status, 60), closed_at)


def _time(text: str | None) -> datetime | None:
    try:
        when = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
