"""What somebody says in teaching: acts with their parts, found by templates in `phrases.txt`.

Templates are matched word for word first. Failing that, one of their words may differ as
recognisers differ ("win i say cosy"): by a letter or two, or in spelling but not in sound. What
stands for a part is kept as it was said, but for its case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Literal

import jellyfish
from rapidfuzz.distance import OSA

Kind = Literal[
    "concept", "preference", "phrase", "learn", "forget", "list", "yes", "no", "cancel",
    "correction", "other",
]  # fmt: skip
# The topics of preferences that name none.
FAN, NAME, NOTE = "fan", "name", "note"
# Longer texts teach nothing: a runaway transcript is no lesson.
LONGEST = 300

# Scripts that put no spaces between words: each character is a word.
_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED},，、]+|[,，、]")
# Marks at the edges of words that belong to them.
_KEPT = "'%°"
# "Call me a taxi" names nobody.
_NO_NAMES = ("a ", "an ", "the ", "at ", "in ", "on ", "when ", "back", "later", "tomorrow", "now")
_PART = re.compile(r"\{(\w+)\}")
_COMMA = ","
# Device types that a preference can be limited to, by how people call them.
_DEVICES = {
    "car": "car", "tv": "tv", "television": "tv", "speaker": "speaker", "phone": "phone",
    "display": "display", "screen": "display",
}  # fmt: skip
_PLACE = rf"(?:in|on) (?:the|my) ({'|'.join(_DEVICES)})"
_SCOPE_FIRST, _SCOPE_LAST = re.compile(rf"^{_PLACE} "), re.compile(rf" {_PLACE}$")
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "a": 1, "an": 1}
_SPAN = re.compile(
    r" (?:for (?:the next )?(?:(\d+|one|two|three|four|five|six|an?) )?(hour|day|week|month)s?"
    r"|(this|for this|just for|for|until) ?(today|tomorrow|week|month|weekend|tonight))$"
)
_DAYS = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30, "today": 1, "tonight": 1,
         "tomorrow": 1, "weekend": 3}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Act:
    """What was said.

    Attributes
    ----------
    kind: ``concept`` (name: the phrase, value: its meaning), ``preference`` (name: the topic),
        ``phrase`` (a phrase without its meaning), ``learn`` (something, without saying what),
        ``forget`` (name), ``list``, ``yes``, ``no``, ``cancel``, ``correction`` (value: what it
        should be) or ``other``.
    scope: a device type that it is limited to, or "user". lasts: None if it does not expire.
    text: what was said, as it was heard.
    """

    kind: Kind
    text: str
    name: str = ""
    value: str = ""
    scope: str = "user"
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Template:
    section: str
    # Words, and parts as "{name}".
    tokens: tuple[str, ...]
    literal: int = field(compare=False)


def parse(text: str) -> Act:
    """The act of a text, in any script; ``other`` where it teaches and answers nothing.

    >>> parse("When I say cosy, dim the lights to 30")
    Act(kind='concept', text='When I say cosy, dim the lights to 30', name='cosy', \
value='dim the lights to 30', scope='user', lasts=None)
    >>> parse("my favourite station is jazz fm").value
    'jazz fm'
    """
    return _parse(text)


@lru_cache(maxsize=10_000)
def _parse(text: str) -> Act:
    if len(text) > LONGEST:
        return Act("other", text)
    words = plain(text)
    for section in ("cancel", "no", "yes", "learn", "list"):
        if words.replace(_COMMA, "") in _sentences(section):
            return Act(_kind(section), text)
    for slack in (0, 1):
        found = _taught(words, text, slack)
        if found is not None:
            return found
    return Act("other", text)


def _taught(words: str, text: str, slack: int) -> Act | None:
    """What is taught, corrected or to be forgotten, after "remember that", too."""
    head, rest = _remembered(words)
    scope, bare = _scoped(rest)
    lasts, bare = _span(bare)
    if scope == "user":
        scope, bare = _scoped(bare)
    for section in ("concept", "concept remembered", "concept joined", "phrase", "forget",
                    "preference", "fan", "name", "correction", "own"):  # fmt: skip
        # "My dog is ill" is taught only if it is said to be remembered.
        if section in ("own", "concept remembered") and not head:
            continue
        limited = section in ("preference", "fan", "name", "own")
        for parts in _matches(section, bare if limited else rest, slack):
            act = _act(section, parts, text)
            if act is not None:
                return replace(act, scope=scope, lasts=lasts) if limited else act
    if slack or not head:
        return None
    if not rest:
        return Act("learn", text)
    if rest.startswith("to "):
        # "Remember to buy milk" is a reminder.
        return None
    return Act("preference", text, NOTE, bare, scope, lasts) if bare else Act("learn", text)


def _act(section: str, parts: dict[str, str], text: str) -> Act | None:
    if section == "concept joined":
        split = split_command(parts["both"])
        return None if split is None else Act("concept", text, *split)
    if section in ("concept", "concept remembered", "phrase", "forget"):
        return Act(_kind(section.split()[0]), text, parts["phrase"], parts.get("meaning", ""))
    if section == "name" and parts["value"].startswith(_NO_NAMES):
        return None
    if section == "correction":
        return Act("correction", text, value=parts["value"])
    topic = {"fan": FAN, "name": NAME}.get(section) or parts["topic"]
    return Act("preference", text, topic, parts["value"])


def split_command(both: str) -> tuple[str, str] | None:
    """A phrase and the command that follows it without a pause; None if no word tells them apart.

    >>> split_command("cosy dim the lights to 30")
    ('cosy', 'dim the lights to 30')
    """
    words = both.split()
    for place in range(1, len(words)):
        rest = " ".join(words[place:])
        opens = words[place] in _commands() or rest.startswith(_lines("openers"))
        # "To play" and "and play" go on with what was said before.
        if opens and place < len(words) - 1 and words[place - 1] not in _joining():
            return " ".join(words[:place]), rest
    return None


def meaning_of(text: str) -> str:
    """What is meant by an answer to "what should I do?": without "I mean", "you should" …"""
    words = plain(text)
    changed = True
    # "I mean, you should …": what is cut off may leave another.
    while changed:
        changed = False
        for lead in _lines("lead"):
            if words.startswith((f"{lead} ", f"{lead}{_COMMA}")):
                words, changed = words.removeprefix(lead).strip(f"{_COMMA} "), True
    return words


def is_like(text: str, section: Literal["yes", "no", "cancel"]) -> bool:
    """Whether a short answer is probably one of a kind, misheard by a letter ("yet" for yes)."""
    words = plain(text)
    return any(
        len(words) >= 3
        and len(one) >= 3
        and words[0] == one[0]
        and OSA.distance(words, one, score_cutoff=1) <= 1
        for one in _sentences(section)
    )


def plain(text: str) -> str:
    """A text as templates are matched: lower case, single spaces, no punctuation but commas."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("`", "'")
    words = (_COMMA if word in ",，、" else _trimmed(word) for word in _WORD.findall(text))
    return _joined([word for word in words if word]).strip(f"{_COMMA} ")


def _trimmed(word: str) -> str:
    """A word without the punctuation at its edges."""
    start, end = 0, len(word)
    while start < end and _is_mark(word[start]):
        start += 1
    while end > start and _is_mark(word[end - 1]):
        end -= 1
    return word[start:end]


def _is_mark(letter: str) -> bool:
    return letter not in _KEPT and unicodedata.category(letter)[0] in "PSC"


def phrase_key(text: str) -> str:
    """A phrase as it is looked up: `plain`, without commas."""
    return " ".join(plain(text).replace(_COMMA, " ").split())


def _kind(section: str) -> Kind:
    kind: Kind = section  # type: ignore[assignment]  # sections are kinds
    return kind


def _remembered(words: str) -> tuple[bool, str]:
    """Whether a text opens with "remember that", and the rest of it."""
    for head in _lines("remember"):
        if words == head:
            return True, ""
        rest = words.removeprefix(head)
        if rest != words and (rest[0] in f" {_COMMA}" or _bare(head[-1])):
            return True, rest.strip(f"{_COMMA} ")
    return False, words


def _scoped(value: str) -> tuple[str, str]:
    for pattern in (_SCOPE_FIRST, _SCOPE_LAST):
        match = pattern.search(value)
        if match:
            return _DEVICES[match[1]], pattern.sub("", value)
    return "user", value


def _span(value: str) -> tuple[timedelta | None, str]:
    match = _SPAN.search(value)
    if not match:
        return None, value
    number = match[1] or "one"
    times = _NUMBERS.get(number) or int(number)
    days = times * _DAYS[match[2] or match[4]]
    # Nobody means centuries.
    return timedelta(days=min(days, 3_650)), value[: match.start()]


def _matches(section: str, words: str, slack: int) -> Iterator[dict[str, str]]:
    tokens = _WORD.findall(words)
    for template in _templates(section):
        # With a word that differs, enough others must be right.
        if slack and template.literal < 3:
            continue
        parts = _match(template.tokens, tokens, slack)
        if parts is not None:
            yield {name: _joined(of).strip(f"{_COMMA} ") for name, of in parts.items()}


def _match(
    template: Sequence[str], words: Sequence[str], slack: int
) -> dict[str, list[str]] | None:
    """The words of each part; None if the template does not fit. Parts are as short as can be."""
    if not template:
        return None if words else {}
    head, rest = template[0], template[1:]
    if head.startswith("{"):
        for size in range(1, len(words) + 1):
            # Only what opens a template may be misheard: a "the" is no "then".
            found = _match(rest, words[size:], 0)
            if found is not None:
                return {head[1:-1]: list(words[:size]), **found}
        return None
    if not words:
        return None
    word = words[0]
    if word == head:
        return _match(rest, words[1:], slack)
    if word == _COMMA:
        return _match(template, words[1:], slack)
    if slack and head != _COMMA and alike(head, word):
        return _match(rest, words[1:], slack - 1)
    return None


def alike(word: str, heard: str) -> bool:
    """Whether a word was probably heard as another one."""
    if word[:1].isascii() and heard[:1].isascii() and len(word) > 1:
        code = jellyfish.metaphone(word)
        if code and code == jellyfish.metaphone(heard):
            return True
    allowed = 1 if len(word) < 6 else 2
    return len(word) >= 3 and OSA.distance(word, heard, score_cutoff=allowed) <= allowed


def _joined(words: Sequence[str]) -> str:
    """Words with spaces between them, where their script has spaces."""
    text = ""
    for word in words:
        gap = " " if text and not (_bare(text[-1]) and _bare(word[0])) and word != _COMMA else ""
        text += gap + word
    return text


def _bare(letter: str) -> bool:
    return re.match(rf"[{_UNSPACED}]", letter) is not None


@cache
def _sections() -> dict[str, list[str]]:
    lines = resources.files("labels.teaching").joinpath("phrases.txt").read_text("utf-8")
    sections: dict[str, list[str]] = {}
    for line in lines.splitlines():
        if line.startswith("["):
            sections[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            sections[list(sections)[-1]].append(line)
    return sections


@cache
def _lines(section: str) -> tuple[str, ...]:
    """The lines of a section, the longest first."""
    return tuple(sorted(_sections()[section], key=lambda line: -len(line)))


@cache
def _sentences(section: str) -> frozenset[str]:
    return frozenset(plain(line) for line in _sections()[section])


@cache
def _commands() -> frozenset[str]:
    return frozenset(word for line in _sections()["commands"] for word in line.split())


@cache
def _joining() -> frozenset[str]:
    return frozenset(word for line in _sections()["joining"] for word in line.split())


@cache
def cue() -> str:
    """A regular expression that finds the texts which may teach something: the longest word of
    each template. Much cheaper than `parse`."""
    words: set[str] = set()
    for section in _TEACHING:
        for template in _templates(section):
            literal = [token for token in template.tokens if token[0] not in "{,"]
            words.add("".join(literal[:3]) if _bare(literal[0][0]) else max(literal, key=len))
    for line in (*_sections()["learn"], *_sections()["remember"]):
        words.add(max(line.split(), key=len))
    return "|".join(sorted(re.escape(word) for word in words))


_TEACHING = ("concept", "concept joined", "phrase", "preference", "fan", "name")


@cache
def _templates(section: str) -> tuple[_Template, ...]:
    made = []
    for line in _sections()[section]:
        tokens: list[str] = []
        for place, piece in enumerate(_PART.split(line)):
            tokens += [f"{{{piece}}}"] if place % 2 else _WORD.findall(piece)
        literal = sum(not token.startswith("{") and token != _COMMA for token in tokens)
        made.append(_Template(section, tuple(tokens), literal))
    return tuple(made)
