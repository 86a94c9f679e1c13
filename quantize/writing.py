"""What models write after the same words, and how fast.

All are open at once in a child process, as the runtime would open them, and take turns
at each prompt, so that whatever else the machine does slows all alike.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize.child import Tell, in_child
from quantize.llama import Llama

N_WRITTEN = 48
"""Tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a model reads and writes: medians over the prompts."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    decode_p95_ms: float
    """Of the slowest twentieth of all tokens, the fastest."""
    threads: int
    load: float
    """Of the machine over the last minute, when it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one model wrote."""

    prompts: tuple[str, ...]
    texts: tuple[str, ...]
    """By prompt."""
    speed: Speed


def write(
    models: Mapping[str, Path],
    prompts: Sequence[Sequence[int]],
    *,
    threads: int,
    tell: Tell,
) -> dict[str, Written]:
    """Returns what models write, greedily, and how fast.

    Args:
        models: GGUF files by name.
        prompts: Tokens of each.
        threads: How many work.
        tell: Told how many prompts are done.

    Raises:
        QuantizeError: A model cannot be opened or run.
    """
    arguments = {
        "models": {name: str(path) for name, path in models.items()},
        "prompts": [list(prompt) for prompt in prompts],
        "threads": threads,
    }
    names = ", ".join(str(path) for path in models.values())
    found = in_child(_write, arguments, doing=f"Writing with {names}", tell=tell)
    return {
        name: Written(
            prompts=tuple(one["prompts"]),
            texts=tuple(one["texts"]),
            speed=Speed(**one["speed"]),
        )
        for name, one in found.items()
    }


def _write(arguments: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    prompts, threads = arguments["prompts"], arguments["threads"]
    n_tokens = max(map(len, prompts)) + N_WRITTEN
    load = round(os.getloadavg()[0], 2)
    with ExitStack() as opened:
        models = {
            name: opened.enter_context(
                Llama(Path(path), n_tokens=n_tokens, threads=threads)
            )
            for name, path in arguments["models"].items()
        }
        texts: dict[str, list[str]] = {name: [] for name in models}
        reading: dict[str, list[float]] = {name: [] for name in models}
        writing: dict[str, list[float]] = {name: [] for name in models}
        said = {
            name: [model.text(prompt) for prompt in prompts]
            for name, model in models.items()
        }
        for model in models.values():
            _one(model, prompts[0][:8])  # brings the file into memory
        for n, prompt in enumerate(prompts):
            tell(n, len(prompts))
            for name, model in models.items():
                tokens, read_s, token_s = _one(model, prompt)
                texts[name].append(model.text(tokens))
                reading[name].append(len(prompt) / read_s)
                writing[name] += token_s
    tell(len(prompts), len(prompts))
    return {
        name: {
            "prompts": said[name],
            "texts": texts[name],
            "speed": {
                "prefill_tokens_per_s": round(statistics.median(reading[name]), 1),
                "decode_tokens_per_s": round(1 / statistics.median(writing[name]), 1),
                "decode_p95_ms": round(1000 * _p95(writing[name]), 2),
                "threads": threads,
                "load": load,
            },
        }
        for name in models
    }


def _one(model: Llama, prompt: Sequence[int]) -> tuple[list[int], float, list[float]]:
    """Returns tokens, and seconds for the prompt and for each token.

    What comes after the end is written for its time, and not returned.
    """
    began = time.perf_counter()
    token = int(model.logits(prompt)[-1].argmax())
    read_s = time.perf_counter() - began
    found, seconds = [], []
    for n in range(N_WRITTEN):
        found.append(token)
        began = time.perf_counter()
        token = int(model.logits([token], n_read=len(prompt) + n)[-1].argmax())
        seconds.append(time.perf_counter() - began)
    ends = [n for n, token in enumerate(found) if model.ends(token)]
    return found[: ends[0]] if ends else found, read_s, seconds


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]
