"""Fits the table of what sounds are taken for which, on the development recordings.

Starts from articulation: sounds that are made alike are taken for each other. Then
every recording that is understood right, clean and in kitchen noise, tells which sounds
of the sentence that was meant the recogniser heard otherwise. What is mistaken more
often than articulation tells gets cheaper, by the logarithm of its probability (as of
Ristad and Yianilos 1998, one step of it), where the prior counts as much as a number of
sightings. The labels are those of the
development split; the table is one for all packs.

    PYTHONPATH=. python benchmarks/fit_costs.py [--prior] [OUT]

writes ``edge/phonetics/english_costs.json`` unless another file is named; with
``--prior`` only what articulation tells.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measure import SHARED_CLIPS
from edge.alignment import Alignment, align
from edge.asr import Transcript
from edge.backends.whisper import Whisper
from edge.evaluation.noise import load_noise, load_sound
from edge.grammar import sentences_of, tokens_of
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.nearest import LIMIT, hypothesis_of
from edge.normalise import normalise
from edge.phonetics.costs import EditCosts, save_costs
from edge.phonetics.sounds import Sounds
from edge.sound_windows import Hypothesis
from edge.vad import Utterance
from models.pack_file import load_pack
from models.store import Store

TABLE = Path(__file__).parents[1] / "edge/phonetics/english_costs.json"
SNRS_DB = (None, 12, 6)
PRIOR_SIGHTINGS = 80.0
"""Mistakes with a sound that the prior counts for."""
TEMPERATURE = 0.22
"""Cost of a factor e in probability: 1 for one in a hundred."""
LEAST, MOST = 0.05, 1.3

# Of vowels: how high, how far back, how round, towards what they glide (1 the front, 2
# the back), and whether they are coloured by an r.
_VOWELS = {
    "IY": (1, 0, 0, 0, 0),
    "IH": (0.85, 0.15, 0, 0, 0),
    "EY": (0.7, 0.1, 0, 1, 0),
    "EH": (0.5, 0.15, 0, 0, 0),
    "AE": (0.2, 0.1, 0, 0, 0),
    "AA": (0, 0.7, 0, 0, 0),
    "AO": (0.25, 0.95, 0.7, 0, 0),
    "OW": (0.6, 1, 1, 2, 0),
    "UH": (0.85, 0.85, 0.7, 0, 0),
    "UW": (1, 1, 1, 0, 0),
    "AH": (0.4, 0.55, 0, 0, 0),
    "ER": (0.5, 0.5, 0.2, 0, 1),
    "AY": (0.1, 0.5, 0, 1, 0),
    "AW": (0.1, 0.6, 0.1, 2, 0),
    "OY": (0.35, 0.95, 0.8, 1, 0),
}
# Of consonants: how far back in the mouth, how, and whether with voice.
_CONSONANTS = {
    "P": (0, "stop", 0),
    "B": (0, "stop", 1),
    "T": (0.35, "stop", 0),
    "D": (0.35, "stop", 1),
    "K": (0.85, "stop", 0),
    "G": (0.85, "stop", 1),
    "CH": (0.55, "affricate", 0),
    "JH": (0.55, "affricate", 1),
    "F": (0.1, "fricative", 0),
    "V": (0.1, "fricative", 1),
    "TH": (0.25, "fricative", 0),
    "DH": (0.25, "fricative", 1),
    "S": (0.35, "sibilant", 0),
    "Z": (0.35, "sibilant", 1),
    "SH": (0.55, "sibilant", 0),
    "ZH": (0.55, "sibilant", 1),
    "HH": (1, "fricative", 0),
    "M": (0, "nasal", 1),
    "N": (0.35, "nasal", 1),
    "NG": (0.85, "nasal", 1),
    "L": (0.35, "liquid", 1),
    "R": (0.55, "liquid", 1),
    "W": (0.4, "glide", 1),
    "Y": (0.55, "glide", 1),
}
_MANNERS = {
    frozenset(("stop", "affricate")): 0.35,
    frozenset(("stop", "fricative")): 0.5,
    frozenset(("fricative", "sibilant")): 0.35,
    frozenset(("affricate", "sibilant")): 0.3,
    frozenset(("affricate", "fricative")): 0.55,
    frozenset(("nasal", "stop")): 0.6,
    frozenset(("liquid", "glide")): 0.4,
    frozenset(("nasal", "liquid")): 0.6,
    frozenset(("glide", "fricative")): 0.7,
}
_ACROSS = {
    frozenset(("R", "ER")): 0.3,
    frozenset(("W", "UW")): 0.4,
    frozenset(("Y", "IY")): 0.4,
    frozenset(("Y", "IH")): 0.5,
    frozenset(("W", "OW")): 0.6,
    frozenset(("L", "OW")): 0.7,
    frozenset(("L", "AO")): 0.7,
    frozenset(("L", "UH")): 0.7,
}
_SWALLOWED = {**dict.fromkeys(("AH", "IH", "HH", "T", "D"), 0.55)} | dict.fromkeys(
    ("R", "L", "S", "Z", "N", "DH", "Y", "W"), 0.65
)


def main() -> int:
    """Fits the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prior", action="store_true", help="articulation alone")
    parser.add_argument("--counts", type=Path, help="a file to keep what was seen in")
    parser.add_argument("out", nargs="?", type=Path, default=TABLE)
    options = parser.parse_args()
    prior = articulation()
    if options.prior:
        save_costs(options.out, prior, "Articulation alone, by benchmarks/fit_costs.py")
        return 0
    if not SHARED_CLIPS.is_dir():
        print(f"{SHARED_CLIPS} is absent: nothing to fit on", file=sys.stderr)
        return 1
    counts = _kept_counts(prior, options.counts)
    about = (
        f"Fitted by benchmarks/fit_costs.py on {counts.n_used} of {counts.n_heard} "
        f"hearings of the development recordings, {int(counts.seen.sum())} sounds"
    )
    save_costs(options.out, fitted(prior, counts), about)
    print(about)
    return 0


