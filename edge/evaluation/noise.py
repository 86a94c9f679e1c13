"""Speech in noise, mixed as the public speech-to-intent benchmark mixes it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.audio import Samples
from edge.build import open_sound
from edge.evaluation.items import EvalError, sound_sha256

FRAME_SAMPLES = 2048
MIN_SNR_DB, MAX_SNR_DB = -100, 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noise:
    """A recording of noise, and how its pieces are drawn."""

    samples: Samples
    """Shape (n,), mono, 16 kHz."""
    seed: int
    """Not negative."""
    sha256: str = ""
    """Of the file."""

    def mixed(self, speech: Samples, *, snr_db: int, name: str) -> Samples:
        """Returns speech with a piece of the noise, at half of full scale at its peak.

        The noise is scaled by ``sqrt(E_speech / (E_noise * 10^(snr / 10)))``, where E
        is the most energy in a frame of 2048 samples, of the piece that is mixed in.
        Which piece that is depends on the seed, the SNR and the name alone.

        Args:
            speech: Shape (n,).
            snr_db: From -100 to 100.
            name: Of the recording.

        Returns:
            Shape (n,), float32.
        """
        piece = self._piece(len(speech), snr_db=snr_db, name=name)  # (n,)
        noise_energy = max_frame_energy(piece)
        scale = 0.0
        if noise_energy > 0:
            wanted = noise_energy * 10 ** (snr_db / 10)
            scale = math.sqrt(max_frame_energy(speech) / wanted)
        both = speech.astype(np.float64) + scale * piece
        peak = float(np.abs(both).max(initial=0.0))
        mixed: Samples = (both / (2 * peak) if peak else both).astype(np.float32)
        return mixed

    def _piece(self, n: int, *, snr_db: int, name: str) -> Samples:
        name_hash = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        chance = np.random.default_rng((self.seed, snr_db - MIN_SNR_DB, name_hash))
        n_noise = len(self.samples)
        if n_noise >= n:
            start = int(chance.integers(n_noise - n + 1))
            return self.samples[start : start + n]
        start = int(chance.integers(n_noise))
        return np.take(self.samples, range(start, start + n), mode="wrap")


def max_frame_energy(samples: Samples) -> float:
    """Returns the most energy (sum of squares) in a frame of 2048 samples.

    A rest that fills no frame does not count, unless it is all there is.
    """
    n_frames = len(samples) // FRAME_SAMPLES
    squares = np.square(samples, dtype=np.float64)
    if n_frames == 0:
        return float(squares.sum())
    frames = squares[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
    return float(frames.sum(axis=1).max())


def load_sound(path: Path) -> Samples:
    """Returns a sound file as one array, mono, 16 kHz, float32.

    Raises:
        AudioError: There is no such file, or it is not sound.
        EvalError: ``eval_no_sound``: it is empty.
    """
    pieces = [chunk.samples for chunk in open_sound(path)]
    if not pieces:
        raise EvalError(
            "eval_no_sound", f"{path} holds no sound.", "Record it again, or drop it."
        )
    return np.concatenate(pieces)


def load_noise(path: Path, *, seed: int) -> Noise:
    """Returns the noise of a sound file.

    Raises:
        AudioError: There is no such file, or it is not sound.
        EvalError: It is empty or silent.
    """
    samples = load_sound(path)
    if not samples.any():
        raise EvalError(
            "eval_no_sound", f"{path} is silent.", "Name a recording of noise."
        )
    return Noise(samples=samples, seed=seed, sha256=sound_sha256(path))
