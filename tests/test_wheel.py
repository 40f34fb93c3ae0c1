"""Installed from its wheel, without the clone, and from a folder full of names like ours.

Builds the wheel, which needs the package index, and makes a demo: `make exam`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from benchmarks.visitors import Visitor
from tests.once import Once

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
ROOMS = (
    *("alerts", "analysis", "annotation", "assistant", "charts", "classifiers", "cli", "collect"),
    *("data", "faultline", "features", "labels", "pages", "parts", "report", "rewrites", "tickets"),
)
MODULES = ("app.py", "progress.py")
_CODE = (*ROOMS, *MODULES, "benchmarks", "docs", "tests")
# Of another program, in the folder where ours is started.
_OTHERS = (
    *("data/__init__.py", "pages/__init__.py", "parts/__init__.py", "data.py", "cli.py", "app.py"),
    *("progress.py", "report.py", "features.py", "classifiers.py", "faultline.py"),
)
_STREAMLIT = """
[theme]
primaryColor = "#ff0000"
base = "dark"
font = "monospace"
[server]
port = 1
baseUrlPath = "elsewhere"
"""


@pytest.fixture(scope="module")
def wheel(once: Once) -> Path:
    """Built from a copy: what an earlier build left in `build/` would go into the wheel."""
    (file,) = once("wheel", _build).glob("faultline_voice-*.whl")
    return file


def _build(folder: Path) -> None:
    source = folder / "clone"
    source.mkdir()
    for item in (".streamlit", "pyproject.toml", "README.md", "LICENSE", *_CODE):
        copy = shutil.copytree if (ROOT / item).is_dir() else shutil.copy
        copy(ROOT / item, source / item)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    subprocess.run(command, cwd=source, check=True)


@pytest.fixture(scope="module")
def python(wheel: Path, once: Once) -> Path:
    """The Python of an environment with the wheel, and with what it depends on from this one."""
    return once("venv", lambda folder: _install(wheel, folder)) / "bin" / "python"


def _install(wheel: Path, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    # With the clone on PYTHONPATH pip would take the wheel for installed.
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, env=plain)
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder that is named in such a file is not searched for others, which would lead to the
    # clone.
    paths = sysconfig.get_paths()
    (site / "dependencies.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")


@pytest.fixture(scope="module")
def folder(once: Once) -> Path:
    """Where another program lies whose parts are called as ours are; none of it can be imported."""
    return once("elsewhere", _write_others)


def _write_others(folder: Path) -> None:
    for name in _OTHERS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"raise SystemExit('{name} of another program was imported')\n")
    for home in (folder, folder / "home"):
        (home / ".streamlit").mkdir(parents=True)
        (home / ".streamlit" / "config.toml").write_text(_STREAMLIT)


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    own = ("PYTHON", "FAULTLINE", "STREAMLIT", "COVERAGE", "PYTEST")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    return kept | {"HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def store(once: Once, python: Path, folder: Path, environment: dict[str, str]) -> Path:
    """A small demo in that folder, made by the installed command."""
    command = [str(python.with_name("faultline")), "demo", "--turns", "2000", "--gold", "0.3"]

    def make(_: Path) -> None:
        subprocess.run([*command, "--no-serve"], cwd=folder, env=environment, check=True)

    once("wheel-demo", make)
    return folder / "store"


def test_everything_that_the_program_needs_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (file for room in ROOMS for file in (ROOT / room).rglob("*") if file.is_file())
    wanted = {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}
    assert names == {*wanted, *MODULES, ".streamlit/config.toml"}


def test_the_clone_cannot_be_imported(
    python: Path, folder: Path, environment: dict[str, str]
) -> None:
    modules = [*ROOMS, *(name.removesuffix(".py") for name in MODULES)]
    code = (
        "import sys; from importlib.util import find_spec; print(*sys.path, sep='\\n'); "
        f"[print(*find_spec(name).submodule_search_locations or [find_spec(name).origin]) "
        f"for name in {modules!r}]"
    )
    done = subprocess.run(
        [str(python), "-P", "-c", code],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    paths, places = lines[: -len(modules)], lines[-len(modules) :]
    assert all(Path(place).is_relative_to(python.parents[1]) for place in places), places
    assert str(ROOT) not in paths


def test_statements_and_the_module_work_in_such_a_folder(
    python: Path, folder: Path, environment: dict[str, str], store: Path
) -> None:
    code = """
import faultline
from data.export.sandbox import run

if __name__ == "__main__":
    snapshot = faultline.open().snapshot()
    print(run(snapshot, "SELECT count(*)::INT AS n FROM predictions").table["n"][0].as_py())
    print(faultline.rates()["turns"].max())
"""
    done = subprocess.run(
        [str(python), "-P", "-c", code],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["2000", "2000"]


def test_workers_find_the_installed_modules(
    python: Path, folder: Path, environment: dict[str, str], store: Path
) -> None:
    log = folder / "demo" / "traces.jsonl.zst"
    assert log.exists()
    # Whatever the size, two processes.
    code = (
        "import sys; from data.ingest.ingest import ingest; from data.store.store import Store\n"
        "if __name__ == '__main__':\n"
        f"    print(ingest(Store.ensure('again'), [{str(log)!r}], workers=2).turns)"
    )
    script = folder / "home" / "twice.py"
    script.write_text(code)
    done = subprocess.run(
        [str(python), "-P", str(script)],
        cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["2000"]


def test_the_dashboard_has_its_pages_and_its_theme(
    python: Path, folder: Path, environment: dict[str, str], store: Path
) -> None:
    with served(python, folder, environment) as port:
        theme = theme_of(port)
        assert theme.light.primary_color == "#3D6B8C"
        assert theme.dark.background_color == "#14181D"
        for page in ("", "triage", "turn", "model", "annotate", "explore", "data"):
            visit = asyncio.run(_visit(port, page))
            assert visit.errors == [], page
            assert visit.elements > 5, page
            assert visit.versions, page


@contextmanager
def served(python: Path, folder: Path, environment: dict[str, str]) -> Iterator[int]:
    """`faultline dashboard` in the folder; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(python.with_name("faultline")), "dashboard", "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        limit = time.monotonic() + 60
        while True:
            assert server.poll() is None
            assert time.monotonic() < limit
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def theme_of(port: int) -> Any:
    """The theme that the server tells a new session."""
    asked = BackMsg()
    asked.rerun_script.query_string = ""
    with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
    ) as stream:
        stream.send(asked.SerializeToString())
        while True:
            message = ForwardMsg()
            received: Any = stream.recv(60)
            message.ParseFromString(received)
            if message.WhichOneof("type") == "new_session":
                return message.new_session.custom_theme


async def _visit(port: int, page: str) -> Any:
    async with Visitor("127.0.0.1", port) as visitor:
        return await visitor.open(page, "")
