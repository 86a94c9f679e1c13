"""Adapters become part of the model they were trained on, and of no other."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from quantize.adapters import load_adapter, merge
from quantize.source import load_source
from tests.quantize.conftest import (
    SINGLE,
    WIDTH,
    WORDS,
    Floats,
    change_json,
    refusal,
    save_bytes_tokenizer,
    write_json,
)

RANK, ALPHA = 4, 8
QUERY, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
HEAD, EMBEDDING = "lm_head", "model.embed_tokens"


def save_adapter(
    folder: Path, shapes: dict[str, tuple[int, int]], seed: int = 3
) -> tuple[Path, dict[str, Floats]]:
    """Returns an adapter as PEFT saves it, and what it adds to each module."""
    random = np.random.default_rng(seed)
    weights, added = {}, {}
    for module, (n_out, n_in) in shapes.items():
        low = random.standard_normal((RANK, n_in), np.float32)
        high = random.standard_normal((n_out, RANK), np.float32) / np.float32(50)
        weights[f"base_model.model.{module}.lora_A.weight"] = low
        weights[f"base_model.model.{module}.lora_B.weight"] = high
        added[module] = (ALPHA / RANK * high @ low).astype(np.float32)
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    names = sorted({module.rpartition(".")[2] for module in shapes})
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "harbour/base",
            "r": RANK,
            "lora_alpha": ALPHA,
            "target_modules": sorted(shapes) if len(shapes) > 1 else names,
        },
    )
    return folder, added


SHAPES = {QUERY: (WIDTH, WIDTH), DOWN: (WIDTH, 96)}


def test_adapters_are_merged_in_order(folder: Path, tmp_path: Path) -> None:
    one, first = save_adapter(tmp_path / "one", SHAPES)
    two, second = save_adapter(tmp_path / "two", {DOWN: SHAPES[DOWN]}, seed=4)
    # It targets every down_proj, but brings the weights of one: so does PEFT's.
    change_json(two / "adapter_config.json", target_modules=[DOWN])
    save_bytes_tokenizer(two)
    change_json(two / "tokenizer_config.json", chat_template="{{ messages }}!")
    before = load_file(folder / SINGLE)
    told: list[tuple[int, int]] = []
    out = tmp_path / "merged"
    merge(folder, [one, two], out, tell=lambda *far: told.append(far))
    after = load_file(out / SINGLE)

    assert set(after) == set(before)
    for name in before:
        module = name.removesuffix(".weight")
        change = first.get(module, np.float32(0)) + second.get(module, np.float32(0))
        assert np.allclose(after[name], before[name] + change, atol=1e-6), name
    source = load_source(out)
    assert source.types == ("f32",)
    assert source.licence == "apache-2.0"
    assert source.template == "{{ messages }}!"  # what the last one was trained with
    assert told == [(0, 2), (1, 2)]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("tiny", "one", "two", "merged")
    }


def test_an_adapter_of_the_head_leaves_the_embedding_alone(
    folder: Path, tmp_path: Path
) -> None:
    path, added = save_adapter(tmp_path / "one", {HEAD: (WORDS, WIDTH)})
    merge(folder, [path], tmp_path / "merged")
    before = load_file(folder / SINGLE)["model.embed_tokens.weight"]
    after = load_file(tmp_path / "merged" / SINGLE)
    config = json.loads((tmp_path / "merged/config.json").read_text("utf-8"))

    assert np.array_equal(after["model.embed_tokens.weight"], before)
    assert np.allclose(after["lm_head.weight"], before + added[HEAD], atol=1e-6)
    assert config["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    ("module", "shape", "said"),
    [
        (QUERY, (WIDTH, 2 * WIDTH), "64 x 64"),
        (QUERY, (2 * WIDTH, WIDTH), "64 x 64"),
        ("model.layers.7.self_attn.q_proj", (WIDTH, WIDTH), "has no"),
    ],
)
def test_an_adapter_of_another_base_is_refused(
    folder: Path, tmp_path: Path, module: str, shape: tuple[int, int], said: str
) -> None:
    path, _ = save_adapter(tmp_path / "one", {module: shape})
    error = refusal(lambda: merge(folder, [path], tmp_path / "merged"))

    assert error.code == "adapter_misfit"
    assert said in error.message
    assert "harbour/base" in error.message
    assert {found.name for found in tmp_path.iterdir()} == {"tiny", "one"}


def test_what_is_no_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    path, _ = save_adapter(tmp_path / "one", SHAPES)

    def code() -> str:
        return refusal(lambda: load_adapter(path, folder)).code

    assert load_adapter(path, folder).modules == (QUERY, DOWN)
    weights = load_file(path / "adapter_model.safetensors")
    bad = {name: np.full_like(found, np.nan) for name, found in weights.items()}
    save_file(bad, path / "adapter_model.safetensors")
    assert code() == "weights_not_finite"
    (path / "adapter_model.safetensors").unlink()
    assert code() == "adapter_missing"
    (path / "adapter_model.bin").write_bytes(pickle.dumps({}))
    assert code() == "pickle"
    save_file(weights, path / "adapter_model.safetensors")
    change_json(path / "adapter_config.json", peft_type="PROMPT_TUNING")
    assert code() == "adapter_unknown"
    (path / "adapter_config.json").unlink()
    assert code() == "adapter_missing"


def test_a_folder_that_is_there_is_left_alone(folder: Path, tmp_path: Path) -> None:
    path, _ = save_adapter(tmp_path / "one", SHAPES)
    error = refusal(lambda: merge(folder, [path], folder))

    assert error.code == "out_exists"
    assert load_source(folder).name == "tiny"
