"""The composition root: names become objects, models are loaded, a pack comes alive."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge.asr import Recogniser
from edge.audio import SAMPLE_RATE_HZ, AudioChunk
from edge.dialogue import Conversation, ReplyGuard
from edge.grammar import claimed
from edge.intent import Tier
from edge.kept import KeptFiles
from edge.lexicon import build_lexicon, default_scene
from edge.llm.model import LanguageModel
from edge.llm.output import build_choices
from edge.pipeline import Runtime, endpointing_of
from edge.probe import require_usable
from edge.vad import SpeechDetector
from models.device import DeviceProfile, device_profile
from models.errors import HeadsideError, ModelError
from models.pack import Pack
from models.store import Store, cache_root

_WAV = "edge.backends.wav:SoundFile"
_MICROPHONE = "edge.backends.microphone:Microphone"
_MICROPHONE_HINT = (
    "Install the extra headside[mic] and the system's PortAudio (libportaudio2)."
)
ECHO = "echo"
"""Name of the stand-in for any model."""

_BACKENDS = {
    "vad": {
        "silero": "edge.backends.silero:Silero",
        ECHO: "edge.backends.echo:EchoDetector",
    },
    "asr": {
        "whisper": "edge.backends.whisper:Whisper",
        ECHO: "edge.backends.echo:EchoRecogniser",
    },
    "llm": {"llama": "edge.backends.llama:Llama", ECHO: "edge.backends.echo:EchoModel"},
}


class BuildError(HeadsideError):
    """The parts of a runtime do not go together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """What to run a pack with, where it differs from what the pack says."""

    device: str = "desktop"
    threads: int | None = None
    """For each engine; the device's number where None."""
    tiers: tuple[Tier, ...] | None = None
    character: str | None = None
    vad: str | None = None
    """Store name, path of an ONNX file, or ``echo``."""
    asr: str | None = None
    """Store name, or ``echo``."""
    llm: str | None = None
    """Store name, path of a GGUF file, or ``echo``."""
    prepare: bool = False
    """Whether the model reads the beginning of its prompts at once, for a service; it
    is read from disk where an earlier start did."""


def build_runtime(pack: Pack, store: Store, options: RuntimeOptions) -> Runtime:
    """Returns a pack with its models loaded, ready to listen.

    Raises:
        HeadsideError: A model is missing or cannot be loaded, or a name is unknown.
    """
    profile = device_profile(options.device)
    threads = options.threads or _threads(profile)
    tiers = frozenset(options.tiers or map(Tier, pack.tiers))
    character = pack.character(options.character)
    vad = options.vad or pack.models.vad
    asr = options.asr or pack.models.asr
    llm = options.llm or pack.models.llm
    with ThreadPoolExecutor(max_workers=3) as loading:
        recogniser = loading.submit(_load_asr, asr, store, threads)
        model = loading.submit(_load_llm, llm, store, threads, profile)
        detector = loading.submit(_load_vad, vad, store)
        # Meanwhile, since the engines load outside Python.
        scene = default_scene(pack)
        lexicon = build_lexicon(pack, scene)
        choices = build_choices(lexicon.schema(), actions=lexicon.actions)
    runtime = Runtime(
        pack=pack,
        lexicon=lexicon,
        detector=detector.result(),
        recogniser=recogniser.result(),
        model=model.result(),
        threads=threads,
        tiers=tiers,
        choices=choices,
        conversation=Conversation(character),
        guard=ReplyGuard(claims=partial(claimed, lexicon), neutral=character.fallback),
        scene=scene,
        endpointing=endpointing_of(pack),
    )
    if options.prepare:
        runtime.prepare()
    _give_back_memory()
    return runtime


def open_sound(
    path: Path, *, raw_rate_hz: int = SAMPLE_RATE_HZ
) -> Iterator[AudioChunk]:
    """Returns a sound file as a stream of chunks.

    Raises:
        AudioError: There is no such file, or it is not sound.
    """
    chunks: Iterator[AudioChunk] = _load(_WAV)(path, raw_rate_hz=raw_rate_hz).chunks()
    return chunks


def open_microphone() -> Iterator[AudioChunk]:
    """Returns what the default microphone hears, without an end.

    Raises:
        AudioError: There is no microphone.
    """
    chunks: Iterator[AudioChunk] = _load(_MICROPHONE, _MICROPHONE_HINT)().chunks()
    return chunks


def microphone_name() -> str:
    """Returns the name of the default microphone.

    Raises:
        AudioError: There is none, or no library to reach it.
    """
    name: str = _load(_MICROPHONE, _MICROPHONE_HINT)().name
    return name


def _threads(profile: DeviceProfile) -> int:
    wanted = profile.n_inference_threads.value
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return max(1, min(wanted or 2, here or os.cpu_count() or 1))


def _load_vad(name: str, store: Store) -> SpeechDetector:
    if name == ECHO:
        detector: SpeechDetector = _backend("vad", ECHO)()
    else:
        detector = _backend("vad", "silero")(_model_file(name, ".onnx", store))
    return detector


def _load_asr(name: str, store: Store, threads: int) -> Recogniser:
    if name == ECHO:
        recogniser: Recogniser = _backend("asr", ECHO)()
    else:
        recogniser = _backend("asr", "whisper")(store.path(name), threads=threads)
    return recogniser


def _load_llm(
    name: str, store: Store, threads: int, profile: DeviceProfile
) -> LanguageModel:
    if name == ECHO:
        model: LanguageModel = _backend("llm", ECHO)()
    else:
        path = _model_file(name, ".gguf", store)
        model = _backend("llm", "llama")(
            path,
            threads=threads,
            kv_bits=profile.kv_bits.value or 16,
            kept=_kept_files(),
        )
    return model


def _give_back_memory() -> None:
    """Gives the system what loading left over; the allocator would hold on to it."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _kept_files() -> KeptFiles | None:
    """Returns where states are kept; None where the disk lets nobody keep anything."""
    try:
        return KeptFiles(cache_root() / "kept")
    except (OSError, ModelError):
        return None


def _model_file(name: str, suffix: str, store: Store) -> Path:
    """Returns a model's one file: of the store, or the user's own once it was tried."""
    if name.endswith(suffix):
        require_usable(Path(name))
        return Path(name)
    files = sorted(store.path(name).glob(f"*{suffix}"))
    if len(files) != 1:
        raise BuildError(
            "model_format",
            f"The model {name} is not a single {suffix} file.",
            "Name a model of another format.",
        )
    return files[0]


def _backend(role: str, name: str) -> Callable[..., Any]:
    return _load(_BACKENDS[role][name])


def _load(
    target: str, hint: str = "Run `headside doctor` to see what is missing."
) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    try:
        factory: Callable[..., Any] = getattr(
            importlib.import_module(module), attribute
        )
    except (ImportError, OSError) as cause:
        raise BuildError(
            "engine_missing", f"An engine cannot be loaded: {cause}.", hint
        ) from cause
    return factory
