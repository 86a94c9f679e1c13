"""Sound files, streamed: WAV, FLAC and what else libsndfile reads, and raw PCM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import soundfile

from edge.audio import (
    SAMPLE_RATE_HZ,
    AudioChunk,
    AudioError,
    Samples,
    chunks_from_frames,
)
from edge.backends.failures import vendor_errors

_BLOCK_S = 4
_RAW_SUFFIXES = frozenset({".raw", ".pcm"})


class SoundFile:
    """A sound file as a stream of chunks.

    Files ending in ``.raw`` or ``.pcm`` have no header: they are read as 16-bit
    little-endian mono PCM at ``raw_rate_hz``.

    Raises:
        AudioError: There is no such file, or it is not sound.
    """

    def __init__(self, path: Path, *, raw_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self._path = path
        self._raw_rate_hz = raw_rate_hz
        self._sound = self._open()

    def chunks(self) -> Iterator[AudioChunk]:
        """Yields the whole file, mono at 16 kHz, four seconds at a time.

        Raises:
            AudioError: The file is damaged.
        """
        with self._sound as sound:
            yield from chunks_from_frames(
                self._blocks(sound), rate_hz=sound.samplerate, name=str(self._path)
            )

    def _blocks(self, sound: soundfile.SoundFile) -> Iterator[Samples]:
        n_block = _BLOCK_S * min(sound.samplerate, 192_000)
        while True:
            with vendor_errors(
                AudioError,
                "audio_damaged",
                f"{self._path} is damaged.",
                "Export it again.",
            ):
                block: Samples = sound.read(n_block, dtype="float32")
            if not len(block):
                return
            yield block

    def _open(self) -> soundfile.SoundFile:
        path = self._path
        if path.is_dir():
            raise AudioError(
                "audio_folder",
                f"{path} is a folder, not a sound file.",
                "Name one file.",
            )
        if not path.exists():
            raise AudioError(
                "audio_missing", f"There is no file {path}.", "Check the path."
            )
        with vendor_errors(
            AudioError,
            "audio_format",
            f"{path} is not a sound file that can be read.",
            "Use WAV, FLAC or raw 16-bit PCM (.raw).",
        ):
            if path.suffix.lower() in _RAW_SUFFIXES:
                return soundfile.SoundFile(
                    path,
                    format="RAW",
                    subtype="PCM_16",
                    endian="LITTLE",
                    samplerate=self._raw_rate_hz,
                    channels=1,
                )
            return soundfile.SoundFile(path)
