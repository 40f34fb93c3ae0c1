"""GitHub and Jira as their documentation describes them, on a port of this machine.

Each refuses what the documented interface would refuse, so that a request of another shape fails
the test that sends it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

TOKEN = "secret-token-1234"
USER = "ada@example.org"
TIME = "2024-03-10T12:00:00Z"


class Reply(NamedTuple):
    """An answer: its content as JSON, or bytes as they are."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = {}


class Server:
    """A tracker with its issues, number -> as stored, and the requests that it was sent."""

    def __init__(self) -> None:
        self.issues: dict[int, dict[str, Any]] = {}
        self.requests: list[str] = []
        # Replies to the next requests, instead of what they ask for.
        self.planned: list[Reply] = []
        # As an index that has not caught up.
        self.search_is_late = False
        self.url = ""

    def reply(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: Any
    ) -> Reply:
        raise NotImplementedError


class GitHubServer(Server):
    """One repository, ada/assistant."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "FAULTLINE_GITHUB_URL": self.url,
            "FAULTLINE_GITHUB_REPOSITORY": "ada/assistant",
            "FAULTLINE_GITHUB_TOKEN": TOKEN,
        }

    def add(self, body: str, state: str = "open", **more: Any) -> dict[str, Any]:
        number = len(self.issues) + 1
        page = "pull" if "pull_request" in more else "issues"
        self.issues[number] = {
            "id": 1000 + number,
            "number": number,
            "html_url": f"{self.url}/ada/assistant/{page}/{number}",
            "title": "an issue",
            "body": body,
            "state": state,
            "state_reason": "completed" if state == "closed" else None,
            "closed_at": TIME if state == "closed" else None,
            "labels": [],
            **more,
        }
        return self.issues[number]

    def reply(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: Any
    ) -> Reply:
        if not headers.get("User-Agent"):
            return Reply(403, {"message": "Request forbidden by administrative rules."})
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return Reply(401, {"message": "Bad credentials"})
        if headers.get("X-GitHub-Api-Version") != "2022-11-28":
            return Reply(400, {"message": "Unknown version"})
        if headers.get("Accept") != "application/vnd.github+json":
            return Reply(415, {"message": "Unsupported media type"})
        if path == "/search/issues":
            return self._search(query)
        match = re.fullmatch(r"/repos/ada/assistant/issues(?:/(\d+))?", path)
        if not match:
            return Reply(404, {"message": "Not Found"})
        if match[1]:
            issue = self.issues.get(int(match[1]))
            return Reply(200, issue) if issue else Reply(404, {"message": "Not Found"})
        if method == "POST":
            return self._create(body)
        assert query.keys() <= {"state", "sort", "direction", "per_page", "labels", "page"}
        assert 1 <= int(query.get("per_page", "30")) <= 100
        found = [i for i in self.issues.values() if i["state"] == query.get("state", "open")]
        return Reply(200, found[::-1][: int(query.get("per_page", "30"))])

    def _create(self, body: Any) -> Reply:
        known = {"title", "body", "labels", "assignees", "milestone", "type"}
        title = body.get("title") if isinstance(body, dict) else None
        right = (
            isinstance(title, str)
            and 0 < len(title) <= 256
            and body.keys() <= known
            and len(body.get("body", "")) <= 65_536
            and all(isinstance(label, str) for label in body.get("labels", []))
        )
        if not right:
            error = {"resource": "Issue", "code": "invalid", "field": "title"}
            return Reply(422, {"message": "Validation Failed", "errors": [error]})
        issue = self.add(body["body"], title=title)
        issue["labels"] = [{"name": label} for label in body.get("labels", [])]
        return Reply(201, issue)

    def _search(self, query: dict[str, str]) -> Reply:
        match = re.fullmatch(
            r'"(\w+)" repo:ada/assistant is:issue is:open in:body', query.get("q", "")
        )
        if not match:
            return Reply(422, {"message": "Validation Failed", "errors": []})
        found = [i for i in self.issues.values() if match[1] in i["body"] and i["state"] == "open"]
        found = [] if self.search_is_late else found[::-1]
        content = {"total_count": len(found), "incomplete_results": False, "items": found}
        return Reply(200, content)


class JiraServer(Server):
    """One project, VA; `without_labels`: its screen has no field for them."""

    without_labels = False

    @property
    def environment(self) -> dict[str, str]:
        return {
            "FAULTLINE_JIRA_URL": self.url,
            "FAULTLINE_JIRA_PROJECT": "VA",
            "FAULTLINE_JIRA_USER": USER,
            "FAULTLINE_JIRA_TOKEN": TOKEN,
        }

    def move(self, number: int, name: str, category: str) -> None:
        """Put an issue into a status of a category: new, indeterminate or done."""
        done = category == "done"
        self.issues[number] |= {
            "status": {"name": name, "statusCategory": {"id": 2, "key": category, "name": name}},
            "resolutiondate": "2024-03-10T12:00:00.000+0100" if done else None,
        }

    def reply(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: Any
    ) -> Reply:
        basic = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        if headers.get("Authorization") != f"Basic {basic}":
            return Reply(401, {"errorMessages": ["You do not have permission."], "errors": {}})
        if method == "POST" and path == "/rest/api/3/issue":
            return self._create(body)
        if path == "/rest/api/3/search/jql":
            return self._search(query)
        match = re.fullmatch(r"/rest/api/3/issue/VA-(\d+)", path)
        if not match or int(match[1]) not in self.issues:
            message = "Issue does not exist or you do not have permission to see it."
            return Reply(404, {"errorMessages": [message], "errors": {}})
        return Reply(200, self._issue(int(match[1]), query["fields"].split(",")))

    def _issue(self, number: int, fields: list[str]) -> dict[str, Any]:
        issue = self.issues[number]
        return {
            "id": str(10_000 + number),
            "key": f"VA-{number}",
            "self": f"{self.url}/rest/api/3/issue/{10_000 + number}",
            "fields": {name: issue[name] for name in fields},
        }

    def _create(self, body: Any) -> Reply:
        fields = body["fields"]
        errors = {}
        if fields.get("project") != {"key": "VA"}:
            errors["project"] = "Specify a valid project ID or key"
        if fields.get("issuetype") != {"name": "Bug"}:
            errors["issuetype"] = "Specify a valid issue type"
        summary = fields.get("summary", "")
        if not 0 < len(summary) <= 255 or "\n" in summary:
            errors["summary"] = "Summary must be a line of less than 255 characters."
        if problem := wrong(fields.get("description")):
            errors["description"] = f"Operation value must be an Atlassian Document ({problem})"
        if "labels" in fields and self.without_labels:
            errors["labels"] = "Field 'labels' cannot be set. It is not on the appropriate screen."
        if any(" " in label for label in fields.get("labels", [])):
            errors["labels"] = "The label contains spaces which is invalid."
        if errors:
            return Reply(400, {"errorMessages": [], "errors": errors})
        number = len(self.issues) + 1
        self.issues[number] = dict(fields)
        self.move(number, "To Do", "new")
        return Reply(201, {"id": str(10_000 + number), "key": f"VA-{number}", "self": "x"})

    def _search(self, query: dict[str, str]) -> Reply:
        jql = re.fullmatch(
            r'project = "VA" AND statusCategory != Done AND description ~ "\\"(\w+)\\"" '
            r"ORDER BY created DESC",
            query.get("jql", ""),
        )
        if not jql:
            return Reply(400, {"errorMessages": ["Error in the JQL Query"], "errors": {}})
        found = [
            self._issue(number, query["fields"].split(","))
            for number, issue in sorted(self.issues.items(), reverse=True)
            if jql[1] in json.dumps(issue["description"])
            and issue["status"]["statusCategory"]["key"] != "done"
        ]
        return Reply(200, {"issues": [] if self.search_is_late else found, "isLast": True})


# Atlassian Document Format: what may stand in each node, by its documentation.
_INLINE = {"text", "hardBreak"}
_IN = {
    "doc": {
        *("paragraph", "heading", "bulletList", "orderedList", "codeBlock", "blockquote", "rule"),
    },
    "paragraph": _INLINE,
    "heading": _INLINE,
    "bulletList": {"listItem"},
    "orderedList": {"listItem"},
    "listItem": {"paragraph", "bulletList", "orderedList", "codeBlock"},
    "blockquote": {"paragraph", "bulletList", "orderedList", "codeBlock"},
    "codeBlock": {"text"},
    "rule": set(),
    "hardBreak": set(),
    "text": set(),
}


def wrong(node: Any, parent: str | None = None) -> str | None:
    """What is wrong with a document of the Atlassian Document Format; None if nothing is."""
    kind = node.get("type") if isinstance(node, dict) else None
    if parent is None and (kind != "doc" or node.get("version") != 1 or not node.get("content")):
        return "not a document"
    if kind not in _IN or (parent and kind not in _IN[parent]):
        return f"{kind} in {parent}"
    content = node.get("content", [])
    if kind in ("listItem", "blockquote", "bulletList", "orderedList") and not content:
        return f"empty {kind}"
    if kind == "listItem" and content[0]["type"] not in ("paragraph", "codeBlock"):
        return f"{content[0]['type']} begins a listItem"
    if kind == "heading" and node.get("attrs", {}).get("level") not in range(1, 7):
        return "level of a heading"
    if kind == "text":
        marks = [mark["type"] for mark in node.get("marks", [])]
        if not node.get("text") or len(marks) != len(set(marks)):
            return "text"
        if not set(marks) <= {"strong", "em", "code", "link"}:
            return f"marks {marks}"
        if ("code" in marks and set(marks) - {"code", "link"}) or (marks and parent == "codeBlock"):
            return f"marks {marks} of code"
        for mark in node.get("marks", []):
            if mark["type"] == "link" and not mark["attrs"]["href"].startswith("http"):
                return "link"
    return next((problem for child in content if (problem := wrong(child, kind))), None)


@contextmanager
def serving(server: Server) -> Iterator[None]:
    """Let a tracker listen on a free port, `server.url`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            server.requests.append(f"{self.command} {self.path}")
            if server.planned:
                reply = server.planned.pop(0)
            else:
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                body = None
                if self.command == "POST":
                    assert self.headers["Content-Type"] == "application/json"
                    body = json.loads(raw)
                reply = server.reply(self.command, parts.path, query, self.headers, body)
            content = reply.content
            if not isinstance(content, bytes):
                content = json.dumps(content).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
