"""Text files of phrases and words: what can be read, and what is an error with file and line."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from assistant.intents.intents import FILES, INTENTS, SlotSpec, read_intents
from assistant.text_files import Section, parse_sections, read_sections
from data.errors import TextFileError

HEAD = "[GetFish]\ndomain: fishing\nweight: 2.5\nslot town: town, kept\n"


def sections(text: str) -> dict[str, Section]:
    return {section.heading.text: section for section in parse_sections(text, "shop.txt")}


def test_sections_keep_the_order_of_their_lines() -> None:
    parsed = sections(
        "# What is sold.\n\n[fruit]\nfig, red  apple,\n# sour\nplum\n[two]\na / b, c\n"
    )
    assert list(parsed) == ["fruit", "two"]
    assert parsed["fruit"].texts == ("fig, red apple,", "plum")
    assert parsed["fruit"].words == ("fig", "red apple", "plum")
    assert [(entry.number, entry.text) for entry in parsed["fruit"].entries][-1] == (6, "plum")
    assert parsed["two"].groups == (("a", "b"), ("c",))


def test_words_by_key_add_up() -> None:
    section = sections("[x]\nen-US, en-GB: milk\nen-GB: tea, milk\n")["x"]
    assert section.by_key(("en-US", "en-GB")) == {
        "en-US": ("milk",),
        "en-GB": ("milk", "tea", "milk"),
    }


def test_patterns_have_only_known_fields() -> None:
    section = sections("[x]\nthe {noun}\n{noun} {verb}s\n")["x"]
    assert section.patterns(("noun", "verb")) == ("the {noun}", "{noun} {verb}s")
    with pytest.raises(
        TextFileError, match=r"shop\.txt, line 3: .*\{verb\}s'; expected .*\{noun\}"
    ):
        section.patterns(("noun",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("milk\n[x]\ntea", "shop.txt, line 1: 'milk'; expected a [section] before"),
        ("[x]\ntea\n[ ]\nmilk", "shop.txt, line 3: '[ ]'; expected a name between the brackets"),
        ("[x]\ntea\n[y\nmilk", "shop.txt, line 3: '[y'; expected a closing bracket"),
        ("[x]\ntea\n[x]\nmilk", "shop.txt, line 3: '[x]'; expected every section only once"),
        ("[x]\n# nothing\n[y]\nmilk", "shop.txt, line 1: 'x'; expected at least one line"),
        ("# nothing\n", "shop.txt is empty; expected a [section]"),
    ],
)
def test_bad_sections_are_refused(text: str, message: str) -> None:
    with pytest.raises(TextFileError, match=re.escape(message)):
        sections(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("milk, , tea", "shop.txt, line 2: 'milk, , tea'; expected a word between two commas"),
        (",", "shop.txt, line 2: ','; expected a word between two commas"),
    ],
)
def test_empty_words_are_refused(text: str, message: str) -> None:
    with pytest.raises(TextFileError, match=re.escape(message)):
        _ = sections(f"[x]\n{text}\n")["x"].words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("en-US: milk", "line 1: 'x'; expected a line 'en-GB: …' below it"),
        ("en-US milk", "line 2: 'en-US milk'; expected one or more of en-US, en-GB, a colon"),
        (
            "en-US, en-XX: milk",
            "line 2: 'en-US, en-XX: milk'; expected one or more of en-US, en-GB",
        ),
        ("en-US:", "line 2: ''; expected a word between two commas"),
    ],
)
def test_bad_keys_are_refused(text: str, message: str) -> None:
    with pytest.raises(TextFileError, match=re.escape(message)):
        sections(f"[x]\n{text}\n")["x"].by_key(("en-US", "en-GB"))


def test_braces_that_do_not_match_are_refused() -> None:
    with pytest.raises(TextFileError, match=r"line 2: 'the \{noun'; expected a closing brace"):
        sections("[x]\nthe {noun\n")["x"].patterns(("noun",))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "grocer_words"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


def test_a_file_has_the_sections_that_the_code_reads(package: Path) -> None:
    (package / "shop.txt").write_text("[fruit]\nfig\n[milk]\ncurd\n", "utf-8")
    assert list(read_sections(package.name, "shop.txt")) == ["fruit", "milk"]
    assert list(read_sections(package.name, "shop.txt", ("milk", "fruit"))) == ["fruit", "milk"]
    with pytest.raises(TextFileError, match=r"grocer_words/shop\.txt has no section \[tea\]"):
        read_sections(package.name, "shop.txt", ("fruit", "milk", "tea"))
    with pytest.raises(TextFileError, match=r"shop\.txt, line 3: 'milk'; expected one of .* fruit"):
        read_sections(package.name, "shop.txt", ("fruit",))


def test_a_file_in_another_encoding_is_refused(package: Path) -> None:
    (package / "shop.txt").write_bytes("[fruit]\ncafé\n".encode("latin-1"))
    with pytest.raises(
        TextFileError, match=r"shop\.txt is not UTF-8 text \(.*\); save it as UTF-8"
    ):
        read_sections(package.name, "shop.txt")


def test_an_intent_is_read_from_its_section() -> None:
    text = (
        HEAD
        + "slot n: message, required, free text\nsupported: no\nbuy fish\n~ {town}\n+ and {n}\n"
    )
    (intent,) = read_intents(sections(text).values())
    assert (intent.name, intent.domain, intent.weight, intent.action) == (
        "GetFish", "fishing", 2.5, "get_fish",
    )  # fmt: skip
    assert intent.slots == (
        SlotSpec("town", "town", kept=True),
        SlotSpec("n", "message", required=True, free_text=True),
    )
    assert (intent.phrases, intent.bare, intent.follow_ups) == (
        ("buy fish",), ("{town}",), ("and {n}",),
    )  # fmt: skip
    assert not intent.supported


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[get fish]\nbuy fish", "line 1: 'get fish'; expected the name of an intent"),
        ("[GetFish]\nbuy fish", "line 1: 'GetFish'; expected a line 'domain: …' below it"),
        ("[GetFish]\ndomain: x\nbuy fish", "line 1: 'GetFish'; expected a line 'weight: …' below"),
        (HEAD, "line 1: 'GetFish'; expected at least one phrase that opens with neither ~ nor +"),
        (HEAD + "~ buy it", "line 1: 'GetFish'; expected at least one phrase that opens with"),
        (
            HEAD + "weigth: 3\nbuy fish",
            "line 5: 'weigth: 3'; expected domain, weight, supported or",
        ),
        (HEAD + "weight: 3\nbuy fish", "line 5: 'weight: 3'; expected 'weight' only once"),
        (
            HEAD + "supported: never\nbuy fish",
            "line 5: 'supported: never'; expected supported: 'no'",
        ),
        ("[GetFish]\ndomain: Sea\nbuy fish", "line 2: 'domain: Sea'; expected domain: a domain in"),
        ("[GetFish]\nweight: -1\nbuy fish", "line 2: 'weight: -1'; expected weight: a number such"),
        (HEAD + "slot town: town\nx", "line 5: 'slot town: town'; expected 'slot town' only once"),
        (HEAD + "slot n: numbr\nx", "line 5: 'slot n: numbr'; expected one or more of these kinds"),
        (
            HEAD + "slot n: number, must\nx",
            "line 5: 'slot n: number, must'; expected no other options",
        ),
        (HEAD + "buy fish\nbuy {fish", "line 6: 'buy {fish'; expected words in lower case, {slot}"),
        (HEAD + "Buy fish", "line 5: 'Buy fish'; expected words in lower case"),
        (HEAD + "buy fish\n~", "line 6: '~'; expected words in lower case"),
        (HEAD + "buy {cod}", "line 5: 'buy {cod}'; expected no other slots than town"),
        (
            HEAD + "buy <sole>",
            "line 5: 'buy <sole>'; expected in <…>, only words that are a section",
        ),
        (HEAD + "buy fish\nweight: 3", "line 6: 'weight: 3'; expected words in lower case"),
    ],
)
def test_bad_intents_are_refused(text: str, message: str) -> None:
    with pytest.raises(TextFileError, match=re.escape(f"shop.txt, {message}")):
        read_intents(sections(text).values())


def test_every_intent_file_is_read() -> None:
    import assistant.intents

    folder = Path(next(iter(assistant.intents.__path__)))
    assert {path.stem for path in folder.glob("*.txt")} == {*FILES, "vocabulary"}
    assert len(INTENTS) == sum(
        len(read_sections("assistant.intents", f"{file}.txt")) for file in FILES
    )
