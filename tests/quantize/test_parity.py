"""A file that is not what its folder is stops the run, and it is said where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from quantize.child import in_child
from quantize.conversion import convert
from quantize.errors import QuantizeError
from quantize.llama import Llama
from quantize.parity import Parity, check_parity
from quantize.parity_gguf import run_gguf
from quantize.parity_texts import (
    CONVERSATIONS,
    GENERATION,
    LOOKALIKES,
    MOST_TOKENS,
    NASTY,
)
from tests.quantize.conftest import SINGLE, TOKENIZER, change_json, refusal, write_json

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def narrow(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of 16 bits; not to write."""
    folder = shutil.copytree(smollm, tmp_path_factory.mktemp("narrow") / "model")
    weights = load_file(folder / SINGLE)
    halves = {name: found.astype(np.float16) for name, found in weights.items()}
    save_file(halves, folder / SINGLE, metadata={"format": "pt"})
    # The folder speaks of token 1, its tokeniser of 2.
    change_json(folder / "config.json", eos_token_id=2)
    write_json(folder / GENERATION, {"eos_token_id": [2]})
    return folder


@pytest.fixture(scope="module")
def made(narrow: Path) -> Path:
    """The file of that folder."""
    out = narrow.parent / "model.gguf"
    convert(narrow, out, type_="f32")
    return out


@pytest.fixture
def copy(narrow: Path, tmp_path: Path) -> Path:
    """A folder to write to."""
    return shutil.copytree(narrow, tmp_path / "copy")


@pytest.fixture(scope="module")
def asked(made: Path) -> dict[str, Any]:
    """What llama.cpp's process is asked about a folder that is as the file is."""
    logits = made.with_name("logits.npy")
    with Llama(made, n_tokens=8, threads=1) as model:
        composed = model.tokens("\u00e9\u00e4 \u1e69")
        read = model.tokens("One, two, three.")
        np.save(logits, model.logits(read))
    text = {"name": "accents", "text": "\u00e9\u00e4 \u1e69", "is_back": True}
    return {
        "gguf": str(made),
        "logits": str(logits),
        "threads": 1,
        "texts": [{**text, "ways": {"bare": composed, "framed": composed}}],
        "ends": {"2": "the tokeniser"},
        "read": [("English", read)],
    }


def check(folder: Path, gguf: Path) -> Parity:
    return check_parity(folder, gguf, threads=1, tell=lambda _done, _of: None)


def refused_by_file(request: Mapping[str, Any]) -> QuantizeError:
    return refusal(lambda: in_child(run_gguf, request, doing="Running it"))


def test_a_file_is_what_its_folder_is(narrow: Path, made: Path) -> None:
    far: list[tuple[int, int]] = []
    parity = check_parity(narrow, made, threads=1, tell=lambda *at: far.append(at))

    assert far == [(n, 10) for n in range(1, 11)]
    assert parity.n_tokens == MOST_TOKENS * 5
    assert parity.same_top >= 0.998
    assert parity.worst_gap <= 1e-2
    assert 0 < parity.max_difference < 1e-3
    assert parity.n_round_trips > len(NASTY) + len(LOOKALIKES)
    assert parity.n_composed == 0
    assert parity.template_cases == len(CONVERSATIONS)
    assert parity.end_tokens == ("<|im_end|>",)


def test_other_weights(copy: Path, made: Path) -> None:
    # Of 32 bits, so that these are run too.
    weights = load_file(copy / SINGLE)
    wide = {name: found.astype(np.float32) for name, found in weights.items()}
    wide["model.layers.1.mlp.down_proj.weight"] *= 1.1
    save_file(wide, copy / SINGLE, metadata={"format": "pt"})
    error = refusal(lambda: check(copy, made))

    assert error.code == "parity_logits"
    assert "of 640 tokens" in error.message
    assert "the folder says" in error.message
    assert "Convert the folder again" in error.hint


def test_another_template(copy: Path, made: Path) -> None:
    settings = copy / TOKENIZER[1]
    template = json.loads(settings.read_text("utf-8"))["chat_template"]
    # How the model's answer begins.
    change_json(settings, chat_template=template.replace("assistant\n", "mara\n"))
    error = refusal(lambda: check(copy, made))

    assert error.code == "parity_template"
    assert "a question" in error.message
    assert "mara\\n' in the folder" in error.message
    assert "assistant\\n' in the file" in error.message


def test_another_end(copy: Path, made: Path) -> None:
    change_json(copy / GENERATION, eos_token_id=[2, 5])
    error = refusal(lambda: check(copy, made))

    assert error.code == "parity_end_tokens"
    assert "(token 5)" in error.message
    assert "it would not stop" in error.message


def test_other_words(copy: Path, made: Path) -> None:
    path = copy / TOKENIZER[0]
    tokenizer = json.loads(path.read_text("utf-8"))
    words = tokenizer["model"]["vocab"]
    words["\u0120cat"], words["\u0120dog"] = words["\u0120dog"], words["\u0120cat"]
    path.write_text(json.dumps(tokenizer), "utf-8")
    error = refusal(lambda: check(copy, made))

    assert error.code == "parity_tokeniser"
    assert f"Token {min(words['Ġcat'], words['Ġdog'])} is" in error.message
    assert "Ġcat" in error.message
    assert "Ġdog" in error.message


def test_a_file_that_splits_otherwise(asked: dict[str, Any]) -> None:
    (text,) = asked["texts"]
    first, *rest = text["ways"]["framed"]
    ways = {**text["ways"], "framed": [first, 0, *rest]}
    error = refused_by_file({**asked, "texts": [{**text, "ways": ways}]})

    assert error.code == "parity_tokeniser"
    assert "'accents', with what is put around it," in error.message
    assert "after '\u00e9' the folder has tokens [0, " in error.message


def test_accents_that_only_the_folder_composes(asked: dict[str, Any]) -> None:
    # As the tokenizer of Qwen does, which does not give back what it was given.
    (text,) = asked["texts"]
    apart = {**text, "text": "e\u0301a\u0308 s\u0323\u0307", "is_back": False}
    found = in_child(run_gguf, {**asked, "texts": [text, apart]}, doing="Running it")

    assert found["n_composed"] == 1
    assert found["n_round_trips"] == 1
    assert found["same_top"] == 1


def test_a_file_that_would_stop_early(asked: dict[str, Any]) -> None:
    error = refused_by_file({**asked, "ends": {"0": "the tokeniser"}})

    assert error.code == "parity_end_tokens"
    assert "'<|im_end|>' (token 2) ends an answer in the file" in error.message


def test_logits_that_are_no_numbers(asked: dict[str, Any], tmp_path: Path) -> None:
    logits = np.load(asked["logits"])
    logits[3, 7] = np.nan
    np.save(tmp_path / "logits.npy", logits)
    error = refused_by_file({**asked, "logits": str(tmp_path / "logits.npy")})

    assert error.code == "parity_logits"
    assert "the folder says of the text 'English'" in error.message


def test_another_number_of_words(asked: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "logits.npy", np.load(asked["logits"])[:, 1:])
    error = refused_by_file({**asked, "logits": str(tmp_path / "logits.npy")})

    assert error.code == "parity_logits"
    assert "The folder chooses between 49151 words" in error.message
