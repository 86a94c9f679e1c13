"""How long a player waits: Headside against the stock chain, on the same weights.

Both chains get the whole utterance at t0, in one process, in turn, on the same threads.
The stock chain is faster-whisper's `transcribe` with its defaults, then
llama-cpp-python's `create_chat_completion`, streamed, with the same prompt and the same
intents as JSON Schema, at temperature 0; an intent counts when its object closes.
Headside is measured twice: as it runs, where the grammar knows the command, and with
the grammar off, so that the language model must choose. Every answer must hold an
intent, so that there is one to wait for; whether a model of this size chooses the right
one is not measured here. A model of this size, not trained for the task, also chooses
much the same each time, which is easy to guess ahead: `ratio_llm_unguessed` is without
any guess. The chains take turns, each on another recording, so that none finds the same
words in a model that has just read them.

    python benchmarks/bench_turn.py --json
"""

from __future__ import annotations

import edge  # noqa: F401 - first: it keeps numpy's threads from spinning, for both

# isort: split

import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any, cast

from faster_whisper import WhisperModel
from llama_cpp import Llama

from benchmarks.measure import p95, recordings, run
from edge.build import RuntimeOptions, build_runtime, open_sound
from edge.dialogue import Conversation, Reply
from edge.intent import Intent, Tier
from edge.llm.drafts import Drafts
from edge.llm.model import Message, Role
from edge.llm.output import (
    ReplyText,
    WrittenIntent,
    build_choices,
    read_answer,
)
from edge.pipeline import Runtime
from edge.vad import Utterance
from models.pack_file import load_pack
from models.store import Store

N_CONTEXT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What the player waits for, from the end of speech."""

    first_intent_ms: float
    first_word_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One recording and the pack it belongs to."""

    name: str
    pack: str
    utterance: Utterance


class StockChain:
    """The chain as its libraries' documentation puts it together.

    Each pack has a language model of its own, as it has with Headside here: each finds
    the beginning of its prompts read.
    """

    def __init__(
        self, asr: Path, llm: Path, *, packs: Iterable[str], threads: int
    ) -> None:
        self._asr = WhisperModel(
            str(asr), device="cpu", compute_type="int8", cpu_threads=threads
        )
        self._llms = {
            pack: Llama(
                str(llm),
                n_ctx=N_CONTEXT,
                n_threads=threads,
                n_threads_batch=threads,
                verbose=False,
            )
            for pack in packs
        }

    def turn(self, utterance: Utterance, runtime: Runtime) -> Waits | None:
        """Returns the waits of one turn with the runtime's prompt and schema."""
        began = time.perf_counter()
        segments, _ = self._asr.transcribe(utterance.samples)
        words = " ".join(segment.text.strip() for segment in segments)
        return _waits_of(self._answer(words, runtime), began)

    def _answer(
        self, words: str, runtime: Runtime
    ) -> Iterator[WrittenIntent | ReplyText]:
        messages = runtime.conversation.messages(
            words, schema=runtime.choices.told, n_turns=0
        )
        chunks = self._llms[runtime.pack.name].create_chat_completion(
            cast("Any", list(_as_dicts(messages))),
            response_format={
                "type": "json_object",
                "schema": json.loads(runtime.choices.schema),
            },
            temperature=0.0,
            max_tokens=runtime.sampling.max_tokens,
            stream=True,
        )
        return read_answer(_compact(chunks), "")


class HeadsideChain:
    """The runtime, with the tier it is given, and the model's guesses at its answer."""

    def __init__(self, tier: Tier, drafts: Drafts) -> None:
        self._tiers = frozenset({tier})
        self._drafts = drafts

    def turn(self, utterance: Utterance, runtime: Runtime) -> Waits | None:
        """Returns the waits of one turn, without memory of an earlier one."""
        runtime.tiers = self._tiers
        cast("Any", runtime.model).drafts = self._drafts
        runtime.conversation = Conversation(runtime.conversation.character)
        began = time.perf_counter()
        return _waits_of(runtime.hear(utterance, Event()), began)


