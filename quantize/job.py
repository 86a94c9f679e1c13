"""A model that is being made: what is asked for, what is there, and what is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantize.assignment import Assignment
from quantize.compensation import Rounding
from quantize.factors import Factors
from quantize.ggml import Floats
from quantize.gguf import Header
from quantize.imatrix import load_importance
from quantize.inspection import FAST_ON_ARM
from quantize.kept import Kept
from quantize.llm_texts import Texts
from quantize.made import sha256_of
from quantize.search import Goal, Sensitivity
from quantize.source import Source
from quantize.words_left import WordsLeft

FACTORS = "factors"
MODEL, RECIPE, IMATRIX = "model.gguf", "recipe.toml", "imatrix.gguf"
REPORT, PAGE = "report.json", "report.html"
BESIDE = "adapter beside"
THIS = "this"
"""What the model that is made is called beside those it is compared with."""


GOALS = {
    "size": Goal(name="size"),
    "balanced": Goal(name="balanced", time_share=0.5),
    "speed": Goal(name="speed", time_share=0.8, types=sorted(FAST_ON_ARM)),
}
"""What may count: bytes alone, bytes and this machine's time, or time above all, in
types for which a headset has fast kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be made of what."""

    source: Path
    out: Path
    """A folder that is not there yet."""
    threads: int
    adapters: tuple[Path, ...] = ()
    preset: str = ""
    """llama.cpp's own rule instead of a search."""
    recipe: Path | None = None
    """What an earlier search found, instead of a search."""
    imatrix: Path | None = None
    uses_imatrix: bool = True
    is_mended: bool = True
    """What rounding loses in some columns is made up for in others, in a search."""
    budget_bytes: int = 0
    """Of the file; 0 where bits per weight decide."""
    bits_per_weight: float = 0.0
    n_words: int = 0
    """That stay; 0 for all."""
    n_pruned: int = 0
    """Layers that are left out, those that are needed least."""
    goal: str = "size"
    """One of `GOALS`."""
    calibration: tuple[Path, ...] = ()
    evaluation: tuple[Path, ...] = ()
    pack: str = "explorer"
    compared: tuple[str, ...] = ()
    """Presets that are made and measured beside it."""
    compares_adapter: bool = False
    """The same types with the adapters left beside the base are measured, too."""
    allows_quantized: bool = False
    task: Path | None = None
    """Lines on which it has to do what its source does, in the runtime."""
    device: str = ""
    """Whose memory it has to fit, and whose bits the runtime keeps."""
    guard_kl: float | None = None
    guard_same_top: float | None = None
    guard_actions: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A model that is being made, once its base is there."""

    request: Request
    source: Source
    source_sha256: str
    reference: Path
    """All of the source, as a GGUF file of float32; or with fewer words."""
    base: Path
    """What is quantized: the same, or without some layers."""
    bare: Path | None
    """The base without its adapters, where these are compared or searched with."""
    words: WordsLeft | None
    """Where some are left out."""
    without_layers: tuple[int, ...]
    header: Header
    """Of the base."""
    texts: Texts
    kept: Kept
    imatrix: Path | None
    """The importance of columns; none where it is not used."""

    @property
    def imatrix_sha256(self) -> str:
        """Of the importance matrix; empty where none is used."""
        return sha256_of(self.imatrix) if self.imatrix else ""

    def means(self) -> Mapping[str, Floats]:
        """Returns (columns,) the importance by weight; none where it is not used."""
        return load_importance(self.imatrix).means() if self.imatrix else {}

    def rounding(self, *, is_mended: bool) -> Rounding:
        """Returns how weights are rounded."""
        factors = Factors.load(self.kept.path(FACTORS)) if is_mended else Factors()
        return Rounding(self.means(), factors, self.request.threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How each tensor is stored, and what that is known from."""

    how: str | Assignment
    is_mended: bool = False
    found: Sequence[Sensitivity] = ()
    goal: Goal = GOALS["size"]
    notes: Sequence[str] = ()
    """What a reader of the figures has to know of it."""
