"""Audio as the chain sees it: float32 mono at 16 kHz, in chunks.

Whatever comes in is converted once, here at the door: channels are averaged, and the
rate is changed by a band-limited sinc resampler that keeps its state between chunks, so
that a stream of any length sounds the same as one array would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import samplerate

from models.errors import HeadsideError

SAMPLE_RATE_HZ = 16_000
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 768_000
_LOOKAHEAD = 64
"""More than half the resampling filter, in samples of the lower rate."""

Samples = npt.NDArray[np.float32]


class AudioError(HeadsideError):
    """Sound that cannot be opened or understood."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioChunk:
    """A piece of the stream."""

    samples: Samples
    """Shape (n,), mono, 16 kHz, in [-1, 1]."""
    start_s: float
    """Audio-sample time of the first sample."""

    @property
    def seconds(self) -> float:
        """Length of the chunk in seconds."""
        return len(self.samples) / SAMPLE_RATE_HZ


def chunks_from_frames(
    frames: Iterable[Samples], *, rate_hz: int, name: str
) -> Iterator[AudioChunk]:
    """Yields the chain's chunks for blocks of frames at any rate and channel count.

    Args:
        frames: Blocks of shape (n,) or (n, channels), float32, nominally in [-1, 1].
        rate_hz: Sample rate of the blocks.
        name: Where the sound comes from, for messages.

    Raises:
        AudioError: The rate is impossible, or a sample is not a finite number.
    """
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            "audio_rate",
            f"{name} has a sample rate of {rate_hz} Hz.",
            f"Use sound between {MIN_RATE_HZ} and {MAX_RATE_HZ} Hz.",
        )
    n_sent = 0
    for samples in _resampled(_mono(frames, name=name), rate_hz=rate_hz):
        if len(samples):
            yield AudioChunk(samples=samples, start_s=n_sent / SAMPLE_RATE_HZ)
            n_sent += len(samples)


def _mono(frames: Iterable[Samples], *, name: str) -> Iterator[Samples]:
    n_seen = 0
    for block in frames:
        if not np.isfinite(block).all():
            raise AudioError(
                "audio_not_finite",
                f"{name} holds samples that are not numbers (NaN or infinite), "
                f"after frame {n_seen}.",
                "Export the sound again.",
            )
        n_seen += len(block)
        mono = block if block.ndim == 1 else block.mean(axis=1)  # (n,)
        yield np.clip(mono, -1.0, 1.0).astype(np.float32, copy=False)


def _resampled(blocks: Iterable[Samples], *, rate_hz: int) -> Iterator[Samples]:
    if rate_hz == SAMPLE_RATE_HZ:
        yield from blocks
        return
    resampler = samplerate.Resampler("sinc_medium", channels=1)
    ratio = SAMPLE_RATE_HZ / rate_hz
    n_in = n_out = 0
    for block in blocks:
        samples = resampler.process(block, ratio)
        n_in += len(block)
        n_out += len(samples)
        # Sinc interpolation overshoots by a little at full scale.
        yield np.clip(samples, -1.0, 1.0)
    # The filter looks ahead, so that silence has to push the last sound out of it.
    silence = np.zeros(math.ceil(_LOOKAHEAD * max(1.0, 1 / ratio)), np.float32)
    rest = resampler.process(silence, ratio, end_of_input=True)
    yield np.clip(rest[: max(0, round(n_in * ratio) - n_out)], -1.0, 1.0)
