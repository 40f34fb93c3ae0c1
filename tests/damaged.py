"""Ways in which a store's files get damaged, for tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

# Damages one file, or what stands in its place.
Harm = Callable[[Path], None]
# What is damaged of a store, as a pattern below its folder, and how.
Case = tuple[str, Harm]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 5])


def cut_at_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path, at: float = 0.5) -> None:
    """Some bytes of the same length are others; `at` is where, from 0 to 1."""
    content = bytearray(path.read_bytes())
    start = int((len(content) - 16) * at)
    content[start : start + 16] = bytes(byte ^ 0xFF for byte in content[start : start + 16])
    path.write_bytes(content)


def flipped_early(path: Path) -> None:
    flipped(path, 0.01)


def flipped_late(path: Path) -> None:
    flipped(path, 1.0)


def extended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\xfe no JSON\n" * 20)


def gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other_digit(path: Path) -> None:
    """The version of the first table is another, with no other sign of it."""
    text = path.read_text("utf-8")
    number = text.split('"turns": ')[1].split(",")[0].strip()
    path.write_text(text.replace(f'"turns": {number}', f'"turns": {int(number) - 1}', 1), "utf-8")


NEWEST_LOG = "{table}/_delta_log/*.json"
HEAD: Mapping[str, Case] = {
    f"HEAD.json {harm.__name__}": ("HEAD.json", harm)
    for harm in (emptied, cut, zeroed, garbage, gone, made_a_folder, other_digit, flipped)
}
LOGS: Mapping[str, Case] = {
    **{
        f"log of turns {harm.__name__}": ("turns/_delta_log/*.json", harm)
        for harm in (emptied, cut, cut_at_a_line, zeroed, garbage, gone)
    },
    **{
        f"log of {table} emptied": (f"{table}/_delta_log/*.json", emptied)
        for table in ("predictions", "rollup", "runs", "annotations", "labelled")
    },
    "log of turns, all": ("turns/_delta_log", gone),
}
DATA: Mapping[str, Case] = {
    **{
        f"turns {harm.__name__}": ("turns/day=*/*.parquet", harm)
        for harm in (
            *(emptied, cut, zeroed, flipped, flipped_early, flipped_late, extended),
            *(garbage, gone, made_a_folder),
        )
    },
    **{
        f"{table} flipped": (f"{table}/**/part-*.parquet", flipped)
        for table in ("predictions", "rollup", "runs", "annotations")
    },
    "day gone": ("turns/day=*", gone),
    "days of predictions gone": ("predictions/day=*", gone),
    "turns gone": ("turns", gone),
    "annotations gone": ("annotations", gone),
}
MODELS: Mapping[str, Case] = {
    **{
        f"model {harm.__name__}": ("models/m-*/booster.txt", harm)
        for harm in (emptied, cut, flipped, gone)
    },
    **{
        f"{name} gone": (f"models/m-*/{name}", gone)
        for name in ("model.json", "heads.npz", "held_out.parquet", "encoder.onnx", "metrics.json")
    },
    "files.json garbage": ("models/m-*/files.json", garbage),
    "model folder gone": ("models/m-*", gone),
}
CASES: Mapping[str, Case] = {**HEAD, **LOGS, **DATA, **MODELS}


def damage(store: Path, case: Case) -> Path:
    """Damage the last file of a store that the case's pattern matches; returns which."""
    pattern, harm = case
    target = max(store.glob(pattern))
    harm(target)
    return target
