"""Which way loses least, which products lose most, and how few must stay in float.

All is measured on the sentences of the search, which neither calibrate nor judge; and
it is kept as it is measured, so that a run after a kill goes on from there.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from models.disk import write_whole
from quantize.child import Tell
from quantize.encoder.building import Floats
from quantize.encoder.guard import Guard
from quantize.encoder.losses import Loss, Standard
from quantize.encoder.pieces import Pieces
from quantize.encoder.rewriting import (
    EMBEDDED,
    Calibration,
    embedding_in_rows,
    products,
)
from quantize.encoder.vectors import Reader, by_length
from quantize.encoder.ways import WAYS, Recipe
from quantize.intervals import Interval
from quantize.kept import Kept

_N_SENSITIVE = 48
"""Sentences that single products are measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A way that was tried."""

    way: str
    left: tuple[str, ...]
    """Nodes in float."""
    n_bytes: int
    loss: Loss
    batch_drift: float
    """Most that a cosine changes where sentences are read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What one product adds when it alone is quantized."""

    name: str
    loss: float
    """Energy of the difference by the energy of the vectors."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lab:
    """All that trials need."""

    model: onnx.ModelProto
    """The float graph."""
    pieces: Pieces
    calibration: Calibration
    standard: Standard
    """What it makes of the sentences of the search."""
    sentences: Sequence[str]
    examples: Sequence[str]
    threads: int
    kept: Kept
    ways: Sequence[Recipe] = WAYS

    def build(self, way: Recipe, left: Collection[str]) -> onnx.ModelProto:
        """Returns a small model, some of its nodes left in float."""
        model = self.model
        if EMBEDDED not in left:
            model = embedding_in_rows(model)
        return self._built(way, model, left)

    def build_alone(self, way: Recipe, name: str) -> onnx.ModelProto:
        """Returns a model with one product quantized, and nothing else."""
        others = {node.name for node in products(self.model)} - {name}
        return self._built(way, self.model, others)

    def _built(
        self, way: Recipe, model: onnx.ModelProto, left: Collection[str]
    ) -> onnx.ModelProto:
        """Returns a small model; weights that took long to round are kept."""
        path, known = self.kept.path("mended.npz"), self.calibration.mended
        if not known:
            known.update(_steps(path))
        n_known = len(known)
        made = way.build(model, left, self.calibration)
        if len(known) > n_known:
            beside = path.with_name("mended.part.npz")
            np.savez(beside, **known)  # type: ignore[arg-type]
            beside.replace(path)
        return made

    def tried(self, way: Recipe, left: Collection[str] = ()) -> Trial:
        """Returns what a way loses, measured or known from before."""
        path = self.kept.path("trials.json")
        known = _known(path)
        key = json.dumps([way.name, sorted(left)])
        if key not in known:
            model = self.build(way, left)
            reader = Reader(model, self.pieces, threads=self.threads)
            vectors = reader.alone(self.sentences)
            read = reader.together if way.is_apart else reader.alone
            loss = self.standard.loss(vectors, read(self.examples))
            known[key] = {
                "n_bytes": len(model.SerializeToString(deterministic=True)),
                "loss": asdict(loss),
                "batch_drift": batch_drift(
                    reader, self.pieces, self.sentences, vectors
                ),
            }
            write_whole(path, json.dumps(known, indent=1))
        found = known[key]
        return Trial(
            way=way.name,
            left=tuple(sorted(left)),
            n_bytes=found["n_bytes"],
            loss=_loss(found["loss"]),
            batch_drift=found["batch_drift"],
        )


def compared(lab: Lab, tell: Tell) -> list[Trial]:
    """Returns every way with nothing left in float."""
    found = []
    for n, way in enumerate(lab.ways):
        found.append(lab.tried(way))
        tell(n + 1, len(lab.ways))
    return found


