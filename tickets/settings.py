"""The trackers that the environment configures, and where the dashboard is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from data.errors import UsageError
from data.store.workspace import web_address
from tickets.github import API, GitHub
from tickets.http import web_base
from tickets.jira import Jira
from tickets.tracker import Tracker

_GITHUB = ("FAULTLINE_GITHUB_REPOSITORY", "FAULTLINE_GITHUB_TOKEN")
_JIRA = (
    *("FAULTLINE_JIRA_URL", "FAULTLINE_JIRA_PROJECT"),
    *("FAULTLINE_JIRA_USER", "FAULTLINE_JIRA_TOKEN"),
)
DASHBOARD = "FAULTLINE_URL"
# What every message about a missing tracker says.
NONE = (
    f"No issue tracker is set up; set {' and '.join(_GITHUB)}, or {', '.join(_JIRA[:-1])} and "
    f"{_JIRA[-1]}."
)


def trackers(environment: Mapping[str, str] = os.environ) -> list[Tracker]:
    """The trackers that are configured: none, GitHub, Jira or both.

    Raises UsageError, without a secret, where one is configured in part or wrongly.
    """
    found: list[Tracker] = []
    if values := _values(_GITHUB, environment):
        api = environment.get("FAULTLINE_GITHUB_URL", "").strip() or API
        found.append(GitHub(web_base("FAULTLINE_GITHUB_URL", api), *values))
    if values := _values(_JIRA, environment):
        base, project, user, token = values
        kind = environment.get("FAULTLINE_JIRA_ISSUE_TYPE", "").strip() or "Bug"
        found.append(Jira(web_base("FAULTLINE_JIRA_URL", base), project, user, token, kind))
    return found


def _values(names: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The values of variables that belong together; empty where none of them is set."""
    values = [environment.get(name, "").strip() for name in names]
    if not any(values):
        return []
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        given = next(name for name, value in zip(names, values, strict=True) if value)
        verb = "is" if len(missing) == 1 else "are"
        raise UsageError(
            f"{given} is set, but {' and '.join(missing)} {verb} not; set all of them."
        )
    for name, value in zip(names, values, strict=True):
        # In a header, a line break would begin another one.
        if name.endswith("TOKEN") and not (value.isascii() and value.isprintable()):
            raise UsageError(f"{name} contains characters that no token has; copy it again.")
        if not value.isprintable():
            raise UsageError(f"{name} contains characters that cannot be sent; write it again.")
    return values


def dashboard_url(environment: Mapping[str, str] = os.environ) -> str:
    """The dashboard's address for links in tickets, without a slash at its end; empty if not set.

    Raises UsageError if it is not an address.
    """
    url = environment.get(DASHBOARD, "").strip().rstrip("/")
    if url and not web_address(url):
        raise UsageError(
            f"{DASHBOARD} is not a web address; give one such as https://faultline.example.org."
        )
    return url
