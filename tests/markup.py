"""What a browser would interpret in the texts of a page that ran without one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

# Fields of Streamlit's messages that its browser code reads as Markdown. Other texts (`st.text`,
# code, options of lists, cells, addresses) are shown as they are.
_MARKDOWN = {"body", "label", "help", "content", "text", "delta", "caption", "message"}
_SHOWN_AS_IT_IS = {"Text", "Code", "Html", "ArrowData", "PlotlyChart", "Skeleton"}

# What the pages themselves write.
_OWN_DIRECTIVES = {"small", "gray", "color"}
_OWN_LINKS = {"#slice"}
_CODE = re.compile(r"`[^`]*`")
_DIRECTIVE = re.compile(r"(?<!\\):([\w-]+)\[")
# Two digits between colons are a time.
_SHORTCODE = re.compile(r"(?<!\\):(?!material/|\d\d:)([\w+/-]+):")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
# mdast-util-gfm-autolink-literal: applied to the text that is left when escapes are resolved.
_AUTOLINK = re.compile(
    r"(?:https?://|www(?=\.))[-.\w]+|(?<![^\s\W])[-.\w+]+@[-\w]+(?:\.[-\w]+)+", re.IGNORECASE
)
_ALLOWED_TOKENS = {
    "paragraph_open", "paragraph_close", "inline", "text", "strong_open", "strong_close",
    "softbreak", "em_open", "em_close", "text_special", "hardbreak",
}  # fmt: skip
_COMMONMARK = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def live(markdown: str, card: bool = False) -> list[str]:
    """What would be more than text and the pages' own markup; a model's card may have headings."""
    text = _CODE.sub("", markdown) if card else markdown
    found = [
        f"directive {name}" for name in _DIRECTIVE.findall(text) if name not in _OWN_DIRECTIVES
    ]
    found += [f"shortcode {name}" for name in _SHORTCODE.findall(text)]
    found += [f"address {match[0]}" for match in _AUTOLINK.finditer(_ESCAPE.sub(r"\1", text))]
    if re.search(r"(?<!\\)\$", text):
        found.append("formula")
    tokens = [
        child for token in _COMMONMARK.parse(markdown) for child in (token, *(token.children or ()))
    ]
    for token in tokens:
        if token.type == "link_open" and token.attrGet("href") in _OWN_LINKS:
            continue
        if token.type == "link_close" or (card and token.type not in ("link_open", "image")):
            continue
        if token.type not in _ALLOWED_TOKENS:
            found.append(f"{token.type} {token.content[:60]}")
    return found


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for inner in value if field.is_repeated else [value]:
            yield from _messages(inner)


def _nodes(block: Any) -> Iterator[Any]:
    for child in block.children.values():
        yield child
        if hasattr(child, "children"):
            yield from _nodes(child)


def messages(at: AppTest) -> Iterator[Any]:
    """All messages that a page sent to the browser."""
    for node in _nodes(at._tree):
        proto = getattr(node, "proto", None)
        if proto is not None and hasattr(proto, "ListFields"):
            yield from _messages(proto)


def markdown(at: AppTest) -> Iterator[str]:
    """All texts of a page that the browser reads as Markdown."""
    for message in messages(at):
        if message.DESCRIPTOR.name in _SHOWN_AS_IT_IS:
            continue
        for field, value in message.ListFields():
            if field.name in _MARKDOWN and field.cpp_type == field.CPPTYPE_STRING:
                yield from value if field.is_repeated else [value]


# What our own charts write: bold numbers, line breaks, the end of a hover text.
_OWN_TAGS = re.compile(r"</?b>|<br>|<extra></extra>")
_OWN_TEMPLATE = re.compile(r"%\{(?:customdata(?:\[\d\])?|[xy]|text)(?:[:|][^}]*)?\}")


def live_in_charts(at: AppTest) -> list[str]:
    """What Plotly would interpret in the labels, names and hover texts of a page's charts."""
    found = []
    for message in messages(at):
        if message.DESCRIPTOR.name != "PlotlyChart":
            continue
        for text in _strings(json.loads(message.spec)):
            left = _OWN_TEMPLATE.sub("", _OWN_TAGS.sub("", text))
            if re.search(r"<[a-zA-Z/!]|%\{|\$", left):
                found.append(text[:200])
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