def batch_drift(
    reader: Reader, pieces: Pieces, texts: Sequence[str], alone: Floats
) -> float:
    """Returns the most that a cosine changes where 16 sentences are read together.

    Args:
        reader: The encoder.
        pieces: What it reads.
        texts: Sentences.
        alone: Their vectors where each is read by itself, (n, d).
    """
    most = 0.0
    for group in by_length(texts, pieces):
        if len(group) > 1:
            both = reader.read(reader.feeds([texts[n] for n in group]))
            # In double precision: of equal vectors it is 0, and not what rounding left.
            apart = ((both - alone[group]).astype(np.float64) ** 2).sum(axis=1) / 2
            most = max(most, float(apart.max()))
    return most


def chosen(
    trials: Sequence[Trial], guard: Guard, ways: Sequence[Recipe] = WAYS
) -> Recipe:
    """Returns the way to go on with.

    Of those that meet the guard, or else of all, it is one in which no sentence depends
    on its neighbours, where there is one; of these, the one that changes the nearest
    example least where that leads clearly, and then the one nearest in cosine.
    """
    by_name = {way.name: way for way in ways}
    fast = [one for one in trials if by_name[one.way].is_fast]
    passed = [one for one in fast if guard.is_met(one.loss)]

    def worth(one: Trial) -> tuple[bool, float, float]:
        is_apart = bool(passed) and by_name[one.way].is_apart
        return is_apart, one.loss.nearest_clear.mean, one.loss.cosine.mean

    return by_name[max(passed or fast, key=worth).way]


def sensitivities(lab: Lab, way: Recipe, tell: Tell) -> list[Sensitivity]:
    """Returns what each product adds alone, in the order of the graph."""
    path = lab.kept.path(f"alone-{lab.ways.index(way)}.json")
    known = _known(path)
    texts = lab.sentences[:_N_SENSITIVE]
    before = lab.standard.sentences[: len(texts)]
    names = [node.name for node in products(lab.model)]
    for n, name in enumerate(names):
        if name not in known:
            model = lab.build_alone(way, name)
            reader = Reader(model, lab.pieces, threads=lab.threads)
            after = (reader.together if way.is_apart else reader.alone)(texts)
            known[name] = float(((after - before) ** 2).sum(axis=1).mean())
            write_whole(path, json.dumps(known, indent=1))
        tell(n + 1, len(names))
    return [Sensitivity(name=name, loss=known[name]) for name in names]


def repaired(
    lab: Lab, way: Recipe, found: Sequence[Sensitivity], guard: Guard, least: int
) -> Trial:
    """Returns the trial with the fewest nodes in float that meets the guard.

    Nodes are left in float in the order of what they lose alone, the embedding last,
    which most of the bytes are in.

    Args:
        lab: What trials need.
        way: The way that was chosen.
        found: What products lose alone.
        guard: The limits.
        least: Leave so many in float in any case.
    """
    order = in_order(found)
    low, high = min(least, len(order)), len(order)
    best = lab.tried(way, order[:low])
    step = 1
    while not guard.is_met(best.loss) and low < high:
        last, low = low, min(high, low + step)
        best = lab.tried(way, order[:low])
        step *= 2
        if guard.is_met(best.loss):
            return _fewest(lab, way, order, guard, (last, low))
    return best


def in_order(found: Sequence[Sensitivity]) -> list[str]:
    """Returns the nodes as they are left in float, one after the other."""
    ordered = sorted(found, key=lambda one: (-one.loss, one.name))
    return [*(one.name for one in ordered), EMBEDDED]


def _fewest(
    lab: Lab, way: Recipe, order: Sequence[str], guard: Guard, ends: tuple[int, int]
) -> Trial:
    """Returns the fewest that do; too few are known, and so are enough."""
    few, enough = ends
    while enough - few > 1:
        middle = (few + enough) // 2
        if guard.is_met(lab.tried(way, order[:middle]).loss):
            enough = middle
        else:
            few = middle
    return lab.tried(way, order[:enough])


def _known(path: Path) -> dict[str, Any]:
    """Returns what was measured before; nothing, where that cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _steps(path: Path) -> dict[str, npt.NDArray[np.int8]]:
    """Returns weights that were rounded before a kill; none otherwise."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}


def _loss(row: dict[str, Any]) -> Loss:
    values: dict[str, Any] = {
        name: Interval(**value) if isinstance(value, dict) else value
        for name, value in row.items()
    }
    return Loss(**values)
