"""Numbers and names as words: one decimal for percentages, thin spaces in counts.

Text from logs and people is made safe by one function per destination: `plain` for Streamlit,
`inert` for Plotly, `unlinked` for messages, `charts.html` for HTML, `data.export.spreadsheet` for
CSV. Streamlit's `st.text`, `st.code` and the cells of `st.dataframe` interpret nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, tzinfo
from html import escape
from typing import Any, Literal

THIN = "\u2009"
# Word joiner, invisible: keeps Streamlit's own markup (`:icon:`, `->`) from forming, and links from
# what GitHub's Markdown takes for an address: it looks for those after escapes are resolved.
_JOINER = "\u2060"
# What has a meaning in Markdown, of the ASCII punctuation that a backslash escapes.
_PUNCTUATION = re.compile(r"([!#$&()*+.:<=>@\[\\\]^_`{|}~-])")
_MARKS = re.compile(r"([:<>=~@-]|www(?=\.))", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Bidirectional controls: they reorder the text around them too.
_BIDI = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
# More marks on one letter than any script needs would cover the lines above and below.
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
_STACK = re.compile(f"({_MARK}{{6}}){_MARK}+")
# Where an address, a mention or a link of Markdown would begin to form: after an @, within ://, ](
# and ][, and after a dot within a name of letters.
_ADDRESSES = re.compile(r"(?<=@)|(?<=:)(?=//)|(?<=\])(?=[(\[:])|(?<=\w\.)(?=[^\W\d])")
# Characters of one text in Markdown; whoever has longer ones cuts them before.
_LONGEST = 2_000


def percent(share: float, digits: int = 1, sign: Literal["", "+"] = "") -> str:
    """`0.0843` as `8.4 %`; with `sign` `+`, as `+8.4 %`."""
    return f"{100 * share:{sign}.{digits}f}{THIN}%"


def points(change: float) -> str:
    """A change between two shares in percentage points: `+1.1 pts`."""
    text = f"{100 * change:+.1f}"
    return f"{'0.0' if text in ('+0.0', '-0.0') else text}{THIN}pts"


def count(n: float) -> str:
    """`1234567` as `1 234 567`, with thin spaces."""
    return f"{n:,.0f}".replace(",", THIN)


def several(n: int, noun: str) -> str:
    """`1 turn`, `1 234 turns`."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def number(value: float | None, digits: int = 3) -> str:
    """A logged number, short: at most `digits` significant places; a dash when not logged."""
    if value is None or value != value:
        return "–"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def confidence(value: float | None) -> str:
    """A confidence in [0, 1] with three places; a dash when not logged."""
    return "–" if value is None else f"{value:.3f}"


def milliseconds(value: float | None) -> str:
    """`1520` as `1.52 s`, `80` as `80 ms`; a dash when not logged."""
    if value is None:
        return "–"
    return f"{value / 1000:.2f}{THIN}s" if abs(value) >= 1000 else f"{value:.0f}{THIN}ms"


def moment(when: datetime, zone: tzinfo) -> str:
    """A time in the time zone `zone`: `2 January 2024, 03:04:05 UTC`."""
    local = when.astimezone(zone)
    return f"{local.day} {local:%B %Y, %H:%M:%S %Z}"


def minute(when: datetime, zone: tzinfo) -> str:
    """A time in the time zone `zone`, without seconds: `2 January 2024, 03:04 UTC`."""
    local = when.astimezone(zone)
    return f"{local.day} {local:%B %Y, %H:%M %Z}"


def short(text: str | None, most: int = 80) -> str:
    """The text on one line, at most `most` characters, an ellipsis where it was cut."""
    line = " ".join(_one_line(text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def inert(text: str | None, most: int | None = 40) -> str:
    """Text for a Plotly label, escaped: no tag, link, formula or template in it has an effect.

    At most `most` characters; None for `_LONGEST`. Plotly reads some tags in labels, names and
    hover texts, so any text that is not the program's own passes through here.
    """
    line = escape(short(text, _LONGEST if most is None else most), quote=False)
    return line.replace("%{", f"%{_JOINER}{{").replace("$", f"&#{ord('$')};")


def plain(text: str | None) -> str:
    """Text for Markdown, as Streamlit reads it in labels, captions and messages, escaped.

    No bold, link, address, icon, colour or formula in it has an effect. On one line of at most
    `_LONGEST` characters.
    """
    line = _one_line(text).strip()
    line = line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
    return _PUNCTUATION.sub(r"\\\1", _MARKS.sub(rf"\1{_JOINER}", line))


def unlinked(text: str | None) -> str:
    """Text for messages of chats and mails, which make links of addresses and mention people.

    Invisible joiners keep both from forming; nothing else changes. On one line of at most
    `_LONGEST` characters.
    """
    return _ADDRESSES.sub(_JOINER, short(text, _LONGEST))


def distinct(labels: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """The labels, numbered where one occurs again or is `taken`: columns need different names."""
    seen, result = set(taken), []
    for label in labels:
        name, number = label, 1
        while name in seen:
            number += 1
            name = f"{label} ({number})"
        seen.add(name)
        result.append(name)
    return result


def record_text(record: Mapping[str, Any]) -> str:
    """A record as indented JSON without nulls; bidirectional control characters are escaped."""
    logged = {key: value for key, value in record.items() if value is not None}
    text = json.dumps(logged, default=_json, indent=2, ensure_ascii=False)
    return _BIDI.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _json(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _one_line(text: str | None) -> str:
    line = _CONTROL.sub(" ", _BIDI.sub("\N{REPLACEMENT CHARACTER}", text or ""))
    return _STACK.sub(r"\1", line)
