"""What a picture shows: pixels in, what a vision model makes of them out.

This module knows no model. A network with one output of one row, with a number for each
class, is a classifier; of any other only its outputs are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.errors import HeadsideError
from models.preprocessing import Pixels

Array = npt.NDArray[Any]
N_LABELS = 5
_NEAR_ONE = 1e-3


class VisionError(HeadsideError):
    """The vision model could not be loaded, failed, or does not fit what is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionFiles:
    """Where a vision model lies."""

    model: Path
    """An ONNX file that holds its weights."""
    preprocess: Path
    """What is done to pictures before it sees them, TOML."""
    is_vouched: bool = False
    """Whether a manifest says what the file's bytes are, and they were checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A class, and how sure a model is of it."""

    number: int
    """From 0 on."""
    name: str
    """Empty where nobody told the names."""
    confidence: float
    """In [0, 1]; that of all classes together is 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Output:
    """What a model says, as it says it."""

    name: str
    values: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a model makes of one picture."""

    labels: tuple[Label, ...]
    """The likeliest first; none where the model is no classifier."""
    outputs: tuple[Output, ...]
    prepare_ms: float
    """From pixels to what the model is given."""
    run_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a model came to be loaded."""

    load_ms: float
    """Until pictures can be looked at, without the trial."""
    trial_ms: float
    """In a process of its own, before; 0 where there was none."""
    is_kept: bool
    """Whether the optimised graph came from disk."""


class VisionModel(Protocol):
    """Looks at pictures, one at a time."""

    @property
    def start(self) -> Start:
        """Returns how it came to be loaded."""

    def look(self, pixels: Pixels, n_labels: int = N_LABELS) -> Seen:
        """Returns what it makes of a picture of any size.

        Args:
            pixels: (height, width, 3), red, green and blue.
            n_labels: How many of the likeliest classes are told.

        Raises:
            VisionError: ``vision_closed``, ``vision_failed``, ``vision_not_finite``,
                ``labels_count`` or ``labels_for_none``.
        """

    def close(self) -> None:
        """Gives the model's memory back."""


def labels_of(
    outputs: Sequence[Output], names: Sequence[str] = (), n_labels: int = N_LABELS
) -> tuple[Label, ...]:
    """Returns the likeliest classes, first the likeliest; none of no classifier.

    Args:
        outputs: All that a model says of one picture.
        names: Of the classes; of none where they are not known.
        n_labels: How many at most.

    Raises:
        VisionError: ``labels_for_none``, ``labels_count`` or ``vision_not_finite``.
    """
    scores = _scores(outputs)
    if scores is None:
        if names:
            raise VisionError(
                "labels_for_none",
                f"Names of {len(names)} classes were given, and the model is no "
                "classifier.",
                "Leave --labels out.",
            )
        return ()
    if names and len(names) != len(scores):
        raise VisionError(
            "labels_count",
            f"The labels are {len(names)} lines, and the model has {len(scores)} "
            "classes.",
            "Give the file that belongs to the model, one name a line.",
        )
    if not np.isfinite(scores).all():
        raise VisionError(
            "vision_not_finite",
            "The model answers with what is no number.",
            "Make it again, or check what is done to pictures before it sees them.",
        )
    shares = probabilities(scores)
    order = np.argsort(-shares, kind="stable")[:n_labels]
    return tuple(
        Label(
            number=int(number),
            name=names[number] if names else "",
            confidence=float(shares[number]),
        )
        for number in order
    )


def probabilities(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the softmax of scores, (n,); scores that are probabilities as they are.

    Some classifiers end in a softmax, and of two of them all classes seem as likely.
    """
    if scores.min() >= 0 and abs(scores.sum() - 1) < _NEAR_ONE:
        return scores
    powers = np.exp(scores - scores.max())
    found: npt.NDArray[np.float64] = powers / powers.sum()
    return found


def _scores(outputs: Sequence[Output]) -> npt.NDArray[np.float64] | None:
    """Returns a number for each class, (n,); None where the model is no classifier."""
    if len(outputs) != 1:
        return None
    values = outputs[0].values
    if values.ndim != 2 or values.shape[0] != 1 or values.shape[1] < 2:
        return None
    if not np.issubdtype(values.dtype, np.floating):
        return None
    found: npt.NDArray[np.float64] = values[0].astype(np.float64)
    return found
