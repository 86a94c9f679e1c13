"""A Whisper of CTranslate2's as the folder that Hugging Face's libraries load.

The weights are those of the file, in its own type; what CTranslate2 has as one matrix
is cut into those that it was made of.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from models.ctranslate2_file import load_ctranslate2

Array = npt.NDArray[Any]

_LANGUAGE, _TRANSCRIBE = "<|en|>", "<|transcribe|>"
_NORM = {"gamma": "weight", "beta": "bias"}


def save_hf_whisper(source: Path, out: Path) -> None:
    """Writes a model's folder anew, for transformers.

    Args:
        source: In CTranslate2's format; multilingual.
        out: A folder that is not there yet.
    """
    model = load_ctranslate2(source / "model.bin")
    found = dict(_renamed(model.variables))
    out.mkdir(parents=True)
    whole = {name: np.ascontiguousarray(array) for name, array in found.items()}
    save_file(whole, out / "model.safetensors", metadata={"format": "pt"})
    n_heads = int(model.variables["encoder/num_heads"])
    save_settings(source, out, whole, n_heads=n_heads)


def save_settings(
    source: Path, out: Path, weights: Mapping[str, Array], *, n_heads: int
) -> None:
    """Writes the configuration and the tokenizer that go with weights.

    Args:
        source: In CTranslate2's format: its words, and what it may not say.
        out: A folder of transformers'.
        weights: By transformers' names; all sizes are theirs.
        n_heads: Of each attention.
    """
    told = json.loads((source / "config.json").read_text(encoding="utf-8"))
    tokens = json.loads((source / "vocabulary.json").read_text(encoding="utf-8"))
    numbers = {token: number for number, token in enumerate(tokens)}
    n_encoder, n_decoder = (
        sum(name.endswith("fc1.bias") and f".{side}." in name for name in weights)
        for side in ("encoder", "decoder")
    )
    width = len(weights["model.encoder.conv1.bias"])
    config = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": width,
        "encoder_layers": n_encoder,
        "decoder_layers": n_decoder,
        "num_hidden_layers": n_encoder,
        "encoder_attention_heads": n_heads,
        "decoder_attention_heads": n_heads,
        "encoder_ffn_dim": len(weights["model.encoder.layers.0.fc1.bias"]),
        "decoder_ffn_dim": len(weights["model.decoder.layers.0.fc1.bias"]),
        "num_mel_bins": weights["model.encoder.conv1.weight"].shape[1],
        "max_source_positions": len(weights["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(weights["model.decoder.embed_positions.weight"]),
        "vocab_size": len(tokens),
        "torch_dtype": str(weights["model.encoder.conv1.bias"].dtype),
        "pad_token_id": numbers["<|endoftext|>"],
        "bos_token_id": numbers["<|endoftext|>"],
        "eos_token_id": numbers["<|endoftext|>"],
        "decoder_start_token_id": numbers["<|startoftranscript|>"],
    }
    generation = {
        "alignment_heads": told["alignment_heads"],
        "suppress_tokens": told["suppress_ids"],
        "begin_suppress_tokens": told["suppress_ids_begin"],
        "lang_to_id": {tokens[number]: number for number in told["lang_ids"]},
        "task_to_id": {"transcribe": numbers[_TRANSCRIBE]},
        "is_multilingual": True,
        "language": _LANGUAGE,
        "decoder_start_token_id": numbers["<|startoftranscript|>"],
        "eos_token_id": numbers["<|endoftext|>"],
        "pad_token_id": numbers["<|endoftext|>"],
    }
    tokenizer = {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    for name, content in (
        ("config.json", config),
        ("generation_config.json", generation),
        ("tokenizer_config.json", tokenizer),
    ):
        (out / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    shutil.copyfile(source / "tokenizer.json", out / "tokenizer.json")


def _renamed(variables: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    """Yields weights by the names that transformers has for them."""
    for name, array in variables.items():
        parts = name.split("/")
        side, kind = f"model.{parts[0]}", parts[-1]
        match parts[1:-1]:
            case ["conv1" | "conv2" as conv]:
                yield f"{side}.{conv}.{kind}", array
            case ["position_encodings"]:
                yield f"{side}.embed_positions.weight", array
            case ["embeddings"]:
                yield f"{side}.embed_tokens.weight", array
            case ["layer_norm"]:
                yield f"{side}.layer_norm.{_NORM[kind]}", array
            case [layer, "ffn", "layer_norm"]:
                yield f"{_of(side, layer)}.final_layer_norm.{_NORM[kind]}", array
            case [layer, "ffn", "linear_0"]:
                yield f"{_of(side, layer)}.fc1.{kind}", array
            case [layer, "ffn", "linear_1"]:
                yield f"{_of(side, layer)}.fc2.{kind}", array
            case [layer, "self_attention" | "attention" as attention, inner]:
                module = (
                    "self_attn" if attention == "self_attention" else "encoder_attn"
                )
                at = f"{_of(side, layer)}.{module}"
                if inner == "layer_norm":
                    yield f"{at}_layer_norm.{_NORM[kind]}", array
                else:
                    yield from _attention(at, attention, (inner, kind), array)


def _attention(
    at: str, attention: str, which: tuple[str, str], array: Array
) -> Iterator[tuple[str, Array]]:
    inner, kind = which
    if attention == "self_attention":
        joined = {"linear_0": "qkv", "linear_1": "o"}[inner]
    else:
        joined = {"linear_0": "q", "linear_1": "kv", "linear_2": "o"}[inner]
    for letter, part in zip(joined, np.split(array, len(joined)), strict=True):
        if letter == "k" and kind == "bias":
            continue  # keys have none
        name = "out_proj" if letter == "o" else f"{letter}_proj"
        yield f"{at}.{name}.{kind}", part


def _of(side: str, layer: str) -> str:
    return f"{side}.layers.{layer.removeprefix('layer_')}"
