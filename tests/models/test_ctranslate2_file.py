"""CTranslate2's files are read and written as CTranslate2 does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ctranslate2.specs.model_spec import OPTIONAL, LanguageModelSpec

from models.ctranslate2_file import (
    Ctranslate2File,
    int8_variables,
    load_ctranslate2,
    save_ctranslate2,
)
from models.errors import ModelError


def some_file(path: Path, **variables: npt.NDArray[Any]) -> Path:
    """Returns a model file with some variables."""
    model = Ctranslate2File(
        spec="Spec", revision=3, variables={}, aliases={"b": "a/weight"}
    )
    named = ((name.replace("__", "/"), array) for name, array in variables.items())
    save_ctranslate2(path, model, named)
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written: dict[str, npt.NDArray[Any]] = {
        "a__weight": np.arange(6, dtype=np.float16).reshape(2, 3),
        "a__weight_scale": np.ones(2, np.float32),
        "n": np.array(7, np.int16),
        "sizes": np.array([1, -2], np.int32),
        "q": np.array([[-127, 127]], np.int8),
    }

    found = load_ctranslate2(some_file(tmp_path / "model.bin", **written))

    assert (found.spec, found.revision) == ("Spec", 3)
    assert found.aliases == {"b": "a/weight"}
    assert list(found.variables) == [name.replace("__", "/") for name in written]
    for name, array in written.items():
        again = found.variables[name.replace("__", "/")]
        assert again.dtype == array.dtype
        assert np.array_equal(again, array)


class VendorSpec(LanguageModelSpec):  # type: ignore[misc]
    """A model of one matrix, as the vendor's converters make them."""

    def __init__(self, weight: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.weight = weight
        self.weight_scale = OPTIONAL

    @property
    def name(self) -> str:
        """Of the kind of model."""
        return "Spec"

    @property
    def revision(self) -> int:
        """Of its layout."""
        return 5

    def get_vocabulary_size(self) -> int:
        """Of a model without words."""
        return 0


def vendor_file(
    path: Path, weight: npt.NDArray[np.float32], quantization: str | None
) -> Path:
    """Returns a model file that the vendor's converter writes."""
    spec = VendorSpec(weight)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec._serialize(str(path))
    return path


def test_the_vendor_quantizes_to_the_same_bytes(tmp_path: Path) -> None:
    """Against the vendor's own writer, which knows the format best."""
    weight = np.random.default_rng(0).normal(size=(7, 33)).astype(np.float32)
    weight[2], weight[3] = 0, 1e-39
    plain = vendor_file(tmp_path / "plain.bin", weight.copy(), None)
    small = vendor_file(tmp_path / "small.bin", weight.copy(), "int8")

    read = load_ctranslate2(plain)
    save_ctranslate2(tmp_path / "again.bin", read, read.variables.items())
    save_ctranslate2(tmp_path / "ours.bin", read, int8_variables(read))

    assert not read.is_quantized
    assert load_ctranslate2(small).is_quantized
    assert (tmp_path / "again.bin").read_bytes() == plain.read_bytes()
    assert (tmp_path / "ours.bin").read_bytes() == small.read_bytes()


def test_matrices_become_integers_and_the_rest_stays(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(5, 40)).astype(np.float32)
    matrix[3] = 0
    path = some_file(
        tmp_path / "model.bin",
        a__weight=matrix,
        a__bias=np.ones(40, np.float16),
        conv__weight=np.ones((2, 3, 3), np.float16),
    )

    made = dict(int8_variables(load_ctranslate2(path)))

    rows, scales = made["a/weight"], made["a/weight_scale"]
    assert rows.dtype == np.int8
    assert np.abs(rows).max(axis=1).tolist() == [127, 127, 127, 0, 127]
    # Half a step of each row is all that may be lost.
    assert (np.abs(rows / scales[:, None] - matrix) <= 0.5001 / scales[:, None]).all()
    assert made["a/bias"].dtype == np.float16
    assert made["conv/weight"].dtype == np.float16


def test_bfloat16_is_understood(tmp_path: Path) -> None:
    matrix = np.array([[1.0, -2.0, 0.5]], np.float32)
    halves = (matrix.view(np.uint32) >> 16).astype(np.uint16)
    path = some_file(tmp_path / "model.bin", a__weight=halves)

    made = dict(int8_variables(load_ctranslate2(path)))

    assert made["a/weight"].tolist() == [[64, -127, 32]]
    assert made["a/weight_scale"].tolist() == [63.5]


@pytest.mark.parametrize("kept_bytes", [0, 3, 12, 40, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept_bytes: int) -> None:
    path = some_file(tmp_path / "model.bin", a__weight=np.ones((4, 4), np.float32))
    path.write_bytes(path.read_bytes()[:kept_bytes])

    with pytest.raises(ModelError) as caught:
        load_ctranslate2(path)

    assert caught.value.code == "model_format"
    assert str(path) in caught.value.message


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = some_file(tmp_path / "model.bin", n=np.array(7, np.int16))
    path.write_bytes(b"\x05" + path.read_bytes()[1:])

    with pytest.raises(ModelError, match="version 5"):
        load_ctranslate2(path)
