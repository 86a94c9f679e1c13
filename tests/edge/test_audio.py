"""Whatever comes in sounds the same inside: mono, 16 kHz, no matter how it is cut."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.audio import (
    MAX_RATE_HZ,
    MIN_RATE_HZ,
    SAMPLE_RATE_HZ,
    AudioError,
    Samples,
    chunks_from_frames,
)
from edge.build import open_sound

USUAL_RATES_HZ = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]


def tone(
    frequency_hz: float, *, rate_hz: int, seconds: float = 1.0, amplitude: float = 0.5
) -> Samples:
    """Returns a sine, shape (n,)."""
    times_s = np.arange(round(rate_hz * seconds)) / rate_hz
    wave: Samples = (amplitude * np.sin(2 * np.pi * frequency_hz * times_s)).astype(
        np.float32
    )
    return wave


def heard(blocks: Iterable[Samples], *, rate_hz: int) -> Samples:
    """Returns the whole stream as one array, shape (n,)."""
    chunks = chunks_from_frames(blocks, rate_hz=rate_hz, name="A sound")
    return np.concatenate([np.zeros(0, np.float32), *(c.samples for c in chunks)])


def away_from_ends(samples: Samples) -> Samples:
    """Returns the sound without the clicks by which a bare tone begins and ends."""
    return samples[1600:-1600]


def loudness(samples: Samples) -> float:
    """Returns the root mean square."""
    return float(np.sqrt(np.square(samples).mean()))


@pytest.mark.parametrize("rate_hz", [MIN_RATE_HZ, *USUAL_RATES_HZ, MAX_RATE_HZ])
def test_a_tone_is_the_same_tone_from_any_rate(rate_hz: int) -> None:
    samples = heard([tone(440, rate_hz=rate_hz)], rate_hz=rate_hz)

    expected = tone(440, rate_hz=SAMPLE_RATE_HZ)
    assert samples.dtype == np.float32
    assert len(samples) == len(expected)
    # Sample by sample: the same pitch, the same loudness and no delay.
    np.testing.assert_allclose(
        away_from_ends(samples), away_from_ends(expected), atol=1e-4
    )


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 96_000])
def test_a_sound_is_heard_to_its_end(rate_hz: int) -> None:
    silence = np.zeros(rate_hz, np.float32)
    silence[-rate_hz // 100 :] = 0.5  # the last 10 ms

    samples = heard([silence], rate_hz=rate_hz)

    assert len(samples) == SAMPLE_RATE_HZ
    assert loudness(samples[-160:]) == pytest.approx(0.5, rel=0.1)


def test_what_16_khz_cannot_hold_is_gone() -> None:
    samples = heard([tone(12_000, rate_hz=48_000)], rate_hz=48_000)

    # Were it folded back, it would be a tone of 4 kHz, as loud as before.
    assert loudness(away_from_ends(samples)) < 1e-4


def test_speech_frequencies_pass() -> None:
    for frequency_hz in (100, 1_000, 4_000, 6_000):
        samples = heard([tone(frequency_hz, rate_hz=48_000)], rate_hz=48_000)
        expected = loudness(tone(frequency_hz, rate_hz=SAMPLE_RATE_HZ))
        assert loudness(away_from_ends(samples)) == pytest.approx(expected, rel=0.02)


@settings(deadline=None, max_examples=30)
@given(
    rate_hz=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    cuts=st.lists(st.integers(0, 8_000), max_size=30),
)
def test_it_does_not_matter_how_a_stream_is_cut(rate_hz: int, cuts: list[int]) -> None:
    noise = np.random.default_rng(7).normal(0, 0.2, 8_000).astype(np.float32)

    whole = heard([noise], rate_hz=rate_hz)
    pieces = heard(np.split(noise, sorted(cuts)), rate_hz=rate_hz)

    assert len(pieces) == len(whole)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_time_runs_on_from_chunk_to_chunk() -> None:
    blocks = [tone(440, rate_hz=44_100, seconds=s) for s in (0.3, 0.013, 1.1)]

    chunks = list(chunks_from_frames(blocks, rate_hz=44_100, name="A sound"))

    assert chunks[0].start_s == 0
    for before, after in pairwise(chunks):
        assert after.start_s == pytest.approx(before.start_s + before.seconds)
    assert chunks[-1].start_s + chunks[-1].seconds == pytest.approx(1.413, abs=1e-3)


def test_channels_are_averaged() -> None:
    left = tone(440, rate_hz=SAMPLE_RATE_HZ)
    stereo = np.stack([left, np.zeros_like(left)], axis=1)

    np.testing.assert_allclose(
        heard([stereo], rate_hz=SAMPLE_RATE_HZ), left / 2, atol=1e-6
    )


def test_what_is_too_loud_is_clipped() -> None:
    for rate_hz in (SAMPLE_RATE_HZ, 48_000):
        samples = heard([tone(440, rate_hz=rate_hz, amplitude=9)], rate_hz=rate_hz)
        assert np.abs(samples).max() == 1


@pytest.mark.parametrize("blocks", [[], [np.zeros(0, np.float32)]])
def test_no_sound_is_no_chunk(blocks: list[Samples]) -> None:
    for rate_hz in (SAMPLE_RATE_HZ, 44_100):
        assert not list(chunks_from_frames(blocks, rate_hz=rate_hz, name="A sound"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_an_error_that_says_where(bad: float) -> None:
    blocks = [tone(440, rate_hz=48_000), np.full((10, 2), bad, np.float32)]
    chunks = chunks_from_frames(blocks, rate_hz=48_000, name="take_two.wav")

    with pytest.raises(AudioError) as caught:
        list(chunks)

    assert caught.value.code == "audio_not_finite"
    assert "take_two.wav" in caught.value.message
    assert "48000" in caught.value.message


@pytest.mark.parametrize("rate_hz", [0, -8_000, 1, 3_999, 768_001, 2**31])
def test_an_absurd_rate_is_an_error(rate_hz: int) -> None:
    with pytest.raises(AudioError) as caught:
        heard([np.zeros(10, np.float32)], rate_hz=rate_hz)

    assert caught.value.code == "audio_rate"
    assert str(rate_hz) in caught.value.message


@pytest.mark.parametrize("rate_hz", USUAL_RATES_HZ)
@pytest.mark.parametrize(
    ("subtype", "container"),
    [
        ("PCM_U8", "WAV"),
        ("PCM_16", "WAV"),
        ("PCM_24", "WAV"),
        ("PCM_32", "WAV"),
        ("FLOAT", "WAV"),
        ("DOUBLE", "WAV"),
        ("PCM_16", "FLAC"),
        ("PCM_24", "FLAC"),
    ],
)
def test_files_of_every_usual_form_sound_the_same(
    tmp_path: Path, rate_hz: int, subtype: str, container: str
) -> None:
    expected = tone(440, rate_hz=SAMPLE_RATE_HZ)
    for n_channels in (1, 2, 6):
        path = tmp_path / f"tone{n_channels}.{container.lower()}"
        frames = np.repeat(tone(440, rate_hz=rate_hz)[:, None], n_channels, axis=1)
        soundfile.write(path, frames, rate_hz, format=container, subtype=subtype)

        samples = np.concatenate([chunk.samples for chunk in open_sound(path)])

        assert len(samples) == len(expected)
        # With eight bits, a step is 1/128.
        np.testing.assert_allclose(
            away_from_ends(samples), away_from_ends(expected), atol=2 / 128
        )


def test_raw_samples_have_the_rate_they_are_said_to_have(tmp_path: Path) -> None:
    path = tmp_path / "tone.raw"
    wave = tone(440, rate_hz=8_000) * 32_767
    path.write_bytes(wave.astype("<i2").tobytes())

    samples = np.concatenate(
        [chunk.samples for chunk in open_sound(path, raw_rate_hz=8_000)]
    )

    np.testing.assert_allclose(
        away_from_ends(samples),
        away_from_ends(tone(440, rate_hz=SAMPLE_RATE_HZ)),
        atol=1e-3,
    )


def test_a_long_file_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(60 * 8_000, np.int16), 8_000)

    chunks = list(open_sound(path))

    assert max(chunk.seconds for chunk in chunks) < 5
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(60)
