"""Writes sound in which nobody orders anything: what must not be understood.

    .venv/bin/python benchmarks/null_speech/make.py OUT [--seed N] [--hear N]

OUT then holds three folders for `headside eval`, each with `labels.json`, where every
label is null, and `audio/`: `real`, recordings of people, cut at pauses as an open
microphone would; `synthetic`, the lines of `sentences.txt` in the store's voice, with
what was said in `sentences.json`; `silence`, silence and noise. What is there already
is not made again. With --hear, the recogniser then writes down so many of the
synthetic sentences, and its word error rate is printed.

The voice wants the phonemes of a program under the GPL, which is not used: they come
from the pronouncing dictionary, by rules that know little of stress.
"""

# ruff: noqa: RUF001 - letters of the IPA

from __future__ import annotations

import edge  # noqa: F401 - first: it keeps numpy's threads from spinning

# isort: split

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnxruntime
import soundfile
from rich.console import Console
from rich.progress import track

from edge.audio import SAMPLE_RATE_HZ, AudioChunk, Samples, chunks_from_frames
from edge.backends.silero import Silero
from edge.backends.whisper import Whisper
from edge.build import open_sound
from edge.evaluate import word_errors
from edge.phonetics.dictionary import Dictionary
from edge.phonetics.letters import pronounced
from edge.vad import SegmenterConfig, SpeechDetector, Utterance, utterances
from models.errors import HeadsideError, ModelError
from models.store import State, Store

SENTENCES = Path(__file__).with_name("sentences.txt")
KITCHEN = Path(__file__).parents[3] / "shared/data/speech_to_intent/noise_kitchen.flac"
VOICE, WORDS, DETECTOR, RECOGNISER = (
    "piper-en-us-joe",
    "cmudict-en-us",
    "silero-vad",
    "whisper-base",
)
RECORDINGS = ("speech-moonshine", "speech-pocketsphinx")
COMMANDS = ("goforward.raw", "something.raw")
"""Recordings that are not ordinary talk."""
CONSOLE = Console(stderr=True, highlight=False, soft_wrap=True)

# Real speech ---------------------------------------------------------------------

PAUSES_S = (0.25, 0.15, 0.1)
"""What ends a piece; the next one where the piece would be too long."""
MIN_S, MAX_S = 0.8, 8.0


def real(store: Store) -> Iterator[tuple[str, Samples]]:
    """Yields the pieces of the recordings, by name; none holds sound of another."""
    detector = Silero(only_file(store.path(DETECTOR), ".onnx"))
    folders = [store.path(name) for name in RECORDINGS]
    files = [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".wav", ".raw") and path.name not in COMMANDS
    ]
    for path in track(files, "real", console=CONSOLE):
        sound = np.concatenate([chunk.samples for chunk in open_sound(path)])
        name = (
            path.stem if path.parent in folders else f"{path.parent.name}-{path.stem}"
        )
        for n, piece in enumerate(pieces(sound, detector, PAUSES_S), start=1):
            yield f"{name}-{n:02}", piece


def pieces(
    sound: Samples, detector: SpeechDetector, pauses_s: Sequence[float]
) -> Iterator[Samples]:
    """Yields what an open microphone would hear, where it is neither short nor long.

    Args:
        sound: Shape (n,).
        detector: Tells speech from the rest.
        pauses_s: How long a pause must be to end a piece, the longest first.
    """
    stream = [AudioChunk(samples=sound, start_s=0.0)]
    config = SegmenterConfig(end_silence_s=pauses_s[0])
    found: list[Utterance] = list(utterances(stream, detector, config))
    for utterance in found:
        if MIN_S <= utterance.seconds <= MAX_S:
            yield utterance.samples
        elif utterance.seconds > MAX_S and pauses_s[1:]:
            yield from pieces(utterance.samples, detector, pauses_s[1:])


# Silence and noise ---------------------------------------------------------------

LEVELS_DB = (-60, -50, -40, -30, -20)
"""Root mean square, full scale being 0."""
COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}
"""By how much the amplitude falls: as 1 / f to this power."""
HUM_HZ = 50


