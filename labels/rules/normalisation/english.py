"""English spelling: British and American, contractions, informal words, abbreviations.

The classes follow the Oxford guide to spelling and the rules that OpenAI published with Whisper
(Radford et al. 2022, appendix C).
"""

from __future__ import annotations

import re
from functools import lru_cache

from labels.rules.normalisation.files import table

_TABLES = table("english.toml")
_SPELLINGS: dict[str, str] = _TABLES["spellings"]
_CONTRACTIONS: dict[str, str] = _TABLES["contractions"]
_IRREGULAR: dict[str, str] = _TABLES["irregular"]
_ANSWERS: dict[str, str] = _TABLES["answers"]
_STREETS: dict[str, str] = _TABLES["streets"]
_LOANWORDS: dict[str, str] = _TABLES["loanwords"]
_IS = frozenset(_TABLES["is_after"].split())
_PRONOUNS = frozenset(_TABLES["pronouns"].split())
_BEFORE_ANSWER = frozenset(_TABLES["before_answer"].split())
_AFTER_STREET = frozenset(_TABLES["after_street"].split())
_NO_STREET = frozenset(("the", "a", "my", "call", "to", "with", "see", "by"))
_EVIDENCE = frozenset(_TABLES["evidence"].split())
# -lled to -led only for verbs with an unstressed last syllable: `filled` and `filed` are two words.
_DOUBLED_L = re.compile(
    r"(cancel|travel|label|level|model|signal|total|fuel|dial|channel|pencil|counsel|marvel|panel"
    r"|quarrel|shovel|tunnel|equal|rival|initial|medal|towel|cruel)l(?=ed$|ing$|ers?$|ation)"
)
# At least three letters before -our keeps `four`, `hours`, `flour` and `tours` as they are.
_OUR = re.compile(r"(?<=[a-z]{3})our(?=$|s$|ed$|ing$|ites?$|ful|able|less|ly$|y$|ers?$|hood)")
_RE = re.compile(r"(?<=[a-z]{2}t)re(?=s?$)|(?<=li[bt])re(?=s?$)")
# Harmless on `promise` and `exercise`: no English pair of this length differs in s and z alone.
_ISE = re.compile(r"(?<=[a-z]{3}[iy])s(?=e$|es$|ed$|ing$|ers?$|ations?$)")
_OGUE = re.compile(r"(?<=[a-z]{3}og)ue(?=s?$)")

_ENDINGS = {"m": "am", "re": "are", "ve": "have", "ll": "will", "d": "would"}
# `i d` is an identity card too.
_TAILS = frozenset(("s", "t", "m", "re", "ve", "ll"))
_APOSTROPHE = re.compile(r"(?<!\w)'cause\b|[a-z]+'[a-z]+")
_PARTICIPLES = (["been"], ["got"])
_HAS = re.compile(r" (?:been|got)\b")
_PER_CENT = re.compile(r"\bper cent\b")
_POSSESSIVE = re.compile(r"(?<=\w)\s+(?=['\u2019]s\b)")


def is_evident(text: str) -> bool:
    """Whether a lower-case text of unknown language is English: it has one of its small words."""
    return not _EVIDENCE.isdisjoint(text.split())


def without_contractions(text: str) -> str:
    """Lower-case `text` with contractions written out, and possessives without apostrophe."""
    text = _PER_CENT.sub("percent", text)
    if "'" not in text:
        return text
    return _APOSTROPHE.sub(_written_out, _POSSESSIVE.sub("", text))


def _written_out(match: re.Match[str]) -> str:
    word = match[0]
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    stem, _, ending = word.partition("'")
    if word.endswith("n't"):
        return f"{word[:-3]} not"
    if ending in _ENDINGS:
        return f"{stem} {_ENDINGS[ending]}"
    if ending == "s" and stem in _IS:
        return f"{stem} {'has' if _HAS.match(match.string, match.end()) else 'is'}"
    return stem + ending


def spelled(words: list[str]) -> list[str]:
    """The words in one spelling. Contractions without an apostrophe become two words."""
    if not _TAILS.isdisjoint(words):
        words = _reunited(words)
    if not _ANSWERS.keys().isdisjoint(words):
        words = _answered(words)
    if not _STREETS.keys().isdisjoint(words):
        words = [
            _STREETS.get(word, word) if _names_a_street(words, position) else word
            for position, word in enumerate(words)
        ]
    return " ".join(map(_spelling, words)).split()


def _answered(words: list[str]) -> list[str]:
    """The words with informal answers at the start as yes and no."""
    found = []
    answering = True
    for word in words:
        if answering:
            word = _ANSWERS.get(word, word)
            answering = word in _BEFORE_ANSWER
        found.append(word)
    return found


def _reunited(words: list[str]) -> list[str]:
    """The words with contractions and possessives that a recogniser took apart: `what s`, `i m`."""
    found: list[str] = []
    for position, word in enumerate(words):
        before = found[-1] if found else ""
        if word == "s" and before in _IS:
            found.append("has" if words[position + 1 : position + 2] in _PARTICIPLES else "is")
        elif word == "s" and before[-1:].isalpha() and len(before) > 1:
            found[-1] += "s"
        elif word == "t" and before.endswith("n") and f"{before}t" in _CONTRACTIONS:
            found[-1] += "t"
        elif word in _TAILS and word in _ENDINGS and before in _PRONOUNS:
            found.append(_ENDINGS[word])
        else:
            found.append(word)
    return found


def _names_a_street(words: list[str], position: int) -> bool:
    """Whether the word ends the name of a street, unlike in Ave Maria or St Patrick."""
    if position == 0 or (words[position] == "dr" and words[position - 1] in _NO_STREET):
        return False
    after = words[position + 1] if position + 1 < len(words) else None
    return after is None or after in _AFTER_STREET or words[position - 1][:1].isdigit()


@lru_cache(maxsize=65_536)
def _spelling(word: str) -> str:
    previous = ""
    while word != previous:
        previous = word
        word = _CONTRACTIONS.get(word, word)
        word = _LOANWORDS.get(word, word)
        word = _SPELLINGS.get(word, word)
        word = _DOUBLED_L.sub(r"\1", word)
        word = _OUR.sub("or", word)
        word = _RE.sub("er", word)
        word = _ISE.sub("z", word)
        word = _OGUE.sub("", word)
    return word
