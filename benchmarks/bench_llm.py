"""What the language model's loop costs, and what it saves.

- `decode_ratio`: tokens a second of our loop without a constraint, against a bare loop
  of `llama_decode` over the same tokens at the same positions.
- `forwards_ratio`: passes through the model for the intents part of an answer, with the
  tokens that the constraint forces decoded together, against one pass for each of the
  same tokens; `forwards_ratio_guessed` with what is guessed ahead as well, when all has
  been asked before.
- `mask_share`: time that the constraint takes, masks included, as a fraction of the
  whole turn.
- `restore_speedup`: reading a prompt's beginning, against restoring it from disk.
- `ready_s`: of `headside serve`, from the start of the process until it listens, with
  its files in the page cache and what is kept between runs in place.
- `peak_pss_mb`: the most memory it has from its start to the end of ten turns, five
  typed and five spoken. In a run of its own: to look so often would slow down a start.

    python benchmarks/bench_llm.py --json
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import llama_cpp
import numpy as np
import psutil

from benchmarks.measure import recordings, run, spread
from benchmarks.serving import serving
from edge.audio import SAMPLE_RATE_HZ, Samples
from edge.backends.llama import Llama
from edge.build import open_sound
from edge.clients.client import Client
from edge.dialogue import Conversation
from edge.kept import KeptFiles
from edge.lexicon import build_lexicon, default_scene
from edge.llm.drafts import Drafts
from edge.llm.model import Generation, Message, Prompt, Role, Sampling
from edge.llm.output import REPLY_OPENS, Choices, build_choices
from models.pack_file import load_pack
from models.store import Store

PACK = "explorer"
WORDS = (
    "it is getting cold and I can hardly see the path",
    "could we have some music while we walk",
    "I would love to look at the sea from up there",
    "bring me something to sit on",
    "who lives in that old tower",
)
STORY = "Tell me a long story about the sea."
N_DECODED = 128


def measure(*, threads: int, repeats: int) -> dict[str, Any]:
    """Returns the report."""
    store = Store.default()
    pack = load_pack(PACK)
    (path,) = store.path(pack.models.llm).glob("*.gguf")
    report = _serving(store, threads=threads, repeats=repeats)
    model = Llama(path, threads=threads)
    report |= _decoding(model, repeats)
    report |= _constrained(model, repeats)
    model.close()
    report |= _restoring(path, threads, repeats)
    return report


def _decoding(model: Llama, repeats: int) -> dict[str, Any]:
    prompt = Prompt(messages=(Message(role=Role.USER, text=STORY),))
    sampling = Sampling(max_tokens=N_DECODED, repetition_penalty=1.0)
    ours: list[float] = []
    bare: list[float] = []
    for n in range(repeats + 1):
        pieces = model.generate(Generation(prompt=prompt, sampling=sampling), Event())
        next(pieces)
        n_first = model.usage.n_tokens
        began = time.perf_counter()
        for _ in pieces:
            pass
        ours_s = (time.perf_counter() - began) / (model.usage.n_tokens - n_first)
        bare_s = _bare_token_s(model, model.usage.n_tokens - n_first)
        if n > 0:
            ours.append(ours_s)
            bare.append(bare_s)
    return {
        "decode_ratio": round(
            statistics.median(b / o for o, b in zip(ours, bare, strict=True)), 3
        ),
        "tokens_per_s": round(1 / statistics.median(ours), 1),
        "bare_tokens_per_s": round(1 / statistics.median(bare), 1),
    }


def _bare_token_s(model: Llama, n_tokens: int) -> float:
    """Returns the time of a token where the same ones are decoded and nothing else."""
    held = model._prefix.tokens[-n_tokens:]  # noqa: SLF001 - the same tokens
    memory = llama_cpp.llama_get_memory(model._context)  # noqa: SLF001
    start = len(model._prefix.tokens) - len(held)  # noqa: SLF001
    llama_cpp.llama_memory_seq_rm(memory, 0, start, -1)
    began = time.perf_counter()
    for token in held:
        array = (llama_cpp.llama_token * 1)(token)
        batch = llama_cpp.llama_batch_get_one(array, 1)
        llama_cpp.llama_decode(model._context, batch)  # noqa: SLF001
    return (time.perf_counter() - began) / len(held)


def _constrained(model: Llama, repeats: int) -> dict[str, Any]:
    pack = load_pack(PACK)
    lexicon = build_lexicon(pack, default_scene(pack))
    choices = build_choices(lexicon.schema(), actions=lexicon.actions, min_intents=1)
    conversation = Conversation(pack.character(None))
    forced = _Passes()
    model.drafts = Drafts(max_length=0)
    requests = [_request(conversation, choices, words) for words in WORDS]
    for request in requests:
        forced.add(model, request)
    model.drafts = Drafts()
    for request in requests:
        _Passes().add(model, request)  # so that it was asked before
    guessed = _Passes()
    for _ in range(repeats):
        for request in requests:
            guessed.add(model, request)
    return {
        "forwards_ratio": round(forced.n_forwards / forced.n_tokens, 3),
        "forwards_ratio_guessed": round(guessed.n_forwards / guessed.n_tokens, 3),
        "mask_share": round(guessed.constraint_s / guessed.turn_s, 4),
        "masks_per_token": round(guessed.n_masks / guessed.n_all_tokens, 3),
    }


def _request(conversation: Conversation, choices: Choices, words: str) -> Generation:
    messages = conversation.messages(words, schema=choices.told, n_turns=0)
    return Generation(
        prompt=Prompt(messages=messages, schema=choices.schema),
        sampling=Sampling(free_after=REPLY_OPENS),
    )


@dataclass(slots=True)
class _Passes:
    """What answers took, the intents part of them apart."""

    n_forwards: int = 0
    """For the intents."""
    n_tokens: int = 0
    """Of the intents."""
    n_all_tokens: int = 0
    n_masks: int = 0
    constraint_s: float = 0.0
    turn_s: float = 0.0

    def add(self, model: Llama, request: Generation) -> None:
        """Has the model answer."""
        began = time.perf_counter()
        text, n_forwards, n_tokens = "", 0, 0
        for piece in model.generate(request, Event()):
            text += piece
            if REPLY_OPENS not in text:
                n_forwards = model.usage.n_forwards + 1
                n_tokens = model.usage.n_tokens
        self.turn_s += time.perf_counter() - began
        self.n_forwards += n_forwards
        self.n_tokens += n_tokens
        self.n_all_tokens += model.usage.n_tokens
        self.n_masks += model.usage.n_masks
        self.constraint_s += model.usage.constraint_s


def _restoring(path: Path, threads: int, repeats: int) -> dict[str, Any]:
    pack = load_pack(PACK)
    lexicon = build_lexicon(pack, default_scene(pack))
    choices = build_choices(lexicon.schema(), actions=lexicon.actions)
    opening = Prompt(messages=Conversation(pack.character(None)).opening(choices.told))
    report: dict[str, Any] = {}
    for bits in (16, 8):
        with tempfile.TemporaryDirectory() as folder:
            kept = KeptFiles(Path(folder) / "kept")
            read = [
                _timed_prepare(path, threads, bits, None, opening)
                for _ in range(max(1, repeats // 2))
            ]
            _timed_prepare(path, threads, bits, kept, opening)
            restored = [
                _timed_prepare(path, threads, bits, kept, opening)
                for _ in range(repeats)
            ]
            n_bytes = sum(file.stat().st_size for file in kept.folder.iterdir())
        speedup = statistics.median(read) / statistics.median(restored)
        suffix = "" if bits == 16 else "_kv8"
        report |= {
            f"restore_speedup{suffix}": round(speedup, 1),
            f"read_ms{suffix}": round(1000 * statistics.median(read), 1),
            f"restore_ms{suffix}": round(1000 * statistics.median(restored), 1),
            f"kept_mb{suffix}": round(n_bytes / 1e6, 1),
        }
    return report


def _timed_prepare(
    path: Path, threads: int, bits: int, kept: KeptFiles | None, opening: Prompt
) -> float:
    model = Llama(path, threads=threads, kv_bits=bits, kept=kept)
    began = time.perf_counter()
    model.prepare(opening)
    seconds = time.perf_counter() - began
    model.close()
    return seconds


def _serving(store: Store, *, threads: int, repeats: int) -> dict[str, Any]:
    with serving(PACK, threads=threads):
        pass  # this fills the page cache, and keeps what is kept
    ready = []
    for _ in range(repeats):
        with serving(PACK, threads=threads) as served:
            ready.append(served.ready_s)
    name, sound = next(
        (name, path) for name, (pack, path) in recordings(store).items() if pack == PACK
    )
    samples = np.concatenate([chunk.samples for chunk in open_sound(sound)])
    peaks = [_peak_pss_mb(samples, threads) for _ in range(repeats)]
    return {
        "ready_s": round(statistics.median(ready), 3),
        "ready": spread(ready, 3),
        "peak_pss_mb": round(max(peaks), 1),
        "peak_pss": spread(peaks),
        "spoken": name,
    }


def _peak_pss_mb(samples: Samples, threads: int) -> float:
    """Returns the most memory of a service that is typed and spoken to."""
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    watch = _MemoryWatch()
    with (
        serving(PACK, threads=threads, started=watch.start) as served,
        Client(served.port, served.secret) as client,
    ):
        for words in WORDS:
            client.send("text", text=words)
            _until_turn(client)
        for _ in WORDS:
            client.send_sound(np.concatenate([samples, silence]))
            _until_turn(client)
        return watch.stop()


class _MemoryWatch:
    """Watches the proportional set size of a process."""

    def __init__(self) -> None:
        self._peak = 0
        self._over = Event()

    def start(self, pid: int) -> None:
        """Begins to look at a process."""
        self._process = psutil.Process(pid)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        """Returns the most there was, in megabytes."""
        self._over.set()
        self._thread.join()
        return self._peak / 1e6

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._peak = max(self._peak, self._process.memory_full_info().pss)


def _until_turn(client: Client) -> None:
    for event in client.events(30):
        if event["type"] in ("turn", "dropped", "cancelled"):
            return


if __name__ == "__main__":
    run(__doc__, measure, repeats=5)