def articulation() -> EditCosts:
    """Returns what articulation tells."""
    symbols = tuple(sorted({*_VOWELS, *_CONSONANTS}))
    substitute = [[_unlike(a, b) for b in symbols] for a in symbols]
    delete = [_SWALLOWED.get(s, 0.75 if s in _VOWELS else 0.8) for s in symbols]
    return EditCosts(
        symbols=symbols,
        substitute=np.array(substitute, np.float32),
        delete=np.array(delete, np.float32),
        insert=np.array(delete, np.float32) + np.float32(0.05),
    )


def _unlike(a: str, b: str) -> float:
    if a == b:
        return 0.0
    if a in _VOWELS and b in _VOWELS:
        x, y = _VOWELS[a], _VOWELS[b]
        apart = 0.45 * abs(x[0] - y[0]) + 0.35 * abs(x[1] - y[1])
        apart += 0.12 * abs(x[2] - y[2]) + 0.25 * (x[3] != y[3]) + 0.25 * (x[4] != y[4])
        return min(0.9, 0.1 + 0.9 * apart)
    if a in _CONSONANTS and b in _CONSONANTS:
        (place, manner, voice), (place_b, manner_b, voice_b) = (
            _CONSONANTS[a],
            _CONSONANTS[b],
        )
        how = (
            0.0
            if manner == manner_b
            else _MANNERS.get(frozenset((manner, manner_b)), 0.9)
        )
        apart = 0.7 * abs(place - place_b) + 0.8 * how + 0.12 * (voice != voice_b)
        return min(1.0, 0.1 + apart)
    return _ACROSS.get(frozenset((a, b)), 1.3)


@dataclass(slots=True)
class Counts:
    """How often sounds were heard for sounds that were meant."""

    seen: npt.NDArray[np.float64]
    """(n + 1, n + 1): meant, heard; the last of each is nothing."""
    n_used: int = 0
    n_heard: int = 0


def fitted(prior: EditCosts, counts: Counts) -> EditCosts:
    """Returns the prior, shifted towards the mistakes that were seen.

    How often a mistake is made among all mistakes with a sound, against how often the
    prior expects it. How many mistakes there are does not matter: that depends on the
    noise.
    """
    n = len(prior.symbols)
    expected = np.full((n + 1, n + 1), np.inf)
    expected[:n, :n], expected[:n, n] = prior.substitute, prior.delete
    expected[n, :n] = prior.insert
    np.fill_diagonal(expected, np.inf)
    share = np.exp(-expected / TEMPERATURE)
    share /= share.sum(axis=1, keepdims=True)
    seen = counts.seen.copy()
    np.fill_diagonal(seen, 0)
    mistakes = seen.sum(axis=1, keepdims=True)
    found = (seen + PRIOR_SIGHTINGS * share) / (mistakes + PRIOR_SIGHTINGS)
    with np.errstate(divide="ignore", invalid="ignore"):
        costs = expected - TEMPERATURE * np.log(found / share)
    costs = np.clip(np.nan_to_num(costs, nan=0.0, posinf=0.0), LEAST, MOST)
    np.fill_diagonal(costs, 0)
    return EditCosts(
        symbols=prior.symbols,
        substitute=costs[:n, :n].astype(np.float32),
        delete=costs[:n, n].astype(np.float32),
        insert=costs[n, :n].astype(np.float32),
    )


