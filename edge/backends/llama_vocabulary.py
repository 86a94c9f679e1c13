"""The tokens of a GGUF model: text in, tokens out, and what a constraint allows."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.backends.failures import vendor_errors
from edge.kept import KeptFiles
from edge.llm.chat_format import CHATML, ChatFormat, parse_chat_format
from edge.llm.model import LlmError, Message
from models.lean_import import modules_of

with modules_of("llama_cpp"):
    from llama_cpp import llama_cpp
with modules_of("llguidance"):
    from llguidance import _lib as llguidance

_MAX_PIECE_BYTES = 512
_MAX_KNOWN_TEXTS = 128
_MAX_SCHEMAS = 16
"""Compiled constraints kept; a scene has one, and scenes change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTokens:
    """A prompt as the model reads it."""

    tokens: tuple[int, ...]
    keeps: tuple[int, ...]
    """Lengths of the beginnings that are worth keeping, rising."""


class Vocabulary:
    """The tokens of a model, and the chat format it was trained on."""

    def __init__(self, model: Any, kept: KeptFiles | None = None) -> None:
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._buffer = ctypes.create_string_buffer(_MAX_PIECE_BYTES)
        self._known: dict[tuple[str, bool], tuple[int, ...]] = {}
        """Tokens of the latest texts: prompts consist of the same ones."""
        self.size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.format = self._chat_format(model, kept)
        self._ends = self._end_tokens()

    @property
    def pointer(self) -> Any:
        """The vocabulary as llama.cpp knows it."""
        return self._vocab

    def prompt(self, messages: tuple[Message, ...], prefix: str) -> PromptTokens:
        """Returns a prompt's tokens, and which beginnings of it are worth keeping."""
        tokens: list[int] = []
        if llama_cpp.llama_vocab_get_add_bos(self._vocab):
            tokens.append(llama_cpp.llama_vocab_bos(self._vocab))
        keeps = []
        for piece in self.format.pieces(messages):
            tokens += self.tokens(piece.text, is_markup=piece.is_markup)
            if piece.keep:
                keeps.append(len(tokens))
        return PromptTokens(
            tokens=tuple(tokens + self.begun(prefix)), keeps=tuple(keeps)
        )

    def begun(self, prefix: str) -> list[int]:
        """Returns the tokens of an answer's beginning, as the model would write it.

        Many vocabularies put a space before a text; after a line break there is none.
        """
        tokens = self.tokens(prefix)
        if b"".join(map(self.piece, tokens)) == prefix.encode(errors="replace"):
            return tokens
        ahead, after = self.tokens("\n"), self.tokens(f"\n{prefix}")
        return after[len(ahead) :] if after[: len(ahead)] == ahead else tokens

    def tokens(self, text: str, *, is_markup: bool = False) -> list[int]:
        """Returns the tokens of a text; special ones in markup only."""
        known = self._known.get((text, is_markup))
        if known is None:
            known = self._split(text, is_markup=is_markup)
            if len(self._known) >= _MAX_KNOWN_TEXTS:
                del self._known[next(iter(self._known))]
            self._known[text, is_markup] = known
        return list(known)

    def _split(self, text: str, *, is_markup: bool) -> tuple[int, ...]:
        if not text:
            return ()
        # Half a character, as a broken terminal sends it, is no reason to fail.
        raw = text.encode(errors="replace")
        n_max = len(raw) + 8
        tokens = (llama_cpp.llama_token * n_max)()
        n = llama_cpp.llama_tokenize(
            self._vocab, raw, len(raw), tokens, n_max, False, is_markup
        )
        if n < 0:
            raise LlmError("llm_tokenise", "A text could not be turned into tokens.")
        return tuple(tokens[:n])

    def piece(self, token: int, *, with_markup: bool = False) -> bytes:
        """Returns a token's bytes; none of a special one, unless asked for."""
        n = llama_cpp.llama_token_to_piece(
            self._vocab, token, self._buffer, _MAX_PIECE_BYTES, 0, with_markup
        )
        return ctypes.string_at(self._buffer, max(n, 0))

    def ends(self, token: int) -> bool:
        """Returns whether a token ends an answer."""
        return token in self._ends or bool(
            llama_cpp.llama_vocab_is_eog(self._vocab, token)
        )

    def _end_tokens(self) -> frozenset[int]:
        """Returns what the chat format writes after an answer.

        Many model files do not say that this token ends one.
        """
        after = self.tokens(self.format.after_assistant, is_markup=True)[:1]
        return frozenset(token for token in after if self._is_special(token))

    def _is_special(self, token: int) -> bool:
        return not self.piece(token) and bool(self.piece(token, with_markup=True))

    def _chat_format(self, model: Any, kept: KeptFiles | None) -> ChatFormat:
        template = llama_cpp.llama_model_chat_template(model, None)
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
            kept=kept,
        )

    def _token_text(self, token: int) -> str:
        if token < 0:
            return ""
        return (llama_cpp.llama_vocab_get_text(self._vocab, token) or b"").decode()


