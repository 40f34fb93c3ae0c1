"""Some layers of a transformers model alone: the lower ones once, the upper ones while tuned."""

from __future__ import annotations

from typing import Any


def through_layers(layers: Any, states: Any, mask: Any = None) -> Any:
    """The states (sequences, tokens, size) after some layers of a transformers model.

    `mask` (sequences, tokens): false or 0 for padding, which is hidden from attention; by default
    there is none.
    """
    hidden = None if mask is None else (1.0 - mask[:, None, None, :].to(states.dtype)) * -1e4
    for layer in layers:
        output = layer(states, hidden)
        states = output[0] if isinstance(output, tuple) else output
    return states
