"""Errors of a user's statement say the line and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from data.export.sandbox import StatementError, run
from data.export.sql_errors import Place, nearest, place_of, sentence
from data.store.store import Store
from tests.scored import MODEL


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE slice AS SELECT 'play' AS intent, 'en' AS locale, 0.5 AS p_defect, "
            "{'hypotheses': 1} AS asr"
        )
        yield connection


def _bind(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    con.extract_statements(sql)
    con.execute(f"PREPARE statement AS\n{sql}")


def explained(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[str, Place | None]:
    names = ["intent", "locale", "p_defect", "asr"]
    with pytest.raises(duckdb.Error) as caught:
        _bind(con, sql)
    words, where = sentence(str(caught.value), sql, names, 1)
    assert "\n" not in words
    assert words.endswith(".")
    return words, where


@pytest.mark.parametrize(
    ("sql", "where", "meant"),
    [
        ("SELECT intnt\nFROM slice", (1, 8), "intent"),
        ("SELECT intent,\n count(*)\nFROM slice\nGROUP BY intet", (4, 10), "intent"),
        ("-- a comment\n\n  SELECT 1\nFROM slice WHERE localle = 'x'", (4, 18), "locale"),
        ("SELECT cuont(*) FROM slice", (1, 8), "count"),
        ("SELECT *\nFROM slce", (2, 6), "slice"),
        ("SELECT s.intnt FROM slice s", (1, 8), "intent"),
        ("SELECT\n  asr.hypothesis FROM slice", None, "hypotheses"),
        ("SELCT 1", (1, 1), "SELECT"),
        ("SELECT 1\nFROM slice GRUOP BY 1", (2, 18), "GROUP"),
        ("FROM slice LIMTI 3", (1, 18), "LIMIT"),
        ("SELECT 'é', intnt FROM slice", (1, 13), "intent"),
        # The line that DuckDB quotes is cut on both sides.
        (f"SELECT {', '.join(['intent'] * 40)}, intnt, {', '.join(['intent'] * 40)} FROM slice",
         (1, 328), "intent"),
        # Two lines with the same text: the second one is wrong, too, but the first is named.
        ("SELECT\n intnt,\n intnt\nFROM slice", (2, 2), "intent"),
    ],
)  # fmt: skip
def test_an_error_names_the_line_and_what_was_meant(
    con: duckdb.DuckDBPyConnection, sql: str, where: tuple[int, int] | None, meant: str
) -> None:
    words, place = explained(con, sql)
    assert f"did you mean “{meant}”" in words
    assert place == where
    if where:
        assert f"Line {where[0]}, column {where[1]}" in words


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT intent, count(*) FROM slice", "GROUP BY"),
        ("SELECT 'abc", "unterminated"),
        ("SELECT zzzzzzzz FROM slice", "no column “zzzzzzzz”"),
        ("SELECT 1 +\n\n FROM", "syntax error"),
        ("SELECT lower(1, 2, 3)", "No function matches"),
    ],
)
def test_no_suggestion_is_made_up(con: duckdb.DuckDBPyConnection, sql: str, reason: str) -> None:
    words, place = explained(con, sql)
    assert reason in words
    assert "did you mean" not in words
    assert place is not None


@pytest.mark.parametrize("message", ["", "\n", "LINE 1: ", "x\nLINE 9: nowhere\n  ^", "a\nLINE 1:"])
def test_a_message_without_a_place_has_none(message: str) -> None:
    words, place = sentence(message, "SELECT 1")
    assert words.startswith("DuckDB cannot run this. ")
    assert place is None


def test_names_are_compared_without_their_case() -> None:
    assert nearest("Intnt", ["intent", "locale"]) == ["intent"]
    assert nearest("xyz", ["intent", "locale"]) == []


def test_a_byte_offset_is_a_line_and_a_column() -> None:
    assert place_of("SELECT 'é',\n x", len("SELECT 'é',\n ".encode())) == Place(2, 2)


@pytest.mark.parametrize(
    ("sql", "place", "words"),
    [
        ("\n\nSELECT intnt\nFROM slice", (3, 8), "did you mean “intent”"),
        ("SELECT 1\nFROM slce", (2, 6), "did you mean “slice”"),
        ("SELECT 'x',\n getenv('HOME')", (2, 2), "getenv"),
    ],
)
def test_the_sandbox_says_where(
    scored_store: Store, sql: str, place: tuple[int, int], words: str
) -> None:
    with scored_store.snapshot() as snapshot, pytest.raises(StatementError) as caught:
        run(snapshot, sql, model=MODEL)
    assert caught.value.place == place
    assert words in str(caught.value)


def test_the_missing_name_itself_is_no_suggestion() -> None:
    """Another table may have a column of this name."""
    message = 'Binder Error: Referenced column "domain" not found in FROM clause!'
    words, _ = sentence(message, "SELECT domain FROM turns", ["Domain", "domains", "locale"])
    assert words.endswith("here is no column “domain” (did you mean “domains”?).")
