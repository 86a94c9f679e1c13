"""A GGUF language model through llama.cpp's C API, with llguidance constraints.

One pass through the model yields a free token, all that the constraint then leaves no
choice about, and what was guessed right of the tokens after it. The likeliest token is
tried before any mask is computed.
"""

from __future__ import annotations

import codecs
import ctypes
import hashlib
import math
import mmap
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from edge.backends.llama_state import BATCH_TOKENS, ReadPrefix, batches, n_common
from edge.backends.llama_vocabulary import Constraints, PromptTokens, Vocabulary
from edge.kept import KeptFiles
from edge.llm.drafts import Drafts
from edge.llm.model import (
    Choose,
    Generation,
    LlmError,
    Message,
    Prompt,
    Role,
    Sampling,
    Usage,
)
from edge.llm.sampling import Logits, choose, penalised
from models.lean_import import modules_of

with modules_of("llama_cpp"):
    from llama_cpp import llama_cpp
with modules_of("llguidance"):
    from llguidance import _lib as llguidance

_MICRO_BATCH_TOKENS = 64
"""Read at once: more were no faster, and took memory."""
_PENALTY_TOKENS = 64
"""The latest tokens of prompt and answer count as recent, as in llama.cpp."""
_NAMED_BYTES = 1 << 20
_GIVEN_BACK_S = 0.1