def silence(seed: int) -> Iterator[tuple[str, Samples]]:
    """Yields silence, noise, hum, clicks and a kitchen, by name."""
    chance = np.random.default_rng((seed, 1))
    for seconds in (1, 3, 6):
        yield f"digital-{seconds}s", np.zeros(seconds * SAMPLE_RATE_HZ, np.float32)
    n = 4 * SAMPLE_RATE_HZ
    time_s = np.arange(n) / SAMPLE_RATE_HZ  # (n,)
    hertz = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ), 20.0)
    for colour, power in COLOURS.items():
        for level_db in LEVELS_DB:
            spectrum = np.fft.rfft(chance.standard_normal(n)) / hertz**power
            yield (
                f"{colour}{level_db}db-s{seed}",
                at_level(np.fft.irfft(spectrum, n), level_db),
            )
    overtones = [np.sin(2 * np.pi * HUM_HZ * k * time_s) / k**2 for k in (1, 2, 3, 5)]
    for level_db in LEVELS_DB[1:]:
        yield f"hum{level_db}db", at_level(np.sum(overtones, axis=0), level_db)
    fading = np.exp(-np.arange(160) / 30)  # (160,), 10 ms
    for n_clicks, peak in ((3, 0.05), (8, 0.2), (20, 0.6)):
        clicks = np.zeros(n, np.float32)
        for start in chance.integers(n - len(fading), size=n_clicks):
            burst = chance.uniform(-1, 1, len(fading)) * fading
            clicks[start : start + len(fading)] += peak * burst
        yield f"clicks-{n_clicks}-s{seed}", clicks
    yield from kitchen(seed)


def kitchen(seed: int) -> Iterator[tuple[str, Samples]]:
    """Yields a recorded kitchen in pieces of 3 to 6 s; none where it is absent."""
    if not KITCHEN.is_file():
        CONSOLE.print(f"{KITCHEN} is absent: no kitchen among the noise")
        return
    chance = np.random.default_rng((seed, 2))
    sound = np.concatenate([chunk.samples for chunk in open_sound(KITCHEN)])
    start = n = 0
    while len(sound) - start >= 3 * SAMPLE_RATE_HZ:
        n_piece = round(chance.uniform(3, 6) * SAMPLE_RATE_HZ)
        n += 1
        yield f"kitchen-{n:02}-s{seed}", sound[start : start + n_piece]
        start += n_piece


def at_level(sound: np.ndarray, level_db: float) -> Samples:
    """Returns a sound with this root mean square, shape (n,)."""
    scale = 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(sound)))
    loud: Samples = np.clip(scale * sound, -1, 1).astype(np.float32)
    return loud


# ARPAbet to IPA, as the voice was trained ----------------------------------------

# fmt: off
VOWELS = {
    "AA": "ɑː", "AE": "æ", "AH": "ə", "AO": "ɔː", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ",
    "ER": "ɚ", "EY": "eɪ", "IH": "ɪ", "IY": "iː", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ",
    "UW": "uː",
}
STRONG_VOWELS = {"AH": "ʌ", "ER": "ɜː"}
"""Where they are stressed, or the only one of their word."""
CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h",
    "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ",
    "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z",
    "ZH": "ʒ",
}
WEAK_FORMS = {"a": "ɐ", "and": "ænd", "the": "ðə", "to": "tə"}
UNSTRESSED = frozenset((
    "am", "an", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did",
    "do", "does", "for", "from", "had", "has", "have", "he", "her", "him", "his", "i",
    "if", "in", "is", "it", "its", "me", "my", "of", "on", "or", "our", "shall", "she",
    "should", "so", "than", "that", "their", "them", "then", "there", "they", "this",
    "us", "was", "we", "were", "what", "when", "where", "which", "who", "will", "with",
    "would", "you", "your",
))
SECOND_STRESSED = frozenset((
    "already", "barista", "collects", "controllers", "downstairs", "espresso",
    "fifteen", "forever", "forgetting", "forgot", "goodbye", "herself", "hotel",
    "idea", "included", "italian", "mosquitoes", "museum", "musicians", "nineteen",
    "outside", "perhaps", "police", "promoted", "reminds", "sixteen", "suppose",
    "surprisingly", "today", "tomorrow", "tonight", "tutorial", "umbrella", "until",
    "upon", "volcanoes", "whenever", "without",
))
THIRD_STRESSED = frozenset(
    ("absolutely", "altogether", "engineers", "understood", "violin")
)
# fmt: on
_WEAK_BEGINNING = re.compile(r"[^aeiouy]*[ae](?![aeiouy])")
_PIECE = re.compile(r"[a-z']+|[,.?!]")


def stressed_vowel(word: str, sounds: Sequence[str]) -> int:
    """Returns which vowel of a word is stressed, from 0; a guess, mostly the first.

    A first vowel that is weak and spelled `a` or `e` is passed over: "about",
    "hello", "before".
    """
    vowels = [at for at, sound in enumerate(sounds) if sound in VOWELS]
    if len(vowels) < 2:
        return 0
    if word in SECOND_STRESSED:
        return 1
    if word in THIRD_STRESSED:
        return 2
    first, following = sounds[vowels[0]], sounds[vowels[0] + 1]
    is_weak = first in ("AH", "IH") or (first == "ER" and "a" in word[:2])
    return int(is_weak and following != "R" and bool(_WEAK_BEGINNING.match(word)))


