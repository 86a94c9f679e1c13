"""An adapter beside its quantized base, instead of in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize.beside import adapter_bytes, write_beside
from quantize.compensation import Rounding
from quantize.errors import QuantizeError
from quantize.factors import Factors
from quantize.ggml import named, rounded
from quantize.gguf import load_header
from quantize.gguf_file import write_gguf
from quantize.job import BESIDE, THIS, Request
from quantize.llm import quantize_llm
from quantize.stage import Stage
from tests.quantize.conftest import change_json
from tests.quantize.test_adapters import SHAPES, save_adapter
from tests.quantize.test_llm import kept, request_, source, texts

__all__ = ["kept", "request_", "source", "texts"]
RNG = np.random.default_rng(9)
Q, HEAD = "blk.0.attn_q.weight", "output.weight"
Q4 = named("q4_0")


def floats(path: Path, name: str) -> np.ndarray:
    (tensor,) = (one for one in load_header(path).tensors if one.name == name)
    return np.memmap(path, "<f4", "r", tensor.offset, tensor.rows)


def test_what_is_rounded_is_the_base_alone(tmp_path: Path) -> None:
    base, change, head = (RNG.normal(size=(8, 64)).astype(np.float32) for _ in range(3))
    norm = np.ones(64, np.float32)
    write_gguf(tmp_path / "bare", {}, {Q: base, "norm.weight": norm})
    merged = {Q: base + change, "norm.weight": 2 * norm, HEAD: head}
    write_gguf(tmp_path / "merged", {}, merged)
    out = tmp_path / "out"
    rounding = Rounding({}, Factors(), 1)

    write_beside(
        tmp_path / "merged",
        tmp_path / "bare",
        out,
        {Q: Q4, HEAD: Q4},
        rounding,
        tell=lambda *_: None,
    )

    assert floats(out, Q) == pytest.approx(rounded(base, Q4) + change, abs=1e-6)
    assert not np.allclose(floats(out, Q), rounded(base + change, Q4), atol=1e-3)
    assert np.array_equal(floats(out, HEAD), head)  # the base has none to round
    assert np.array_equal(floats(out, "norm.weight")[:].ravel(), 2 * norm)


def test_an_adapter_takes_two_bytes_a_number(tmp_path: Path) -> None:
    adapter, _ = save_adapter(tmp_path / "one", SHAPES)

    n_numbers = 4 * sum(n_out + n_in for n_out, n_in in SHAPES.values())
    assert adapter_bytes([adapter, adapter]) == 2 * 2 * n_numbers


@pytest.mark.models
def test_it_stands_in_the_report(
    request_: Request, smollm_copy: Path, tmp_path: Path
) -> None:
    change_json(smollm_copy / "config.json", eos_token_id=2)
    adapter, _ = save_adapter(tmp_path / "one", SHAPES)
    asked = replace(
        request_,
        source=smollm_copy,
        adapters=(adapter,),
        preset="q4_0",
        compares_adapter=True,
    )

    methods = {one.name: one for one in quantize_llm(asked, Stage()).methods}

    assert list(methods) == [THIS, BESIDE]
    merged, beside = methods[THIS], methods[BESIDE]
    assert beside.n_bytes == merged.n_bytes + adapter_bytes([adapter])
    assert 0 < beside.summary.kl_mean.mean != merged.summary.kl_mean.mean
    assert beside.summary.kl_mean.mean < 3 * merged.summary.kl_mean.mean
    assert not list(tmp_path.rglob("beside.gguf"))


def test_without_an_adapter_there_is_none_beside(tmp_path: Path) -> None:
    asked = Request(
        source=tmp_path, out=tmp_path / "out", threads=1, compares_adapter=True
    )

    with pytest.raises(QuantizeError) as failed:
        quantize_llm(asked, Stage())

    assert failed.value.code == "adapter_absent"
