"""Which words a language model can do without.

A word that stays can still be built, so texts made of such words are read as before;
all others are spelled in smaller pieces, for every byte stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from quantize.errors import QuantizeError
from quantize.gguf import Header

_Rank = Callable[[str, str], float | None]
"""When two neighbours are joined: the lowest first; None where never."""

MODEL, WORDS, KINDS, SCORES, MERGES = (
    f"tokenizer.ggml.{key}"
    for key in ("model", "tokens", "token_type", "scores", "merges")
)
"""Of the metadata."""
NUMBER, NUMBERS = "_token_id", "_token_ids"
"""How keys end that hold the number of a word; of several."""
_N_FIRST: Mapping[str, int] = MappingProxyType({"gpt2": 12, "llama": 3})
"""By tokeniser. Where a file does not say what begins and ends a text, llama.cpp takes
words by their numbers (11; 0, 1 and 2), so these stay where they are."""
_NORMAL, _UNUSED = 1, 5
"""Kinds of words that may go."""
_SEEN = (*range(33, 127), *range(161, 173), *range(174, 256))
_BYTE_LETTERS = frozenset(map(chr, (*_SEEN, *range(256, 512 - len(_SEEN)))))
"""What byte-level BPE writes for bytes: itself for what can be seen
(``bytes_to_unicode`` of GPT-2)."""
_BYTE_NAMES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
"""What SentencePiece writes for the bytes of letters that are no words."""
_LETTERS = frozenset(("\u2581", *map(chr, range(128))))
"""That stay of SentencePiece's: its space, and those of one byte."""
_LONGEST = 1024
"""Letters of a word that is built; the longest known are 512 spaces."""


