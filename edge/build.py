"""The composition root: names become objects, models are loaded, a pack comes alive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge.audio import SAMPLE_RATE_HZ, AudioChunk
from edge.dialogue import Conversation, ReplyGuard
from edge.engines import (
    EngineNames,
    Engines,
    give_back_memory,
    kept_files,
    load_backend,
)
from edge.grammar import claimed
from edge.intent import Tier
from edge.lexicon import build_lexicon, default_scene
from edge.llm.output import build_choices
from edge.paraphrase import Paraphrases
from edge.pipeline import Runtime, endpointing_of
from models.errors import HeadsideError
from models.pack import Pack
from models.store import Store

_WAV = "edge.backends.wav:SoundFile"
_MICROPHONE = "edge.backends.microphone:Microphone"
_MICROPHONE_HINT = (
    "Install the extra headside[mic] and the system's PortAudio (libportaudio2)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """What to run a pack with, where it differs from what the pack says."""

    device: str = "desktop"
    threads: int | None = None
    """For each engine; the device's number where None."""
    kv_bits: int | None = None
    """Of each number that the language model keeps of what it read, 16 or 8; the
    device's where None."""
    tiers: tuple[Tier, ...] | None = None
    character: str | None = None
    vad: str | None = None
    """Store name, path of an ONNX file, or ``echo``."""
    asr: str | None = None
    """Store name, path of a Whisper folder, or ``echo``."""
    encoder: str | None = None
    """Store name, path of a folder, or ``echo``."""
    llm: str | None = None
    """Store name, path of a GGUF file, or ``echo``."""
    prepare: bool = False
    """Whether the model reads the beginning of its prompts at once, for a service; it
    is read from disk where an earlier start did."""


def build_runtime(
    pack: Pack, store: Store, options: RuntimeOptions, engines: Engines | None = None
) -> Runtime:
    """Returns a pack with its models loaded, ready to listen.

    Args:
        pack: The experience.
        store: Where its models are.
        options: What differs from what the pack says.
        engines: Those that are being loaded already, if they are the right ones.

    Raises:
        HeadsideError: A model is missing or cannot be loaded, or a name is unknown.
    """
    character = pack.character(options.character)
    tiers = frozenset(options.tiers or map(Tier, pack.tiers))
    names = EngineNames.chosen(
        pack.models,
        vad=options.vad,
        asr=options.asr,
        llm=options.llm,
        encoder=options.encoder if Tier.SEMANTIC in tiers else "",
    )
    if engines is None or engines.names != names:
        engines = Engines(
            names,
            store,
            device=options.device,
            threads=options.threads,
            kv_bits=options.kv_bits,
            language=pack.language,
        )
    # Meanwhile, since the engines load outside Python.
    scene = default_scene(pack)
    try:
        sounds = engines.sounds()
    except HeadsideError:
        engines.recogniser()  # what was asked for by name is missed first
        raise
    lexicon = build_lexicon(pack, scene, sounds=sounds)
    encoder = engines.encoder()
    runtime = Runtime(
        pack=pack,
        lexicon=lexicon,
        choices=build_choices(lexicon.schema(), actions=lexicon.actions),
        detector=engines.detector(),
        recogniser=engines.recogniser(),
        model=engines.model(),
        threads=engines.threads,
        tiers=tiers,
        paraphrases=(
            Paraphrases.build(pack, encoder, kept_files()) if encoder else None
        ),
        conversation=Conversation(character),
        guard=ReplyGuard(claims=partial(claimed, lexicon), neutral=character.fallback),
        scene=scene,
        endpointing=endpointing_of(pack),
    )
    if options.prepare:
        runtime.prepare()
    give_back_memory()
    return runtime


def open_sound(
    path: Path, *, raw_rate_hz: int = SAMPLE_RATE_HZ
) -> Iterator[AudioChunk]:
    """Returns a sound file as a stream of chunks.

    Raises:
        AudioError: There is no such file, or it is not sound.
    """
    chunks: Iterator[AudioChunk] = load_backend(_WAV)(
        path, raw_rate_hz=raw_rate_hz
    ).chunks()
    return chunks


def open_microphone() -> Iterator[AudioChunk]:
    """Returns what the default microphone hears, without an end.

    Raises:
        AudioError: There is no microphone.
    """
    chunks: Iterator[AudioChunk] = load_backend(
        _MICROPHONE, _MICROPHONE_HINT
    )().chunks()
    return chunks


def microphone_name() -> str:
    """Returns the name of the default microphone.

    Raises:
        AudioError: There is none, or no library to reach it.
    """
    name: str = load_backend(_MICROPHONE, _MICROPHONE_HINT)().name
    return name
