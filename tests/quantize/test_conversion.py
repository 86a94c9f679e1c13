"""Folders become GGUF files through llama.cpp's converter, or it is said why not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models.store import State, Store
from quantize.conversion import CONVERTER, convert
from quantize.gguf import load_header
from tests.quantize.conftest import (
    SINGLE,
    TOKENIZER,
    WORDS,
    change_json,
    cut_in_shards,
    refusal,
    save_bytes_tokenizer,
    save_llama,
)

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def converted(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "out{x}.gguf"
    told: list[tuple[int, int]] = []
    convert(smollm, out, type_="f32", name="Mara", tell=lambda *far: told.append(far))

    assert told[-1][0] == told[-1][1] > 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return out


def read_tensors(path: Path) -> dict[str, bytes]:
    raw = path.read_bytes()
    return {
        found.name: raw[found.offset :][: found.n_bytes]
        for found in load_header(path).tensors
    }


def test_a_folder_becomes_a_file(smollm: Path, converted: Path) -> None:
    header = load_header(converted)
    template = json.loads((smollm / TOKENIZER[1]).read_text("utf-8"))["chat_template"]

    assert header.text("general.name") == "Mara"
    assert header.text("general.license") == "apache-2.0"
    assert header.text("tokenizer.ggml.pre") == "smollm"
    assert header.text("tokenizer.chat_template") == template
    assert header.number("tokenizer.ggml.eos_token_id") == 2
    assert {found.type.name for found in header.tensors} == {"f32"}
    down = read_tensors(converted)["blk.1.ffn_down.weight"]
    wanted = load_file(smollm / SINGLE)["model.layers.1.mlp.down_proj.weight"]
    assert down == wanted.tobytes()


@pytest.mark.usefixtures("converted")
def test_the_converter_leaves_no_trace() -> None:
    # Nothing was added to the store's folder: it still is what its manifest says.
    assert Store.default().state(CONVERTER) is State.READY
    assert "gguf" not in sys.modules


def test_shards_become_the_same_file(
    smollm_copy: Path, converted: Path, tmp_path: Path
) -> None:
    cut_in_shards(smollm_copy)
    convert(smollm_copy, tmp_path / "two.gguf", type_="f32", name="Mara")

    assert read_tensors(tmp_path / "two.gguf") == read_tensors(converted)
    metadata = load_header(tmp_path / "two.gguf").metadata
    assert metadata == load_header(converted).metadata


def unknown_architecture(folder: Path) -> None:
    change_json(folder / "config.json", architectures=["HarbourForCausalLM"])


def unknown_pre_tokenizer(folder: Path) -> None:
    save_llama(folder, WORDS)
    save_bytes_tokenizer(folder)


def own_code(folder: Path) -> None:
    (folder / "evil.py").write_text(
        f"open({str(folder / 'ran')!r}, 'w')\nclass T: pass\n", encoding="utf-8"
    )
    change_json(
        folder / TOKENIZER[1],
        tokenizer_class="EvilTokenizer",
        auto_map={"AutoTokenizer": ["evil.T", "evil.T"]},
    )


def unknown_tensor(folder: Path) -> None:
    weights = load_file(folder / SINGLE)
    weights["model.layers.0.mlp.sideways.weight"] = np.ones((4, 4), np.float32)
    save_file(weights, folder / SINGLE)


BAD = {
    unknown_architecture: ("unknown_architecture", "HarbourForCausalLM"),
    unknown_pre_tokenizer: ("unknown_pre_tokenizer", "chkhsh"),
    own_code: ("needs_own_code", "runs no model's code"),
    unknown_tensor: ("conversion_failed", "sideways"),
}


@pytest.mark.parametrize("damage", BAD)
def test_why_it_cannot_be_converted_is_said(
    smollm_copy: Path, tmp_path: Path, damage: object
) -> None:
    assert callable(damage)
    damage(smollm_copy)
    out = tmp_path / "out" / "model.gguf"
    out.parent.mkdir()
    error = refusal(lambda: convert(smollm_copy, out, type_="f16"))
    code, said = BAD[damage]

    assert (error.code, said in error.message) == (code, True), error.message
    assert not list(out.parent.iterdir())
    assert not (smollm_copy / "ran").exists()


def test_a_type_that_is_no_conversion_is_refused(tmp_path: Path) -> None:
    error = refusal(lambda: convert(tmp_path, tmp_path / "x", type_="q4_0"))

    assert error.code == "unknown_type"
