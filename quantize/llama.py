"""A GGUF model run through llama.cpp: what it says of each token, and what it does.

Its weights are mapped from the file, and each can be exchanged while it runs. Flash
attention is off and the cache of keys and values holds float32: what is measured here
is the weights.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise, takewhile
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

OnProduct = Callable[[str, Floats, int], None]
"""Told the name of a weight, the (rows, columns) it is multiplied with, and a number
that only weights which are multiplied with the same have in common."""
Bytes = npt.NDArray[np.uint8]
_PRODUCT, _LOOKUP = b"MUL_MAT", b"GET_ROWS"
_F32 = 0
_PIECE_BYTES = 512
"""Of the longest token that is shown."""
_MAPPED = 1
"""How a file is loaded."""
_DISABLED = 0
"""Flash attention."""
_ERROR = 4
"""The level of a message that says what is wrong."""
_WHERE = re.compile(r"^\w+: (error loading model: )?")
"""How it begins."""
_AT_ONCE = 512
"""Tokens, at most, that are read in one go."""


class Llama:
    """A model and one context.

    Args:
        path: Of a GGUF file.
        n_tokens: Of the longest text.
        threads: How many work.
        is_repacked: Lays weights out anew for this machine's kernels, as the runtime
            does; these cannot be exchanged.
    """

    def __init__(
        self, path: Path, *, n_tokens: int, threads: int, is_repacked: bool = True
    ) -> None:
        silence()
        options = llama_cpp.llama_model_default_params()
        options.load_mode = _MAPPED
        options.use_extra_bufts = is_repacked
        self._context = None
        _errors.clear()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self._model:
            raise QuantizeError(
                "model_unreadable",
                f"llama.cpp cannot load {path}{why()}.",
                "`headside quantize inspect` says what is in the file.",
            )
        self.n_tokens = n_tokens
        self._read: list[int] = []
        self._hear: OnProduct | None = None
        self._seconds: dict[str, float] | None = None
        self._began_s = 0.0
        self._failed: BaseException | None = None
        self._weights: dict[str, dict[int, TensorStruct]] = {}
        self._eval = llama_cpp.ggml_backend_sched_eval_callback(self._evaluated)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = n_tokens
        context.n_batch = context.n_ubatch = min(n_tokens, _AT_ONCE)
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

    def text(self, tokens: Sequence[int]) -> str:
        """Returns what tokens spell."""
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        spelled = b""
        for token in tokens:
            n = llama_cpp.llama_token_to_piece(
                self.vocabulary, token, buffer, _PIECE_BYTES, 0, True
            )
            spelled += buffer.raw[: max(0, n)]
        return spelled.decode(errors="replace")

    def ends(self, token: int) -> bool:
        """Returns whether a token ends an answer."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocabulary, token))

    def logits(self, tokens: Sequence[int], *, n_read: int = 0) -> Floats:
        """Returns (tokens, words) float32: what follows each of some tokens.

        The memory is the context's: it is written over by the next call.

        Args:
            tokens: At most 512, and with those before them at most ``n_tokens``.
            n_read: How many of those that were read before stay; 0 to begin anew.
        """
        n, most = len(tokens), min(_AT_ONCE, self.n_tokens - n_read)
        if not 0 < n <= most:
            raise ValueError(f"{n} tokens, where 1 to {most} can be read")
        memory = llama_cpp.llama_get_memory(self._context)
        llama_cpp.llama_memory_seq_rm(memory, 0, n_read, -1)
        self._read[n_read:] = tokens
        batch = llama_cpp.llama_batch_init(n, 0, 1)
        try:
            batch.n_tokens = n
            for at, token in enumerate(tokens):
                batch.token[at] = token
                batch.pos[at] = n_read + at
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = 0
                batch.logits[at] = True
            failed = llama_cpp.llama_decode(self._context, batch)
            if self._failed is not None:
                raised, self._failed = self._failed, None
                self._read.clear()
                raise raised
            if failed:
                raise QuantizeError(
                    "model_failed", "llama.cpp could not run the model.", ""
                )
        finally:
            llama_cpp.llama_batch_free(batch)
        logits = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(logits, (n, self.n_vocabulary))

    def listen(
        self, tokens: Sequence[int], hear: OnProduct, *, n_before: int = 0
    ) -> None:
        """Reads tokens, and tells what each weight is multiplied with.

        Args:
            tokens: Of a text.
            hear: Told.
            n_before: How many of the first tokens nothing is told of.
        """
        if self._read[:n_before] != list(tokens[:n_before]):
            self._read_on(tokens, 0, n_before)
        self._hear = hear
        try:
            self._read_on(tokens, n_before, len(tokens))
        finally:
            self._hear = None

    def _read_on(self, tokens: Sequence[int], first: int, end: int) -> None:
        for at in range(first, end, _AT_ONCE):
            self.logits(tokens[at : min(end, at + _AT_ONCE)], n_read=at)

    def timed(self, token: int, *, n_read: int) -> dict[str, float]:
        """Reads one token, and returns the seconds of each weight's product."""
        self._seconds = {}
        try:
            self.logits([token], n_read=n_read)
            return self._seconds
        finally:
            self._seconds = None

    def weights(self, tokens: Sequence[int]) -> dict[str, Bytes]:
        """Returns the bytes of every weight that reading some tokens uses, by name.

        They lie in the file, and cannot be written.
        """
        self._weights.clear()
        self._hear = _ignored
        try:
            self.logits(tokens)
        finally:
            self._hear = None
        return {name: _stored(used) for name, used in self._weights.items()}

    @contextmanager
    def exchanged(self, name: str, stored: Bytes) -> Iterator[None]:
        """Has the model use other bytes for a weight, as long as the block lasts.

        Args:
            name: One that `weights` returned.
            stored: As many bytes, of the same type.
        """
        tensors = list(self._weights[name].values())
        before = [tensor.data for tensor in tensors]
        for tensor in tensors:
            tensor.data = stored.ctypes.data
        try:
            yield  # and nobody frees the bytes before its end
        finally:
            for tensor, data in zip(tensors, before, strict=True):
                tensor.data = data

    def _evaluated(
        self,
        address: int,
        is_asked: bool,  # noqa: FBT001
        _data: int | None,
    ) -> bool:
        """Looks at a step of the graph; False where it is not looked at, or to stop.

        What is raised here llama.cpp would pass by; `logits` raises it again.
        """
        try:
            if self._seconds is not None:
                return self._time(address, is_asked=is_asked)
            return self._hear is not None and self._heard(
                address, self._hear, is_asked=is_asked
            )
        except BaseException as error:  # noqa: BLE001 - Ctrl-C may come here, too
            self._failed = self._failed or error
            return False

    def _heard(self, address: int, hear: OnProduct, *, is_asked: bool) -> bool:
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
        hear(name, values, ctypes.addressof(heard))
        return True

    def _time(self, address: int, *, is_asked: bool) -> bool:
        """Takes the time from when a step is asked about until it is done."""
        if not is_asked and self._seconds is not None:
            took = time.perf_counter() - self._began_s
            tensor = ctypes.cast(address, ctypes.POINTER(TensorStruct)).contents
            if library().ggml_op_name(tensor.op) == _PRODUCT:
                name = tensor.src[0].contents.name.decode(errors="replace")
                self._seconds[name] = took
        self._began_s = time.perf_counter()
        return True

    def _keep(self, weight: TensorStruct) -> None:
        name = weight.name.decode(errors="replace")
        if name.endswith(".weight"):
            # One that is looked up and multiplied with, too, is there twice.
            of_name = self._weights.setdefault(name, {})
            of_name[ctypes.addressof(weight)] = weight


