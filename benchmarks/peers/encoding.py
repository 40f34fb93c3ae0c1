"""The same requests, encoded by Faultline's encoder and by sentence-transformers, same weights."""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.peers.environments import Peer
from classifiers.encoder import DEFAULT, Encoder, export, locate
from data.store.store import Store
from features.matrix import open_frame, texts

TURNS = 8_000
MOST_PLAIN = 2_000


def table(peer: Peer, store: Store) -> str:
    """The comparison as Markdown."""
    with store.snapshot(only=["turns"]) as snapshot:
        turns = snapshot.query(f"FROM turns ORDER BY turn_id LIMIT {TURNS}")
    with open_frame(turns, "hindsight") as con:
        column = texts(con, "hindsight")["heard"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(DEFAULT, folder / "encoder")
        encoder = Encoder(folder / "encoder")
        encoder.encode(["warm up"])
        began = time.perf_counter()
        vectors, _ = encoder.encode_column(column)
        own = time.perf_counter() - began
        every = [text or "" for text in column.to_pylist()]
        distinct = sorted(set(filter(None, every)))
        chance = random.Random(0)
        plain = {}
        for what, sentences in (("every", every), ("distinct", distinct)):
            chosen = chance.sample(sentences, min(MOST_PLAIN, len(sentences)))
            (folder / "texts.json").write_text(json.dumps(chosen), "utf-8")
            given = (locate(DEFAULT), folder / "texts.json", folder / "vectors.npy")
            measured = json.loads(peer.run("sentence_encoder", *given))
            plain[what] = len(chosen) / measured["seconds"]
        cosines = _cosines(encoder.encode(chosen), np.load(folder / "vectors.npy"))
    return "\n".join(
        [
            f"The requests of {len(column):,} turns, {len(vectors):,} of them distinct. A text's "
            f"two vectors have a cosine of {cosines.mean():.3f} on average, {cosines.min():.3f} at "
            "least:",
            "",
            "| | distinct texts/s | turns/s |",
            "|---|---:|---:|",
            f"| Faultline (8 bits, each distinct text once) | {len(vectors) / own:,.0f} | "
            f"{len(column) / own:,.0f} |",
            f"| sentence-transformers {peer.version} (32 bits, every text) | "
            f"{plain['distinct']:,.0f} | {plain['every']:,.0f} |",
        ]
    )


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: np.ndarray = (a * b).sum(1) / lengths
    return cosines
