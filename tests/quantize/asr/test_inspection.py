"""What a Whisper folder is, in people's words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.errors import ModelError
from quantize.asr.inspection import inspect_whisper, is_ctranslate2
from quantize.asr.publishing import write_int8
from quantize.commands import app
from tests.quantize.asr.conftest import WIDTH

pytestmark = pytest.mark.models


def test_a_real_model(real: Path) -> None:
    found = inspect_whisper(real)

    assert (found.n_encoder_layers, found.n_decoder_layers) == (6, 6)
    assert (found.width, found.n_heads, found.n_mels) == (512, 8, 80)
    assert found.n_tokens == 51_865
    assert len(found.languages) == 99
    assert not found.is_quantized
    assert [one.name for one in found.types] == ["float16"]
    assert found == inspect_whisper(real / "model.bin")


def test_eight_bits_are_seen(tiny: Path, tmp_path: Path) -> None:
    write_int8(tiny, tmp_path)

    found = inspect_whisper(tmp_path)

    assert found.is_quantized
    assert found.width == WIDTH
    assert {one.name for one in found.types} == {"int8", "float32"}


def test_the_command_knows_a_folder(real: Path, tiny: Path) -> None:
    told = CliRunner().invoke(app, ["inspect", str(real)])
    row = CliRunner().invoke(app, ["inspect", str(tiny / "model.bin"), "--json"])

    assert told.exit_code == 0
    assert "6 layers that listen, 6 that write, 512 wide" in told.stdout
    assert "16.00 bits each: not quantized" in told.stdout
    assert json.loads(row.stdout)["n_heads"] == 2


def test_what_is_something_else(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (copy / "model.bin").write_bytes(b"nothing")

    assert not is_ctranslate2(tmp_path / "model.gguf")
    assert not is_ctranslate2(tmp_path / "absent")
    with pytest.raises(ModelError, match="not a model file"):
        inspect_whisper(copy)
