"""Which layers a model needs least, measured one by one.

A layer whose last matrices, those of its attention and of its feed-forward, are zero
passes on what it was given. The layer without which the model is least far from itself
goes first; the others are measured again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from quantize.divergence import Reference
from quantize.errors import QuantizeError
from quantize.llama import Llama

_LAST = ("attn_output", "ffn_down")


def least_needed(
    base: Path,
    n_layers: int,
    chunks: Sequence[Sequence[int]],
    n: int,
    *,
    threads: int,
    tell: Callable[[int, int], None],
) -> tuple[int, ...]:
    """Returns the numbers of the layers that are needed least, rising.

    Args:
        base: A GGUF file of float32.
        n_layers: That it has.
        chunks: Tokens of the texts it is measured on.
        n: How many layers to find.
        threads: How many work.
        tell: Told how many measurements are done.

    Raises:
        QuantizeError: ``prune_too_many`` or ``prune_unknown``.
    """
    if n >= n_layers:
        raise QuantizeError(
            "prune_too_many",
            f"{n} layers cannot be left out of {n_layers}.",
            "Leave out fewer.",
        )
    longest = max(map(len, chunks))
    found: list[int] = []
    n_steps = sum(n_layers - done for done in range(n))
    n_done = 0
    with (
        Llama(base, n_tokens=longest, threads=threads, is_repacked=False) as model,
        ExitStack() as gone,
    ):
        stored = model.weights(chunks[0])
        references = [Reference.of(model.logits(chunk), chunk) for chunk in chunks]

        def without(layer: int) -> ExitStack:
            left_out = ExitStack()
            for part in _LAST:
                name = f"blk.{layer}.{part}.weight"
                if name not in stored:
                    raise QuantizeError(
                        "prune_unknown",
                        f"The model has no {name}: nobody knows how to leave a layer "
                        "of it out.",
                        "Leave out --prune-layers.",
                    )
                zeros = np.zeros_like(stored[name])
                left_out.enter_context(model.exchanged(name, zeros))
            return left_out

        def diverged(layer: int) -> float:
            nonlocal n_done
            tell(n_done, n_steps)
            n_done += 1
            with without(layer):
                kl = [
                    reference.compared(model.logits(chunk)).kl
                    for reference, chunk in zip(references, chunks, strict=True)
                ]
            return float(np.concatenate(kl).mean())

        while len(found) < n:
            left = [layer for layer in range(n_layers) if layer not in found]
            found.append(min(left, key=diverged))
            gone.enter_context(without(found[-1]))
    tell(n_steps, n_steps)
    return tuple(sorted(found))
