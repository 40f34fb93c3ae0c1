"""8-bit weights and activations for a transformer's ONNX graph, a scale per channel and token.

Weights are scaled per output channel, activations per token at run time (Yao et al. 2022,
ZeroQuant, sec. 3.2). ONNX Runtime's own dynamic quantisation has one activation scale for a whole
batch: there, the vector of a text depends on which texts happen to be encoded with it (cosine 0.95
for a short one), and so would a turn's verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

_STEPS = 127.0


def quantise(source: Path, to: Path) -> None:
    """Write the float32 graph at `source` to `to` with 8-bit linear layers and embeddings."""
    model = onnx.load(str(source))
    graph = model.graph
    weights = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    builder = _Builder()
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "MatMul" and _is_matrix(weights, node.input[1]):
            nodes += builder.linear(node, numpy_helper.to_array(weights[node.input[1]]))
        elif node.op_type == "Gather" and _is_matrix(weights, node.input[0]):
            nodes += builder.embedding(node, numpy_helper.to_array(weights[node.input[0]]))
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    remaining = [t for t in graph.initializer if t.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*remaining, *builder.constants])
    onnx.checker.check_model(model)
    onnx.save(model, str(to))


def _is_matrix(weights: dict[str, TensorProto], name: str) -> bool:
    return name in weights and len(weights[name].dims) == 2


class _Builder:
    def __init__(self) -> None:
        self.constants = [
            numpy_helper.from_array(np.array(1e-9, np.float32), "q8.tiny"),
            numpy_helper.from_array(np.array(_STEPS, np.float32), "q8.steps"),
            numpy_helper.from_array(np.array(128, np.float32), "q8.shift"),
            numpy_helper.from_array(np.array(128, np.uint8), "q8.zero"),
            numpy_helper.from_array(np.array([-1], np.int64), "q8.last"),
        ]
        self._tokens: dict[str, tuple[str, str]] = {}

    def linear(self, node: NodeProto, weight: np.ndarray) -> list[NodeProto]:
        """``x @ weight`` with both sides in 8 bits; `weight` has shape (in, out)."""
        nodes: list[NodeProto] = []
        values, out = node.input[0], node.output[0]
        if values not in self._tokens:
            self._tokens[values] = (f"{values}.q8", f"{values}.scale")
            nodes += self._quantise_tokens(values)
        codes, scale = self._tokens[values]
        per_channel = np.maximum(np.abs(weight).max(axis=0), 1e-9) / _STEPS
        self._constant(f"{out}.weight", np.round(weight / per_channel).astype(np.int8))
        self._constant(f"{out}.channels", per_channel.astype(np.float32))
        return [
            *nodes,
            helper.make_node(
                "MatMulInteger", [codes, f"{out}.weight", "q8.zero"], [f"{out}.integer"]
            ),
            helper.make_node("Cast", [f"{out}.integer"], [f"{out}.float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{out}.float", scale], [f"{out}.tokens"]),
            helper.make_node("Mul", [f"{out}.tokens", f"{out}.channels"], [out]),
        ]

    def embedding(self, node: NodeProto, table: np.ndarray) -> list[NodeProto]:
        """Rows of `table`, each kept in 8 bits with its own scale."""
        indices, out = node.input[1], node.output[0]
        per_row = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-9) / _STEPS
        self._constant(f"{out}.table", np.round(table / per_row).astype(np.int8))
        self._constant(f"{out}.rows", per_row.astype(np.float32))
        return [
            helper.make_node("Gather", [f"{out}.table", indices], [f"{out}.codes"]),
            helper.make_node("Gather", [f"{out}.rows", indices], [f"{out}.scale"]),
            helper.make_node("Cast", [f"{out}.codes"], [f"{out}.float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out]),
        ]

    def _quantise_tokens(self, x: str) -> list[NodeProto]:
        """Round each token of `x` to 255 steps around zero, shifted by 128 into unsigned bytes."""
        steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
            ("Abs", [x], f"{x}.abs", {}),
            ("ReduceMax", [f"{x}.abs", "q8.last"], f"{x}.peak", {"keepdims": 1}),
            ("Max", [f"{x}.peak", "q8.tiny"], f"{x}.top", {}),
            ("Div", [f"{x}.top", "q8.steps"], f"{x}.scale", {}),
            ("Div", [x, f"{x}.scale"], f"{x}.unit", {}),
            ("Round", [f"{x}.unit"], f"{x}.whole", {}),
            ("Add", [f"{x}.whole", "q8.shift"], f"{x}.shifted", {}),
            ("Cast", [f"{x}.shifted"], f"{x}.q8", {"to": TensorProto.UINT8}),
        ]
        return [
            helper.make_node(kind, inputs, [output], **options)
            for kind, inputs, output, options in steps
        ]

    def _constant(self, name: str, values: np.ndarray) -> None:
        self.constants.append(numpy_helper.from_array(values, name))
