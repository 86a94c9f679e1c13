"""What a model is made of is seen, and what is wrong with it said, before anything."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from quantize.errors import QuantizeError
from quantize.source import (
    Kind,
    check_weights,
    fingerprint,
    load_source,
    require_unquantized,
)
from tests.quantize.conftest import (
    INDEX,
    SHARDS,
    SINGLE,
    TEMPLATE,
    change_json,
    cut_in_shards,
    llama_weights,
    refusal,
)
from tests.quantize.test_gguf import File, entry


def drop(*names: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return damage


def shorten(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: len(raw) - 100])

    return damage


def as_pickle(folder: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))


def rename(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "weights.safetensors")


def rename_shard(folder: Path) -> None:
    cut_in_shards(folder)
    (folder / SHARDS[1]).rename(folder / "model-2.safetensors")


def lose_shard(folder: Path) -> None:
    cut_in_shards(folder)
    (folder / SHARDS[1]).unlink()


def cut_shard(folder: Path) -> None:
    cut_in_shards(folder)
    shorten(SHARDS[0])(folder)


def swap_shards(folder: Path) -> None:
    cut_in_shards(folder)
    one, two = (folder / name for name in SHARDS)
    one.rename(folder / "x")
    two.rename(one)
    (folder / "x").rename(two)


def escape(folder: Path) -> None:
    cut_in_shards(folder)
    change_json(folder / INDEX, weight_map={"a": "../other/model.safetensors"})


def both(folder: Path) -> None:
    whole = (folder / SINGLE).read_bytes()
    cut_in_shards(folder)
    (folder / SINGLE).write_bytes(whole)


def more_layers(folder: Path) -> None:
    change_json(folder / "config.json", num_hidden_layers=3)


def no_architecture(folder: Path) -> None:
    change_json(folder / "config.json", architectures=None)


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": [', encoding="utf-8")


def no_template(folder: Path) -> None:
    change_json(folder / "tokenizer_config.json", chat_template="")


def adapter_alone(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


BAD = {
    "no weights": (drop(SINGLE), "weights_missing", "neither"),
    "pickle": (as_pickle, "pickle", "save_pretrained"),
    "truncated": (shorten(SINGLE), "weights_broken", "ends at byte"),
    "renamed": (rename, "shard_missing", "weights.safetensors"),
    "renamed shard": (rename_shard, "shard_missing", "model-2.safetensors"),
    "missing shard": (lose_shard, "shard_missing", SHARDS[1]),
    "truncated shard": (cut_shard, "weights_broken", SHARDS[0]),
    "swapped shards": (swap_shards, "shard_missing", "unlike"),
    "path in the index": (escape, "config_broken", "weight_map"),
    "two models": (both, "weights_broken", "both"),
    "layers": (more_layers, "layer_missing", "layer 2"),
    "architecture": (no_architecture, "config_broken", "architectures"),
    "broken configuration": (no_json, "config_broken", "config.json"),
    "no tokenizer": (drop("tokenizer.json"), "tokenizer_missing", "tokenizer.json"),
    "no settings of it": (
        drop("tokenizer_config.json"),
        "tokenizer_missing",
        "tokenizer_config.json",
    ),
    "no template": (no_template, "template_missing", "base model"),
    "an adapter": (adapter_alone, "source_is_adapter", "--adapter"),
    "no configuration": (drop("config.json"), "source_unknown", "config.json"),
}


def test_a_folder_is_known_for_what_it_is(folder: Path) -> None:
    source = load_source(folder)

    assert (source.kind, source.name) == (Kind.FOLDER, "tiny")
    assert source.architecture == "LlamaForCausalLM"
    assert source.licence == "apache-2.0"
    assert source.types == ("f32",)
    assert source.n_weights == sum(found.size for found in llama_weights().values())
    assert source.n_bytes == 4 * source.n_weights
    assert source.template == TEMPLATE
    assert not source.is_quantized
    require_unquantized(source)


def test_shards_are_the_same_model(folder: Path) -> None:
    whole = load_source(folder)
    cut_in_shards(folder)
    source = load_source(folder)

    assert (source.n_weights, source.n_bytes) == (whole.n_weights, whole.n_bytes)
    assert {folder / name for name in (*SHARDS, INDEX)} <= set(source.files)


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_folder_is_said(folder: Path, name: str) -> None:
    damage, code, said = BAD[name]
    damage(folder)
    error = refusal(lambda: load_source(folder))

    assert error.code == code
    assert said in str(error)
    assert error.hint


def test_a_template_of_its_own_file_is_found(folder: Path) -> None:
    no_template(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")

    assert load_source(folder).template == "{{ messages }}"


def test_what_is_no_model_is_refused(tmp_path: Path, folder: Path) -> None:
    assert refusal(lambda: load_source(tmp_path / "x")).code == "source_missing"
    assert refusal(lambda: load_source(tmp_path)).code == "source_unknown"
    assert refusal(lambda: load_source(folder / SINGLE)).code == "source_unknown"
    (tmp_path / "model.pth").write_bytes(pickle.dumps(1))
    assert refusal(lambda: load_source(tmp_path / "model.pth")).code == "pickle"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("type_", [np.float32, np.float16, "bf16"])
def test_weights_that_are_no_numbers_are_found(
    folder: Path, bad: float, type_: type[np.generic] | str
) -> None:
    weights = load_file(folder / SINGLE)
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = bad
    if type_ == "bf16":
        save_bf16(folder / SINGLE, weights)
    else:
        save_file(
            {name: found.astype(type_) for name, found in weights.items()},
            folder / SINGLE,
        )
    source = load_source(folder)
    error = refusal(lambda: check_weights(source, lambda _n: None))

    assert error.code == "weights_not_finite"
    assert "1 of the 6,144 weights of model.layers.1.mlp.up_proj" in error.message
    assert f"number {3 * 64 + 5}" in error.message


def save_bf16(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Writes what numpy has no type for."""
    header, data = {}, b""
    for name, found in weights.items():
        raw = (found.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": found.shape,
            "data_offsets": (len(data), len(data) + len(raw)),
        }
        data += raw
    spelled = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(spelled)) + spelled + data)


