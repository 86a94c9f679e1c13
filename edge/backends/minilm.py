"""MiniLM sentence vectors in onnxruntime, on one thread.

Where an ``encoder.json`` lies beside the model, the graph pools and normalises, and the
file says how it is read; otherwise that is done here.

Sentences of as many pieces are read together, which halves the time of each: a row of
16 takes 3.2 ms a sentence where one by itself takes 6.9 ms. None is padded, so that no
vector depends on its neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from edge.backends.failures import vendor_errors
from edge.backends.wordpiece import WordPieces
from edge.semantic import SemanticError, Vectors
from models.encoder_file import load_encoder_file

MAX_PIECES = 64
"""Of one sentence; commands have about ten, and the model was trained with 128."""
_N_TOGETHER = 16
_OUTPUT = "last_hidden_state"


class MiniLm:
    """A MiniLM in ONNX, with its vocabulary.

    Args:
        folder: Of the model; holds ``model.onnx``, ``vocab.txt`` and, where the model
            pools, ``encoder.json``.
    """

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        about = load_encoder_file(folder)
        if about is not None and not about.lower_case:
            raise SemanticError(
                "encoder_model",
                f"{folder} holds an encoder that tells capital letters apart.",
                "Take an uncased one: here all is read in lower case.",
            )
        self._pools = about is not None
        self._output = about.output if about else _OUTPUT
        self._max_pieces = min(MAX_PIECES, about.max_pieces if about else MAX_PIECES)
        path = folder / "model.onnx"
        hint = f"Fetch it again: headside models fetch {folder.name}"
        if about is not None:
            hint = "Make it again: headside quantize encoder"
        with vendor_errors(
            SemanticError, "encoder_model", f"{folder} could not be loaded.", hint
        ):
            self._pieces = WordPieces.load(folder / "vocab.txt")
            self._session: onnxruntime.InferenceSession | None = (
                onnxruntime.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"]
                )
            )
            status = path.stat()
            self._size = self._session.get_outputs()[0].shape[-1]
            self._inputs = {one.name for one in self._session.get_inputs()}
        self._fingerprint = hashlib.sha256(
            f"{path} {status.st_size} {status.st_mtime_ns} {onnxruntime.__version__} "
            f"{self._max_pieces} {self._output} {len(self._pieces)}".encode()
        ).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same sentence may get another vector."""
        return self._fingerprint

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Returns a vector of length 1 for each text, (n, d)."""
        most = self._max_pieces
        pieces = [self._pieces.encode(text, max_pieces=most) for text in texts]
        by_length: dict[int, list[int]] = {}
        for row, found in enumerate(pieces):
            by_length.setdefault(len(found), []).append(row)
        vectors = np.zeros((len(texts), self._size), np.float32)
        for rows in by_length.values():
            for at in range(0, len(rows), _N_TOGETHER):
                some = rows[at : at + _N_TOGETHER]
                vectors[some] = self._vectors([pieces[row] for row in some])
        return vectors

    def close(self) -> None:
        """Gives the model's memory back."""
        self._session = None

    def _vectors(self, pieces: Sequence[Sequence[int]]) -> Vectors:
        """Returns the vectors of sentences of t pieces each, (n, d)."""
        if self._session is None:
            raise SemanticError("encoder_closed", "The sentence encoder is closed.")
        numbers = np.array(pieces, np.int64)  # (n, t)
        fed = {
            "input_ids": numbers,
            "attention_mask": np.ones_like(numbers),
            "token_type_ids": np.zeros_like(numbers),
        }
        with vendor_errors(
            SemanticError, "encoder_failed", "The sentence encoder failed."
        ):
            (found,) = self._session.run(
                [self._output],
                {name: fed[name] for name in self._inputs & fed.keys()},
            )  # (n, d) where it pools, (n, t, d) otherwise
        if self._pools:
            pooled: Vectors = found
            return pooled
        # No padding: the mean over the mask is the mean over all.
        means: Vectors = found.mean(axis=1)  # (n, d)
        lengths = np.linalg.norm(means, axis=1, keepdims=True)  # (n, 1)
        vectors: Vectors = means / np.maximum(lengths, np.float32(1e-12))
        return vectors


def use_once(folder: Path) -> None:
    """Opens an encoder and reads a sentence with it.

    Raises:
        HeadsideError: That does not work.
    """
    encoder = MiniLm(folder)
    encoder.encode(["go on"])
    encoder.close()