class Llama:
    """A model and its one context.

    Args:
        path: Of a GGUF file.
        threads: For prompt and answer alike.
        n_ctx: Tokens of prompt and answer together.
        kv_bits: 16, or 8 for half the memory of what was read, where the model allows.
        kept: Where beginnings of prompts last between runs; None for nowhere.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int,
        n_ctx: int = 1536,
        kv_bits: int = 16,
        kept: KeptFiles | None = None,
    ) -> None:
        _quiet()
        failed = LlmError(
            "llm_model",
            f"The language model {path} could not be loaded.",
            "Run `headside models verify`.",
        )
        parameters = llama_cpp.llama_model_default_params()
        self._file = _MappedFile(path)
        with self._file.given_back():
            self._model = llama_cpp.llama_model_load_from_file(
                str(path).encode(), parameters
            )
        if not self._model:
            raise failed
        self._context, kv_bits = self._open(threads, n_ctx, kv_bits)
        if not self._context:
            llama_cpp.llama_model_free(self._model)
            raise failed
        self._file.give_back()
        self._n_ctx = n_ctx
        name = _identity(path)
        self._vocabulary = Vocabulary(self._model, kept)
        self._constraints = Constraints(self._vocabulary, name, kept)
        self._prefix = ReadPrefix(
            self._context,
            name=f"{name} {n_ctx} {kv_bits} {version('llama-cpp-python')}",
            kept=kept,
        )
        # Such a model cannot forget the last tokens alone.
        is_recurrent = llama_cpp.llama_model_is_recurrent(
            self._model
        ) or llama_cpp.llama_model_is_hybrid(self._model)
        self.drafts = Drafts(max_length=0) if is_recurrent else Drafts()
        """Guesses ahead, from the answers to all players."""
        self._count: Callable[[], Usage] = Usage

    @property
    def usage(self) -> Usage:
        """What the latest generation cost."""
        return self._count()

    def fits(self, request: Generation) -> bool:
        """Returns whether prompt and answer fit the context."""
        prompt = self._tokens(request.prompt)
        return len(prompt.tokens) + request.sampling.max_tokens <= self._n_ctx

    def prepare(self, prompt: Prompt) -> None:
        """Reads what of a prompt is to be kept, ahead of its first use."""
        asked = self._tokens(prompt)
        if asked.keeps and asked.keeps[-1] < self._n_ctx:
            opening = replace(asked, tokens=asked.tokens[: asked.keeps[-1]])
            self._prefix.resume(opening, n_wanted=0)
            self._read(opening.tokens, Event(), opening.keeps)

    def generate(
        self, request: Generation, cancel: Event
    ) -> Generator[str, None, None]:
        """Yields the answer piece by piece, without the prefix."""
        self._count = Usage
        try:
            yield from self._generate(request, cancel)
        finally:
            self._file.give_back()  # the rows of this prompt's words

    def _generate(self, request: Generation, cancel: Event) -> Iterator[str]:
        prompt = self._tokens(request.prompt)
        n_prompt = len(prompt.tokens)
        sampling = request.sampling
        if n_prompt + sampling.max_tokens > self._n_ctx:
            raise LlmError(
                "prompt_too_long",
                f"A prompt of {n_prompt} tokens and an answer of "
                f"{sampling.max_tokens} exceed the context of {self._n_ctx}.",
                "Shorten the persona, the knowledge or the history.",
            )
        if cancel.is_set():
            return
        answer = _Answer(request, self._vocabulary, self._constraints)
        pending = answer.forced()
        if begin := answer.text(pending):
            yield begin
        if answer.is_over():
            return
        tokens = [*prompt.tokens, *pending]
        n_left = sampling.max_tokens - len(pending)
        self.drafts.begin()
        begun = replace(prompt, tokens=tuple(tokens))
        n_cached = self._prefix.resume(begun, n_wanted=1)
        guess = self._guess(answer, tokens, n_left)
        self._read(tokens, cancel, begun.keeps, guess)
        n_before = self._prefix.n_forwards

        def usage() -> Usage:
            return replace(
                answer.usage,
                n_prompt=n_prompt,
                n_cached=min(n_cached, n_prompt),
                n_forwards=self._prefix.n_forwards - n_before,
                n_drafted=self.drafts.n_drafted,
                n_accepted=self.drafts.n_accepted,
            )

        self._count = usage
        try:
            while n_left > 0 and not cancel.is_set():
                scores = self._prefix.scores(len(tokens), self._vocabulary.size)
                pending = answer.next(scores, tokens[-_PENALTY_TOKENS:])[:n_left]
                n_left -= len(pending)
                n_held = len(tokens)
                if ahead := self._prefix.tokens[n_held:]:
                    n_held += n_common(ahead, pending)
                    self.drafts.confirm(n_held)
                tokens += pending
                if piece := answer.text(pending):
                    yield piece
                if answer.is_over() or n_left == 0:
                    return
                if n_held < len(tokens):  # else it was guessed, and is read already
                    self._prefix.cut(n_held)
                    guess = self._guess(answer, tokens, n_left)
                    self._read(tokens, cancel, (), guess)
        finally:
            counted = usage()
            self._count = lambda: counted
            self.drafts.remember(tokens, n_prompt)

    def close(self) -> None:
        """Frees model and context."""
        if self._context:
            llama_cpp.llama_free(self._context)
            llama_cpp.llama_model_free(self._model)
            self._context = self._model = None

    def _open(self, threads: int, n_ctx: int, kv_bits: int) -> tuple[Any, int]:
        """Returns a context, and the bits it keeps: 16 where 8 do not fit the model."""
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = n_ctx
        context.n_batch = BATCH_TOKENS
        context.n_ubatch = _MICRO_BATCH_TOKENS
        context.n_threads = context.n_threads_batch = threads
        context.no_perf = True
        # On processors, flash attention reads a prompt four times as slowly (SmolLM2,
        # 16 tokens after 400: 270 ms against 65); what it reads cannot be kept in 8
        # bits without it, though.
        context.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if kv_bits == 8:
            context.type_k = context.type_v = llama_cpp.GGML_TYPE_Q8_0
            context.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        opened = llama_cpp.llama_init_from_model(self._model, context)
        if not opened and kv_bits == 8:  # heads that are no multiple of a block of 32
            return self._open(threads, n_ctx, 16)
        return opened, kv_bits

    def _tokens(self, prompt: Prompt) -> PromptTokens:
        return self._vocabulary.prompt(prompt.messages, prompt.prefix)

    def _guess(self, answer: _Answer, tokens: list[int], n_room: int) -> list[int]:
        """Returns how it may go on; nothing where it hardly could be foretold.

        That is in free text, and in what is drawn. Besides, a pass over many tokens
        does not round as passes over one each do, and seeds would not repeat.
        """
        if answer.is_free or answer.is_drawn:
            return []
        return self.drafts.guess(tokens, n_room)

    def _read(
        self,
        tokens: Sequence[int],
        cancel: Event,
        keeps: Sequence[int] = (),
        guess: Sequence[int] = (),
    ) -> None:
        """Reads what the context does not hold of some tokens.

        Ends early where cancelled; what was read so far stays good.

        Args:
            tokens: Of the prompt and the answer so far; the context holds the first.
            cancel: Ends it.
            keeps: Lengths of the beginnings that are worth keeping.
            guess: Read with the last batch: what may follow.
        """
        n_held = len(self._prefix.tokens)
        todo = batches(tokens[n_held:], [keep - n_held for keep in keeps])
        for n, batch in enumerate(todo, start=1):
            if cancel.is_set():
                return
            ahead = guess[: BATCH_TOKENS - len(batch)] if n == len(todo) else ()
            self._prefix.read([*batch, *ahead], n_scored=1 + len(ahead))
            if len(self._prefix.tokens) in keeps:
                self._prefix.keep()


class _Answer:
    """One answer as it grows, held to its constraint."""

    def __init__(
        self, request: Generation, vocabulary: Vocabulary, constraints: Constraints
    ) -> None:
        self._sampling: Sampling = request.sampling
        self._choose = request.choose
        self._random = np.random.default_rng(request.sampling.seed)
        self._vocabulary = vocabulary
        self._constraints = constraints
        self._text = request.prompt.prefix
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._matcher: llguidance.LLMatcher | None = None
        if request.prompt.schema:
            began = vocabulary.begun(request.prompt.prefix)
            self._matcher = constraints.begin(request.prompt.schema, began)
        self._n_tokens = self._n_forced = self._n_masks = 0
        self._constraint_s = 0.0
        self._is_over = False

    @property
    def usage(self) -> Usage:
        """What it cost so far, the passes through the model apart."""
        return Usage(
            n_tokens=self._n_tokens,
            n_forced=self._n_forced,
            n_masks=self._n_masks,
            constraint_s=self._constraint_s,
        )

    @property
    def is_free(self) -> bool:
        """Whether what follows is the model's own words."""
        return self._sampling.free_after in self._text

    @property
    def is_drawn(self) -> bool:
        """Whether its tokens may be others than the likeliest ones."""
        return self._sampling.temperature > 0.0 or self._choose is not None

    def is_over(self) -> bool:
        """Returns whether nothing may follow."""
        return self._is_over

    def text(self, tokens: list[int]) -> str:
        """Returns the whole characters that some tokens complete."""
        piece = self._decoder.decode(b"".join(map(self._vocabulary.piece, tokens)))
        self._text += piece
        return piece

    def forced(self) -> list[int]:
        """Returns the tokens that must come next, taken as chosen."""
        if self._matcher is None:
            return []
        began = time.perf_counter()
        forced: list[int] = self._matcher.compute_ff_tokens()
        if forced:
            self._matcher.consume_tokens(forced)
        self._is_over = self._matcher.is_stopped()
        self._n_tokens += len(forced)
        self._n_forced += len(forced)
        self._constraint_s += time.perf_counter() - began
        return forced

    def next(self, logits: Logits, recent: list[int]) -> list[int]:
        """Returns the next token and those it forces; none at the answer's end."""
        penalty = self._sampling.repetition_penalty
        if self.is_free:
            logits = penalised(logits, recent[-_PENALTY_TOKENS:], penalty)
        token = choose(logits, self._sampling, self._random)
        if math.isnan(logits[token]):
            raise LlmError(
                "llm_failed",
                "What the language model computes is not a number.",
                "Download or convert it again.",
            )
        if self._matcher is not None and self._choose and not self.is_free:
            token = self._asked(self._choose, self._matcher, logits)
        elif self._matcher is not None:
            token = self._allowed(self._matcher, token, logits)
        if self._vocabulary.ends(token):
            self._is_over = True
            return []
        self._n_tokens += 1
        return [token, *self.forced()]

    def _asked(self, ask: Choose, matcher: llguidance.LLMatcher, logits: Logits) -> int:
        """Returns what somebody else chooses of what is allowed."""
        mask = self._constraints.allowed(matcher)
        token = ask(np.where(mask, logits, np.float32(-np.inf)))
        if not matcher.consume_token(token):
            raise LlmError("choice_forbidden", f"Token {token} may not come here.")
        return token

    def _allowed(
        self, matcher: llguidance.LLMatcher, token: int, logits: Logits
    ) -> int:
        """Returns the token where the constraint allows it, or the choice among those.

        A token drawn again from what is allowed, once one drawn from all was not, has
        the probability it has among the allowed ones.
        """
        began = time.perf_counter()
        if matcher.try_consume_tokens([token]) == 0:
            self._n_masks += 1
            mask = self._constraints.allowed(matcher)
            masked = np.where(mask, logits, np.float32(-np.inf))
            token = choose(masked, self._sampling, self._random)
            matcher.consume_token(token)
        self._constraint_s += time.perf_counter() - began
        return token


