"""What somebody says in teaching: acts with their parts, found by templates in `phrases.txt`.

Templates are matched word for word first. Failing that, one of their words may differ as
recognisers differ ("win i say cosy"): by a letter or two, or in spelling but not in sound. A value
or meaning is kept as it was said, with its case, signs and symbols ("-18", "C++", "$30"); only the
punctuation of the sentence and quotes around it go. A phrase or topic is kept as it is looked up.
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
    "correction", "too long", "other",
]  # fmt: skip
# The topics of preferences that name none.
FAN, NAME, NOTE = "fan", "name", "note"
# Longer texts teach nothing: a runaway transcript is no lesson. Characters.
LONGEST = 300
# Nobody means centuries.
_MOST_DAYS = 3_650

# Scripts that put no spaces between words: each character is a word.
_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# A comma within a number parts nothing.
_WORD = re.compile(rf"[{_UNSPACED}]|(?:[^\s{_UNSPACED},，、]|(?<=\d),(?=\d))+|[,，、]")
# Marks at the edges of words that belong to them as templates are matched.
_KEPT = "'%°"
# Punctuation of sentences, which belongs to nothing that is taught, and what quotes it.
_ENDS = ".,;:!?…。，、；：！？؟،؛।"
_STARTS = ",;:!?…。，、；：！？¿¡؟،؛।"
_QUOTES = {
    '"': '"', "'": "'", "“": "”", "”": "”", "„": "“", "‘": "'", "«": "»", "»": "«", "‹": "›",
    "「": "」", "『": "』",
}  # fmt: skip
# Other punctuation that is part of a name: C#, @home, AT&T.
_NAMING = "#&@%*/\\_'"
# Joiners and variants of emoji, which nobody sees.
_INVISIBLE = re.compile("[\ufe0e\ufe0f]")
# What Unicode would turn into another number or word: x² is no x2, 1½ is no 11/2.
_OWN_FORMS = ("<super>", "<sub>", "<fraction>")
# "Call me a taxi" names nobody.
_NO_NAMES = ("a ", "an ", "the ", "at ", "in ", "on ", "when ", "back", "later", "tomorrow", "now")
_PART = re.compile(r"\{(\w+)\}")
_COMMA = ","
# Device types that a preference can be limited to, by how people call them.
DEVICES = {
    "car": "car", "tv": "tv", "television": "tv", "speaker": "speaker", "phone": "phone",
    "display": "display", "screen": "display",
}  # fmt: skip
_PLACE = re.compile(rf"(?:in|on) (?:the|my) ({'|'.join(DEVICES)})")
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "a": 1, "an": 1}
_SPAN = re.compile(
    r" (?:for (?:the next )?(?:(-?\d+|one|two|three|four|five|six|an?) )?(hour|day|week|month)s?"
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
        should be), ``too long`` (it would teach something, with more than `LONGEST` characters) or
        ``other``.
    scope: a device type that it is limited to, or "user". lasts: None if it does not expire; may be
        nothing or less, as in "for 0 days".
    text: what was said, as it was heard.
    """

    kind: Kind
    text: str
    name: str = ""
    value: str = ""
    scope: str = "user"
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a text: as templates are matched ("" for a symbol), as it is looked up, and where
    it stands in the text."""

    form: str
    key: str
    start: int
    end: int


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
    # A letter may become many.
    whole = _normal(text[: LONGEST + 1])
    if len(text) > LONGEST or len(whole) > LONGEST:
        begun = _said(_normal(whole[:LONGEST]), text)
        return Act("too long" if begun.kind in _TAUGHT_KINDS else "other", text)
    return _said(whole, text)


_TAUGHT_KINDS = ("concept", "preference", "phrase")


def _said(whole: str, text: str) -> Act:
    """The act of a text that is normalised."""
    spoken = plain(whole).replace(_COMMA, "")
    for section in ("cancel", "no", "yes", "learn", "list"):
        if spoken in _sentences(section):
            return Act(_kind(section), text)
    words = _words(whole)
    for slack in (0, 1):
        found = _taught(words, whole, text, slack)
        if found is not None:
            return found
    return Act("other", text)


def _taught(words: Sequence[_Word], whole: str, text: str, slack: int) -> Act | None:
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
        for parts in _matches(section, bare if limited else rest, whole, slack):
            act = _act(section, parts, text)
            if act is not None:
                return replace(act, scope=scope, lasts=lasts) if limited else act
    if slack or not head:
        return None
    if not rest:
        return Act("learn", text)
    if rest[0].form == "to":
        # "Remember to buy milk" is a reminder.
        return None
    note = _part(bare, whole)
    return Act("preference", text, NOTE, note, scope, lasts) if note else Act("learn", text)


def _act(section: str, parts: dict[str, str], text: str) -> Act | None:
    if not all(parts.values()):
        return None
    if section == "concept joined":
        split = split_command(parts["both"])
        return None if split is None else Act("concept", text, phrase_key(split[0]), split[1])
    if section in ("concept", "concept remembered", "phrase", "forget"):
        kind = _kind(section.split()[0])
        return Act(kind, text, phrase_key(parts["phrase"]), parts.get("meaning", ""))
    if section == "name" and plain(parts["value"]).startswith(_NO_NAMES):
        return None
    if section == "correction":
        return Act("correction", text, value=parts["value"])
    topic = {"fan": FAN, "name": NAME}.get(section) or phrase_key(parts["topic"])
    return Act("preference", text, topic, parts["value"])


def split_command(both: str) -> tuple[str, str] | None:
    """A phrase and the command that follows it without a pause; None if no word tells them apart.

    >>> split_command("cosy dim the lights to 30")
    ('cosy', 'dim the lights to 30')
    """
    words = both.split()
    forms = [plain(word) for word in words]
    for place in range(1, len(words)):
        opens = forms[place] in _commands() or " ".join(forms[place:]).startswith(_lines("openers"))
        # "To play" and "and play" go on with what was said before.
        if opens and place < len(words) - 1 and forms[place - 1] not in _joining():
            phrase, meaning = (_bared(" ".join(of)) for of in (words[:place], words[place:]))
            return (phrase, meaning) if phrase and meaning else None
    return None


def meaning_of(text: str) -> str:
    """What is meant by an answer to "what should I do?": without "I mean", "you should" …"""
    whole = _normal(text)
    words: Sequence[_Word] = _words(whole)
    changed = True
    # "I mean, you should …": what is cut off may leave another.
    while changed:
        changed = False
        for lead in _lines("lead"):
            rest = _after(lead.split(), words)
            if rest:
                words, changed = rest, True
    return _part(words, whole)


def _after(head: Sequence[str], words: Sequence[_Word]) -> Sequence[_Word] | None:
    """The words after an opening, without commas between them; None if it is not there."""
    if [word.form for word in words[: len(head)]] != list(head):
        return None
    rest = words[len(head) :]
    while rest and rest[0].form == _COMMA:
        rest = rest[1:]
    return rest


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
    """A text as templates are matched: lower case, single spaces, no punctuation but commas, and no
    symbols."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("`", "'")
    words = (_COMMA if word in ",，、" else _trimmed(word) for word in _WORD.findall(text))
    return _joined([word for word in words if word]).strip(f"{_COMMA} ")


def _normal(text: str) -> str:
    """A text in one form of Unicode, with single spaces, and otherwise as it was said."""
    kept = "".join(
        letter
        if unicodedata.decomposition(letter).startswith(_OWN_FORMS)
        else unicodedata.normalize("NFKC", letter)
        for letter in unicodedata.normalize("NFC", text)
    )
    kept = unicodedata.normalize("NFC", kept).replace("’", "'").replace("`", "'")
    return " ".join(kept.split())