def test_finite_weights_pass_and_progress_is_told(folder: Path) -> None:
    source = load_source(folder)
    told: list[int] = []
    check_weights(source, told.append)

    assert told == sorted(told)
    assert told[-1] == source.n_bytes


def test_the_fingerprint_is_of_all_that_matters(folder: Path) -> None:
    before = fingerprint(load_source(folder))
    assert fingerprint(load_source(folder)) == before
    (folder / "training.log").write_text("loss 0.1", encoding="utf-8")
    assert fingerprint(load_source(folder)) == before
    change_json(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    assert fingerprint(load_source(folder)) != before


def test_a_quantized_folder_is_named_so(folder: Path) -> None:
    change_json(folder / "config.json", quantization_config={"quant_method": "gptq"})
    source = load_source(folder)

    assert source.is_quantized
    assert refusal(lambda: require_unquantized(source)).code == "source_quantized"


def gguf(path: Path, *entries: bytes) -> Path:
    file = File()
    file.entries += entries
    path.write_bytes(file.raw())
    return path


def test_a_gguf_file_is_known_for_what_it_is(tmp_path: Path) -> None:
    template = entry("tokenizer.chat_template", TEMPLATE)
    source = load_source(gguf(tmp_path / "model.gguf", template))

    assert (source.kind, source.architecture) == (Kind.GGUF, "llama")
    assert (source.name, source.template) == ("model", TEMPLATE)
    assert source.is_quantized  # File's embedding is Q4_0
    assert len(fingerprint(source)) == 64


def test_what_is_wrong_with_a_gguf_file_is_said(tmp_path: Path) -> None:
    mute = gguf(tmp_path / "mute.gguf")
    assert refusal(lambda: load_source(mute)).code == "template_missing"
    part = gguf(tmp_path / "part.gguf", entry("split.count", 3))
    assert refusal(lambda: load_source(part)).code == "source_is_part"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1200), to=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_read_but_never_crashes(
    folder: Path, at: int, to: int
) -> None:
    raw = bytearray((folder / SINGLE).read_bytes())
    kept, raw[at] = raw[at], to
    (folder / SINGLE).write_bytes(raw)
    with suppress(QuantizeError):
        load_source(folder)
    raw[at] = kept
    (folder / SINGLE).write_bytes(raw)