def kept_words(header: Header, needed: Iterable[int], n: int) -> tuple[int, ...]:
    """Returns the numbers of the words that stay, rising.

    These are all that are no text, those for single bytes, those that are needed, and
    then the most frequent; each with the words that it is built of.

    Args:
        header: Of a GGUF file whose tokeniser is byte-level BPE or SentencePiece.
        needed: Numbers of words that have to stay: those of texts that are to be read
            as they are.
        n: How many stay; fewer only where there are no more. A word that would be too
            many together with what it is built of is passed over.

    Raises:
        QuantizeError: ``words_unknown`` or ``words_too_few``.
    """
    vocabulary = Vocabulary.of(header)
    kept: set[int] = set()
    for number in {*vocabulary.fixed, *map(int, needed)}:
        if not 0 <= number < len(vocabulary.words):
            raise ValueError(f"word {number}, where there are {len(vocabulary.words)}")
        kept |= vocabulary.with_parts(number)
    if len(kept) > n:
        raise QuantizeError(
            "words_too_few",
            f"{n} words are too few: {len(kept)} are needed for bytes, for what is no "
            "text, and for the texts that are to be read as they are.",
            f"Keep {len(kept)} words or more.",
        )
    for number in vocabulary.by_rank:
        if len(kept) == n:
            break
        more = vocabulary.with_parts(number) - kept if number not in kept else set()
        if len(kept) + len(more) <= n:
            kept |= more
    return tuple(sorted(kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words of a model, and how letters become words."""

    words: tuple[str, ...]
    numbers: Mapping[str, int]
    rank: _Rank
    fixed: frozenset[int]
    """Numbers of words that never go."""
    by_rank: Sequence[int]
    """Numbers of words that are text, of the most frequent first."""

    @staticmethod
    def of(header: Header) -> Vocabulary:
        """Returns what a header holds.

        Raises:
            QuantizeError: ``words_unknown``.
        """
        model = header.text(MODEL)
        if model not in _N_FIRST:
            raise unknown(f'its tokeniser is "{model}"')
        words, merges = _texts(header, WORDS), _texts(header, MERGES)
        numbers = {word: number for number, word in enumerate(words)}
        if not words or len(numbers) < len(words):
            raise unknown("its words cannot be told from each other")
        kinds = _for_each(header, KINDS, len(words), _NORMAL)
        scores = _for_each(header, SCORES, len(words), 0)
        by_rank = [n for n, kind in enumerate(kinds) if kind == _NORMAL]
        if model == "gpt2":
            rank, letters = _merging(merges, numbers), _BYTE_LETTERS
        else:
            rank, letters = _scoring(scores, numbers), _BYTE_NAMES | _LETTERS
            by_rank.sort(key=lambda number: -scores[number])
        fixed = {
            *range(min(len(words), _N_FIRST[model])),
            *(n for n, kind in enumerate(kinds) if kind not in {_NORMAL, _UNUSED}),
            *(numbers[letter] for letter in letters & numbers.keys()),
            *_named(header, len(words)),
        }
        return Vocabulary(
            words=words,
            numbers=numbers,
            rank=rank,
            fixed=frozenset(fixed),
            by_rank=by_rank,
        )

    def with_parts(self, number: int) -> set[int]:
        """Returns a word, and all that the tokeniser makes on its way to it.

        Within a text it makes the same: nothing is joined across the ends of a word
        that comes out, so what is outside of it decides nothing inside.
        """
        pieces, made = list(self.words[number][: _LONGEST + 1]), {number}
        while 1 < len(pieces) <= _LONGEST:
            joined = [
                (rank, at)
                for at, (left, right) in enumerate(pairwise(pieces))
                if (rank := self.rank(left, right)) is not None
            ]
            if not joined:
                return {number}  # it is not built: a name, or one that is looked up
            _, at = min(joined)
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
            made.add(self.numbers[pieces[at]])
        return made


def _merging(merges: Sequence[str], numbers: Mapping[str, int]) -> _Rank:
    """Returns what byte-level BPE joins: its merges, in their order."""
    if not merges or not set("".join(merges)) <= _BYTE_LETTERS | {" "}:
        raise unknown("its merges are not those of byte-level BPE")
    ranks: dict[tuple[str, str], int] = {}
    for rank, merge in enumerate(merges):
        left, _, right = merge.partition(" ")
        if {left, right, left + right} <= numbers.keys():
            ranks.setdefault((left, right), rank)
    return lambda left, right: ranks.get((left, right))


def _scoring(scores: Sequence[float], numbers: Mapping[str, int]) -> _Rank:
    """Returns what SentencePiece joins: whatever is a word then, by its score."""
    if not numbers.keys() >= _BYTE_NAMES:
        raise unknown("it has no words for single bytes")

    def rank(left: str, right: str) -> float | None:
        number = numbers.get(left + right)
        return None if number is None else -scores[number]

    return rank


def _named(header: Header, n_words: int) -> Iterator[int]:
    """Yields the numbers of words that the metadata names."""
    for key, value in header.metadata.items():
        if key.endswith((NUMBER, NUMBERS)):
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int) and 0 <= number < n_words:
                    yield number


def _texts(header: Header, key: str) -> tuple[str, ...]:
    """Returns a list of texts; empty where there is none."""
    found = header.metadata.get(key, ())
    texts = tuple(map(str, found)) if isinstance(found, tuple) else ()
    if texts != found:
        raise unknown(f"its {key} are no texts")
    return texts


def _for_each(header: Header, key: str, n: int, default: float) -> tuple[float, ...]:
    """Returns a number for each word."""
    found = header.metadata.get(key, (default,) * n)
    listed = found[:n] if isinstance(found, tuple) else ()
    numbers = tuple(float(value) for value in listed if not isinstance(value, str))
    if len(numbers) < n:
        raise unknown(f"its {key} are not one for each word")
    return numbers


def unknown(why: str) -> QuantizeError:
    """Returns why words cannot be left out of a model."""
    return QuantizeError(
        "words_unknown",
        f"Nobody knows how to leave words out of this model: {why}.",
        "Keep all words.",
    )