def ipa_of(sounds: Sequence[str], stressed: int | None) -> str:
    """Returns a word in the IPA of the voice.

    Args:
        sounds: In ARPAbet, without marks of stress.
        stressed: Which vowel bears the stress, from 0; None for none.
    """
    written: list[str] = []
    n_vowels = sum(sound in VOWELS for sound in sounds)
    n_before = 0
    for at, sound in enumerate(sounds):
        following = sounds[at + 1] if at + 1 < len(sounds) else ""
        if sound in VOWELS:
            strong = n_before == stressed or n_vowels == 1
            vowel = STRONG_VOWELS.get(sound, VOWELS[sound]) if strong else VOWELS[sound]
            if sound == "IY" and not strong and not following:
                vowel = "i"  # as in "happy"
            written.append("ˈ" * (n_before == stressed) + vowel)
            n_before += 1
        elif sound == "T" and n_before and following in VOWELS and n_before != stressed:
            # American: "water" with a tap, unless a consonant stands before it.
            written.append("ɾ" if sounds[at - 1] in {*VOWELS, "R"} else "t")
        else:
            written.append(CONSONANTS[sound])
    return "".join(written)


def ipa_of_sentence(sentence: str, dictionary: Dictionary) -> str:
    """Returns a sentence in the IPA of the voice, with its spaces and marks."""
    spoken = ""
    for piece in _PIECE.findall(sentence.lower()):
        if piece in ",.?!":
            spoken += piece
            continue
        listed = dictionary.pronunciations(piece)
        sounds = listed[0] if listed else pronounced(piece)
        stressed = None if piece in UNSTRESSED else stressed_vowel(piece, sounds)
        spoken += " " * bool(spoken) + (
            WEAK_FORMS.get(piece) or ipa_of(sounds, stressed)
        )
    return spoken


# Synthetic speech ----------------------------------------------------------------

BLOCK = 20
"""Sentences per load of the voice, which draws its chances once, as it is loaded."""
START, END, BETWEEN = "^", "$", "_"
PAD_S = 0.3


