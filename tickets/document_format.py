"""Markdown as a document of the Atlassian Document Format, which Jira wants descriptions in.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

Node = dict[str, Any]

# Without HTML, which the format has none of: tags become text.
_PARSER = MarkdownIt("commonmark", {"html": False})
_MARKS = {"strong": "strong", "em": "em"}


def document(markdown: str) -> Node:
    """The document with the paragraphs, headings, lists, quotations, code and links of a text.

    Images become links. What may not stand inside a list or a quotation becomes a paragraph.
    """
    tree = SyntaxTreeNode(_PARSER.parse(markdown.replace("\0", "")))
    # A document without content is not accepted.
    return {"version": 1, "type": "doc", "content": _blocks(tree) or [_paragraph([])]}


def _blocks(parent: SyntaxTreeNode, top: bool = True) -> list[Node]:
    """The blocks inside a block; only at the `top` may headings, quotations and lines stand."""
    blocks: list[Node] = []
    for node in parent.children:
        match node.type:
            case "heading" if top:
                level = {"level": int(node.tag.removeprefix("h"))}
                blocks.append({"type": "heading", "attrs": level, "content": _inline(node)})
            case "paragraph" | "heading":
                blocks.append(_paragraph(_inline(node)))
            case "bullet_list":
                blocks.append({"type": "bulletList", "content": _items(node)})
            case "ordered_list":
                order = {"order": int(node.attrs.get("start", 1))}
                blocks.append({"type": "orderedList", "attrs": order, "content": _items(node)})
            case "fence" | "code_block":
                blocks.append(
                    {"type": "codeBlock", "content": _text(node.content.rstrip("\n"), [])}
                )
            case "blockquote" if top:
                inner = _blocks(node, top=False) or [_paragraph([])]
                blocks.append({"type": "blockquote", "content": inner})
            case "blockquote":
                blocks += _blocks(node, top=False)
            case "hr" if top:
                blocks.append({"type": "rule"})
    return blocks


def _items(listing: SyntaxTreeNode) -> list[Node]:
    items = []
    for item in listing.children:
        content = _blocks(item, top=False)
        # An item begins with a paragraph.
        if not content or content[0]["type"] != "paragraph":
            content.insert(0, _paragraph([]))
        items.append({"type": "listItem", "content": content})
    return items


def _paragraph(content: Sequence[Node]) -> Node:
    return {"type": "paragraph", "content": list(content)}


def _inline(block: SyntaxTreeNode) -> list[Node]:
    return [part for child in block.children for part in _parts(child, [])]


def _parts(node: SyntaxTreeNode, marks: Sequence[Node]) -> list[Node]:
    match node.type:
        case "text":
            return _text(node.content, marks)
        case "code_inline":
            # Code is not also bold or italic.
            links = [mark for mark in marks if mark["type"] == "link"]
            return _text(node.content, [*links, {"type": "code"}])
        case "softbreak":
            return _text(" ", marks)
        case "hardbreak":
            return [{"type": "hardBreak"}]
        case "strong" | "em":
            more = {"type": _MARKS[node.type]}
            marks = [*(mark for mark in marks if mark != more), more]
        case "link" | "image":
            address = str(node.attrs.get("href") or node.attrs.get("src") or "")
            if address.startswith(("https://", "http://")):
                others = (mark for mark in marks if mark["type"] != "link")
                marks = [*others, {"type": "link", "attrs": {"href": address}}]
    return [part for child in node.children for part in _parts(child, marks)]


def _text(text: str, marks: Sequence[Node]) -> list[Node]:
    # An empty text is not accepted.
    if not text:
        return []
    return [{"type": "text", "text": text, **({"marks": list(marks)} if marks else {})}]
