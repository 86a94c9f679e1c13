"""What rounding loses in some columns is made up for in others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from quantize.compensation import Rounding, write_mended
from quantize.factors import INDEX, Factors, gather_factors
from quantize.ggml import Floats, named, rounded
from quantize.gguf import load_header
from quantize.gguf_file import write_gguf
from quantize.llama import OnProduct

N_COLUMNS, N_ROWS = 96, 40


class Heard:
    """A model that multiplies two weights with one input, and one with another."""

    def __init__(self, n_columns: int = N_COLUMNS) -> None:
        random = np.random.default_rng(5)
        mixed = random.standard_normal((8, n_columns))
        inputs = random.standard_normal((500, 8)) @ mixed
        inputs += 0.1 * random.standard_normal(inputs.shape)
        self.inputs: Floats = inputs.astype(np.float32)
        self.n_read = 0

    def listen(self, tokens: list[int], hear: OnProduct, *, n_before: int = 0) -> None:
        """Tells what each weight is multiplied with."""
        rows = self.inputs[tokens[n_before:]]
        self.n_read += 1
        hear("q.weight", rows, 1)
        hear("k.weight", rows, 1)
        hear("down.weight", rows**2, 2)
        hear("token_embd.weight", rows, 3)


CHUNKS = [list(range(250)), list(range(250, 500))]


def gathered(model: Heard, folder: Path) -> Factors:
    gather_factors(model, CHUNKS, folder, threads=2, tell=lambda *_: None)  # type: ignore[arg-type]
    return Factors.load(folder)


def weight() -> Floats:
    return np.random.default_rng(6).standard_normal((N_ROWS, N_COLUMNS), np.float32)


def product_error(inputs: Floats, before: Floats, after: Floats) -> float:
    return float(np.square(inputs @ (after - before).T, dtype=np.float64).sum())


def test_weights_with_one_input_share_its_factor(tmp_path: Path) -> None:
    found = gathered(Heard(), tmp_path)

    shared = found.of("q.weight")
    assert shared is not None
    assert np.array_equal(shared, found.of("k.weight"))  # type: ignore[arg-type]
    assert not np.array_equal(shared, found.of("down.weight"))  # type: ignore[arg-type]
    assert found.of("token_embd.weight") is None
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_a_factor_is_of_the_damped_inverse(tmp_path: Path) -> None:
    model = Heard()
    found = gathered(model, tmp_path).of("q.weight")

    assert found is not None
    inputs = model.inputs.astype(np.float64)
    products = inputs.T @ inputs
    damped = products + 0.01 * products.trace() / N_COLUMNS * np.eye(N_COLUMNS)
    upper = found[0].astype(np.float64)
    assert np.allclose(upper, np.triu(upper))
    assert upper.T @ upper @ damped == pytest.approx(np.eye(N_COLUMNS), abs=1e-3)


def test_what_is_there_is_not_gathered_again(tmp_path: Path) -> None:
    gathered(Heard(), tmp_path)
    (tmp_path / "down.weight.npy").unlink()
    (tmp_path / INDEX).unlink()
    before = (tmp_path / "q.weight.npy").read_bytes()
    model = Heard()

    gathered(model, tmp_path)

    assert model.n_read == 1 + len(CHUNKS)
    assert (tmp_path / "q.weight.npy").read_bytes() == before


def test_wide_inputs_are_taken_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.factors._WIDEST", 256)
    monkeypatch.setattr("quantize.factors._AT_ONCE_BYTES", 1)
    model = Heard(512)

    found = gathered(model, tmp_path).of("q.weight")

    assert found is not None
    assert found.shape == (2, 256, 256)
    assert model.n_read == 1 + 2 * len(CHUNKS)  # an input at a time


@pytest.mark.parametrize("type_name", ["q4_0", "iq4_nl", "q5_1", "q8_0"])
def test_products_lose_less(tmp_path: Path, type_name: str) -> None:
    model, rows, type_ = Heard(), weight(), named(type_name)
    factors = gathered(model, tmp_path)

    plain = Rounding({}, Factors(), 1).left("q.weight", rows, type_)
    mended = Rounding({}, factors, 2).left("q.weight", rows, type_)

    assert np.array_equal(plain, rounded(rows, type_))
    lost = product_error(model.inputs, rows, plain)
    assert product_error(model.inputs, rows, mended) < 0.6 * lost


def test_an_error_is_what_products_lose(tmp_path: Path) -> None:
    model, rows = Heard(), weight()
    rounding = Rounding({}, gathered(model, tmp_path), 1)
    lost = {
        name: product_error(
            model.inputs, rows, rounding.left("q.weight", rows, named(name))
        )
        for name in ("q4_0", "q8_0")
    }
    errors = {
        name: rounding.error("q.weight", rows, named(name)) for name in ("q4_0", "q8_0")
    }

    # The error counts the damping as well.
    assert lost["q4_0"] <= errors["q4_0"] < 3 * lost["q4_0"]
    ratio = lost["q4_0"] / lost["q8_0"]
    assert errors["q4_0"] / errors["q8_0"] == pytest.approx(ratio, rel=0.3)


def test_parts_do_not_depend_on_threads(tmp_path: Path) -> None:
    factors = gathered(Heard(), tmp_path)
    one, other = weight(), weight()
    for threads, rows in ((1, one), (3, other)):
        Rounding({}, factors, threads).mend("q.weight", rows, named("q4_0"))

    assert np.array_equal(one, other)
    assert not np.array_equal(one, weight())


def test_a_mended_file_rounds_to_what_was_meant(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    rows = weight()
    other: npt.NDArray[np.float32] = random.standard_normal((4, 32), np.float32)
    base, out = tmp_path / "base.gguf", tmp_path / "out.gguf"
    write_gguf(base, {"general.architecture": "llama"}, {"q.weight": rows, "o": other})
    rounding = Rounding({}, gathered(Heard(), tmp_path / "factors"), 1)
    type_ = named("iq4_nl")

    write_mended(base, out, {"q.weight": type_}, rounding, lambda *_: None)

    tensors = {one.name: one for one in load_header(out).tensors}
    stored = np.memmap(out, "<f4", "r", tensors["q.weight"].offset, (N_ROWS, N_COLUMNS))
    meant = rounding.left("q.weight", rows, type_)
    assert rounded(np.array(stored), type_) == pytest.approx(meant, abs=1e-6)
    kept = np.memmap(out, "<f4", "r", tensors["o"].offset, other.shape)
    assert np.array_equal(kept, other)
