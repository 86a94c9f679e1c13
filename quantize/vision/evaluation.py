"""What a network says in eight bits, beside what it says in float.

A network with one output of some classes is judged by what it says, any other by its
numbers. Intervals are bootstrapped by photograph: crops of one are no independent news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx
from numpy.lib.stride_tricks import sliding_window_view

from quantize.artifact import Finding, Sample
from quantize.child import Tell
from quantize.intervals import interval
from quantize.onnx_session import Array, open_session, run

Numbers = npt.NDArray[np.float64]
SURE = 0.2
"""By how much the first of two probabilities has to lead, for a choice to be sure."""
_LEAST_NOISE = 1e-20
_N_TOP = 5
_WINDOW = 7
_N_SAMPLES = 12


@dataclass(frozen=True, eq=False)
class Said:
    """The outputs of a network for some pictures."""

    outputs: Sequence[Sequence[Array]]
    """By picture, by output."""

    @property
    def is_classes(self) -> bool:
        """Whether it is one output with a number for each class."""
        first = self.outputs[0]
        return len(first) == 1 and first[0].ndim == 2 and first[0].shape[1] > 1

    @cached_property
    def is_text(self) -> bool:
        """Whether it is one output with the probability of each class, step by step."""
        first = self.outputs[0]
        if len(first) != 1 or first[0].ndim != 3 or first[0].shape[2] < 2:
            return False
        return _are_certain(first[0])

    @property
    def is_choice(self) -> bool:
        """Whether something is chosen, and not measured."""
        return self.is_classes or self.is_text

    @cached_property
    def logits(self) -> Numbers:
        """Of each class, (pictures, classes)."""
        return np.concatenate([one[0] for one in self.outputs]).astype(np.float64)

    @cached_property
    def chosen(self) -> list[tuple[int, ...]]:
        """The class of each picture; of text, the classes as CTC reads them.

        What is chosen at several steps in a row counts once, and class 0 is none.
        """
        if self.is_classes:
            return [(int(one),) for one in self.logits.argmax(axis=1)]
        return [as_ctc(steps[0]) for (steps,) in self.outputs]

    @cached_property
    def lead(self) -> Numbers:
        """By how much the first probability leads the second, (pictures,).

        Of text, at the step where it leads least.
        """
        if not self.is_classes:
            return np.array([_lead(one[0][0]).min() for one in self.outputs])
        logits = self.logits
        if not _are_certain(logits):
            logits = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits = logits / logits.sum(axis=1, keepdims=True)
        return _lead(logits)

    def same(self, other: Said) -> npt.NDArray[np.bool_]:
        """Returns whether another chooses the same, (pictures,)."""
        pairs = zip(self.chosen, other.chosen, strict=True)
        return np.array([ours == theirs for ours, theirs in pairs])


def as_ctc(steps: Array) -> tuple[int, ...]:
    """Returns the classes that CTC reads: repeated ones once, class 0 for none.

    Args:
        steps: (steps, classes)
    """
    path = steps.argmax(axis=-1)
    is_new = np.append(True, path[1:] != path[:-1])
    return tuple(map(int, path[is_new & (path != 0)]))


def _are_certain(rows: Array) -> bool:
    """Whether numbers are probabilities."""
    is_whole = np.allclose(rows.sum(axis=-1), 1, atol=1e-3)
    return bool(rows.min() >= 0 and is_whole)


def _lead(rows: Array) -> Numbers:
    """Returns (rows,) by how much the largest number leads the next."""
    first = np.partition(rows, -2, axis=-1)[..., -2:].astype(np.float64)
    found: Numbers = first[..., 1] - first[..., 0]
    return found


def say(
    model: onnx.ModelProto,
    name: str,
    pictures: Sequence[Array],
    *,
    threads: int,
    tell: Tell,
    is_exact: bool = False,
) -> Said:
    """Returns what a network says of pictures, one by one.

    Args:
        model: Of float, or with scales.
        name: Of its input.
        pictures: As it is given them.
        threads: How many work.
        tell: Told how many are done.
        is_exact: Whether eight bits are computed as their definition says, and not with
            this processor's own products: those of some saturate.
    """
    session = open_session(
        model.SerializeToString(deterministic=True),
        threads=threads,
        is_optimised=not is_exact,
    )
    outputs = []
    for n, picture in enumerate(pictures):
        tell(n, len(pictures))
        outputs.append(run(session, {name: picture}))
    return Said(outputs)


def noise_db(reference: Said, other: Said) -> float:
    """Returns the signal by the noise of all outputs, in dB.

    10 log10(sum y^2 / sum (y - q)^2), summed over pictures; the worst output counts.
    """
    worst = np.inf
    for at in range(len(reference.outputs[0])):
        signal, noise = _energies(reference, other, at)
        ratio = signal.sum() / max(noise.sum(), _LEAST_NOISE)
        # What is no number is all noise, and would win no comparison by itself.
        ratio = ratio if np.isfinite(ratio) else 0.0
        worst = min(worst, float(10 * np.log10(max(ratio, _LEAST_NOISE))))
    return worst


def findings(reference: Said, other: Said, sources: Sequence[str]) -> list[Finding]:
    """Returns every figure of a network beside its reference.

    Args:
        reference: Float.
        other: The same pictures.
        sources: The photograph of each picture.
    """
    noise = Finding(
        name="sqnr",
        value=round(noise_db(reference, other), 2),
        unit="dB",
        n=len(sources),
        told="signal by quantization noise, of the worst output",
    )
    if reference.is_choice:
        return [*_classes(reference, other, sources), noise]
    return [noise, *_numbers(reference, other)]


def agreement(reference: Said, other: Said, lead: float) -> float:
    """Returns how often the same is chosen where float leads by so much."""
    is_sure = reference.lead >= lead
    same = reference.same(other)
    return float(same[is_sure].mean()) if is_sure.any() else 1.0


def samples(reference: Said, other: Said, sources: Sequence[str]) -> list[Sample]:
    """Returns what both choose, those first where they differ."""
    if not reference.is_choice:
        return []
    differs = ~reference.same(other)
    order = np.argsort(~differs, kind="stable")[:_N_SAMPLES]
    found = []
    for at in order:
        said, now = _told(reference, at), _told(other, at)
        found.append(
            Sample(
                input=f"{sources[at]}, picture {at}",
                reference=said,
                quantized=now if differs[at] else said,
            )
        )
    return found


def _told(said: Said, at: int) -> str:
    classes = " ".join(map(str, said.chosen[at])) or "nothing"
    return f"class {classes} (leads by {said.lead[at]:.2f})"


def _classes(reference: Said, other: Said, sources: Sequence[str]) -> list[Finding]:
    what = "class" if reference.is_classes else "text"
    same = reference.same(other).astype(np.float64)
    is_sure = reference.lead >= SURE
    rows = [
        (
            "agreement",
            same,
            is_sure,
            f"the same {what}, where float leads by {SURE} or more",
        ),
        ("agreement_all", same, np.ones_like(is_sure), f"the same {what}, anywhere"),
    ]
    if reference.is_classes:
        top = np.argsort(-reference.logits, axis=1)[:, :_N_TOP]
        chosen = np.array(other.chosen)  # (pictures, 1)
        rows.append(
            (
                "in_top_5",
                (top == chosen).any(axis=1).astype(np.float64),
                np.ones_like(is_sure),
                "the class is one of float's first five",
            )
        )
    return [
        Finding.of(
            name,
            interval(*_by_source(values, which, sources)),
            unit="share",
            n=int(which.sum()),
            told=told,
        )
        for name, values, which, told in rows
        if which.any()
    ]


def _by_source(
    values: Numbers, which: npt.NDArray[np.bool_], sources: Sequence[str]
) -> tuple[Numbers, Numbers]:
    """Returns (photographs,) sums and counts of those that count."""
    names = np.array(sources)
    found = [
        (values[(names == name) & which].sum(), float(((names == name) & which).sum()))
        for name in dict.fromkeys(sources)
    ]
    sums, counts = zip(*found, strict=True)
    return np.array(sums), np.array(counts)


def _numbers(reference: Said, other: Said) -> list[Finding]:
    found = []
    for at, first in enumerate(reference.outputs[0]):
        apart = [
            np.abs(ours[at].astype(np.float64) - theirs[at]).mean()
            for ours, theirs in zip(reference.outputs, other.outputs, strict=True)
        ]
        found.append(
            Finding(
                name=f"error_{at}",
                value=float(np.mean(apart)),
                n=len(apart),
                told=f"mean distance of output {at}, in its own unit",
            )
        )
        if first.ndim == 4 and first.shape[1] in (1, 3):
            found += [_psnr(reference, other, at), _ssim(reference, other, at)]
    return found


def _psnr(reference: Said, other: Said, at: int) -> Finding:
    """Returns the peak by the noise of a picture: 10 log10(range^2 / mean error^2)."""
    span = max(float(np.ptp(one[at])) for one in reference.outputs)
    errors = [
        float(((ours[at].astype(np.float64) - theirs[at]) ** 2).mean())
        for ours, theirs in zip(reference.outputs, other.outputs, strict=True)
    ]
    mean = max(float(np.mean(errors)), _LEAST_NOISE)
    value = 10 * np.log10(max(span, _LEAST_NOISE) ** 2 / mean)
    return Finding(
        name=f"psnr_{at}",
        value=float(value),
        unit="dB",
        n=len(errors),
        told=f"peak by noise of output {at}, a picture",
    )


def _ssim(reference: Said, other: Said, at: int) -> Finding:
    """Returns how alike the structure of pictures is (Wang et al. 2004), from -1 to 1.

    The mean over windows of 7 pixels by 7 of (2 m n + a)(2 c + b) / ((m^2 + n^2 + a)
    (v + w + b)): means m and n, variances v and w, covariance c; a and b are (0.01 L)^2
    and (0.03 L)^2 of the range L.
    """
    span = max(float(np.ptp(one[at])) for one in reference.outputs)
    first, second = (0.01 * span) ** 2, (0.03 * span) ** 2
    found = []
    for ours, theirs in zip(reference.outputs, other.outputs, strict=True):
        x, y = ours[at][0].astype(np.float64), theirs[at][0].astype(np.float64)
        m, n = _window_means(x), _window_means(y)
        v, w = _window_means(x * x) - m * m, _window_means(y * y) - n * n
        c = _window_means(x * y) - m * n
        top = (2 * m * n + first) * (2 * c + second)
        below = (m * m + n * n + first) * (v + w + second)
        found.append(float((top / below.clip(_LEAST_NOISE)).mean()))
    return Finding(
        name=f"ssim_{at}",
        value=float(np.mean(found)),
        n=len(found),
        told=f"structural similarity of output {at}, a picture; 1 for the same",
    )


def _window_means(picture: Numbers) -> Numbers:
    """Returns means over windows of a picture, (channels, rows, columns)."""
    rows, columns = (min(_WINDOW, side) for side in picture.shape[1:])
    windows = sliding_window_view(picture, (rows, columns), axis=(1, 2))
    found: Numbers = windows.mean(axis=(-1, -2))
    return found


def _energies(reference: Said, other: Said, at: int) -> tuple[Numbers, Numbers]:
    """Returns (pictures,) the energy of an output, and of its noise."""
    signal = [
        float((one[at].astype(np.float64) ** 2).sum()) for one in reference.outputs
    ]
    noise = [
        float(((ours[at].astype(np.float64) - theirs[at]) ** 2).sum())
        for ours, theirs in zip(reference.outputs, other.outputs, strict=True)
    ]
    return np.array(signal), np.array(noise)
