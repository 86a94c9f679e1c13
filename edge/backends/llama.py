"""A GGUF language model through llama.cpp's C API, with llguidance constraints.

The key-value cache is kept between requests: a prompt that begins like the one before
is decoded from where they part. Tokens that the constraint leaves no choice about are
decoded in one batch. The likeliest token is tried before any mask is computed.
"""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import llama_cpp
import llguidance
import numpy as np
import numpy.typing as npt
from llguidance.llamacpp import lltokenizer_from_vocab

from edge.backends.failures import vendor_errors
from edge.llm.chat_format import CHATML, ChatFormat, Piece, parse_chat_format
from edge.llm.model import Generation, LlmError, Message, Prompt, Role, Sampling

_BATCH_TOKENS = 512
_MAX_PIECE_BYTES = 512
_PENALTY_TOKENS = 64
"""The latest tokens of prompt and answer count as recent, as in llama.cpp."""
_MAX_SCHEMAS = 16
"""Compiled constraints kept; a scene has one, and scenes change."""

Logits = npt.NDArray[np.float32]


class Llama:
    """A model and its one context."""

    def __init__(self, path: Path, *, threads: int, n_ctx: int = 2048) -> None:
        _quiet()
        failed = LlmError(
            "llm_model",
            f"The language model {path} could not be loaded.",
            "Run `headside models verify`.",
        )
        parameters = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), parameters
        )
        if not self._model:
            raise failed
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = n_ctx
        context.n_batch = context.n_ubatch = _BATCH_TOKENS
        context.n_threads = context.n_threads_batch = threads
        context.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        if not self._context:
            llama_cpp.llama_model_free(self._model)
            raise failed
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._n_ctx = n_ctx
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._cached: list[int] = []
        self._matchers: dict[str, llguidance.LLMatcher] = {}
        self._constrainer = lltokenizer_from_vocab(self._vocab)
        self._format = self._chat_format()

    def fits(self, request: Generation) -> bool:
        """Returns whether prompt and answer fit the context."""
        n_prompt = len(self._prompt_tokens(request.prompt))
        return n_prompt + request.sampling.max_tokens <= self._n_ctx

    def generate(self, request: Generation, cancel: Event) -> Iterator[str]:
        """Yields the answer piece by piece, without the prefix."""
        prompt = self._prompt_tokens(request.prompt)
        n_left = request.sampling.max_tokens
        if len(prompt) + n_left > self._n_ctx:
            raise LlmError(
                "prompt_too_long",
                f"A prompt of {len(prompt)} tokens and an answer of {n_left} exceed "
                f"the context of {self._n_ctx}.",
                "Shorten the persona, the knowledge or the history.",
            )
        matcher = self._matcher(request.prompt)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        sampling, answer = request.sampling, request.prompt.prefix
        pending = self._not_cached(prompt)
        while n_left > 0 and not cancel.is_set() and self._decode(pending, cancel):
            in_words = sampling.penalise_after in answer
            pending = self._next_tokens(
                matcher, sampling.repetition_penalty if in_words else 1.0
            )
            if not pending:
                return
            n_left -= len(pending)
            text = decoder.decode(b"".join(map(self._piece, pending)))
            answer += text
            if text:
                yield text

    def close(self) -> None:
        """Frees model and context."""
        if self._context:
            llama_cpp.llama_free(self._context)
            llama_cpp.llama_model_free(self._model)
            self._context = self._model = None

    def _next_tokens(
        self, matcher: llguidance.LLMatcher | None, penalty: float
    ) -> list[int]:
        """Returns the tokens that come next; none at the end of the answer."""
        if matcher is not None:
            forced: list[int] = matcher.compute_ff_tokens()
            if forced:
                matcher.consume_tokens(forced)
                return forced
            if matcher.is_stopped():
                return []
        logits = self._logits()
        _penalise(logits, self._cached[-_PENALTY_TOKENS:], penalty)
        token = int(logits.argmax())
        if np.isnan(logits[token]):
            raise LlmError(
                "llm_failed",
                "What the language model computes is not a number.",
                "Download or convert it again.",
            )
        if matcher is not None and matcher.try_consume_tokens([token]) == 0:
            allowed = np.frombuffer(matcher.compute_bitmask(), np.uint8)
            mask = np.unpackbits(allowed, bitorder="little")[: self._n_vocab]
            token = int(np.where(mask, logits, -np.inf).argmax())
            matcher.consume_token(token)
        if llama_cpp.llama_vocab_is_eog(self._vocab, token):
            return []
        return [token]

    def _not_cached(self, prompt: list[int]) -> list[int]:
        """Returns the part of a prompt still to be decoded, and drops what differs."""
        n_same = 0
        # The last token is always decoded, since its logits are wanted.
        for old, new in zip(self._cached, prompt[:-1], strict=False):
            if old != new:
                break
            n_same += 1
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, n_same, -1):
            # A recurrent model cannot forget a part of what it read.
            llama_cpp.llama_memory_clear(self._memory, True)
            n_same = 0
        del self._cached[n_same:]
        return prompt[n_same:]

    def _decode(self, tokens: Sequence[int], cancel: Event) -> bool:
        """Returns whether all tokens were decoded; False where cancelled between."""
        for start in range(0, len(tokens), _BATCH_TOKENS):
            if cancel.is_set():
                return False
            batch = list(tokens[start : start + _BATCH_TOKENS])
            array = (llama_cpp.llama_token * len(batch))(*batch)
            code = llama_cpp.llama_decode(
                self._context, llama_cpp.llama_batch_get_one(array, len(batch))
            )
            if code != 0:
                llama_cpp.llama_memory_clear(self._memory, True)
                self._cached.clear()
                raise LlmError("llm_failed", f"llama.cpp failed with code {code}.")
            self._cached += batch
        return True

    def _logits(self) -> Logits:
        pointer = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, (self._n_vocab,)).copy()

    def _matcher(self, prompt: Prompt) -> llguidance.LLMatcher | None:
        if not prompt.schema:
            return None
        if prompt.schema not in self._matchers:
            self._matchers[prompt.schema] = self._compile(prompt.schema)
            if len(self._matchers) > _MAX_SCHEMAS:
                del self._matchers[next(iter(self._matchers))]
        matcher = self._matchers[prompt.schema].deep_copy()
        prefix = self._tokenise(prompt.prefix, is_markup=False)
        if prefix and not matcher.consume_tokens(prefix):
            raise LlmError(
                "prefix_rejected", "The beginning of the answer breaks its own schema."
            )
        return matcher

    def _compile(self, schema: str) -> llguidance.LLMatcher:
        with vendor_errors(LlmError, "llm_schema", "The answer's schema is unusable."):
            grammar = llguidance.LLMatcher.grammar_from_json_schema(
                schema,
                overrides={
                    "whitespace_flexible": False,
                    "item_separator": ",",
                    "key_separator": ":",
                },
            )
            matcher = llguidance.LLMatcher(self._constrainer, grammar)
            if matcher.is_error():
                raise ValueError(matcher.get_error())
        return matcher

    def _prompt_tokens(self, prompt: Prompt) -> list[int]:
        pieces = self._format.pieces(prompt.messages)
        if prompt.prefix:
            pieces.append(Piece(text=prompt.prefix, is_markup=False))
        tokens: list[int] = []
        if llama_cpp.llama_vocab_get_add_bos(self._vocab):
            tokens.append(llama_cpp.llama_vocab_bos(self._vocab))
        for piece in pieces:
            tokens += self._tokenise(piece.text, is_markup=piece.is_markup)
        return tokens

    def _tokenise(self, text: str, *, is_markup: bool) -> list[int]:
        # Half a character, as a broken terminal sends it, is no reason to fail.
        raw = text.encode(errors="replace")
        n_max = len(raw) + 8
        tokens = (llama_cpp.llama_token * n_max)()
        n = llama_cpp.llama_tokenize(
            self._vocab, raw, len(raw), tokens, n_max, False, is_markup
        )
        if n < 0:
            raise LlmError("llm_tokenise", "A text could not be turned into tokens.")
        return tokens[:n]

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(_MAX_PIECE_BYTES)
        n = llama_cpp.llama_token_to_piece(
            self._vocab, token, buffer, _MAX_PIECE_BYTES, 0, False
        )
        return buffer.raw[: max(n, 0)]

    def _chat_format(self) -> ChatFormat:
        template = llama_cpp.llama_model_chat_template(self._model, None)
        if not template:
            return CHATML
        bos = llama_cpp.llama_vocab_bos(self._vocab)
        eos = llama_cpp.llama_vocab_eos(self._vocab)
        # The vocabulary adds the first token itself where it wants one.
        return parse_chat_format(
            template.decode(errors="replace"),
            bos=""
            if llama_cpp.llama_vocab_get_add_bos(self._vocab)
            else self._token_text(bos),
            eos=self._token_text(eos),
        )

    def _token_text(self, token: int) -> str:
        if token < 0:
            return ""
        return (llama_cpp.llama_vocab_get_text(self._vocab, token) or b"").decode()


