"""Makes models whose weights lie on no quantizer's grid, for fair comparisons.

The SmolLM2 of the store was quantized to Q4_1, and a quantizer with that grid finds it
again for nothing. Three folders are made from it, as the Hugging Face hub has them:

- `plain`: the same weights. They still lie on the grid.
- `rotated`: the norms folded into what follows them, the residual stream turned by a
  random orthogonal matrix, the head untied. It computes the same; outliers are gone.
- `dithered`: every matrix moved by up to half a Q4_1 step of its block. It computes
  something slightly else, outliers and tied head stay; it is its own reference.

All are float32: a weight of Q4_1 is a 4-bit number times one float16 plus another,
which float16 cannot hold.

    python benchmarks/off_grid.py rotated FOLDER --seed 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.hf_llama import EMBEDDING, HEAD, NORM, Model, load_llama, save
from models.store import Store

NAME = "smollm2-135m-instruct-q4_1"
BLOCK = 32
"""Columns of Q4_1 that share a step."""
LEVELS = 15
"""Steps of Q4_1 from the lowest number of a block to the highest."""
_READ_AFTER = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}
"""Matrices that read the residual stream through a norm."""
_WRITE = ("self_attn.o_proj", "mlp.down_proj")
"""Matrices whose output is added to it."""
_CHECKED = (
    "<|im_start|>user\nOpen the harbour gate, 42 metres!<|im_end|>\n"
    "<|im_start|>assistant\nThe gate is opening. Für alle: 打开门 🚪"
)


def plain(model: Model, seed: int) -> Model:  # noqa: ARG001 (called like the others)
    """Returns the model as it is."""
    return model


def rotated(model: Model, seed: int) -> Model:
    """Returns a model that computes the same with weights on no grid.

    A root mean square does not change when what it is of is turned, so a model whose
    norms scale nothing may have its residual stream turned (SliceGPT, Ashkboos et al.
    2024, section 3.1).

    Args:
        model: The model.
        seed: Of the rotation.
    """
    width = model.number("embedding_length")
    random = np.random.default_rng(seed).standard_normal((width, width))
    turn, upper = np.linalg.qr(random)
    turn *= np.sign(np.diag(upper))  # uniform over all rotations
    weights = {
        name: weight.astype(np.float64) for name, weight in model.weights.items()
    }
    embedding = weights[EMBEDDING]
    head = weights.get(HEAD, embedding)
    weights[HEAD] = (head * weights[NORM]) @ turn
    weights[EMBEDDING] = embedding @ turn
    weights[NORM] = np.ones(width)
    for at in range(model.n_layers):
        layer = f"model.layers.{at}"
        for norm, readers in _READ_AFTER.items():
            scales = weights[f"{layer}.{norm}.weight"]
            for reader in readers:
                name = f"{layer}.{reader}.weight"
                weights[name] = (weights[name] * scales) @ turn
            weights[f"{layer}.{norm}.weight"] = np.ones(width)
        for writer in _WRITE:
            name = f"{layer}.{writer}.weight"
            weights[name] = turn.T @ weights[name]
    return replace(
        model,
        weights={name: found.astype(np.float32) for name, found in weights.items()},
    )


def dithered(model: Model, seed: int) -> Model:
    """Returns a model with every weight moved by up to half a Q4_1 step.

    Args:
        model: The model.
        seed: Of the noise.
    """
    random = np.random.default_rng(seed)
    weights = dict(model.weights)
    for name, found in weights.items():
        if found.ndim == 2:
            blocks = found.reshape(-1, BLOCK)
            steps = np.ptp(blocks, axis=1, keepdims=True) / np.float32(LEVELS)
            noise = random.random(blocks.shape, np.float32) - np.float32(0.5)
            weights[name] = (blocks + noise * steps).reshape(found.shape)
    return replace(model, weights=weights)


KINDS: Mapping[str, Callable[[Model, int], Model]] = MappingProxyType(
    {"plain": plain, "rotated": rotated, "dithered": dithered}
)


def largest_difference(one: Path, other: Path) -> tuple[float, float]:
    """Returns how far the logits of two folders are apart on a text, and their range.

    Args:
        one: A folder.
        other: A folder.
    """
    found = []
    for folder in (one, other):
        tokenizer: Any = AutoTokenizer
        words = tokenizer.from_pretrained(folder)(_CHECKED, return_tensors="pt")
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.inference_mode():
            found.append(model(**words).logits)
    apart = (found[0] - found[1]).abs().max()
    return float(apart), float(found[0].max() - found[0].min())


def make(kind: str, folder: Path, *, seed: int = 1) -> None:
    """Makes a folder from the store's model.

    Args:
        kind: One of ``KINDS``.
        folder: Where; what is in it is written over.
        seed: Of what is random.
    """
    (file,) = Store.default().path(NAME).glob("*.gguf")
    save(KINDS[kind](load_llama(file), seed), folder)


def main() -> None:
    """Makes a folder, and says how far its logits are from the plain model's."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--against", type=Path, help="a plain folder to compare with")
    options = parser.parse_args()
    make(options.kind, options.folder, seed=options.seed)
    if options.against:
        apart, wide = largest_difference(options.against, options.folder)
        print(f"logits differ by at most {apart:.2e}, of a range of {wide:.1f}")
    print(f"{options.folder} is {options.kind}", file=sys.stderr)


if __name__ == "__main__":
    main()