def _identity(path: Path) -> str:
    """Returns what tells this model file from every other, in a moment.

    Its size, its date, and what it holds at both ends; what is kept of it is sealed
    anyway, so this is against mix-ups and not against forgery.
    """
    about = path.stat()
    digest = hashlib.sha256(f"{about.st_size} {about.st_mtime_ns} ".encode())
    with path.open("rb") as file:
        digest.update(file.read(_NAMED_BYTES))
        file.seek(max(0, about.st_size - _NAMED_BYTES))
        digest.update(file.read(_NAMED_BYTES))
    return digest.hexdigest()


class _MappedFile:
    """The pages of a model file, given back once llama.cpp has copied them.

    It maps the whole file and repacks most weights for the processor; the pages it read
    them from stay counted until they are given back. Those still in use, such as the
    rows of the words in a prompt, come back from the page cache when they are read.
    """

    def __init__(self, path: Path) -> None:
        self._name = os.path.realpath(path)

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Gives pages back again and again while the block runs.

        From a thread of its own: called back by llama.cpp, its loading would wait for
        Python's lock at every tensor, and take half as long again.
        """
        is_over = Event()

        def watch() -> None:
            while not is_over.wait(_GIVEN_BACK_S):
                self.give_back()

        watcher = Thread(target=watch, name="headside-load", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            is_over.set()
            watcher.join()

    def give_back(self) -> None:
        """Gives all pages back."""
        if sys.platform != "linux":
            return
        # Looked up anew each time: llama.cpp gives up parts of it once it has loaded.
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            span, *_, name = line.split(maxsplit=5)
            if name == self._name:
                start, end = (int(bound, 16) for bound in span.split("-"))
                _madvise(start, end - start, mmap.MADV_DONTNEED)


def _madvise(start: int, length: int, advice: int) -> None:
    call = ctypes.CDLL(None, use_errno=True).madvise
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    call(start, length, advice)


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
