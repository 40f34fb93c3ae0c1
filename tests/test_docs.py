"""The programs in the documentation run as they are printed, and whatever it names exists."""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from assistant.demo import simulate
from cli.main import app
from tests.logs import write_lines
from tests.simulated import SETUP
from tests.traces import logs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")))
# Folders of the reader, which the repository does not have.
_EXAMPLES = {"logs/", "demo/", "./store", "../shared/corpora"}
_PATH = re.compile(r"[\w.-]+(/[\w.-]+)+/?|[\w.-]+/|[\w-]+\.(py|md|toml|txt)")
_PROGRAMS = {
    *("make", "python", "pip", "pipx", "uv", "git", "apt-get", "pytest", "source", "docker"),
    *("useradd", "install", "systemctl", "journalctl", "ray"),
}


def unknown(text: str, page: Path) -> list[str]:
    """The links, paths, modules, commands and options that a page names and that do not exist."""
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S)
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    lines = [line.split(" #")[0].strip() for block in fenced for line in block.splitlines()]
    return [
        *(link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not _leads(link, page)),
        *(span for span in spans if _PATH.fullmatch(span) and not _is_path(span)),
        *(span for span in spans if re.fullmatch(r"[a-z_]+(\.\w+)+", span) and not _is_name(span)),
        *(name for name in re.findall(r"python -m ([\w.]+)", text) if not _runs(name)),
        *(
            f"make {target}"
            for code in [*spans, *lines]
            for target in re.findall(r"^make ([a-z][\w-]*)", code)
            if not re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
        ),
        *(problem for code in [*spans, *lines] for problem in bad_calls(code)),
    ]


def _leads(link: str, page: Path) -> bool:
    if link.startswith("https://"):
        return True
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists() or not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.*)", target.read_text(), re.M)
    return anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def _is_path(span: str) -> bool:
    return span in _EXAMPLES or (ROOT / span).exists()


def _is_name(span: str) -> bool:
    """Whether a dotted name of one of our rooms is a module, or is defined in one."""
    room, *rest = span.split(".")
    if not (ROOT / room / "__init__.py").exists():
        return True
    inside = ROOT / room
    while rest and (inside / rest[0]).is_dir():
        inside /= rest.pop(0)
    if not rest:
        return True
    module = inside / f"{rest[0]}.py"
    if not module.exists():
        return len(rest) == 1 and f'"{rest[0]}",' in (inside / "__init__.py").read_text()
    defined = rest[1:] and rf"^(def |class )?{rest[1]}\b"
    return module.exists() and (not defined or bool(re.search(defined, module.read_text(), re.M)))


def _runs(module: str) -> bool:
    room = module.split(".")[0]
    if not (ROOT / room).exists():
        return importlib.util.find_spec(room) is not None
    path = ROOT.joinpath(*module.split("."))
    script = path.with_suffix(".py")
    return (path / "__main__.py").exists() or (
        script.exists() and '__name__ == "__main__"' in script.read_text()
    )


def bad_calls(code: str) -> Iterator[str]:
    """What is wrong with a command of ours: an unknown name or unknown options."""
    call = re.match(r"(?:\$ )?faultline ([a-z][\w-]*)(.*)", code)
    call = call or re.match(r"([a-z][a-z-]*)( .*--[a-z].*)", code)
    if not call or call[1] in _PROGRAMS:
        return
    commands: Any = typer.main.get_group(app).commands
    name, rest = call[1], call[2]
    while name.split()[-1] in commands:
        command = commands[name.split()[-1]]
        commands = getattr(command, "commands", {})
        # `faultline rewrites mine`: a command of a group.
        if not commands or not (of_group := re.match(r" ([a-z][\w-]*)(.*)", rest)):
            break
        name, rest = f"{name} {of_group[1]}", of_group[2]
    else:
        yield f"faultline {name}"
        return
    options = {name for param in command.params for name in param.opts}
    options |= {name for param in command.params for name in param.secondary_opts}
    options.add("--help")
    yield from (
        f"faultline {name} {option}"
        for option in re.findall(r"--[a-z][\w-]*", rest)
        if option not in options
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whatever_a_page_names_exists(page: Path) -> None:
    assert unknown(page.read_text(), page) == []


@pytest.mark.parametrize(
    "text",
    [
        "[guide](docs/nowhere.md)", "[below](#no-such-heading)", "`data/nowhere.py`", "`audio/`",
        "`contract.py`", "`labels.nowhere.derive`", "`labels.rules.failure_point.nowhere`",
        "    python -m benchmarks.nowhere STORE", "    python -m data.errors", "`make nowhere`",
        "```sh\nmake nowhere  # a comment\n```", "```console\n$ faultline nowhere --to x\n```",
        "`faultline rewrites nowhere --to x`", "`faultline rewrites mine --to x`",
        "`faultline score --nowhere`", "`nowhere --to x`", "```\nfaultline export x --nowhere\n```",
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_noticed(text: str) -> None:
    assert len(unknown(text, ROOT / "README.md")) == 1


def test_the_readme_lists_every_room_and_only_folders_that_are_in_it() -> None:
    table = (ROOT / "README.md").read_text().split("## How it is built")[1].split("\nImports")[0]
    rows = [re.findall(r"`([^`]+)`", line) for line in table.splitlines() if "/`" in line]
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"} | {"pages"}
    assert {row[0].rstrip("/") for row in rows} == rooms
    inside = [ROOT / room / name for room, *names in rows for name in names if "." not in name]
    assert [path for path in inside if not path.is_dir()] == []


@pytest.mark.simulator
@pytest.mark.parametrize("stage", ["wake", "asr", "nlu", "er", "result", "tts", None])
def test_every_stage_can_be_replaced_as_the_page_on_the_assistant_says(
    stage: str | None, tmp_path: Path, demo_trained: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / "assistant.md").read_text(), re.S)
    if stage:
        # One stage of one's own, the others those of the release.
        program = re.sub(rf"^        (?!{stage}=|stages)\w+=.*\n", "", program, flags=re.M)
    (tmp_path / "my_stages.py").write_text(program)
    spec = importlib.util.spec_from_file_location("my_stages", tmp_path / "my_stages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_stages"] = module
    try:
        spec.loader.exec_module(module)
        mine = replace(SETUP, adapt=module.adapt)
        batches = list(simulate(60, mine, processes=1, trained=demo_trained))
    finally:
        del sys.modules["my_stages"]
    versions = batches[0][0].record["versions"]
    own = {name for name, version in versions.items() if version.endswith("-0.1")}
    assert own == ({stage} if stage else {"wake", "asr", "nlu", "er", "result", "tts"})


@pytest.mark.long
def test_the_session_in_python_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (session,) = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.S)
    write_lines(tmp_path / "logs.jsonl", logs())
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(session, {}, "python.md", None, None)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert test.examples
    assert runner.run(test).failed == 0
