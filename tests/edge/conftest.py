"""Real models, loaded once and shared; and tiny ones, made up on the spot."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pytest

from models.pack import PackModels
from models.store import State, Store

if TYPE_CHECKING:
    from edge.backends.llama import Llama
    from edge.backends.silero import Silero
    from edge.backends.whisper import Whisper

# Before any engine is loaded: where cores are taken, threads that spin cost seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

DEFAULT = PackModels()
RECORDINGS = "speech-pocketsphinx"


@pytest.fixture(scope="session")
def store() -> Store:
    """The user's own, with the default models and the recordings in it."""
    store = Store.default()
    chosen = (DEFAULT.vad, DEFAULT.asr, DEFAULT.llm, DEFAULT.pronunciations)
    names = (*chosen, RECORDINGS)
    missing = [name for name in names if store.state(name) is not State.READY]
    if missing:
        from models.fetch import fetch

        fetch(store, *missing)
    return store


@pytest.fixture(scope="session")
def recordings(store: Store) -> Path:
    """People speaking, with what they say."""
    return store.path(RECORDINGS)


@pytest.fixture(scope="session")
def silero_file(store: Store) -> Path:
    """The voice detector's ONNX file."""
    (path,) = store.path(DEFAULT.vad).glob("*.onnx")
    return path


@pytest.fixture(scope="session")
def llama_file(store: Store) -> Path:
    """The language model's GGUF file."""
    (path,) = store.path(DEFAULT.llm).glob("*.gguf")
    return path


@pytest.fixture(scope="session")
def silero(silero_file: Path) -> Silero:
    """The voice detector; it keeps state, so reset it."""
    from edge.backends.silero import Silero

    return Silero(silero_file)


@pytest.fixture(scope="session")
def whisper(store: Store) -> Iterator[Whisper]:
    """The recogniser."""
    from edge.backends.whisper import Whisper

    whisper = Whisper(store.path(DEFAULT.asr), threads=1)
    yield whisper
    whisper.close()


@pytest.fixture(scope="session")
def llama(llama_file: Path) -> Iterator[Llama]:
    """The language model, on one thread, which neighbours disturb the least."""
    from edge.backends.llama import Llama

    llama = Llama(llama_file, threads=1)
    yield llama
    llama.close()


N_DIMENSIONS = 32
ORDINARY, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
"""Kinds of token, as GGUF numbers them."""
TOKENS: Mapping[str, int] = {
    "<unk>": UNKNOWN,
    "<s>": CONTROL,
    "</s>": CONTROL,
    "\u2581": ORDINARY,
    **{f"<0x{byte:02X}>": BYTE for byte in range(256)},
}
"""Every text can be written with these."""

Tensor = npt.NDArray[np.float32]
Value = str | int | float | list[str] | list[int] | list[float]


@dataclass(frozen=True, kw_only=True)
class TinyModels:
    """Writes GGUF files of a few kilobytes, whose weights are noise."""

    folder: Path
    tokens: Mapping[str, int] = field(default_factory=lambda: TOKENS)
    template: str = ""
    """For chats; none where empty."""
    loudness: float = 1.0
    """Of the noise."""

    def llama(self) -> Path:
        """Returns a transformer of one layer."""
        square = (N_DIMENSIONS, N_DIMENSIONS)
        attention = ("attn_q", "attn_k", "attn_v", "attn_output")
        feed_forward = ("ffn_gate", "ffn_up", "ffn_down")
        return self._write(
            "llama",
            {"feed_forward_length": N_DIMENSIONS, "attention.head_count": 2},
            {
                "attn_norm.weight": (N_DIMENSIONS,),
                "ffn_norm.weight": (N_DIMENSIONS,),
                **{f"{name}.weight": square for name in (*attention, *feed_forward)},
            },
        )

    def mamba(self) -> Path:
        """Returns a recurrent model of one layer."""
        n_inner, n_state, n_rank, n_taps = 2 * N_DIMENSIONS, 8, 4, 4
        return self._write(
            "mamba",
            {
                "ssm.conv_kernel": n_taps,
                "ssm.inner_size": n_inner,
                "ssm.state_size": n_state,
                "ssm.time_step_rank": n_rank,
            },
            {
                "attn_norm.weight": (N_DIMENSIONS,),
                "ssm_in.weight": (N_DIMENSIONS, 2 * n_inner),
                "ssm_conv1d.weight": (n_taps, n_inner),
                "ssm_conv1d.bias": (n_inner,),
                "ssm_x.weight": (n_inner, n_rank + 2 * n_state),
                "ssm_dt.weight": (n_rank, n_inner),
                "ssm_dt.bias": (n_inner,),
                "ssm_a": (n_state, n_inner),
                "ssm_d": (n_inner,),
                "ssm_out.weight": (n_inner, N_DIMENSIONS),
            },
        )

    def _write(
        self,
        architecture: str,
        sizes: Mapping[str, int],
        layer: Mapping[str, Sequence[int]],
    ) -> Path:
        sizes = {
            "context_length": 512,
            "embedding_length": N_DIMENSIONS,
            "block_count": 1,
            **sizes,
        }
        about: dict[str, Value] = {
            "general.architecture": architecture,
            **{f"{architecture}.{name}": size for name, size in sizes.items()},
            f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": list(self.tokens),
            "tokenizer.ggml.scores": [0.0] * len(self.tokens),
            "tokenizer.ggml.token_type": list(self.tokens.values()),
        }
        if self.template:
            about["tokenizer.chat_template"] = self.template
        shapes = {
            "token_embd.weight": (N_DIMENSIONS, len(self.tokens)),
            "output_norm.weight": (N_DIMENSIONS,),
            "output.weight": (N_DIMENSIONS, len(self.tokens)),
            **{f"blk.0.{name}": shape for name, shape in layer.items()},
        }
        tensors = {name: self._noise(name, shape) for name, shape in shapes.items()}
        path = self.folder / f"{architecture}.gguf"
        path.write_bytes(_gguf(about, tensors))
        return path

    def _noise(self, name: str, shape: Sequence[int]) -> Tensor:
        """Returns the same noise for the same name."""
        # GGUF counts dimensions from the innermost.
        noise = np.random.default_rng(crc32(name.encode())).normal(size=shape[::-1])
        if name.endswith("ssm_a"):
            noise = -np.abs(noise) / 100  # how fast what was read fades
        return (self.loudness * noise).astype("<f4")


def _gguf(about: Mapping[str, Value], tensors: Mapping[str, Tensor]) -> bytes:
    """Returns a file in version 3 of llama.cpp's format."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(about))
    head += b"".join(_text(name) + _value(value) for name, value in about.items())
    data = b""
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", 0, len(data))  # float32, and where it begins
        data += _padded(tensor.tobytes())
    return _padded(head) + data


def _value(value: Value) -> bytes:
    match value:
        case str():
            return struct.pack("<I", 8) + _text(value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(
                _text(str(each)) for each in value
            )
        case [int(), *_]:
            return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
        case _:
            return struct.pack(f"<IIQ{len(value)}f", 9, 6, len(value), *value)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 32)


@pytest.fixture
def tiny(tmp_path: Path) -> TinyModels:
    """Models of a few kilobytes."""
    return TinyModels(folder=tmp_path)