def measure(*, threads: int, repeats: int) -> dict[str, object]:
    """Returns the report: medians over all turns, and each recording's own."""
    store = Store.default()
    clips = list(_clips(store))
    runtimes = {
        pack: build_runtime(load_pack(pack), store, RuntimeOptions(threads=threads))
        for pack in {clip.pack for clip in clips}
    }
    for runtime in runtimes.values():
        lexicon = runtime.lexicon
        runtime.choices = build_choices(
            lexicon.schema(), actions=lexicon.actions, min_intents=1
        )
    models = next(iter(runtimes.values())).pack.models
    (gguf,) = store.path(models.llm).glob("*.gguf")
    chains: dict[str, StockChain | HeadsideChain] = {
        "stock": StockChain(
            store.path(models.asr), gguf, packs=runtimes, threads=threads
        ),
        "grammar": HeadsideChain(Tier.GRAMMAR, Drafts()),
        "llm": HeadsideChain(Tier.LLM, Drafts()),
        "llm_unguessed": HeadsideChain(Tier.LLM, Drafts(max_length=0)),
    }
    waits: dict[str, dict[str, list[Waits]]] = {name: {} for name in chains}
    for n in range(repeats + 1):
        for turn, (at, name) in product(range(len(clips)), enumerate(chains)):
            clip, chain = clips[(turn + at) % len(clips)], chains[name]
            # Anew each time: the recogniser keeps what it computed of the latest.
            utterance = replace(clip.utterance)
            found = chain.turn(utterance, runtimes[clip.pack])
            if found is None:
                raise SystemExit(
                    f"{clip.name}: the chain {name!r} yields no intent; "
                    "nothing to compare"
                )
            if n > 0:  # The first turn fills the caches of all.
                waits[name].setdefault(clip.name, []).append(found)
    return _report(waits, [clip.name for clip in clips])


def _report(
    waits: dict[str, dict[str, list[Waits]]], names: Sequence[str]
) -> dict[str, object]:
    def all_of(chain: str, pick: Callable[[Waits], float]) -> list[float]:
        return [pick(wait) for name in names for wait in waits[chain][name]]

    def intent(wait: Waits) -> float:
        return wait.first_intent_ms

    def word(wait: Waits) -> float:
        return wait.first_word_ms

    stock = statistics.median(all_of("stock", intent))
    grammar = statistics.median(all_of("grammar", intent))
    llm = statistics.median(all_of("llm", intent))
    unguessed = statistics.median(all_of("llm_unguessed", intent))
    return {
        "ratio_grammar": round(stock / grammar, 2),
        "ratio_llm": round(stock / llm, 2),
        "ratio_llm_unguessed": round(stock / unguessed, 2),
        "stock_first_intent_ms": round(stock, 1),
        "headside_first_intent_ms": round(grammar, 1),
        "headside_llm_first_intent_ms": round(llm, 1),
        "p95": {
            f"{chain}_first_intent_ms": round(p95(all_of(chain, intent)), 1)
            for chain in waits
        },
        "first_word_ms": {
            chain: round(statistics.median(all_of(chain, word)), 1) for chain in waits
        },
        "recordings": {
            name: {
                f"{chain}_first_intent_ms": round(
                    statistics.median(map(intent, waits[chain][name])), 1
                )
                for chain in waits
            }
            for name in names
        },
        "shared_clips": len(names) > 1,
    }


def _clips(store: Store) -> Iterator[Clip]:
    """Yields the recordings, each cut to its one utterance."""
    options = RuntimeOptions(asr="echo", llm="echo")
    listener = build_runtime(load_pack("explorer"), store, options)
    for name, (pack, path) in recordings(store).items():
        (utterance,) = listener.listen(open_sound(path))
        yield Clip(name=name, pack=pack, utterance=utterance)


def _waits_of(events: Iterator[object], began: float) -> Waits | None:
    """Returns when the first intent and the first word of the reply came.

    None where there was no intent.

    The stock chain's reply counts word by word; Headside's sentence by sentence, since
    it checks each before it is said.
    """
    first_intent = first_word = 0.0
    for event in events:
        now = (time.perf_counter() - began) * 1000
        if isinstance(event, Intent | WrittenIntent):
            first_intent = first_intent or now
        elif isinstance(event, Reply | ReplyText):
            first_word = now
            break
    if not first_intent:
        return None
    return Waits(first_intent_ms=first_intent, first_word_ms=first_word)


def _as_dicts(messages: Sequence[Message]) -> Iterator[dict[str, str]]:
    """Yields messages as the stock chain wants them, with one system message."""
    system = [m.text for m in messages if m.role is Role.SYSTEM]
    yield {"role": "system", "content": "\n".join(system)}
    for message in messages[len(system) :]:
        yield {"role": message.role.value, "content": message.text}


def _compact(chunks: Iterable[Any]) -> Iterator[str]:
    """Yields the stock chain's text without the white space between its tokens."""
    in_string = escaped = False
    for chunk in chunks:
        text = chunk["choices"][0]["delta"].get("content") or ""
        kept = ""
        for character in text:
            if in_string or not character.isspace():
                kept += character
            if escaped:
                escaped = False
            elif in_string and character == "\\":
                escaped = True
            elif character == '"':
                in_string = not in_string
        yield kept


if __name__ == "__main__":
    run(__doc__, measure, repeats=3)
