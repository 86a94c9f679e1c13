"""Engines by name: each loaded on a thread of its own, as soon as its name is known.

This module imports little, so that a service can begin to load its models before it has
read its pack: engines load outside Python, and the rest is imported meanwhile.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.kept import KeptFiles
from edge.phonetics.sounds import Sounds
from edge.probe import require_usable
from models.device import DeviceProfile, device_profile
from models.errors import HeadsideError, ModelError
from models.pack import PackModels
from models.store import State, Store, cache_root

if TYPE_CHECKING:
    from edge.asr import Recogniser
    from edge.llm.model import LanguageModel
    from edge.semantic import Encoder
    from edge.vad import SpeechDetector

_M_ARENA_MAX = -8
"""As glibc's malloc.h has it."""
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
    "encoder": {
        "minilm": "edge.backends.minilm:MiniLm",
        ECHO: "edge.backends.echo:EchoEncoder",
    },
}


class BuildError(HeadsideError):
    """The parts of a runtime do not go together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNames:
    """The models to load: names in the store, files of the user's own, or ``echo``."""

    vad: str
    asr: str
    llm: str
    encoder: str = ""
    """None where empty."""
    pronunciations: str = ""
    """Words are said as they are spelled where empty."""

    @classmethod
    def chosen(
        cls,
        models: PackModels,
        *,
        vad: str | None,
        asr: str | None,
        llm: str | None,
        encoder: str | None = "",
    ) -> EngineNames:
        """Returns what was asked for, and what the pack says where that is None.

        Whoever wants the tier ``semantic`` asks for an encoder, or for None.
        """
        return cls(
            vad=vad or models.vad,
            asr=asr or models.asr,
            llm=llm or models.llm,
            encoder=models.encoder if encoder is None else encoder,
            pronunciations=models.pronunciations,
        )


class Engines:
    """The engines of a runtime, being loaded in parallel.

    Args:
        names: Of the models.
        store: Where they are.
        device: Whose threads and memory to use.
        threads: For each engine; the device's number where None.
        kv_bits: Of what the language model has read; the device's where None.
        language: ISO 639-1, of what is said.

    Raises:
        ModelError: There is no such device.
    """

    def __init__(
        self,
        names: EngineNames,
        store: Store,
        *,
        device: str,
        threads: int | None = None,
        kv_bits: int | None = None,
        language: str = "en",
    ) -> None:
        profile = device_profile(device)
        kv_bits = kv_bits or profile.kv_bits.value or 16
        _share_memory_pools()
        self.names = names
        self.threads = threads or threads_of(profile)
        self._store = store
        pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="headside-load")
        self._asr = pool.submit(_load_asr, names.asr, store, self.threads, language)
        self._llm = pool.submit(_load_llm, names.llm, store, self.threads, kv_bits)
        self._vad = pool.submit(_load_vad, names.vad, store)
        self._encoder = (
            pool.submit(_load_encoder, names.encoder, store) if names.encoder else None
        )
        pool.shutdown(wait=False)

    def sounds(self) -> Sounds:
        """Returns how words are said.

        Raises:
            HeadsideError: The pronunciations are missing or cannot be read.
        """
        name = self.names.pronunciations
        is_stand_in = self.names.asr == ECHO
        if not name or (is_stand_in and self._store.state(name) is not State.READY):
            return Sounds()
        return Sounds(_model_file(name, ".dict", self._store))

    def detector(self) -> SpeechDetector:
        """Returns the voice detector, once it is loaded.

        Raises:
            HeadsideError: It is missing or cannot be loaded.
        """
        return self._vad.result()

    def recogniser(self) -> Recogniser:
        """Returns the recogniser, once it is loaded.

        Raises:
            HeadsideError: It is missing or cannot be loaded.
        """
        return self._asr.result()

    def model(self) -> LanguageModel:
        """Returns the language model, once it is loaded.

        Raises:
            HeadsideError: It is missing or cannot be loaded.
        """
        return self._llm.result()

    def encoder(self) -> Encoder | None:
        """Returns the sentence encoder, once it is loaded; None where none was named.

        Raises:
            HeadsideError: It is missing or cannot be loaded.
        """
        return self._encoder.result() if self._encoder else None


def threads_of(profile: DeviceProfile) -> int:
    """Returns how many threads an engine has there, no more than there are cores."""
    wanted = profile.n_inference_threads.value
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return max(1, min(wanted or 2, here or os.cpu_count() or 1))


def _load_vad(name: str, store: Store) -> SpeechDetector:
    if name == ECHO:
        detector: SpeechDetector = _backend("vad", ECHO)()
    else:
        detector = _backend("vad", "silero")(_model_file(name, ".onnx", store))
    return detector


def _load_asr(name: str, store: Store, threads: int, language: str) -> Recogniser:
    if name == ECHO:
        recogniser: Recogniser = _backend("asr", ECHO)()
    else:
        is_own = is_own_folder(name, store)
        recogniser = _backend("asr", "whisper")(
            _tried(Path(name)) if is_own else store.path(name),
            threads=threads,
            language=language,
            kept=None if is_own else store.prepared_folder(name),
        )
    return recogniser


def is_own_folder(name: str, store: Store) -> bool:
    """Returns whether a name is a path of the user's own: no model has that name."""
    is_path = len(Path(name).parts) > 1 or Path(name).is_dir()
    return is_path and name not in store.names()


def _load_llm(name: str, store: Store, threads: int, kv_bits: int) -> LanguageModel:
    if name == ECHO:
        model: LanguageModel = _backend("llm", ECHO)()
    else:
        path = _model_file(name, ".gguf", store)
        model = _backend("llm", "llama")(
            path,
            threads=threads,
            kv_bits=kv_bits,
            kept=kept_files(),
        )
    return model


def _load_encoder(name: str, store: Store) -> Encoder:
    if name == ECHO:
        encoder: Encoder = _backend("encoder", ECHO)()
    else:
        is_own = Path(name).is_dir() and name not in store.names()
        if is_own:
            require_usable(Path(name))
        folder = Path(name) if is_own else store.path(name)
        encoder = _backend("encoder", "minilm")(folder)
    return encoder


def _share_memory_pools() -> None:
    """Has glibc keep two pools instead of one for each thread.

    Each would keep the most that its thread ever needed.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)


def give_back_memory() -> None:
    """Gives the system what loading left over; the allocator would hold on to it."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def kept_files() -> KeptFiles | None:
    """Returns where states are kept; None where the disk lets nobody keep anything."""
    try:
        return KeptFiles(cache_root() / "kept")
    except (OSError, ModelError):
        return None


def _model_file(name: str, suffix: str, store: Store) -> Path:
    """Returns a model's one file: of the store, or the user's own once it was tried."""
    if name.endswith(suffix):
        return _tried(Path(name))
    files = sorted(store.path(name).glob(f"*{suffix}"))
    if len(files) != 1:
        raise BuildError(
            "model_format",
            f"The model {name} is not a single {suffix} file.",
            "Name a model of another format.",
        )
    return files[0]


def _tried(path: Path) -> Path:
    """Returns a path of the user's own, once it was found to be usable."""
    require_usable(path)
    return path


def _backend(role: str, name: str) -> Callable[..., Any]:
    return load_backend(_BACKENDS[role][name])


def load_backend(
    target: str, hint: str = "Run `headside doctor` to see what is missing."
) -> Callable[..., Any]:
    """Returns a backend by its place, imported now.

    Raises:
        BuildError: ``engine_missing``.
    """
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
