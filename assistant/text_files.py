"""Phrases and words in text files beside the code, so that nobody needs Python to edit them.

    # A comment. Blank lines are skipped, too.
    [section]
    one entry a line

What an entry is depends on the file, which says so at its top: a phrase, words separated by commas,
or ``en-GB: words of one locale``. Whatever cannot be read is an error that names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Formatter

from data.errors import TextFileError

_HEADING = re.compile(r"\[([^\[\]|]*)\]")


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a part of one, and where it stands. `file`: its path from the source folder."""

    file: str
    number: int
    text: str

    def error(self, expected: str) -> TextFileError:
        """What to raise where the line is not what was expected."""
        where = f"{self.file}, line {self.number}"
        return TextFileError(f"{where}: '{self.text}'; expected {expected}.")


@dataclass(frozen=True, slots=True)
class Section:
    """The lines under one heading, in their order; at least one. Comments are not among them."""

    heading: Line
    lines: tuple[Line, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """One entry a line: sentences."""
        return tuple(line.text for line in self.lines)

    @property
    def entries(self) -> tuple[Line, ...]:
        """Entries separated by commas."""
        return tuple(entry for line in self.lines for entry in _split(line))

    @property
    def words(self) -> tuple[str, ...]:
        """Words separated by commas; a word may have spaces."""
        return tuple(entry.text for entry in self.entries)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Groups separated by commas, and words within a group by slashes: ``sail / sale``."""
        return tuple(map(group, self.words))

    def patterns(self, fields: Collection[str]) -> tuple[str, ...]:
        """One pattern a line, as `str.format` takes it.

        Raises
        ------
        TextFileError: braces that do not match, or a field that is not among `fields`.
        """
        for line in self.lines:
            try:
                used = {field for _, field, _, _ in Formatter().parse(line.text)} - {None}
            except ValueError:
                raise line.error("a closing brace for every opening one") from None
            if not used <= set(fields):
                known = ", ".join(f"{{{field}}}" for field in fields) or "none"
                raise line.error(f"no other fields in braces than these: {known}")
        return self.texts

    def by_key(self, keys: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Words by key: ``en-US, en-GB: milk, bread``; a key with several lines has all of them.

        Raises
        ------
        TextFileError: a line without a key of `keys`, or a key without a line.
        """
        table: dict[str, list[str]] = {key: [] for key in keys}
        for line in self.lines:
            names, colon, text = line.text.partition(":")
            owners = [name.strip() for name in names.split(",")]
            if not colon or not set(owners) <= set(keys):
                raise line.error(f"one or more of {', '.join(keys)}, a colon, and words")
            words = [entry.text for entry in _split(Line(line.file, line.number, text.strip()))]
            for owner in owners:
                table[owner] += words
        for key, words in table.items():
            if not words:
                raise self.heading.error(f"a line '{key}: …' below it")
        return {key: tuple(words) for key, words in table.items()}


def group(entry: str) -> tuple[str, ...]:
    """``sail / sale`` is ("sail", "sale")."""
    return tuple(word.strip() for word in entry.split("/"))


def read_sections(
    package: str, name: str, expected: Collection[str] | None = None
) -> Mapping[str, Section]:
    """The sections of a file in a package, in their order.

    Parameters
    ----------
    expected: the sections that the file must have, no more and no fewer; None for any.

    Raises
    ------
    TextFileError: a line outside a section, a bad heading, a section twice, without lines, missing
        or unknown; or text that is not UTF-8.
    """
    path = f"{package.replace('.', '/')}/{name}"
    try:
        text = files(package).joinpath(name).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextFileError(
            f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8."
        ) from None
    sections = {section.heading.text: section for section in parse_sections(text, path)}
    if expected is not None:
        if unknown := [name for name in sections if name not in expected]:
            raise sections[unknown[0]].heading.error(f"one of the sections {', '.join(expected)}")
        missing = [f"[{section}]" for section in expected if section not in sections]
        if missing:
            raise TextFileError(f"{path} has no section {' and '.join(missing)}; add it.")
    return sections


def parse_sections(text: str, path: str) -> Iterator[Section]:
    """The sections of a text; `path` is what errors call it. Raises what `read_sections` does."""
    heading: Line | None = None
    lines: list[Line] = []
    seen: set[str] = set()
    for number, raw in enumerate(text.splitlines(), 1):
        line = Line(path, number, " ".join(raw.split()))
        if not line.text or line.text.startswith("#"):
            continue
        if line.text.startswith("[") and "]" not in line.text:
            raise line.error("a closing bracket")
        title = _HEADING.fullmatch(line.text)
        if not title:
            if heading is None:
                raise line.error("a [section] before the first line that is no comment")
            lines.append(line)
            continue
        if heading is not None:
            yield _section(heading, lines)
        heading, lines = Line(path, number, title[1].strip()), []
        if not heading.text:
            raise line.error("a name between the brackets")
        if heading.text in seen:
            raise line.error("every section only once; put its lines together")
        seen.add(heading.text)
    if heading is None:
        raise TextFileError(f"{path} is empty; expected a [section] and lines below it.")
    yield _section(heading, lines)


def _section(heading: Line, lines: list[Line]) -> Section:
    if not lines:
        raise heading.error("at least one line in the section")
    return Section(heading, tuple(lines))


def _split(line: Line) -> Iterator[Line]:
    """The parts between commas; a comma at the end of a line is no harm."""
    for part in line.text.removesuffix(",").split(","):
        if not part.strip():
            raise line.error("a word between two commas")
        yield Line(line.file, line.number, part.strip())
