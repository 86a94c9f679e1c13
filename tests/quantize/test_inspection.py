"""What a model file is, in people's words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.store import Store
from quantize.commands import app
from quantize.gguf import load_header
from quantize.imatrix import Importance
from quantize.inspection import Inspection, inspect
from tests.quantize.test_gguf import F32, Q4_0, File, entry, tensor

MODEL = "smollm2-135m-instruct-q4_1"
Q4_K = 12


def inspected(folder: Path, file: File) -> Inspection:
    return inspect(file.header(folder))


def tensors(*rows: tuple[str, Sequence[int], int, int]) -> tuple[list[bytes], bytes]:
    """Returns tensors one behind the other, and their data."""
    found, at = [], 0
    for name, shape, kind, n_bytes in rows:
        found.append(tensor(name, shape, kind, at))
        at += -(-n_bytes // 32) * 32
    return found, bytes(at)


@pytest.fixture
def mixed() -> File:
    """A model whose output is a matrix of its own, in three types."""
    found, data = tensors(
        ("token_embd.weight", (256, 4), Q4_K, 4 * 144),
        ("blk.0.ffn_up.weight", (96, 8), Q4_0, 8 * 54),
        ("output.weight", (256, 4), F32, 4096),
        ("output_norm.weight", (256,), F32, 1024),
    )
    return File(tensors=found, data=data)


def test_what_it_takes(tmp_path: Path, mixed: File) -> None:
    found = inspected(tmp_path, mixed)

    assert found.n_weights == 1024 + 768 + 1024 + 256
    assert found.n_bytes == 576 + 432 + 4096 + 1024
    assert found.bits_per_weight == 8 * found.n_bytes / found.n_weights
    assert [(share.name, share.n_tensors) for share in found.types] == [
        ("f32", 2),
        ("q4_K", 1),
        ("q4_0", 1),
    ]
    assert [share.bits for share in found.types] == [32.0, 4.5, 4.5]
    assert found.is_quantized


def test_rows_that_no_k_type_fits_are_counted(tmp_path: Path, mixed: File) -> None:
    found = inspected(tmp_path, mixed)

    assert (found.n_off_k_block, found.n_matrices) == (1, 3)


def test_an_embedding_is_looked_up_unless_it_is_the_output(
    tmp_path: Path, mixed: File
) -> None:
    own = inspected(tmp_path, mixed)
    mixed.tensors.pop(2)
    tied = inspected(tmp_path, mixed)

    assert (own.has_own_head, tied.has_own_head) == (True, False)
    assert own.fast_on_arm == pytest.approx(768 / (768 + 1024))
    assert tied.fast_on_arm == 1.0


def test_a_model_that_is_not_quantized(tmp_path: Path) -> None:
    found, data = tensors(("token_embd.weight", (64, 3), F32, 768))

    assert not inspected(tmp_path, File(tensors=found, data=data)).is_quantized


@pytest.mark.parametrize(
    ("template", "family"),
    [
        ("{{ '<|im_start|>' + message['role'] }}", "ChatML"),
        ("<start_of_turn>user", "Gemma"),
        ("[INST] {{ message }} [/INST]", "Llama 2 or Mistral"),
        ("User: {{ message }}", "of its own"),
        ("", ""),
    ],
)
def test_whose_template_it_is(tmp_path: Path, template: str, family: str) -> None:
    file = File(entries=[entry("tokenizer.chat_template", template)])

    assert inspected(tmp_path, file).template_family == family


def test_tokens_that_are_no_text(tmp_path: Path) -> None:
    file = File(
        entries=[
            entry("tokenizer.ggml.model", "gpt2"),
            entry("tokenizer.ggml.tokens", ["<s>", "</s>"]),
            entry("tokenizer.ggml.bos_token_id", 0),
            entry("tokenizer.ggml.eos_token_id", 7),
        ]
    )

    found = inspected(tmp_path, file)

    assert (found.tokeniser, found.n_tokens) == ("byte-level BPE", 2)
    assert [(each.number, each.text) for each in found.specials] == [
        (0, "<s>"),
        (7, ""),
    ]


def test_a_header_that_says_nothing_is_no_mistake(tmp_path: Path) -> None:
    found = inspected(tmp_path, File(entries=[]))

    assert (found.name, found.architecture, found.licence) == ("", "", "")
    assert (found.n_layers, found.tokeniser, found.template) == (None, "", "")


# The command ------------------------------------------------------------------------


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_tells_people(tmp_path: Path, mixed: File) -> None:
    mixed.entries.append(entry("general.name", "Mara\x1b[31m"))
    mixed.header(tmp_path)

    out = run(tmp_path / "model.gguf", "--tensors")

    assert "Mara" in out
    assert "\x1b[31m" not in out
    assert "1 of 3 matrices have rows that 256 does not divide" in out
    assert "none: the model cannot be talked to" in out
    assert "blk.0.ffn_up.weight" in out


def test_the_command_tells_machines(tmp_path: Path, mixed: File) -> None:
    mixed.header(tmp_path)

    row = json.loads(run(tmp_path / "model.gguf", "--json", "--tensors"))

    assert row["is_quantized"]
    assert row["architecture"] == "llama"
    assert row["types"][0]["name"] == "f32"
    assert row["tensors"][1] == {
        "name": "blk.0.ffn_up.weight",
        "shape": [96, 8],
        "type": "q4_0",
        "n_bytes": 432,
    }


def test_an_importance_matrix_is_no_model(tmp_path: Path) -> None:
    found = Importance(n_chunks=3, chunk_tokens=64, datasets=("pack harbour",))
    found.hear("blk.0.attn_q.weight", np.ones((4, 8), np.float32))
    found.save(tmp_path / "imatrix.gguf")

    told = run(tmp_path / "imatrix.gguf")
    row = json.loads(run(tmp_path / "imatrix.gguf", "--json"))

    assert "an importance matrix" in told
    assert "3 texts of 64 tokens at most" in told
    assert "pack harbour" in told
    assert row == {
        "general_type": "imatrix",
        "n_weights": 1,
        "n_chunks": 3,
        "chunk_tokens": 64,
        "datasets": ["pack harbour"],
    }


def test_a_file_without_tensors_is_shown(tmp_path: Path) -> None:
    File(tensors=[], data=b"").header(tmp_path)

    assert "0.00 bits" in run(tmp_path / "model.gguf")


def test_a_real_model(tmp_path: Path) -> None:
    (path,) = Store.default().path(MODEL).rglob("*.gguf")

    found = inspect(load_header(path))

    assert (found.architecture, found.n_layers, found.width) == ("llama", 30, 576)
    assert found.n_weights == pytest.approx(134.5e6, rel=1e-3)
    assert found.n_tokens == 49152
    assert found.template_family == "ChatML"
    assert "<|im_end|>" in {special.text for special in found.specials}
    assert found.n_off_k_block == 181
    # Cut off in the middle it is refused, before anything would map it.
    half = tmp_path / "half.gguf"
    with path.open("rb") as file:
        half.write_bytes(file.read(50 << 20))
    result = CliRunner().invoke(app, ["inspect", str(half)])
    assert result.exit_code == 1
    assert "but the file has 52,428,800" in str(result.exception)
