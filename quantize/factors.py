"""How the inputs of a weight go together: what a loss in one column can be mended by.

For the inputs X of a weight, (tokens, columns), gathered from texts, the factor is the
upper triangular U with U' U = (X' X + d I)^-1, d a hundredth of the mean of the
diagonal, as GPTQ has it (Frantar et al., 2023, "GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers"). Weights that are multiplied with
the same share one. Inputs that are wider than `_WIDEST` are taken in parts, as if one
part had nothing to do with another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.disk import write_whole
from quantize.ggml import Floats
from quantize.llama import Llama, shared_beginnings

_WIDEST = 2048
"""Columns of a part, at most."""
_BLOCK = 256
"""Columns of the longest block of a type: parts are whole ones where rows are."""
_AT_ONCE_BYTES = 512 << 20
"""Of sums that are gathered at once; what does not fit is left for another reading."""
_DAMPING = 0.01
_LOOKED_UP = "token_embd.weight"
"""A head that is the embedding, too: what it loses as such, no other column mends."""
INDEX = "inputs.json"


@dataclass(frozen=True, slots=True)
class Factors:
    """Those of a model, in a folder.

    Args:
        folder: Of files, one for each input.
        inputs: The name of its input, by weight; none where nothing was gathered.
    """

    folder: Path | None = None
    inputs: Mapping[str, str] | None = None

    @classmethod
    def load(cls, folder: Path) -> Factors:
        """Returns what `gather_factors` wrote."""
        return cls(folder, json.loads((folder / INDEX).read_text()))

    def of(self, weight: str) -> Floats | None:
        """Returns (parts, width, width) of a weight; none where there is none."""
        if self.folder is None or not self.inputs or weight not in self.inputs:
            return None
        path = _file(self.folder, self.inputs[weight])
        found: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    name: str
    """Of the first weight that is multiplied with it."""
    n_parts: int
    width: int

    @property
    def n_bytes(self) -> int:
        return 4 * self.n_parts * self.width**2


def gather_factors(
    model: Llama,
    chunks: Sequence[Sequence[int]],
    folder: Path,
    *,
    threads: int,
    tell: Callable[[int, int], None],
) -> None:
    """Reads the texts and writes the factor of every input that has none yet.

    Args:
        model: The model.
        chunks: Tokens of each text.
        folder: Where they go; what is there is left as it is.
        threads: How many multiply.
        tell: Told how many texts are read, and of how many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs, found = _inputs(model, chunks[0])
    groups = list(
        _grouped(one for one in found if not _file(folder, one.name).exists())
    )
    n_steps = len(groups) * len(chunks)
    with ThreadPoolExecutor(threads) as pool:
        for n, group in enumerate(groups):

            def read(at: int, n: int = n) -> None:
                tell(n * len(chunks) + at, n_steps)

            sums = _gathered(model, chunks, group, pool, read)
            for _ in pool.map(lambda one: _write(folder, *one), sums.items()):
                pass
    write_whole(folder / INDEX, json.dumps(inputs))


def _inputs(
    model: Llama, chunk: Sequence[int]
) -> tuple[dict[str, str], Sequence[_Input]]:
    """Returns the name of each weight's input, and the inputs."""
    inputs: dict[str, str] = {}
    names: dict[int, str] = {}
    found: list[_Input] = []

    def hear(name: str, values: Floats, heard: int) -> None:
        n_columns = values.shape[1]
        width = _width(n_columns)
        if name == _LOOKED_UP or width is None:
            return
        if heard not in names:
            names[heard] = name
            n_parts = n_columns // width
            found.append(_Input(name=name, n_parts=n_parts, width=width))
        inputs[name] = names[heard]

    model.listen(chunk, hear)
    return inputs, found


def _width(n_columns: int) -> int | None:
    """Returns the columns of a part: as many as may be, and whole blocks."""
    for n_parts in range(1, n_columns // _BLOCK + 1):
        width = n_columns // n_parts
        if width > _WIDEST or n_columns % n_parts:
            continue
        if n_parts == 1 or width % _BLOCK == 0:
            return width
    return n_columns if n_columns < _BLOCK else None


def _grouped(inputs: Iterator[_Input]) -> Iterator[list[_Input]]:
    """Yields inputs whose sums fit into memory together."""
    group: list[_Input] = []
    for one in inputs:
        if group and sum(o.n_bytes for o in group) + one.n_bytes > _AT_ONCE_BYTES:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _gathered(
    model: Llama,
    chunks: Sequence[Sequence[int]],
    group: Sequence[_Input],
    pool: ThreadPoolExecutor,
    read: Callable[[int], None],
) -> dict[str, Floats]:
    """Returns (parts, width, width) the sums of products, by input."""
    sums = {
        one.name: np.zeros((one.n_parts, one.width, one.width), np.float32)
        for one in group
    }

    def hear(name: str, values: Floats, _heard: int) -> None:
        if name not in sums:
            return
        of_input = sums[name]
        width = of_input.shape[1]

        def add(at: int) -> None:
            part = values[:, at * width : (at + 1) * width]
            of_input[at] += part.T @ part

        for _ in pool.map(add, range(len(of_input))):
            pass

    n_shared = shared_beginnings(chunks)
    for n, chunk in enumerate(chunks):
        read(n)
        model.listen(chunk, hear, n_before=n_shared[n])
    read(len(chunks))
    return sums


def _write(folder: Path, name: str, sums: Floats) -> None:
    path = _file(folder, name)
    beside = path.with_name(f"{path.name}.part")
    with beside.open("wb") as file:
        np.save(file, np.stack([_factor(part) for part in sums]), allow_pickle=False)
    beside.replace(path)


def _factor(products: Floats) -> Floats:
    """Returns (width, width) U of (width, width) X' X."""
    damped = products.astype(np.float64)
    mean = damped.trace() / len(damped)
    damped[np.diag_indices_from(damped)] += _DAMPING * mean or 1.0
    lower = np.linalg.cholesky(np.linalg.inv(damped))
    found: Floats = np.ascontiguousarray(lower.T, np.float32)
    return found


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '_')}.npy"
