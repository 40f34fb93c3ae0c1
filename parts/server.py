"""The dashboard's server: `python -m parts.server [options of streamlit run]`.

Streamlit imports a page's modules when the page is first opened, which takes seconds. Here the
packages that the pages need are imported, and the templates compiled, before the server answers.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from streamlit.web import cli

from charts.html import compile_templates

_ROOMS = ("analysis", "charts", "report")
APP = Path(__file__).parents[1] / "app.py"


def main() -> None:
    for room in _ROOMS:
        package = import_module(room)
        for module in iter_modules(package.__path__):
            import_module(f"{room}.{module.name}")
    compile_templates("parts", "report")
    sys.argv = ["streamlit", "run", str(APP), *sys.argv[1:]]
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
