"""A tiny Whisper that always says the same, and recordings to say it of.

Its layers add nothing: what a position holds is what comes out there. So it is a whole
model for all that converts, writes, opens and runs it, and takes a moment.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from quantize.asr.conversion import convert
from quantize.asr.job import Request

SPEECH, RECORDINGS = "whisper-base", "speech-pocketsphinx"
WIDTH, INNER, HEADS, MELS, FRAMES, POSITIONS = 32, 64, 2, 80, 1500, 448
SAYS = ("<|0.00|>", "ĠGo", "Ġforward", "Ġten", "Ġmeters", ".", "<|2.00|>")
TEXT = "Go forward ten meters."
_WORD_FRAMES, _PERIOD = 25, 300
"""Half a second, and six, in steps of the encoder."""
_N_PROMPT = 3
"""Tokens that it is told before it says anything."""

Floats = npt.NDArray[np.float32]


def tiny_weights(tokens: list[str]) -> dict[str, Floats]:
    """A Whisper of one layer that says `SAYS`, whatever it hears."""
    random = np.random.default_rng(11)

    def noise(*shape: int) -> Floats:
        return random.standard_normal(shape, np.float32) / np.float32(WIDTH)

    def zeros(*shape: int) -> Floats:
        return np.zeros(shape, np.float32)

    found: dict[str, Floats] = {
        "model.encoder.conv1.weight": noise(WIDTH, MELS, 3),
        "model.encoder.conv1.bias": zeros(WIDTH),
        "model.encoder.conv2.weight": noise(WIDTH, WIDTH, 3),
        "model.encoder.conv2.bias": zeros(WIDTH),
        "model.encoder.embed_positions.weight": noise(FRAMES, WIDTH),
    }
    for side, modules in (
        ("encoder", ("self_attn",)),
        ("decoder", ("self_attn", "encoder_attn")),
    ):
        layer = f"model.{side}.layers.0"
        for module in modules:
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                found[f"{layer}.{module}.{name}.weight"] = zeros(WIDTH, WIDTH)
                if name != "k_proj":
                    found[f"{layer}.{module}.{name}.bias"] = zeros(WIDTH)
        found |= {
            f"{layer}.fc1.weight": noise(INNER, WIDTH),
            f"{layer}.fc1.bias": zeros(INNER),
            f"{layer}.fc2.weight": zeros(WIDTH, INNER),
            f"{layer}.fc2.bias": zeros(WIDTH),
        }
        norms = [f"{layer}.{module}_layer_norm" for module in modules]
        norms += [f"{layer}.final_layer_norm", f"model.{side}.layer_norm"]
        for norm in norms:
            found[f"{norm}.weight"] = np.ones(WIDTH, np.float32)
            found[f"{norm}.bias"] = zeros(WIDTH)
    # Sure of itself: of so many words, all others together would outweigh the one.
    found["model.decoder.layer_norm.weight"] *= 12
    words = random.standard_normal((len(tokens), WIDTH), np.float32)
    words -= words.mean(axis=1, keepdims=True)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    places = np.zeros((POSITIONS, WIDTH), np.float32)
    number = {token: at for at, token in enumerate(tokens)}
    for at in range(_N_PROMPT - 1, POSITIONS):
        said = at - _N_PROMPT + 1
        token = SAYS[said] if said < len(SAYS) else "<|endoftext|>"
        places[at] = 50 * words[number[token]]
    found["model.decoder.embed_tokens.weight"] = words
    found["model.decoder.embed_positions.weight"] = places
    _follow(found, np.stack([words[number[token]] for token in SAYS]))
    return found


def _follow(found: dict[str, Floats], said: Floats) -> None:
    """Has each word attend to another half second: the first two columns turn in time.

    Args:
        found: The weights.
        said: (words, WIDTH)
    """
    turns = 2 * np.pi * np.arange(FRAMES) / _PERIOD
    around = 3 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    found["model.encoder.embed_positions.weight"][:, :2] = around
    attention = "model.decoder.layers.0.encoder_attn"
    found[f"{attention}.k_proj.weight"][[0, 1], [0, 1]] = 1
    when = turns[_WORD_FRAMES * np.arange(len(said))]
    wanted = 20 * np.stack([np.cos(when), np.sin(when)])  # (2, words)
    normed = np.sqrt(WIDTH) * said
    found[f"{attention}.q_proj.weight"][:2] = wanted @ np.linalg.pinv(normed).T


def save_tiny(folder: Path, real: Path) -> Path:
    """Writes a tiny model as transformers would, with the words of a real one."""
    from benchmarks.hf_whisper import save_settings

    tokens = json.loads((real / "vocabulary.json").read_text(encoding="utf-8"))
    folder.mkdir(parents=True)
    weights = tiny_weights(tokens)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_settings(real, folder, weights, n_heads=HEADS)
    path = folder / "generation_config.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "alignment_heads": [[0, 0]]}))
    card = "---\nlicense: mit\n---\n# A model that always says the same\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def change_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the weights of a Hugging Face folder."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


@pytest.fixture(scope="session")
def real(fetched: Callable[[str], Path]) -> Path:
    """A real Whisper."""
    return fetched(SPEECH)


@pytest.fixture(scope="session")
def tiny_hf(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny one, as Hugging Face has it; only to read."""
    return save_tiny(tmp_path_factory.mktemp("tiny") / "tiny-whisper", real)


@pytest.fixture(scope="session")
def tiny(tiny_hf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny one, as CTranslate2 has it; only to read."""
    out = tmp_path_factory.mktemp("tiny-ct2") / "tiny-whisper"
    convert(tiny_hf, [], out, lambda _done, _of: None)
    return out


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """One to harm."""
    return shutil.copytree(tiny, tmp_path / "copy")


@pytest.fixture(scope="session")
def two_sounds(
    fetched: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two real recordings, one with what is said."""
    folder = tmp_path_factory.mktemp("speech")
    shutil.copyfile(fetched(RECORDINGS) / "goforward.raw", folder / "goforward.raw")
    (folder / "goforward.txt").write_text("go forward ten meters\n", encoding="utf-8")
    samples = np.fromfile(fetched(RECORDINGS) / "something.raw", "<i2")
    soundfile.write(folder / "something.flac", samples, 16_000)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what was heard is kept."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def request_(
    tiny: Path,
    two_sounds: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Request:
    """A run of the tiny model that passes."""
    monkeypatch.setattr("quantize.kept.cache_root", lambda: cache)
    monkeypatch.setattr("quantize.asr.quantizing.cache_root", lambda: cache)
    return Request(source=tiny, out=tmp_path / "out", threads=1, evaluation=two_sounds)
