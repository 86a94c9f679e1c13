"""A vision model that is being made: what is asked for, and what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from models.preprocessing import Preprocessing
from quantize.stage import Clock
from quantize.vision.network import Network
from quantize.vision.observing import Flow
from quantize.vision.photographs import Crop, Photograph, crops
from quantize.vision.source import Source

MODEL = "model.onnx"
SAFE_BITS, ALL_BITS = 7, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Limits of what may be lost."""

    agreement: float = 0.99
    """Of classes, where float is sure; what was measured is judged."""
    sqnr_db: float = 20.0
    """Where the outputs are no classes."""
    float_share: float = 0.1
    """Of the multiply-adds that may stay float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be made of what."""

    source: str
    out: Path
    """A folder that is not there yet."""
    calibration: Path
    threads: int
    weights: Path | None = None
    evaluation: Path | None = None
    preprocess: Path | None = None
    weight_bits: int = SAFE_BITS
    """7 computes the same on every processor. Of 8, x86 without VNNI adds two products
    in 16 bits, which overflow."""
    n_calibrating: int = 96
    n_judging: int = 600
    """Pictures that are cut from photographs."""
    is_whole: bool = False
    """Whether photographs are taken as they are, neither cut nor mirrored: text does
    not read backwards."""
    licence: str = ""
    guard: Guard = field(default_factory=Guard)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A model that is being made, once all that is needed is there."""

    request: Request
    clock: Clock
    source: Source
    how: Preprocessing
    network: Network
    input: str
    calibrating: Sequence[Photograph]
    judging: Sequence[Photograph]
    notes: list[str]

    def pictures(
        self, photographs: Sequence[Photograph], n: int, *, seed: int
    ) -> list[Crop]:
        """Returns pictures in the model's size, as many as `n_pictures` says."""
        return crops(photographs, self.how, self.n_pictures(photographs, n), seed=seed)

    def n_pictures(self, photographs: Sequence[Photograph], n: int) -> int:
        """Returns how many pictures there are where n are asked for."""
        return min(n, len(photographs)) if self.request.is_whole else n

    @property
    def is_exact(self) -> bool:
        """Whether it is judged by what eight bits mean, not as this machine does it."""
        return self.request.weight_bits == ALL_BITS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What was made, and what that is known from."""

    model: onnx.ModelProto
    plain: onnx.ModelProto
    network: Network
    """Float, equalised: what was quantized."""
    flows: Mapping[str, Flow]
    floats: frozenset[str]
    losses: dict[str, float]
    method: str