def read_sentences() -> list[str]:
    """Returns the lines of the file that are neither empty nor remarks."""
    lines = map(str.strip, SENTENCES.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def blocks(dictionary: Dictionary, seed: int) -> list[dict[str, str]]:
    """Returns the sentences by name, in blocks.

    A name bears a digest of all that is said in its block, and of the seed, so that a
    file of that name need not be made again.
    """
    sentences = read_sentences()
    found = []
    for start in range(0, len(sentences), BLOCK):
        block = sentences[start : start + BLOCK]
        said = [ipa_of_sentence(sentence, dictionary) for sentence in block]
        mark = hashlib.sha256(json.dumps([seed, said]).encode()).hexdigest()[:8]
        names = (f"joe-{start + n:03}-{mark}" for n in range(1, len(block) + 1))
        found.append(dict(zip(names, block, strict=True)))
    return found


def synthetic(
    block: Mapping[str, str], folder: Path, dictionary: Dictionary, seed: int
) -> Iterator[tuple[str, Samples]]:
    """Yields a block of sentences, spoken, by name.

    Args:
        block: What to say, by name.
        folder: The voice.
        dictionary: How words are said.
        seed: Of what is drawn for the block: noise, speed, pitch and loudness.
    """
    config = json.loads(only_file(folder, ".json").read_bytes())
    symbols: dict[str, list[int]] = config["phoneme_id_map"]
    chance = np.random.default_rng((seed, int(next(iter(block)).split("-")[1])))
    onnxruntime.set_seed(int(chance.integers(1 << 31)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    voice = onnxruntime.InferenceSession(
        str(only_file(folder, ".onnx")), options, providers=["CPUExecutionProvider"]
    )
    for name, sentence in block.items():
        noise, length, width = chance.uniform((0.4, 0.9, 0.5), (0.75, 1.25, 0.9))
        tape, peak = chance.uniform((0.92, 0.3), (1.08, 0.9))
        numbers = [*symbols[START], *symbols[BETWEEN]]
        for symbol in ipa_of_sentence(sentence, dictionary):
            numbers += [*symbols[symbol], *symbols[BETWEEN]]
        numbers += symbols[END]
        (wave,) = voice.run(
            None,
            {
                "input": np.array([numbers], np.int64),
                "input_lengths": np.array([len(numbers)], np.int64),
                "scales": np.array([noise, length, width], np.float32),
            },
        )
        rate_hz = round(tape * config["audio"]["sample_rate"])
        chunks = chunks_from_frames([wave.reshape(-1)], rate_hz=rate_hz, name=name)
        sound = np.concatenate([chunk.samples for chunk in chunks])
        sound *= peak / np.abs(sound).max()
        yield name, np.pad(sound, round(PAD_S * SAMPLE_RATE_HZ))


# Everything ----------------------------------------------------------------------


def make(out: Path, store: Store, seed: int) -> None:
    """Writes the three folders."""
    require(store, (*RECORDINGS, DETECTOR, VOICE, WORDS))
    keep(out / "real", real(store))
    keep(out / "silence", silence(seed))
    folder = out / "synthetic"
    dictionary = Dictionary(only_file(store.path(WORDS), ".dict"))
    every = blocks(dictionary, seed)
    for block in track(every, "synthetic", console=CONSOLE):
        if not all(sound_file(folder, name).exists() for name in block):
            save(folder, synthetic(block, store.path(VOICE), dictionary, seed))
    said = {name: text for block in every for name, text in block.items()}
    label(folder, said)
    write_json(
        folder / "sentences.json", {f"{name}.flac": text for name, text in said.items()}
    )
    for name in ("real", "synthetic", "silence"):
        infos = [
            soundfile.info(out / name / "audio" / file)
            for file in json.loads((out / name / "labels.json").read_bytes())
        ]
        seconds = sum(info.duration for info in infos)
        CONSOLE.print(f"{name}: {len(infos)} files, {seconds:.0f} s")


def hear(out: Path, store: Store, count: int) -> dict[str, float]:
    """Returns the word error rate of the recogniser on some synthetic sentences."""
    folder = out / "synthetic"
    said = json.loads((folder / "sentences.json").read_bytes())
    chosen = list(said)[:: max(1, len(said) // count)][:count]
    recogniser = Whisper(store.path(RECOGNISER), threads=1)
    found = []
    for file in track(chosen, "hearing", console=CONSOLE):
        path = folder / "audio" / file
        sound = np.concatenate([chunk.samples for chunk in open_sound(path)])
        end_s = len(sound) / SAMPLE_RATE_HZ
        heard = recogniser.transcribe(
            Utterance(samples=sound, start_s=0.0, speech_end_s=end_s - PAD_S)
        )
        found.append(word_errors(said[file], heard.text))
        if found[-1].n_errors:
            CONSOLE.print(f"  said:  {said[file]}\n  heard: {heard.text}")
    n_errors, n_words = sum(e.n_errors for e in found), sum(e.n_words for e in found)
    return {
        "sentences": len(found),
        "words": n_words,
        "word_errors": n_errors,
        "word_error_rate": round(n_errors / max(1, n_words), 4),
    }


def require(store: Store, names: Iterable[str]) -> None:
    """Does nothing where all of these are in the store.

    Raises:
        ModelError: ``model_missing``.
    """
    missing = [name for name in names if store.state(name) is not State.READY]
    if missing:
        raise ModelError(
            "model_missing",
            f"Not ready in {store.root}: {', '.join(missing)}.",
            f"Run: headside models fetch {' '.join(missing)}",
        )


def only_file(folder: Path, suffix: str) -> Path:
    """Returns the file of a model that ends so."""
    return next(folder.glob(f"[!.]*{suffix}"))


def sound_file(folder: Path, name: str) -> Path:
    """Returns where a sound lies."""
    return folder / "audio" / f"{name}.flac"


def keep(folder: Path, sounds: Iterable[tuple[str, Samples]]) -> None:
    """Writes sounds and their labels."""
    label(folder, save(folder, sounds))


def save(folder: Path, sounds: Iterable[tuple[str, Samples]]) -> list[str]:
    """Returns the names of sounds, which are written where they are not there yet."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    names = []
    for name, samples in sounds:
        names.append(name)
        path = sound_file(folder, name)
        if not path.exists():
            partial = path.with_suffix(".part")
            soundfile.write(
                partial, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16"
            )
            partial.replace(path)
    return names


def label(folder: Path, names: Iterable[str]) -> None:
    """Writes the labels: there is no command in any of these."""
    write_json(folder / "labels.json", {f"{name}.flac": None for name in names})


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Writes a file of JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="not negative")
    parser.add_argument("--hear", type=int, default=0, metavar="N")
    options = parser.parse_args()
    if options.seed < 0 or options.hear < 0:
        parser.error("--seed and --hear are not negative")
    store = Store.default()
    try:
        if options.hear:
            require(store, [RECOGNISER])
        make(options.out, store, options.seed)
        if options.hear:
            print(json.dumps(hear(options.out, store, options.hear)))
    except HeadsideError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or options.out}: {error.strerror or error}.")


def fail(message: str) -> NoReturn:
    """Ends the program with a message."""
    CONSOLE.print(message, markup=False)
    sys.exit(1)


if __name__ == "__main__":
    main()
