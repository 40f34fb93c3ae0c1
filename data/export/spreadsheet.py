"""Text in CSV files that no spreadsheet takes for a formula, and the way back.

Excel, LibreOffice and Google Sheets evaluate a cell that begins with `=`, `+`, `-` or `@`, Japanese
and Chinese versions also with the full-width forms; some skip blanks, control characters and
characters without width before it, and a tab or line end can begin a new cell (OWASP, CSV
injection). Such a text gets an apostrophe in front, which a spreadsheet reads as "this is text".

A text that would read like a guarded one, apostrophes and then a formula, gets one more, so that
`unguarded(guarded(text)) == text` for every text. Texts are always quoted: in many countries a
spreadsheet splits unquoted text at semicolons, and the second half could be a formula.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from data.store.snapshot import literal

# = + - @, and their full-width and small forms.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
# What has no width, or is blank, or controls: first and last code point of each range.
_INVISIBLE = (
    (0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160),
    (0x1680, 0x1680), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x206F), (0x2800, 0x2800), (0x3000, 0x3000), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# As regular expressions of Python and of DuckDB (RE2) spell it.
_PYTHON, _RE2 = (
    f"^'*([\t\r\n]|[{''.join(f'{form % low}-{form % high}' for low, high in _INVISIBLE)}]*"
    f"[{_SIGNS}])"
    for form in ("\\U%08x", "\\x{%x}")
)
_RISKY = re.compile(_PYTHON)


def guarded(text: str) -> str:
    """The text as it stands in a CSV file."""
    return f"'{text}" if _RISKY.match(text) else text


def unguarded(cell: str) -> str:
    """The text that stands in a cell of a CSV file."""
    return cell[1:] if cell.startswith("'") and _RISKY.match(cell[1:]) else cell


def guarded_sql(text: str) -> str:
    """SQL for `guarded` of a SQL expression."""
    return f"CASE WHEN regexp_matches({text}, {literal(_RE2)}) THEN '''' || {text} ELSE {text} END"


def copy_options(names: Sequence[str], texts: Sequence[str]) -> str:
    """Options of a COPY to CSV: the header has `names`, the columns `texts` (SQL) are quoted."""
    header = io.StringIO()
    # With its own line end the writer quotes names that hold a carriage return, too.
    csv.writer(header, lineterminator="\r\n").writerow(guarded(name) for name in names)
    first = header.getvalue().removesuffix("\r\n") + "\n"
    quoted = f", FORCE_QUOTE ({', '.join(texts)})" if texts else ""
    # The header is no row of DuckDB's, which would quote it with its column.
    return f"FORMAT csv, HEADER false, PREFIX {literal(first)}, SUFFIX '\n'{quoted}"
