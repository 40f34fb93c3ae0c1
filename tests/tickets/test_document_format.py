"""Markdown as Jira wants it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trackers import wrong
from tickets.document_format import document


def test_paragraphs_lists_code_and_links() -> None:
    text = "## A **bold** `x`\n\n- one [t `1`](https://x.example/?a=b)\n- two\n\n```\ncode\n```\n"
    heading, listing, code = document(text)["content"]
    assert heading["attrs"] == {"level": 2}
    assert heading["content"][1] == {"type": "text", "text": "bold", "marks": [{"type": "strong"}]}
    link = {"type": "link", "attrs": {"href": "https://x.example/?a=b"}}
    linked = listing["content"][0]["content"][0]["content"][2]
    assert linked == {"type": "text", "text": "1", "marks": [link, {"type": "code"}]}
    assert code["content"] == [{"type": "text", "text": "code"}]


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "#", "> # a\n> > b\n>\n> - c", "- > a\n  > > b", "- # a\n- ***\n- ```\n  x\n  ```",
        "<img src=x onerror=a()> <!-- c -->", "![alt](https://x.example/p.png)", "a  \nb\\\nc",
        "[x](javascript:alert(1))", "*a **b `c` d***", "1. a\n   1. b\n2. c", "```\n```", "\0",
        "[![a](https://x.example/1)](https://x.example/2)",
    ],
)  # fmt: skip
def test_any_text_is_a_document(text: str) -> None:
    assert wrong(document(text)) is None


@given(st.text(st.sampled_from("#->*_`[]()!1. \n\tab<&\\~"), max_size=60))
def test_any_marks_make_a_document(text: str) -> None:
    assert wrong(document(text)) is None


def test_no_script_becomes_a_link() -> None:
    def marks(node: dict[str, Any]) -> list[str]:
        own = [mark["type"] for mark in node.get("marks", [])]
        return own + [name for child in node.get("content", []) for name in marks(child)]

    assert "link" not in marks(document("[x](javascript:alert(1)) [y](data:text/html,z)"))
