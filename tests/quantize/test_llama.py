"""A model run through llama.cpp: what goes wrong while it runs is not passed by."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from quantize.conversion import convert
from quantize.ggml import Floats
from quantize.gguf import load_header
from quantize.gguf_file import write_gguf
from quantize.imatrix import Importance, gather
from quantize.llama import Llama
from tests.quantize.conftest import refusal

TOKENS = list(range(100, 164))


@pytest.fixture(scope="module")
def path(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("llama") / "model.gguf"
    convert(smollm, out, type_="f32")
    return out


@pytest.fixture
def model(path: Path) -> Iterator[Llama]:
    with Llama(path, n_tokens=len(TOKENS), threads=1) as opened:
        yield opened


def failing(error: BaseException) -> Callable[[str, Floats, int], None]:
    def hear(_name: str, _values: Floats, _heard: int) -> None:
        raise error

    return hear


def test_why_a_file_is_not_loaded_is_said(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, {"general.architecture": "abacus"}, {})

    error = refusal(lambda: Llama(path, n_tokens=8, threads=1))

    assert error.code == "model_unreadable"
    assert "unknown model architecture: 'abacus'" in error.message
    assert "llama_model_load" not in error.message


@pytest.mark.models
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("heard")])
def test_what_is_raised_while_listening_comes_through(
    error: BaseException, model: Llama
) -> None:
    before = model.logits(TOKENS).copy()

    with pytest.raises(type(error)):
        model.listen(TOKENS, failing(error))

    assert np.array_equal(model.logits(TOKENS), before)


@pytest.mark.models
def test_an_interrupted_text_is_not_counted(model: Llama) -> None:
    n_done: list[int] = []

    class Stopped(Importance):
        """Interrupted at its second text."""

        def hear(self, name: str, values: Floats, heard: int = 0) -> None:
            if n_done:
                raise KeyboardInterrupt
            super().hear(name, values, heard)

    importance = Stopped()
    with pytest.raises(KeyboardInterrupt):
        gather(
            model,
            [TOKENS, TOKENS[::-1]],
            importance,
            lambda found: n_done.append(found.n_chunks),
        )

    assert n_done == [1]
    assert importance.n_chunks == 1


@pytest.mark.models
def test_a_model_that_computes_no_numbers_is_refused(
    path: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    shutil.copyfile(path, broken)
    (norm,) = (
        one for one in load_header(path).tensors if one.name == "blk.0.attn_norm.weight"
    )
    stored = np.memmap(broken, "<f4", "r+", norm.offset, norm.n_numbers)
    stored[0] = np.nan
    stored.flush()

    with Llama(broken, n_tokens=len(TOKENS), threads=1) as model:
        error = refusal(lambda: gather(model, [TOKENS], Importance(), lambda _: None))

    assert error.code == "model_not_finite"
