"""The exported graph beside the folder as transformers runs it, on real sentences.

transformers opens the folder in a process of its own, and what it gives is pooled as
the folder says. What differs by more than rounding is an export that went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantize.child import Tell, in_child
from quantize.encoder.source import Encoder
from quantize.encoder.vectors import Reader
from quantize.errors import QuantizeError

MOST = 1e-4
"""Difference of a number that rounding explains; a tenth of that is usual."""
N_SENTENCES = 24


def check_export(reader: Reader, encoder: Encoder, texts: Sequence[str]) -> float:
    """Returns the largest difference between both; raises where it is too large.

    Args:
        reader: Of the exported graph.
        encoder: The folder.
        texts: Sentences.

    Raises:
        QuantizeError: ``export_differs``, ``torch_failed`` or ``child_died``.
    """
    texts = texts[:N_SENTENCES]
    found = in_child(
        _vectors,
        {
            "folder": str(encoder.folder.absolute()),
            "pooling": encoder.shape.pooling,
            "rows": [encoder.pieces.numbers(text) for text in texts],
        },
        doing=f"Opening {encoder.folder} with transformers",
    )
    apart = np.abs(np.array(found) - reader.alone(texts)).max(axis=1)  # (n,)
    worst = int(apart.argmax())
    if not apart[worst] <= MOST:
        raise QuantizeError(
            "export_differs",
            f"The exported graph is not the model in {encoder.folder}: of "
            f'"{texts[worst]:.60}" both make vectors that differ by '
            f"{apart[worst]:.2g}, and rounding explains {MOST:.0e}. It pools by "
            f"{encoder.shape.pooling}.",
            "Does the folder compute what its config.json says?",
        )
    return float(apart[worst])


def _vectors(arguments: Mapping[str, Any], _tell: Tell) -> list[list[float]]:
    """Returns the vectors of sentences, one by one, as torch computes them."""
    import torch  # noqa: PLC0415 - takes long
    from transformers import AutoModel  # noqa: PLC0415

    torch.set_num_threads(1)
    folder = Path(arguments["folder"])
    try:
        model = AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        ).eval()
        found = []
        with torch.inference_mode():
            for row in arguments["rows"]:
                numbers = torch.tensor([row])
                states = model(
                    input_ids=numbers, attention_mask=torch.ones_like(numbers)
                ).last_hidden_state  # (1, t, d)
                is_first = arguments["pooling"] == "cls"
                one = states[0, 0] if is_first else states[0].mean(dim=0)
                found.append((one / one.norm().clamp_min(1e-12)).tolist())
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise QuantizeError(
            "torch_failed",
            f"transformers does not run {folder}: {str(error).splitlines()[0][:300]}",
            "Save the model again with the transformers of today.",
        ) from error
    return found
