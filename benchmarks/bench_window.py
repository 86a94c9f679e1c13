"""What the short audio window costs in words: against the full 30 s, same decoding.

Every recording is cut into utterances and recognised twice, with the window that the
utterance needs and with the full one, as `headside serve` does it: a draft, and the
beam search where the draft is unsure or nearly a command of the pack.

- `word_error_points`: on recordings with transcripts, word error rate with the short
  window less that with the full one, in percentage points.
- `differing_words_share`: on all of them, words that differ between the two.
- `intents_right`: on the labelled commands, exact intent and slots.
- `loops`: transcripts that repeat themselves; none may come out.
- `timestamps_ms`: where both heard the same words, how far their starts are apart.
- `retried_share`, `full_window_share`: how often the short window was given up, and
  how often the middle one was, too.

    python benchmarks/bench_window.py --json
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import RECORDINGS, SHARED_CLIPS, run, spread
from edge.asr import Transcript, is_loop, recognise, with_words
from edge.backends import whisper as backend
from edge.backends.silero import Silero
from edge.backends.whisper import Whisper
from edge.build import open_sound
from edge.evaluate import word_errors
from edge.grammar import match
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.normalise import words_of
from edge.phonetics.sounds import Sounds
from edge.pipeline import SURE
from edge.understanding import settles
from edge.vad import Utterance, utterances
from models.pack_file import load_pack
from models.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file, and what is said in it where that is known."""

    path: Path
    text: str = ""
    intent: tuple[str, dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was made of a recording."""

    parts: tuple[Transcript, ...]
    seconds: float

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(part.text for part in self.parts)


def measure(*, threads: int, commands: int) -> dict[str, Any]:
    """Returns the report, of so many labelled commands and all other recordings."""
    store = Store.default()
    (vad,) = store.path("silero-vad").glob("*.onnx")
    detector = Silero(vad)
    whisper = Whisper(store.path("whisper-base"), threads=threads)
    pack = load_pack("barista")
    (said,) = store.path(pack.models.pronunciations).glob("*.dict")
    lexicon = build_lexicon(pack, default_scene(pack), sounds=Sounds(said))
    pairs = [
        (recording, *_both(recording, whisper, detector, lexicon))
        for recording in _recordings(store, commands)
    ]
    transcribed = [pair for pair in pairs if pair[0].text]
    labelled = [pair for pair in pairs if pair[0].intent]
    short_error = _error([(r.text, short.text) for r, short, _ in transcribed])
    full_error = _error([(r.text, full.text) for r, _, full in transcribed])
    parts = [part for _, short, _ in pairs for part in short.parts]
    apart = [ms for _, short, full in pairs for ms in _apart_ms(short, full)]
    return {
        "word_error_points": round(100 * (short_error - full_error), 2),
        "word_error": {"short": round(short_error, 4), "full": round(full_error, 4)},
        "n_transcribed": len(transcribed),
        "differing_words_share": round(
            _error([(full.text, short.text) for _, short, full in pairs]), 4
        ),
        "n_recordings": len(pairs),
        "intents_right": {
            "short": sum(_is_right(r, short, lexicon) for r, short, _ in labelled),
            "full": sum(_is_right(r, full, lexicon) for r, _, full in labelled),
            "of": len(labelled),
        },
        "loops": sum(is_loop(part.text) for part in parts),
        "timestamps_ms": {
            "mean": round(statistics.mean(apart), 1),
            **spread(apart),
        },
        "retried_share": _share(part.n_windows > 1 for part in parts),
        "full_window_share": _share(part.n_windows > 2 for part in parts),
        "draft_share": _share(part.is_draft for part in parts),
        "time_ratio": round(
            sum(full.seconds for _, _, full in pairs)
            / sum(short.seconds for _, short, _ in pairs),
            2,
        ),
    }


def _both(
    recording: Recording, whisper: Whisper, detector: Silero, lexicon: Lexicon
) -> tuple[Heard, Heard]:
    def recognised(utterance: Utterance) -> Transcript:
        return recognise(
            whisper,
            utterance,
            lexicon.bias,
            settles=lambda draft: settles(lexicon, draft, sure=SURE),
        )

    def hear() -> Heard:
        began = time.perf_counter()
        parts = tuple(
            with_words(whisper, utterance, recognised(utterance))
            for utterance in utterances(open_sound(recording.path), detector)
        )
        return Heard(parts=parts, seconds=time.perf_counter() - began)

    short = hear()
    usual = backend._MIN_WINDOW_S  # noqa: SLF001
    backend._MIN_WINDOW_S = backend._FULL_WINDOW_S  # noqa: SLF001
    try:
        return short, hear()
    finally:
        backend._MIN_WINDOW_S = usual  # noqa: SLF001


def _recordings(store: Store, n_commands: int) -> Iterator[Recording]:
    folder = store.path(RECORDINGS)
    yield Recording(path=folder / "goforward.raw", text="go forward ten meters")
    yield Recording(path=folder / "something.raw", text="go somewhere and do something")
    yield Recording(path=folder / "numbers.raw")
    for book in sorted((folder / "librivox").glob("*.wav")):
        yield Recording(
            path=book, text=book.with_suffix(".txt").read_text(encoding="utf-8")
        )
    said = (folder / "cards/cards.transcription").read_text(encoding="utf-8")
    texts = [line.rpartition("(")[0] for line in said.splitlines() if line.strip()]
    for card, text in zip(sorted((folder / "cards").glob("*.wav")), texts, strict=True):
        yield Recording(path=card, text=text.replace("<s>", "").replace("</s>", ""))
    if not SHARED_CLIPS.is_dir():
        return
    labels = json.loads((SHARED_CLIPS.parent / "labels.json").read_text("utf-8"))
    for path in sorted(SHARED_CLIPS.glob("*.flac"))[:n_commands]:
        label = labels[path.name]
        yield Recording(path=path, intent=(label["intent"], label["slots"]))


def _share(flags: Iterable[bool]) -> float:
    found = list(flags)
    return round(sum(found) / len(found), 4)


def _error(pairs: list[tuple[str, str]]) -> float:
    found = [word_errors(reference, heard) for reference, heard in pairs]
    return sum(each.n_errors for each in found) / max(
        1, sum(each.n_words for each in found)
    )


def _is_right(recording: Recording, heard: Heard, lexicon: Lexicon) -> bool:
    intent = match(lexicon, heard.text)
    return (
        intent is not None
        and recording.intent is not None
        and (intent.name, intent.values) == recording.intent
    )


def _apart_ms(short: Heard, full: Heard) -> Iterator[float]:
    for one, other in zip(short.parts, full.parts, strict=True):
        first, second = one.words, other.words
        if [words_of(w.text) for w in first] == [words_of(w.text) for w in second]:
            for a, b in zip(first, second, strict=True):
                yield 1000 * abs(a.start_s - b.start_s)


if __name__ == "__main__":
    run(__doc__, measure, commands=183)