def _words(whole: str) -> list[_Word]:
    """The words of a text that is normalised; punctuation alone is none, commas are."""
    words = []
    for match in _WORD.finditer(whole):
        if match[0] in ",，、":
            words.append(_Word(_COMMA, "", *match.span()))
        elif key := phrase_key(match[0]):
            words.append(_Word(plain(match[0]), key, *match.span()))
    # "¡👍, remember that": nothing is taught by a comma in front.
    while words and words[0].form == _COMMA:
        words.pop(0)
    while words and words[-1].form == _COMMA:
        words.pop()
    return words


def _part(words: Sequence[_Word], whole: str) -> str:
    """What some words of a text say, as they were said; "" for punctuation alone."""
    part = _bared(whole[words[0].start : words[-1].end]) if words else ""
    return part if phrase_key(part) else ""


def _bared(text: str) -> str:
    """A text without the punctuation of its sentence, and without the quotes around it."""
    before = None
    while before != text:
        before = text
        text = text.rstrip(f"{_ENDS} ").lstrip(f"{_STARTS} ")
        text = text.removeprefix("...").removeprefix("- ").removesuffix(" -")
        text = text.removeprefix("– ").removesuffix(" –").removeprefix("— ").removesuffix(" —")
        closing = _QUOTES.get(text[:1])
        if closing and len(text) > 1 and text.endswith(closing):
            inner = text[1:-1]
            # Not of two quotes the first and the last; an apostrophe is none.
            if not re.search(rf"(?<!\w)[{text[0]}{closing}]|[{text[0]}{closing}](?!\w)", inner):
                text = inner
    return text


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