def _penalise(logits: Logits, recent: list[int], penalty: float) -> None:
    """Makes recent tokens less likely, in place (Keskar et al. 2019)."""
    if penalty == 1.0:
        return
    seen = np.unique(np.asarray(recent))
    scores = logits[seen]
    logits[seen] = np.where(scores > 0, scores / penalty, scores * penalty)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _discard(_level: int, _text: bytes, _data: Any) -> None:
    """Drops what llama.cpp would write to the terminal."""


def _quiet() -> None:
    llama_cpp.llama_log_set(_discard, ctypes.c_void_p(0))


def use_once(path: Path) -> None:
    """Loads a model, answers once and frees it; for files nobody vouches for."""
    message = Message(role=Role.USER, text="Hello. \u00e9\u4f60\u597d \x01 <|im_end|>")
    request = Generation(
        prompt=Prompt(messages=(message,)), sampling=Sampling(max_tokens=2)
    )
    model = Llama(path, threads=1, n_ctx=256)
    for _piece in model.generate(request, Event()):
        pass
    model.close()


def describe() -> str:
    """Returns the processor features llama.cpp was built for."""
    features = llama_cpp.llama_print_system_info().decode()
    return " ".join(
        name.partition("=")[0].split(":")[-1].strip()
        for name in features.split("|")
        if name.strip().endswith("= 1")
    )
