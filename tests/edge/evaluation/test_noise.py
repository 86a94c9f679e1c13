"""Speech in noise, against the published formula written out the slow way."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio import Samples
from edge.evaluation.items import EvalError
from edge.evaluation.noise import Noise, load_noise, load_sound, max_frame_energy
from tests.edge.evaluation.conftest import tone


def random(n: int, *, seed: int = 0, loudness: float = 0.1) -> Samples:
    chance = np.random.default_rng(seed)
    return chance.normal(0, loudness, n).astype(np.float32)


def slow_energy(samples: Samples) -> float:
    best = 0.0
    for start in range(0, len(samples) - 2047, 2048):
        best = max(best, sum(float(x) ** 2 for x in samples[start : start + 2048]))
    return best


def slow_mix(speech: Samples, piece: Samples, snr_db: int) -> list[float]:
    scale = math.sqrt(slow_energy(speech) / (slow_energy(piece) * 10 ** (snr_db / 10)))
    both = [float(s) + scale * float(n) for s, n in zip(speech, piece, strict=True)]
    peak = max(abs(x) for x in both)
    return [x / (2 * peak) for x in both]


@pytest.mark.parametrize("snr_db", [24, 6, 0, -3])
@pytest.mark.parametrize("n_noise", [9000, 7000, 2500])
def test_the_mix_is_the_published_one(snr_db: int, n_noise: int) -> None:
    speech, samples = random(7000, seed=1), random(n_noise, seed=2)
    speech[3000:5000] *= 5

    mixed = Noise(samples=samples, seed=3).mixed(speech, snr_db=snr_db, name="a")

    # One of the pieces that could have been drawn gives exactly this.
    tiled = np.tile(samples, 4)
    starts = range(n_noise - 7000 + 1 if n_noise >= 7000 else n_noise)

    def off(start: int) -> float:
        mix = _fast_mix(speech, tiled[start : start + 7000], snr_db)
        return float(np.abs(mix - mixed).max())

    best = min(starts, key=off)
    slow = slow_mix(speech, tiled[best : best + 7000], snr_db)
    np.testing.assert_allclose(mixed, slow, atol=1e-6)
    assert np.abs(mixed).max() == pytest.approx(0.5)
    assert mixed.dtype == np.float32


def _fast_mix(speech: Samples, piece: Samples, snr_db: int) -> Samples:
    scale = math.sqrt(
        max_frame_energy(speech) / (max_frame_energy(piece) * 10 ** (snr_db / 10))
    )
    both = speech + scale * piece.astype(np.float64)
    mixed: Samples = both / (2 * np.abs(both).max())
    return mixed


@pytest.mark.parametrize("n", [2048, 2049, 4096, 6000])
def test_the_energy_of_the_loudest_frame(n: int) -> None:
    samples = random(n, seed=n)
    samples[-1] = 100.0 if n % 2048 else samples[-1]  # in no whole frame

    assert max_frame_energy(samples) == pytest.approx(slow_energy(samples))


def test_less_than_a_frame_counts_whole() -> None:
    assert max_frame_energy(np.full(100, 0.5, np.float32)) == pytest.approx(25)


def test_the_piece_depends_on_seed_level_and_name_alone() -> None:
    samples, speech = random(20_000), tone(0.3)

    def mixed(*, seed: int = 0, snr_db: int = 6, name: str = "a") -> bytes:
        noise = Noise(samples=samples, seed=seed)
        return noise.mixed(speech, snr_db=snr_db, name=name).tobytes()

    assert mixed() == mixed()
    assert len({mixed(), mixed(seed=1), mixed(snr_db=9), mixed(name="b")}) == 4


def test_silence_stays_finite() -> None:
    noise, nothing = Noise(samples=random(5000), seed=0), np.zeros(3000, np.float32)

    assert not noise.mixed(nothing, snr_db=6, name="a").any()
    quiet = Noise(samples=np.zeros(5000, np.float32), seed=0)
    assert np.isfinite(quiet.mixed(tone(0.2), snr_db=6, name="a")).all()


def test_any_file_becomes_the_chains_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full((44_100, 2), 0.25), 44_100)
    samples = load_sound(tmp_path / "a.wav")

    assert samples.dtype == np.float32
    assert samples.shape == (16_000,)


def test_noise_that_is_none(tmp_path: Path) -> None:
    for name, n in (("empty.wav", 0), ("silent.wav", 3000)):
        soundfile.write(tmp_path / name, np.zeros(n), 16_000)
        with pytest.raises(EvalError) as caught:
            load_noise(tmp_path / name, seed=0)
        assert name in caught.value.message