class Constraints:
    """JSON Schemas, each compiled once over a vocabulary."""

    def __init__(
        self, vocabulary: Vocabulary, model_name: str, kept: KeptFiles | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = _tokenizer(vocabulary, model_name, kept)
        self._compiled: dict[str, llguidance.LLMatcher] = {}

    def begin(self, schema: str, prefix: list[int]) -> llguidance.LLMatcher:
        """Returns a matcher that stands after a prefix.

        Raises:
            LlmError: ``llm_schema``, or ``prefix_rejected``.
        """
        if schema not in self._compiled:
            self._compiled[schema] = self._compile(schema)
            if len(self._compiled) > _MAX_SCHEMAS:
                del self._compiled[next(iter(self._compiled))]
        matcher = self._compiled[schema].deep_copy()
        if prefix and not matcher.consume_tokens(prefix):
            raise LlmError(
                "prefix_rejected", "The beginning of the answer breaks its own schema."
            )
        return matcher

    def allowed(self, matcher: llguidance.LLMatcher) -> npt.NDArray[np.bool_]:
        """Returns which tokens may come next, shape (vocabulary,)."""
        mask = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        bits = np.unpackbits(mask, bitorder="little")[: self._vocabulary.size]
        return bits.astype(np.bool_)

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
            matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
            if matcher.is_error():
                raise ValueError(matcher.get_error())
        return matcher


def _tokenizer(
    vocabulary: Vocabulary, model_name: str, kept: KeptFiles | None
) -> llguidance.LLTokenizer:
    """Returns the vocabulary as llguidance wants it.

    As ``llguidance.llamacpp.lltokenizer_from_vocab`` does, without that function's call
    of a deprecated name, which costs a warning for each token. The pieces are kept: to
    ask llama.cpp for each takes a good part of a start.
    """
    name = f"pieces {model_name}"
    packed = kept.read(name) if kept is not None else None
    if packed is None:
        pieces = list(_marked_pieces(vocabulary))
        if kept is not None:
            kept.write(name, _packed(pieces))
    else:
        pieces = _unpacked(bytes(packed), vocabulary.size)
    tokenize = ctypes.cast(
        llama_cpp._lib.llama_tokenize,  # noqa: SLF001 - as llguidance does
        ctypes.c_void_p,
    ).value
    build: Any = llguidance.LLTokenizer
    tokenizer: llguidance.LLTokenizer = build.from_llamacpp(
        tokens=pieces,
        vocab_ptr=vocabulary.pointer,
        tokenize_fptr=tokenize,
        eos_token=llama_cpp.llama_vocab_eos(vocabulary.pointer),
        slices=[],  # they make masks faster, of which hardly any is computed
    )
    return tokenizer


def _packed(pieces: list[bytes]) -> bytes:
    """Returns pieces as their lengths, two bytes each, and then their bytes."""
    lengths = np.array([len(piece) for piece in pieces], "<u2")
    return lengths.tobytes() + b"".join(pieces)


def _unpacked(packed: bytes, n_pieces: int) -> list[bytes]:
    ends = np.cumsum(np.frombuffer(packed, "<u2", n_pieces), dtype=np.int64)
    ends = (ends + 2 * n_pieces).tolist()
    return [
        packed[start:end]
        for start, end in zip([2 * n_pieces, *ends], ends, strict=False)
    ]


def _marked_pieces(vocabulary: Vocabulary) -> Iterator[bytes]:
    """Yields each token's bytes, special ones after 0xFF."""
    vocab, size = vocabulary.pointer, _MAX_PIECE_BYTES
    buffer = ctypes.create_string_buffer(size)
    control = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
    declared = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
    for token in range(vocabulary.size):
        n = llama_cpp.llama_token_to_piece(vocab, token, buffer, size, 0, True)
        piece = ctypes.string_at(buffer, max(n, 0))
        kind = llama_cpp.llama_vocab_get_attr(vocab, token)
        is_tag = kind & declared and piece[:1] == b"<" and piece[-1:] == b">"
        yield b"\xff" + piece if kind & control or is_tag else piece
