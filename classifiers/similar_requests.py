"""Similar requests: those that share words, put in order of meaning by the model's text encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from classifiers.encoder import Encoder
from data.queries.similar_requests import alike

if TYPE_CHECKING:
    from data.store.snapshot import Snapshot


def similar(
    snapshot: Snapshot,
    model: str,
    turn_id: str,
    heard: str,
    encoder: Encoder | None,
    most: int = 8,
) -> pa.Table:
    """The requests most like `heard`: rows of `data.queries.similar_requests.alike` with
    `similarity`, falling.

    The cosine of the encoder's vectors (-1 to 1), or without an encoder the overlap of the words.
    """
    found = alike(snapshot, model, turn_id, heard)
    if encoder is None or not found.num_rows:
        near = found["overlap"].to_numpy()
    else:
        texts = [heard.lower(), *found["heard"].to_pylist()]
        # It remembers the texts that it has seen.
        vectors, place = encoder.encode_column(pa.chunked_array([texts]))
        near = (vectors[place[1:]] @ vectors[place[0]]).astype(np.float64)
    order = np.argsort(-near, kind="stable")[:most]
    return found.take(order).append_column("similarity", pa.array(near[order]))