@lru_cache(maxsize=50_000)
def phrase_key(text: str) -> str:
    """A phrase as it is looked up: lower case, single spaces, no punctuation; symbols and signs of
    numbers stay."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", _normal(text))).lower()
    text = text.replace("’", "'").replace("`", "'")
    words = [_looked_up(word) for word in _WORD.findall(_bared(text)) if word not in ",，、"]
    return _joined([part for word in words for part in word.replace(_COMMA, " ").split()])


def _looked_up(word: str) -> str:
    """A word without punctuation at its edges that is no part of it."""
    word = _bared(word)
    start, end = 0, len(word)
    while start < end and _is_punctuation(word[start]) and not _is_sign(word[start:end]):
        start += 1
    while end > start and _is_punctuation(word[end - 1]):
        end -= 1
    bare = word[start:end]
    return bare if bare.strip("'") else ""


def _is_punctuation(letter: str) -> bool:
    return letter not in _NAMING and unicodedata.category(letter)[0] in "PC"


def _is_sign(word: str) -> bool:
    """Whether a word begins with the sign of a number, or a point before its digits."""
    return word[0] in "-–−." and word[1:2].isdigit()


def _kind(section: str) -> Kind:
    kind: Kind = section  # type: ignore[assignment]  # sections are kinds
    return kind


def _remembered(words: Sequence[_Word]) -> tuple[bool, Sequence[_Word]]:
    """Whether a text opens with "remember that", and the rest of it."""
    while words and not words[0].form:
        words = words[1:]
    for head in _lines("remember"):
        rest = _after(_WORD.findall(head), words)
        if rest is not None:
            return True, rest
    return False, words


def _scoped(words: Sequence[_Word]) -> tuple[str, Sequence[_Word]]:
    for place, rest in ((words[:3], words[3:]), (words[-3:], words[:-3])):
        match = _PLACE.fullmatch(" ".join(word.form for word in place))
        if match and rest:
            while len(rest) > 1 and rest[-1].form == _COMMA:
                rest = rest[:-1]
            return DEVICES[match[1]], rest
    return "user", words


def _span(words: Sequence[_Word]) -> tuple[timedelta | None, Sequence[_Word]]:
    # The first word is no part of it: something has to be taught.
    match = _SPAN.search("".join(f" {word.key or _COMMA}" for word in words[1:]))
    if not match:
        return None, words
    number = match[1] or "one"
    times = _NUMBERS.get(number) or min(int(number), _MOST_DAYS * 24)
    days = times * _DAYS[match[2] or match[4]]
    return timedelta(days=min(days, _MOST_DAYS)), words[: -len(match[0].split())]


def _matches(
    section: str, words: Sequence[_Word], whole: str, slack: int
) -> Iterator[dict[str, str]]:
    for template in _templates(section):
        # With a word that differs, enough others must be right.
        if slack and template.literal < 3:
            continue
        parts = _match(template.tokens, words, slack)
        if parts is not None:
            yield {name: _part(of, whole) for name, of in parts.items()}


def _match(
    template: Sequence[str], words: Sequence[_Word], slack: int
) -> dict[str, list[_Word]] | None:
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
    word = words[0].form
    if word == head:
        return _match(rest, words[1:], slack)
    # Commas and symbols are passed over.
    if word in ("", _COMMA):
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
