"""What cannot be made small is refused with its name, before anything is written."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.ctranslate2_file import load_ctranslate2, save_ctranslate2
from models.errors import HeadsideError
from quantize.asr.publishing import write_int8
from quantize.asr.source import Kind, load_source
from tests.quantize.asr.conftest import change_weights
from tests.quantize.conftest import change_json

pytestmark = pytest.mark.models


def refused(folder: Path, *adapters: Path) -> HeadsideError:
    with pytest.raises(HeadsideError) as caught:
        load_source(folder, adapters)
    assert caught.value.hint
    return caught.value


def test_both_kinds_are_known(tiny: Path, tiny_hf: Path) -> None:
    ours, theirs = load_source(tiny, ()), load_source(tiny_hf, ())

    assert (ours.kind, theirs.kind) == (Kind.CTRANSLATE2, Kind.FOLDER)
    assert theirs.licence == "mit"


def test_the_store_knows_the_licence(real: Path) -> None:
    assert load_source(real, ()).licence == "MIT"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(3).bytes(10_000))


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": [1.0]}))


def not_json(path: Path) -> None:
    path.write_text("{", encoding="utf-8")


def other_words(path: Path) -> None:
    path.write_text(json.dumps(["a", "b"]), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "harm", "code"),
    [
        ("model.bin", cut, "model_format"),
        ("model.bin", garbage, "model_format"),
        ("model.bin", pickled, "pickle"),
        ("model.bin", lambda path: path.write_bytes(b""), "model_format"),
        ("config.json", Path.unlink, "config_missing"),
        ("config.json", not_json, "config_broken"),
        ("tokenizer.json", Path.unlink, "tokenizer_missing"),
        ("tokenizer.json", not_json, "config_broken"),
        ("vocabulary.json", Path.unlink, "vocabulary_missing"),
        ("vocabulary.json", not_json, "vocabulary_missing"),
        ("vocabulary.json", other_words, "vocabulary_misfit"),
    ],
)
def test_what_is_missing_or_broken(
    copy: Path, name: str, harm: Callable[[Path], object], code: str
) -> None:
    harm(copy / name)

    error = refused(copy)

    assert error.code == code
    assert str(copy) in error.message


def test_a_model_without_weights(copy: Path) -> None:
    (copy / "model.bin").unlink()

    assert refused(copy).code == "source_unknown"


def test_what_is_no_folder(tiny: Path, tmp_path: Path) -> None:
    assert refused(tmp_path / "absent").code == "source_missing"
    assert refused(tiny / "model.bin").code == "source_missing"
    assert refused(tmp_path).code == "source_unknown"


def test_eight_bits_are_told_as_such(tiny: Path, tmp_path: Path) -> None:
    write_int8(tiny, tmp_path)

    error = refused(tmp_path)

    assert error.code == "source_quantized"
    assert "eight bits already" in error.message


def test_another_architecture(copy: Path) -> None:
    path = copy / "model.bin"
    model = load_ctranslate2(path)
    arrays = {name: np.array(array) for name, array in model.variables.items()}
    object.__setattr__(model, "spec", "TransformerSpec")
    save_ctranslate2(copy / "other.bin", model, arrays.items())
    (copy / "other.bin").replace(path)

    error = refused(copy)

    assert error.code == "source_unknown"
    assert "TransformerSpec" in error.message


def test_weights_that_are_no_numbers(copy: Path) -> None:
    path = copy / "model.bin"
    model = load_ctranslate2(path)
    arrays = {name: np.array(array) for name, array in model.variables.items()}
    arrays["encoder/conv1/weight"][3] = np.nan
    save_ctranslate2(copy / "other.bin", model, arrays.items())
    (copy / "other.bin").replace(path)

    error = refused(copy)

    assert error.code == "weights_not_finite"
    assert "encoder/conv1/weight" in error.message


@pytest.fixture
def hf_copy(tiny_hf: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_hf, tmp_path / "hf")


def test_a_folder_of_another_architecture(hf_copy: Path) -> None:
    change_json(hf_copy / "config.json", model_type="llama")

    error = refused(hf_copy)

    assert error.code == "source_unknown"
    assert "llama" in error.message


def test_a_pickle_is_not_opened(hf_copy: Path) -> None:
    (hf_copy / "model.safetensors").unlink()
    pickled(hf_copy / "pytorch_model.bin")

    assert refused(hf_copy).code == "pickle"


def test_a_folder_that_was_quantized(hf_copy: Path) -> None:
    change_json(hf_copy / "config.json", quantization_config={"bits": 8})

    assert refused(hf_copy).code == "source_quantized"


def test_a_folder_without_its_tokenizer(hf_copy: Path) -> None:
    (hf_copy / "tokenizer.json").unlink()

    assert refused(hf_copy).code == "tokenizer_missing"


def test_a_folder_with_what_is_no_number(hf_copy: Path) -> None:
    def harm(weights: dict[str, Any]) -> None:
        weights["model.encoder.conv1.bias"][0] = np.inf

    change_weights(hf_copy, harm)

    assert refused(hf_copy).code == "weights_not_finite"


def save_adapter(folder: Path, module: str, n_in: int, n_out: int) -> Path:
    """Writes an adapter of rank 2 as PEFT does."""
    random = np.random.default_rng(2)
    folder.mkdir()
    name = f"base_model.model.{module}"
    save_file(
        {
            f"{name}.lora_A.weight": random.standard_normal((2, n_in), np.float32),
            f"{name}.lora_B.weight": random.standard_normal((n_out, 2), np.float32),
        },
        folder / "adapter_model.safetensors",
    )
    settings = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": [module.rpartition(".")[2]],
        "base_model_name_or_path": "somebody/whisper-large",
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_an_adapter_of_another_base(tiny_hf: Path, tmp_path: Path) -> None:
    module = "model.decoder.layers.0.encoder_attn.q_proj"
    adapter = save_adapter(tmp_path / "lora", module, 512, 512)

    error = refused(tiny_hf, adapter)

    assert error.code == "adapter_misfit"
    assert "somebody/whisper-large" in error.message


def test_an_adapter_where_the_model_belongs(tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "lora", "model.decoder.layers.0.fc1", 32, 64)

    assert refused(adapter).code == "source_is_adapter"


def test_an_adapter_for_what_is_converted_already(tiny: Path, tmp_path: Path) -> None:
    assert refused(tiny, tmp_path).code == "adapter_needs_folder"


def test_a_refusal_is_a_line_and_an_exit_code(copy: Path, tmp_path: Path) -> None:
    cut(copy / "model.bin")
    before = sorted(tmp_path.iterdir())

    out = tmp_path / "out"
    command = [sys.executable, "-m", "edge.cli", "quantize", "asr", str(copy)]
    done = subprocess.run(
        [*command, "-o", str(out)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "is not a model file of CTranslate2: it ends too early" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before