def shared_beginnings(chunks: Sequence[Sequence[int]]) -> list[int]:
    """Returns how many tokens each text has at its beginning from the one before it.

    Never all of them: the last is its own.

    Args:
        chunks: Tokens of each.
    """
    found = [0] * len(chunks)
    for n, (before, chunk) in enumerate(pairwise(chunks), 1):
        same = (one == other for one, other in zip(before, chunk[:-1], strict=False))
        found[n] = sum(takewhile(bool, same))
    return found


def _stored(used: Mapping[int, TensorStruct]) -> Bytes:
    tensor = next(iter(used.values()))
    address = ctypes.cast(tensor.data, ctypes.POINTER(ctypes.c_uint8))
    return np.ctypeslib.as_array(address, (tensor.nb[3] * tensor.ne[3],))


def _ignored(_name: str, _values: Floats, _heard: int) -> None:
    """Hears nothing."""


_errors: list[str] = []
"""What llama.cpp said was wrong since a file was opened last: the first says why."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _hear(level: int, text: bytes, _data: object) -> None:
    """Keeps a message of what is wrong, and drops all others."""
    if level == _ERROR:
        _errors.append(
            _WHERE.sub("", text.decode(errors="replace").strip(" .\n"), count=1)
        )


def why() -> str:
    """Returns what llama.cpp said was wrong, behind a colon; empty if nothing."""
    return f": {_errors[0]}" if _errors else ""


def silence() -> None:
    """Keeps llama.cpp's own messages off the terminal."""
    llama_cpp.llama_log_set(_hear, ctypes.c_void_p(0))