def _kept_counts(prior: EditCosts, kept: Path | None) -> Counts:
    if kept is None or not kept.is_file():
        counts = _counts(prior)
        if kept is not None:
            row = [counts.n_used, counts.n_heard, *counts.seen.ravel()]
            np.save(kept, np.array(row), allow_pickle=False)
        return counts
    n_used, n_heard, *seen = np.load(kept, allow_pickle=False)
    side = len(prior.symbols) + 1
    return Counts(np.reshape(seen, (side, side)), int(n_used), int(n_heard))


def _counts(prior: EditCosts) -> Counts:
    store = Store.default()
    sounds = Sounds(store.path("cmudict-en-us") / "cmudict-en-us.dict")
    sounds.costs = prior
    pack = load_pack("barista")
    lexicon = build_lexicon(pack, default_scene(pack), sounds=sounds)
    n = len(prior.symbols)
    counts = Counts(seen=np.zeros((n + 1, n + 1)))
    for transcript, slots in _heard(store, lexicon):
        counts.n_heard += 1
        texts = dict.fromkeys((transcript.text, *transcript.alternatives))
        hypotheses = [hypothesis_of(lexicon, normalise(text), 0.0) for text in texts]
        hypotheses = [one for one in hypotheses if len(one.sounds)]
        for alignment in align(lexicon.sound, hypotheses, limit=LIMIT, n_best=1):
            said = " ".join(word.word for word in alignment.words)
            found = sentences_of(lexicon, said, tokens_of(lexicon, said))
            if found and found[0].values == slots:
                counts.n_used += 1
                heard = hypotheses[alignment.hypothesis]
                _count(counts, prior, lexicon, alignment, heard)
    return counts


def _heard(
    store: Store, lexicon: Lexicon
) -> Iterator[tuple[Transcript, dict[str, str]]]:
    """Yields what is heard of each recording, and the slots of its label."""
    whisper = Whisper(
        store.path("whisper-base"),
        threads=2,
        kept=store.prepared_folder("whisper-base"),
    )
    folder = SHARED_CLIPS.parent
    labels = json.loads((folder / "labels.json").read_bytes())
    noise = load_noise(folder / "noise_kitchen.flac", seed=0)
    for number, (name, label) in enumerate(sorted(labels.items())):
        clean = load_sound(SHARED_CLIPS / name)
        for snr_db in SNRS_DB:
            samples = (
                clean
                if snr_db is None
                else noise.mixed(clean, snr_db=snr_db, name=name)
            )
            end_s = len(samples) / 16_000
            utterance = Utterance(samples=samples, start_s=0.0, speech_end_s=end_s)
            yield whisper.transcribe(utterance, lexicon.bias), label["slots"]
        print(f"\r{number + 1} of {len(labels)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    whisper.close()


def _count(
    counts: Counts,
    costs: EditCosts,
    lexicon: Lexicon,
    alignment: Alignment,
    heard: Hypothesis,
) -> None:
    """Adds what was heard for each sound of a sentence."""
    meant: list[int] = []
    for word in alignment.words:
        form = lexicon.sounds.of(word.word)
        meant += form[0].tolist() if form else []
    start = alignment.words[0].start
    end = alignment.words[-1].end
    for pair in _paired(meant, heard.sounds[start:end].tolist(), costs):
        counts.seen[pair] += 1


def _paired(
    meant: list[int], heard: list[int], costs: EditCosts
) -> Iterator[tuple[int, int]]:
    """Yields which sound was heard for which, on the cheapest way; -1 for none."""
    best = np.zeros((len(meant) + 1, len(heard) + 1))
    best[1:, 0] = np.cumsum(costs.delete[meant])
    best[0, 1:] = np.cumsum(costs.insert[heard])
    for i, a in enumerate(meant, 1):
        for j, b in enumerate(heard, 1):
            best[i, j] = min(
                best[i - 1, j - 1] + costs.substitute[a, b],
                best[i - 1, j] + costs.delete[a],
                best[i, j - 1] + costs.insert[b],
            )
    i, j = len(meant), len(heard)
    while i or j:
        if i and j:
            a, b = meant[i - 1], heard[j - 1]
            if np.isclose(best[i, j], best[i - 1, j - 1] + costs.substitute[a, b]):
                yield a, b
                i, j = i - 1, j - 1
                continue
        by_deletion = i and np.isclose(
            best[i, j], best[i - 1, j] + costs.delete[meant[i - 1]]
        )
        if by_deletion or not j:
            yield meant[i - 1], -1
            i -= 1
        else:
            yield -1, heard[j - 1]
            j -= 1


if __name__ == "__main__":
    sys.exit(main())
