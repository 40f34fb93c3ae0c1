"""Texts in CSV: none is a formula to a spreadsheet, and every text comes back as it was."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.export.export import copy_sql
from data.export.spreadsheet import guarded, guarded_sql, unguarded
from tests.hostile import TEXTS

# Texts as people write them, and texts of what matters here: signs, quotes and what is not seen.
_PARTS = st.sampled_from([*"=+-@'\"\t\r\n ;,1a", "\uff1d", "\ufe62", "\u200b", "\ufeff", "\u3000"])
texts = st.one_of(st.text(), st.lists(_PARTS, max_size=8).map("".join))


def runs(cell: str) -> bool:
    """Whether a spreadsheet may run a cell, as it may read it: compatible forms as one, and without
    what has no width or is blank."""
    seen = [
        c
        for c in unicodedata.normalize("NFKC", cell)
        if unicodedata.category(c) not in {"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"}
    ]
    return bool(seen) and seen[0] in "=+-@"


@given(texts)
def test_a_text_comes_back_and_is_never_a_formula(text: str) -> None:
    cell = guarded(text)
    assert unguarded(cell) == text
    assert not runs(cell)
    assert not cell.startswith(("\t", "\r", "\n"))


@given(st.lists(texts, min_size=1, max_size=40))
def test_sql_guards_as_python_does(many: list[str]) -> None:
    many = [text for text in many if "\0" not in text] or ["="]
    cells = duckdb.execute(f"SELECT {guarded_sql('t')} FROM (SELECT unnest($1) AS t)", [many])
    assert [cell for (cell,) in cells.fetchall()] == [guarded(text) for text in many]


@pytest.mark.parametrize("text", TEXTS)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert guarded(f"a{text}") == f"a{text}"


@given(texts)
def test_a_file_holds_the_cells_whatever_the_columns_are_called(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    if "\0" in text:
        return
    file = tmp_path_factory.getbasetemp() / "cells.csv"
    name = text or "empty"
    con = duckdb.connect()
    quoted = '"' + name.replace('"', '""') + '"'
    con.execute(f"CREATE VIEW v AS SELECT $1 AS {quoted}, 1.5 AS number".replace("$1", _sql(text)))
    kinds = [(name, "VARCHAR"), ("number", "DECIMAL(2,1)")]
    con.execute(copy_sql("v", kinds, file, ".csv"))
    with file.open(newline="", encoding="utf-8") as lines:
        header, cells = csv.reader(lines)
    assert (header, cells) == ([guarded(name), "number"], [guarded(text), "1.5"])
    assert [unguarded(cell) for cell in cells] == [text, "1.5"]


def test_an_empty_answer_is_a_header(tmp_path: Path) -> None:
    con = duckdb.connect()
    con.execute("CREATE VIEW v AS SELECT 'a' AS x WHERE false")
    con.execute(copy_sql("v", [("x", "VARCHAR")], tmp_path / "none.csv", ".csv"))
    assert pd.read_csv(tmp_path / "none.csv").columns.tolist() == ["x"]


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
