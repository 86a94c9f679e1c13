"""A Llama's GGUF file as the folder that Hugging Face's libraries load, in float32.

The tokenizer is written from the vocabulary and the merges of the file, and splits as
SmolLM2's does upstream: single digits, then GPT-2's words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from quantize.ggml import read_as
from quantize.gguf import Header, Tensor, load_header

Floats = npt.NDArray[np.float32]

EMBEDDING, NORM, HEAD = (
    "model.embed_tokens.weight",
    "model.norm.weight",
    "lm_head.weight",
)
_OF_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What llama.cpp calls the parts of a layer, and what Hugging Face does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A Llama as Hugging Face has it."""

    header: Header
    """Of the file it came from: sizes and vocabulary."""
    weights: Mapping[str, Floats]
    """(outputs, inputs) or (numbers,)."""

    @property
    def n_layers(self) -> int:
        """Blocks of attention and feed-forward."""
        return self.number("block_count")

    def number(self, key: str) -> int:
        """Returns a size, by its name in the header."""
        found = self.header.number(f"llama.{key}")
        if found is None:
            raise ValueError(f"the header has no llama.{key}")
        return found


def load_llama(path: Path) -> Model:
    """Returns the model in a Llama's GGUF file.

    Args:
        path: Of the file.
    """
    model = Model(header=load_header(path), weights={})
    data = np.memmap(path, np.uint8, mode="r")
    heads = {
        "attn_q": model.number("attention.head_count"),
        "attn_k": model.number("attention.head_count_kv"),
    }
    weights = {}
    for tensor in model.header.tensors:
        found = _read(data, tensor)
        part = tensor.name.split(".")[-2]
        if part in heads:
            found = _as_halves(found, heads[part])
        weights[_name(tensor.name)] = found
    return replace(model, weights=weights)


def _read(data: npt.NDArray[np.uint8], tensor: Tensor) -> Floats:
    stored = np.array(data[tensor.offset : tensor.offset + tensor.n_bytes])
    return read_as(stored, tensor.type, tensor.shape[::-1])


def _name(name: str) -> str:
    whole = {"token_embd": EMBEDDING, "output_norm": NORM, "output": HEAD}
    match name.split("."):
        case ["blk", number, part, "weight"]:
            return f"model.layers.{number}.{_OF_LAYER[part]}.weight"
        case [part, "weight"] if part in whole:
            return whole[part]
    raise ValueError(f"{name} is no tensor of a Llama")


def _as_halves(rows: Floats, n_heads: int) -> Floats:
    """Returns rows of queries or keys as Hugging Face turns them.

    llama.cpp turns neighbouring rows against each other, Hugging Face a row of the
    first half of a head and one of the second (``LlamaModel.permute`` in
    ``conversion/llama.py``, backwards).
    """
    n_rows, n_columns = rows.shape
    pairs = rows.reshape(n_heads, n_rows // n_heads // 2, 2, n_columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(n_rows, n_columns))


def save(model: Model, folder: Path) -> None:
    """Writes a model as Hugging Face's libraries load it: float32 safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: np.ascontiguousarray(found) for name, found in model.weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    header = model.header
    ends = {
        f"{use}_token_id": header.number(f"tokenizer.ggml.{key}_token_id")
        for use, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }
    _write(folder / "config.json", {**_config(model), **ends})
    _write(folder / "generation_config.json", ends)
    save_tokenizer(header, folder)
    (folder / "README.md").write_text(
        f"---\nlicense: {header.text('general.license')}\n---\n", "utf-8"
    )


def _config(model: Model) -> dict[str, Any]:
    n_heads = model.number("attention.head_count")
    metadata = model.header.metadata
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float32",
        "hidden_act": "silu",
        "hidden_size": model.number("embedding_length"),
        "head_dim": model.number("embedding_length") // n_heads,
        "intermediate_size": model.number("feed_forward_length"),
        "max_position_embeddings": model.number("context_length"),
        "num_attention_heads": n_heads,
        "num_hidden_layers": model.n_layers,
        "num_key_value_heads": model.number("attention.head_count_kv"),
        # The header has the float32 next to 1e-5.
        "rms_norm_eps": float(
            f"{metadata['llama.attention.layer_norm_rms_epsilon']:.6g}"
        ),
        "rope_theta": metadata["llama.rope.freq_base"],
        "tie_word_embeddings": HEAD not in model.weights,
        "vocab_size": len(model.weights[EMBEDDING]),
    }


def save_tokenizer(header: Header, folder: Path) -> None:
    """Writes the tokenizer alone, chat template included.

    Args:
        header: Of the file with the vocabulary.
        folder: Where.
    """
    words = header.metadata["tokenizer.ggml.tokens"]
    kinds = header.metadata["tokenizer.ggml.token_type"]
    merges = header.metadata["tokenizer.ggml.merges"]
    if not isinstance(words, tuple) or not isinstance(kinds, tuple):
        raise TypeError("the header has no vocabulary")
    if not isinstance(merges, tuple):
        raise TypeError("the header has no merges")
    tokenizer = Tokenizer(
        BPE(
            vocab={str(word): at for at, word in enumerate(words)},
            merges=[tuple(str(merge).split(" ")) for merge in merges],
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [str(word) for word, kind in zip(words, kinds, strict=True) if kind != 1]
    tokenizer.add_special_tokens(
        [AddedToken(word, special=True, normalized=False) for word in specials]
    )
    tokenizer.save(str(folder / "tokenizer.json"))

    def word(use: str) -> str:
        return str(words[header.number(f"tokenizer.ggml.{use}_token_id") or 0])

    named = {
        "bos_token": word("bos"),
        "eos_token": word("eos"),
        "pad_token": word("padding"),
        "unk_token": word("unknown"),
    }
    _write(folder / "special_tokens_map.json", named)
    _write(
        folder / "tokenizer_config.json",
        {
            **named,
            "additional_special_tokens": specials,
            "chat_template": header.text("tokenizer.chat_template"),
            "clean_up_tokenization_spaces": False,
            "model_max_length": header.number("llama.context_length"),
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )


def _write(path: Path, found: Mapping[str, Any]) -> None:
    text = json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", "utf-8")
