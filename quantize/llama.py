"""A GGUF model run through llama.cpp: what it says of each token, and what it does.

All its weights stand in memory of its own, in the type of the file, so that they can be
exchanged while it runs. Flash attention is off and the cache of keys and values holds
float32: what is measured here is the weights.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from models.lean_import import modules_of
from quantize.errors import QuantizeError
from quantize.ggml import Floats, TensorStruct, library

with modules_of("llama_cpp"):
    from llama_cpp import llama_cpp

OnProduct = Callable[[str, Floats], None]
"""Told the name of a weight and the (rows, columns) it is multiplied with."""
_PRODUCT, _LOOKUP = b"MUL_MAT", b"GET_ROWS"
_F32 = 0
_READ, _MAPPED = 0, 1
"""How a file is loaded."""
_DISABLED = 0
"""Flash attention."""


class Llama:
    """A model and one context.

    Args:
        path: Of a GGUF file.
        n_tokens: That are ever read at once.
        threads: How many work.
        is_mapped: Leaves weights in the file, where they cannot be exchanged.
    """

    def __init__(
        self, path: Path, *, n_tokens: int, threads: int, is_mapped: bool = False
    ) -> None:
        silence()
        options = llama_cpp.llama_model_default_params()
        options.load_mode = _MAPPED if is_mapped else _READ
        options.use_extra_bufts = is_mapped
        self._context = None
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self._model:
            raise QuantizeError(
                "model_unreadable",
                f"llama.cpp cannot load {path}.",
                "`headside quantize inspect` says what is in the file.",
            )
        self.n_tokens = n_tokens
        self._hear: OnProduct | None = None
        self._weights: dict[str, TensorStruct] = {}
        self._eval = llama_cpp.ggml_backend_sched_eval_callback(self._evaluated)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = n_tokens
        context.n_threads = context.n_threads_batch = threads
        context.type_k = context.type_v = _F32
        context.flash_attn_type = _DISABLED
        context.cb_eval = self._eval
        context.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        if not self._context:
            self.close()
            raise QuantizeError(
                "model_unreadable",
                f"llama.cpp has no memory for {n_tokens} tokens of {path}.",
                "Close other programs, or give fewer tokens.",
            )
        self.vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.n_vocabulary: int = llama_cpp.llama_vocab_n_tokens(self.vocabulary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives all memory back."""
        if self._context:
            llama_cpp.llama_free(self._context)
        if self._model:
            llama_cpp.llama_model_free(self._model)
        self._context = self._model = None

    def tokens(self, text: str, *, special: bool = True) -> list[int]:
        """Returns the tokens of a text.

        Args:
            text: The text.
            special: Whether names of special tokens in it are these.
        """
        spelled = text.encode()
        room = len(spelled) + 8
        found = (llama_cpp.llama_token * room)()
        n = llama_cpp.llama_tokenize(
            self.vocabulary, spelled, len(spelled), found, room, False, special
        )
        return list(found[:n])

    def logits(self, tokens: Sequence[int]) -> Floats:
        """Returns (tokens, words) float32: what follows each of some first tokens.

        The memory is the context's: it is written over by the next call.

        Args:
            tokens: At most ``n_tokens``.
        """
        n = len(tokens)
        if not 0 < n <= self.n_tokens:
            raise ValueError(f"{n} tokens, where 1 to {self.n_tokens} can be read")
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        batch = llama_cpp.llama_batch_init(n, 0, 1)
        try:
            batch.n_tokens = n
            for at, token in enumerate(tokens):
                batch.token[at] = token
                batch.pos[at] = at
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = 0
                batch.logits[at] = True
            if llama_cpp.llama_decode(self._context, batch):
                raise QuantizeError(
                    "model_failed", "llama.cpp could not run the model.", ""
                )
        finally:
            llama_cpp.llama_batch_free(batch)
        logits = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(logits, (n, self.n_vocabulary))

    def listen(self, tokens: Sequence[int], hear: OnProduct) -> None:
        """Reads tokens, and tells what each weight is multiplied with."""
        self._hear = hear
        try:
            self.logits(tokens)
        finally:
            self._hear = None

    def weights(self, tokens: Sequence[int]) -> dict[str, npt.NDArray[np.uint8]]:
        """Returns the bytes of every weight that reading some tokens uses, by name.

        What is written into them is what the model has from then on.
        """
        self._weights.clear()
        self._hear = _ignored
        try:
            self.logits(tokens)
        finally:
            self._hear = None
        return {
            name: np.ctypeslib.as_array(
                ctypes.cast(tensor.data, ctypes.POINTER(ctypes.c_uint8)),
                (tensor.nb[3] * tensor.ne[3],),
            )
            for name, tensor in self._weights.items()
        }

    def _evaluated(
        self,
        address: int,
        is_asked: bool,  # noqa: FBT001
        _data: int | None,
    ) -> bool:
        if self._hear is None:
            return False
        tensor = ctypes.cast(address, ctypes.POINTER(TensorStruct)).contents
        if is_asked:
            name = library().ggml_op_name(tensor.op)
            if name == _LOOKUP and tensor.src[0]:
                self._keep(tensor.src[0].contents)
            return bool(name == _PRODUCT)
        weight, heard = tensor.src[0].contents, tensor.src[1].contents
        name = weight.name.decode(errors="replace")
        if not name.endswith(".weight") or heard.type != _F32:
            return True
        self._keep(weight)
        n_columns, n_rows = heard.ne[0], heard.ne[1] * heard.ne[2] * heard.ne[3]
        values = np.ctypeslib.as_array(
            ctypes.cast(heard.data, ctypes.POINTER(ctypes.c_float)),
            (n_rows, n_columns),
        )
        self._hear(name, values)
        return True

    def _keep(self, weight: TensorStruct) -> None:
        name = weight.name.decode(errors="replace")
        if name.endswith(".weight"):
            self._weights[name] = weight


def _ignored(_name: str, _values: Floats) -> None:
    """Hears nothing."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _drop(_level: int, _text: bytes, _data: object) -> None:
    """Drops a message."""


def silence() -> None:
    """Keeps llama.cpp's own messages off the terminal."""
    llama_cpp.llama_log_set(_drop, ctypes.c_void_p(0))
