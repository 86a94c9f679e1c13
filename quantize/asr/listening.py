"""What models hear, and how long that takes: by turns, in a process of its own.

Each result is kept as soon as it is there, so that a run that was killed goes on where
it was. Models are run as faster-whisper does by default, but without other temperatures
and without what was said before: the same sound gives the same words each time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantize.asr.recordings import RATE_HZ, Recording, Samples, read_sound, silences
from quantize.child import Tell, in_child
from quantize.errors import QuantizeError

BEAM_SIZE = 5
"""As the runtime has it."""
_MAX_TOKENS = 224
"""Of a window, as published with Whisper; what repeats itself ends here."""
_WARM_FRAMES = 3000
"""That each model reads first, one window: the first takes longer."""
SOURCE, THIS, IN_RUNTIME = "source", "this", "source, 8 bits at run time"
"""Who listens; the last is the source, as CTranslate2 makes eight bits of it itself."""
COMPUTED = {SOURCE: "float32", THIS: "int8", IN_RUNTIME: "int8"}
"""As what each is computed; any other as the runtime does. Processors do not compute
with float16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word, and when it was said."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one model heard in one recording."""

    who: str
    sound: str
    """The hash of the recording, or the name of a silence."""
    text: str
    words: tuple[Word, ...]
    sound_s: float
    took_s: float


def listen(
    folders: Mapping[str, Path],
    recordings: Sequence[Recording],
    *,
    language: str,
    threads: int,
    kept: Path,
    tell: Tell,
) -> list[Heard]:
    """Returns what each model hears in each recording and in silence.

    Args:
        folders: By who listens.
        recordings: Those that are judged on.
        language: Of what is said.
        threads: For all.
        kept: A file of what was heard before; what is new is added.
        tell: Told how many sounds are done, and of how many.

    Raises:
        QuantizeError: ``whisper_unusable``, ``language_unknown`` or ``child_died``.
    """
    found = in_child(
        _listen,
        {
            "folders": {who: str(path.absolute()) for who, path in folders.items()},
            "recordings": {one.sha256: str(one.path.absolute()) for one in recordings},
            "language": language,
            "threads": threads,
            "kept": str(kept.absolute()),
        },
        doing="Listening to the recordings",
        tell=tell,
    )
    known = _load(kept)
    return [known[who, sound] for who, sound in found]


def open_whisper(folder: Path, computed: str, threads: int) -> Any:
    """Returns a model of faster-whisper's, opened; only where a crash may happen.

    Raises:
        QuantizeError: ``whisper_unusable``.
    """
    from faster_whisper import WhisperModel  # noqa: PLC0415 - native, and takes long
    from faster_whisper.feature_extractor import FeatureExtractor  # noqa: PLC0415

    try:
        model = WhisperModel(
            str(folder), device="cpu", compute_type=computed, cpu_threads=threads
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise QuantizeError(
            "whisper_unusable",
            f"CTranslate2 does not open {folder}: {str(error).strip().rstrip('.')}.",
            "Convert or download the model again.",
        ) from error
    if model.feature_extractor.mel_filters.shape[0] != model.model.n_mels:
        model.feature_extractor = FeatureExtractor(feature_size=model.model.n_mels)
    return model


def transcribe(model: Any, samples: Samples, language: str) -> list[Any]:
    """Returns the segments that a model hears, with its words."""
    segments, _ = model.transcribe(
        samples,
        language=language,
        beam_size=BEAM_SIZE,
        temperature=[0.0],
        condition_on_previous_text=False,
        max_new_tokens=_MAX_TOKENS,
        word_timestamps=True,
    )
    return list(segments)


def _listen(arguments: Mapping[str, Any], tell: Tell) -> list[tuple[str, str]]:
    language, kept = arguments["language"], Path(arguments["kept"])
    known = _load(kept)
    sounds = list(_sounds(arguments["recordings"]))
    turns = list(_turns(arguments["folders"], [name for name, _ in sounds]))
    missing = [turn for turn in turns if turn not in known]
    if not missing:
        return turns
    # One that is half written from a kill is dropped.
    whole = "".join(_line(one) for one in known.values())
    beside = kept.with_name(f"{kept.name}.part")
    beside.write_text(whole, encoding="utf-8")
    beside.replace(kept)
    models = {}
    for who, folder in arguments["folders"].items():
        computed = COMPUTED.get(who, COMPUTED[THIS])
        model = open_whisper(Path(folder), computed, arguments["threads"])
        if language not in model.supported_languages:
            raise QuantizeError(
                "language_unknown",
                f"The model does not know the language {language!r}.",
                "Name one that it knows with --language.",
            )
        quiet = np.zeros((model.model.n_mels, _WARM_FRAMES), np.float32)
        model.encode(quiet)
        models[who] = model
    by_name = dict(sounds)
    with kept.open("a", encoding="utf-8") as file:
        for n_done, (who, name) in enumerate(missing, len(turns) - len(missing)):
            tell(n_done, len(turns))
            sound = by_name[name]
            samples = read_sound(sound) if isinstance(sound, Path) else sound
            began = time.perf_counter()
            segments = transcribe(models[who], samples, language)
            took_s = time.perf_counter() - began
            heard = Heard(
                who=who,
                sound=name,
                text="".join(segment.text for segment in segments).strip(),
                words=tuple(
                    Word(text=word.word.strip(), start_s=word.start, end_s=word.end)
                    for segment in segments
                    for word in segment.words or ()
                ),
                sound_s=len(samples) / RATE_HZ,
                took_s=took_s,
            )
            file.write(_line(heard))
            file.flush()
    return turns


def _sounds(recordings: Mapping[str, str]) -> Iterator[tuple[str, Path | Samples]]:
    yield from silences().items()
    for sha256, path in recordings.items():
        yield sha256, Path(path)


def _turns(who: Sequence[str], sounds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields who listens to what: each goes first as often as the others."""
    names = list(who)
    for at, sound in enumerate(sounds):
        first = at % len(names)
        for name in (*names[first:], *names[:first]):
            # What one that is the same hears in silence says nothing new.
            if name != IN_RUNTIME or sound not in _SILENT:
                yield name, sound


_SILENT = frozenset(silences())


def _line(heard: Heard) -> str:
    return json.dumps(asdict(heard)) + "\n"


def _load(kept: Path) -> dict[tuple[str, str], Heard]:
    """Returns what was heard before, by who heard it and what it is of."""
    found: dict[tuple[str, str], Heard] = {}
    if not kept.is_file():
        return found
    for line in kept.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            row["words"] = tuple(Word(**word) for word in row["words"])
            heard = Heard(**row)
        except (ValueError, TypeError, KeyError):
            continue
        found[heard.who, heard.sound] = heard
    return found
