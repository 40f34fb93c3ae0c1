"""Similar requests: those that share words, ranked by meaning with the model's text encoder."""

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
    """The at most `most` requests most similar to `heard`, the most similar first.

    Returns the columns of `data.queries.similar_requests.alike` and `similarity`: the cosine of the
    encoder's vectors (-1 to 1), or without an encoder the overlap of the words.
    """
    requests = alike(snapshot, model, turn_id, heard)
    if encoder is None or not requests.num_rows:
        similarity = requests["overlap"].to_numpy()
    else:
        texts = [heard.lower(), *requests["heard"].to_pylist()]
        # `encode_column` keeps the vectors of texts for later calls.
        vectors, index = encoder.encode_column(pa.chunked_array([texts]))
        similarity = (vectors[index[1:]] @ vectors[index[0]]).astype(np.float64)
    order = np.argsort(-similarity, kind="stable")[:most]
    return requests.take(order).append_column("similarity", pa.array(similarity[order]))
