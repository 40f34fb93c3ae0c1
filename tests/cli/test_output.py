"""What commands print: sentences for people, or with --json one JSON value and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from cli.output import plain
from data.store.store import Store
from tests.command import Run
from tests.logs import trace, write_lines

# A Python object in place of what it holds.
OBJECT = re.compile(r"<[\w.]+ object at 0x|<generator|<bound method|<function|dataclass\(")
GOLD = {"transcript": "a", "intent": "play", "failure_point": "asr"}

COMMANDS = {
    "info": ("info",),
    "labels": ("labels", "compare"),
    "export": ("export", "turns", "--to", "{}/out.csv", "--manifest"),
    "report": ("report", "--to", "{}/out.html"),
    "promote": ("promote", "{model}"),
    "score": ("score",),
    "ingest": ("ingest", "{}/log.jsonl"),
    "annotate": ("annotate", "{}/verdicts.jsonl"),
    "compact": ("compact",),
    "retain": ("retain", "--days", "36500"),
    "delete": ("delete", "--user", "nobody"),
    "vacuum": ("vacuum",),
    "doctor": ("doctor",),
}


@pytest.fixture(scope="module")
def copied(six_scored: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scored store and files to read."""
    folder = tmp_path_factory.mktemp("output")
    shutil.copytree(six_scored.path, folder / "store")
    write_lines(folder / "log.jsonl", [trace("output-a", gold=GOLD), trace("output-b")])
    (folder / "verdicts.jsonl").write_text(
        json.dumps({"turn_id": "d001-0", "annotator": "ada", "failure_point": "nlu"}) + "\n"
    )
    return folder


def arguments(name: str, folder: Path, store: Path) -> list[str]:
    model = Store.open(store).head().model or "none"
    words = [word.replace("{}", str(folder)).replace("{model}", model) for word in COMMANDS[name]]
    return [*words, "--store", str(store)]


@pytest.mark.parametrize("name", COMMANDS)
def test_prints_json_for_programs(copied: Path, run: Run, name: str) -> None:
    result = run(*arguments(name, copied, copied / "store"), "--json")
    assert "Traceback" not in result.out + result.err
    json.loads(result.out)
    assert not OBJECT.search(result.out + result.err)


@pytest.mark.parametrize("name", COMMANDS)
def test_prints_sentences_for_people(copied: Path, run: Run, name: str) -> None:
    result = run(*arguments(name, copied, copied / "store"))
    assert "Traceback" not in result.out + result.err
    assert result.out.strip()
    assert not OBJECT.search(result.out + result.err)


@pytest.mark.parametrize("name", COMMANDS)
def test_says_so_on_an_empty_store(copied: Path, tmp_path: Path, run: Run, name: str) -> None:
    store = Store.create(tmp_path / "empty").path
    result = run(*arguments(name, copied, store))
    assert "Traceback" not in result.out + result.err
    assert (result.out + result.err).strip()
    assert not OBJECT.search(result.out + result.err)


def test_labels_lists_agreement_line_by_line(copied: Path, run: Run) -> None:
    first = run("labels", "compare", "--store", copied / "store").out.splitlines()[0]
    assert re.fullmatch(r"\d+ of \d+ annotated turns agree .*", first)


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = plain("dim\x1b[31m red \x1b]0;title\x07 and\ttab")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"\x1b" in text
    assert "\t" in text
