"""What a smaller model hears beside the one that it was made of, in figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from quantize.artifact import Finding, Sample, Timing
from quantize.asr.listening import IN_RUNTIME, SOURCE, THIS, Heard
from quantize.asr.recordings import Recording, silences
from quantize.asr.words import Aligned, align, has_loop, normalised
from quantize.errors import QuantizeError
from quantize.intervals import Interval, Numbers, interval

_BOOTSTRAPS = 2000
WORD_ERROR, SHIFT_P95, SILENT_WORDS = (
    "word_error",
    "timestamp_shift_p95",
    "words_in_silence",
)
"""What the guard judges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One recording, as the source heard it and as another did."""

    recording: Recording
    source: Heard
    other: Heard
    words: Aligned
    """Normalised; the source is the reference."""
    start_shifts_ms: tuple[float, ...]
    """Of the words that both heard."""
    end_shifts_ms: tuple[float, ...]

    @property
    def n_words(self) -> int:
        """That the source heard."""
        return len(normalised(self.source.text))


def pair(recording: Recording, source: Heard, other: Heard) -> Pair:
    """Returns how what another heard lies beside what the source heard."""
    both = [
        (source.words[at], other.words[place])
        for at, place in align(
            *(
                [tuple(normalised(word.text)) for word in one.words]
                for one in (source, other)
            )
        ).same
    ]
    return Pair(
        recording=recording,
        source=source,
        other=other,
        words=align(normalised(source.text), normalised(other.text)),
        start_shifts_ms=tuple(1000 * abs(a.start_s - b.start_s) for a, b in both),
        end_shifts_ms=tuple(1000 * abs(a.end_s - b.end_s) for a, b in both),
    )


def paired(
    heard: Sequence[Heard], recordings: Sequence[Recording], who: str = THIS
) -> list[Pair]:
    """Returns every recording as the source and another heard it.

    Raises:
        QuantizeError: ``nothing_heard``: there is nothing to compare with.
    """
    by_name = {(one.who, one.sound): one for one in heard}
    found = [
        pair(one, by_name[SOURCE, one.sha256], by_name[who, one.sha256])
        for one in recordings
    ]
    if not any(one.n_words for one in found):
        raise QuantizeError(
            "nothing_heard",
            f"The source hears no word in any of the {len(found)} recordings.",
            "Give recordings of speech (--eval), in the language that --language says.",
        )
    return found


def word_error(pairs: Sequence[Pair]) -> Finding:
    """Returns the share of the source's words that are heard otherwise."""
    errors = np.array([one.words.n_errors for one in pairs], np.float64)
    words = np.array([one.n_words for one in pairs], np.float64)
    return Finding.of(
        WORD_ERROR,
        interval(errors, words),
        unit="share",
        n=int(words.sum()),
        told="Of the words that the source hears: other, missing or added ones.",
    )


def findings(
    heard: Sequence[Heard], pairs: Sequence[Pair], who: str = THIS
) -> list[Finding]:
    """Returns all that is known of what a model hears, beside the source."""
    return [
        word_error(pairs),
        *_shifts(pairs),
        *_identical(heard, pairs),
        *_edits(pairs),
        *_apart(heard, who),
        *_true(pairs),
    ]


def timing(pairs: Sequence[Pair], threads: int) -> Timing:
    """Returns how long recordings take, each by turns with the source."""
    ours, theirs = (
        np.array([1000 * one.took_s for one in column])
        for column in zip(*((one.other, one.source) for one in pairs), strict=True)
    )
    return Timing(
        threads=threads,
        n=len(pairs),
        median_ms=float(np.median(ours)),
        p95_ms=float(np.quantile(ours, 0.95)),
        reference_median_ms=float(np.median(theirs)),
        reference_p95_ms=float(np.quantile(theirs, 0.95)),
        ratio=float(np.median(ours / theirs)),
    )


def real_time_factor(heard: Sequence[Heard], who: str) -> float:
    """Returns seconds that one takes for a second of speech: of half of them, less.

    A median, since a machine that sleeps makes one recording take for ever.
    """
    silent = silences()
    spoken = [one for one in heard if one.who == who and one.sound not in silent]
    return float(np.median([one.took_s / one.sound_s for one in spoken]))


def samples(pairs: Sequence[Pair]) -> list[Sample]:
    """Returns what both hear in each recording."""
    return [
        Sample(
            input=one.recording.name,
            reference=one.source.text,
            quantized=one.other.text,
        )
        for one in pairs
    ]


