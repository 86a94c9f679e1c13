"""What a model has read, kept: beginnings of prompts as states of llama.cpp.

The model has one sequence. A prompt that begins as the one before goes on from where
they part; where another conversation comes in between, its state is put away, within a
cap, and taken up again when it is its turn. Beginnings that many prompts share (schema,
persona) are kept on disk too, sealed, so that a start does not read them again.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from edge.backends.llama_vocabulary import PromptTokens
from edge.kept import KeptFiles
from edge.llm.model import LlmError
from edge.llm.sampling import Logits
from models.lean_import import modules_of

with modules_of("llama_cpp"):
    from llama_cpp import llama_cpp

BATCH_TOKENS = 512
"""Given to llama.cpp at once."""
_WORTH_TOKENS = 48
"""Fewer are read again about as fast as a state is copied."""
_SEQUENCE = 0


@dataclass(slots=True, eq=False)
class ReadPrefix:
    """The tokens a context holds, and states that were put away.

    Args:
        context: Of llama.cpp.
        name: What a state depends on: the model, and how the context was made.
        kept: Where states last; None for memory alone.
        cap_bytes: Of the states put away in memory.
    """

    context: Any
    name: str
    kept: KeptFiles | None = None
    cap_bytes: int = 48 << 20
    tokens: list[int] = field(init=False, default_factory=list)
    """What the context holds now."""
    n_forwards: int = field(init=False, default=0)
    """Passes through the model so far."""
    _states: OrderedDict[tuple[int, ...], bytes] = field(
        init=False, default_factory=OrderedDict
    )
    _memory: Any = field(init=False)
    _read: Any = field(init=False)
    _scored: Any = field(init=False)
    _batch: Any = field(init=False)
    """Made once: for each token there is hardly time for anything."""

    def __post_init__(self) -> None:
        self._memory = llama_cpp.llama_get_memory(self.context)
        self._read = (llama_cpp.llama_token * BATCH_TOKENS)()
        self._scored = (ctypes.c_int8 * BATCH_TOKENS)()
        self._batch = llama_cpp.llama_batch_get_one(self._read, BATCH_TOKENS)
        self._batch.logits = self._scored

    def resume(self, prompt: PromptTokens, *, n_wanted: int) -> int:
        """Returns how much of a prompt the context holds, after making that most.

        Args:
            prompt: The prompt, and the beginnings of it that may lie on disk.
            n_wanted: Tokens at its end that are not held, whatever was read before.
        """
        wanted = list(prompt.tokens[: len(prompt.tokens) - n_wanted])
        n_same = n_common(self.tokens, wanted)
        stored = self._longest_state(
            wanted, prompt.keeps, more_than=n_same + _WORTH_TOKENS
        )
        if len(self.tokens) - n_same > _WORTH_TOKENS:
            self._put_away()
        if stored is not None and self._restore(*stored):
            n_same = n_common(self.tokens, wanted)
        self.cut(min(n_same, len(self.tokens)))
        return len(self.tokens)

    def read(self, tokens: Sequence[int], *, n_scored: int = 1) -> None:
        """Has the model read some tokens after those it holds, in one batch.

        Args:
            tokens: 512 at most.
            n_scored: Of the last so many, the scores of what may follow are wanted.

        Raises:
            LlmError: llama.cpp failed; the context is empty then.
        """
        n = self._batch.n_tokens = len(tokens)
        self._read[:n] = tokens
        self._scored[:n] = bytes(n - n_scored) + b"\1" * n_scored
        code = llama_cpp.llama_decode(self.context, self._batch)
        self.n_forwards += 1
        if code != 0:
            llama_cpp.llama_memory_clear(self._memory, True)
            self.tokens.clear()
            raise LlmError("llm_failed", f"llama.cpp failed with code {code}.")
        self.tokens += tokens

    def scores(self, n_tokens: int, size: int) -> Logits:
        """Returns the scores of what may follow the first tokens, shape (size,).

        Args:
            n_tokens: How many these are; the latest batch must have scored the last.
            size: Of the vocabulary.
        """
        pointer = llama_cpp.llama_get_logits_ith(
            self.context, n_tokens - len(self.tokens) - 1
        )
        address = ctypes.addressof(pointer.contents)
        scores: Logits = np.frombuffer(
            memoryview((ctypes.c_float * size).from_address(address)), np.float32
        )
        return scores

    def cut(self, n_tokens: int) -> None:
        """Forgets all but the first tokens; more, where the model can only do that."""
        if n_tokens == len(self.tokens):
            return
        if not llama_cpp.llama_memory_seq_rm(self._memory, _SEQUENCE, n_tokens, -1):
            # A recurrent model cannot forget a part of what it read.
            llama_cpp.llama_memory_clear(self._memory, True)
            n_tokens = 0
        del self.tokens[n_tokens:]

    def keep(self) -> None:
        """Keeps the state as it is now: on disk, or in memory where there is none."""
        key = tuple(self.tokens)
        if self.kept is None:
            self._put_away()
        else:
            self.kept.write(self._file(key), self._state())

    def _longest_state(
        self, prompt: list[int], keeps: Sequence[int], *, more_than: int
    ) -> tuple[tuple[int, ...], bytes | memoryview] | None:
        """Returns the state that has most in common with a prompt, if it is worth it.

        One that was put away went on to an answer, or to words that are not remembered;
        what is not in common is cut off once it is restored.
        """
        best: tuple[int, ...] = ()
        n_best = more_than
        for key in self._states:
            if (n_same := n_common(key, prompt)) > n_best:
                best, n_best = key, n_same
        for n in sorted(keeps, reverse=True):
            if self.kept is None or not n_best < n <= len(prompt):
                continue
            key = tuple(prompt[:n])
            state = self.kept.read(self._file(key))
            if state is not None:
                return key, state
        if not best:
            return None
        self._states.move_to_end(best)
        return best, self._states[best]

    def _restore(self, key: tuple[int, ...], state: bytes | memoryview) -> bool:
        llama_cpp.llama_memory_clear(self._memory, False)
        self.tokens.clear()
        pointer = np.frombuffer(state, np.uint8).ctypes.data_as(
            ctypes.POINTER(ctypes.c_uint8)
        )
        n = llama_cpp.llama_state_seq_set_data(
            self.context, pointer, len(state), _SEQUENCE
        )
        if n != len(state):
            llama_cpp.llama_memory_clear(self._memory, True)
            self._states.pop(key, None)
            return False
        self.tokens += key
        return True

    def _put_away(self) -> None:
        key = tuple(self.tokens)
        if key in self._states:
            self._states.move_to_end(key)
            return
        size = llama_cpp.llama_state_seq_get_size(self.context, _SEQUENCE)
        if size <= self.cap_bytes:
            self._remember(key, self._state())

    def _state(self) -> bytes:
        size = llama_cpp.llama_state_seq_get_size(self.context, _SEQUENCE)
        buffer = (ctypes.c_uint8 * size)()
        n = llama_cpp.llama_state_seq_get_data(self.context, buffer, size, _SEQUENCE)
        return ctypes.string_at(buffer, n)

    def _remember(self, key: tuple[int, ...], state: bytes) -> None:
        self._states[key] = state
        total = sum(map(len, self._states.values()))
        while total > self.cap_bytes:
            _, dropped = self._states.popitem(last=False)
            total -= len(dropped)

    def _file(self, key: tuple[int, ...]) -> str:
        digest = hashlib.sha256(np.asarray(key, "<i4").tobytes()).hexdigest()
        return f"state {self.name} {digest}"


def batches(tokens: Sequence[int], cuts: Sequence[int] = ()) -> list[list[int]]:
    """Returns tokens in batches of bearable size, none of which crosses a cut."""
    if len(tokens) <= BATCH_TOKENS and not cuts:
        return [list(tokens)] if tokens else []
    ends = sorted({cut for cut in cuts if 0 < cut < len(tokens)} | {len(tokens)})
    starts = [0, *ends]
    return [
        list(tokens[at : min(end, at + BATCH_TOKENS)])
        for start, end in zip(starts, ends, strict=False)
        for at in range(start, end, BATCH_TOKENS)
    ]


def n_common(first: Iterable[int], second: Iterable[int]) -> int:
    """Returns how many tokens are the same from the first on."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
