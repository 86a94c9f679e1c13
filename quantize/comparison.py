"""Runs models beside their reference over the same texts.

Each as the runtime would: mapped from its file, with the kernels of this machine. All
are open at once, in a child process, so that the reference is run once for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from quantize.child import Tell, in_child
from quantize.divergence import Divergence, Reference
from quantize.llama import Llama


def compare(
    reference: Path,
    models: Mapping[str, Path],
    chunks: Sequence[Sequence[int]],
    *,
    threads: int,
    tell: Tell,
) -> dict[str, list[Divergence]]:
    """Returns how far each model is from a reference, for each text.

    Args:
        reference: A GGUF file.
        models: GGUF files by name.
        chunks: Tokens of each text.
        threads: How many work.
        tell: Told how many texts are done.

    Raises:
        QuantizeError: A model cannot be opened or run.
    """
    arguments = {
        "reference": str(reference),
        "models": {name: str(path) for name, path in models.items()},
        "chunks": [list(chunk) for chunk in chunks],
        "threads": threads,
    }
    names = ", ".join(str(path) for path in models.values())
    found = in_child(_compare, arguments, doing=f"Comparing {names}", tell=tell)
    return {
        name: [_divergence(text) for text in texts] for name, texts in found.items()
    }


def _compare(arguments: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    chunks, threads = arguments["chunks"], arguments["threads"]
    n_tokens = max(map(len, chunks))
    found: dict[str, list[dict[str, list[float]]]] = {}
    with ExitStack() as open_models:

        def opened(path: str) -> Llama:
            model = Llama(Path(path), n_tokens=n_tokens, threads=threads)
            return open_models.enter_context(model)

        reference = opened(arguments["reference"])
        models = {name: opened(path) for name, path in arguments["models"].items()}
        for n, chunk in enumerate(chunks):
            tell(n, len(chunks))
            said = Reference.of(reference.logits(chunk), chunk)
            for name, model in models.items():
                one = said.compared(model.logits(chunk))
                found.setdefault(name, []).append(
                    {
                        "kl": one.kl.tolist(),
                        "is_same_top": one.is_same_top.tolist(),
                        "loss": one.loss.tolist(),
                        "reference_loss": one.reference_loss.tolist(),
                    }
                )
    tell(len(chunks), len(chunks))
    return found


def _divergence(text: Mapping[str, Sequence[float]]) -> Divergence:
    return Divergence(
        kl=np.array(text["kl"]),
        is_same_top=np.array(text["is_same_top"], np.bool_),
        loss=np.array(text["loss"]),
        reference_loss=np.array(text["reference_loss"]),
    )