def _shifts(pairs: Sequence[Pair]) -> list[Finding]:
    starts = [one.start_shifts_ms for one in pairs if one.start_shifts_ms]
    ends = [one.end_shifts_ms for one in pairs if one.end_shifts_ms]
    if not starts:
        return []

    def found(
        name: str, shifts: Sequence[Sequence[float]], share: float, told: str
    ) -> Finding:
        between = quantile_interval(shifts, share)
        n = sum(map(len, shifts))
        return Finding.of(name, between, unit="ms", n=n, told=told)

    told = "How far the beginnings of words move that both hear"
    return [
        found(SHIFT_P95, starts, 0.95, f"{told}: 95 of 100 move less."),
        found("timestamp_shift_median", starts, 0.5, f"{told}: half move less."),
        found("timestamp_shift_worst", starts, 1.0, f"{told}: none moves more."),
        found("timestamp_end_shift_p95", ends, 0.95, "The same of their ends."),
    ]


def quantile_interval(groups: Sequence[Sequence[float]], share: float) -> Interval:
    """Returns a quantile over all that some items hold, bootstrapped by item."""
    arrays: list[Numbers] = [np.array(group, np.float64) for group in groups]
    random = np.random.default_rng(1)
    drawn = [
        float(np.quantile(np.concatenate([arrays[n] for n in choice]), share))
        for choice in random.integers(len(arrays), size=(_BOOTSTRAPS, len(arrays)))
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    whole = float(np.quantile(np.concatenate(arrays), share))
    return Interval(mean=whole, low=float(low), high=float(high))


def _identical(heard: Sequence[Heard], pairs: Sequence[Pair]) -> list[Finding]:
    """Returns how often the source's own eight bits say the same, if they listened."""
    texts = {one.sound: one.text for one in heard if one.who == IN_RUNTIME}
    if not texts:
        return []
    same = [one.other.text == texts[one.recording.sha256] for one in pairs]
    return [
        Finding(
            name="identical_to_runtime",
            value=sum(same) / len(same),
            unit="share",
            n=len(same),
            told="Recordings with the same text, to the letter, as the source with the "
            "eight bits that CTranslate2 makes of it on loading.",
        )
    ]


def _edits(pairs: Sequence[Pair]) -> list[Finding]:
    def counted(name: str, count: Callable[[Pair], int], told: str) -> Finding:
        n = sum(one.n_words for one in pairs)
        return Finding(name=name, value=sum(map(count, pairs)), n=n, told=told)

    same = sum(not one.words.n_errors for one in pairs)
    return [
        counted("substitutions", lambda one: one.words.n_substituted, "Other words."),
        counted("deletions", lambda one: one.words.n_deleted, "Missing words."),
        counted("insertions", lambda one: one.words.n_inserted, "Added words."),
        Finding(
            name="same_words",
            value=same / len(pairs),
            unit="share",
            n=len(pairs),
            told="Recordings in which both hear the same words.",
        ),
    ]


def _apart(heard: Sequence[Heard], who: str) -> list[Finding]:
    """Returns what one and the source do that nobody wants."""
    silent = silences()
    found = []
    for name, ending, whose in ((who, "", ""), (SOURCE, "_source", " by the source")):
        theirs = [one for one in heard if one.who == name]
        quiet = [one for one in theirs if one.sound in silent]
        spoken = [one for one in theirs if one.sound not in silent]
        found += [
            Finding(
                name=f"{SILENT_WORDS}{ending}",
                value=sum(len(normalised(one.text)) for one in quiet),
                n=len(quiet),
                told=f"Words that are heard{whose} where nobody speaks.",
            ),
            Finding(
                name=f"loops{ending}",
                value=sum(has_loop(one.text) for one in spoken),
                n=len(spoken),
                told=f"Recordings in which a phrase is repeated{whose}.",
            ),
        ]
    return found


def _true(pairs: Sequence[Pair]) -> list[Finding]:
    """Returns the errors of both against what was said, where that is known."""
    known = [one for one in pairs if normalised(one.recording.said)]
    if not known:
        return []
    truths = [normalised(one.recording.said) for one in known]
    words = np.array([len(truth) for truth in truths], np.float64)
    found = []
    for name, texts, whose in (
        ("true_word_error", [one.other.text for one in known], "this"),
        ("true_word_error_source", [one.source.text for one in known], "the source"),
    ):
        errors = [
            align(truth, normalised(text)).n_errors
            for truth, text in zip(truths, texts, strict=True)
        ]
        told = f"Errors of {whose} by word that was said, where a .txt file tells."
        within = interval(np.array(errors, np.float64), words)
        n = int(words.sum())
        found.append(Finding.of(name, within, unit="share", n=n, told=told))
    return found
