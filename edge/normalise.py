"""One spelling for everything that sounds the same: text in, tokens out.

"Go 10 Meters!" and "go ten metres" become the same words, each with the characters of
the original it came from. Numbers are written out, contractions taken apart, units put
in the singular, hesitations left out. Every word is normalised by itself: the tokens of
``a b`` are those of ``a`` and those of ``b``. That is what lets a sentence template be
normalised piece by piece.

Every Chinese character is a word by itself, in its simplified form, and digits that
stand next to one are written as Mandarin says them: 走10米 becomes 走 十 米.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from edge import number_words_zh
from edge.han import FILLERS, HAN, SIMPLIFIED, is_han
from edge.number_words import spell, spell_ordinal
from models.units import UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One normalised word."""

    text: str
    start: int
    """First character of the original it came from."""
    end: int
    """After the last one."""


_PIECE = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)"
    rf"|(?P<han>[{HAN}])"
    rf"|(?P<word>[^\W\d_{HAN}]+(?:'[^\W\d_{HAN}]+)*)"
    r"|(?P<sign>[%°&+]|(?<!\w)-(?=\.?\d))"
)
_NUMBER_SIGNS = frozenset("0123456789.,%°+-")
_CHARACTERS = SIMPLIFIED | {
    "\uff05": "%",  # full-width signs
    "\uff0b": "+",
    "\uff0d": "-",
    "\uff0e": ".",
    "\u3007": "零",
    "`": "'",
    "\u2018": "'",  # quotation marks
    "\u2019": "'",
    "\u02bc": "'",  # the apostrophe that is a letter
    "\u2010": "-",  # hyphens, dashes, the minus sign
    "\u2011": "-",
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u00ba": "°",  # the ordinal sign, often typed for degrees
    "½": ".5",
    "¼": ".25",
    "¾": ".75",
}
_SIGNS = {"%": "percent", "°": "degree", "&": "and", "+": "plus", "-": "minus"}
_SIGNS_ZH = {"%": [], "°": ["度"], "&": ["和"], "+": ["加"], "-": ["负"]}
_PERCENT_ZH = ["百", "分", "之"]
_HESITATIONS = frozenset(("uh", "uhm", "um", "umm", "er", "erm", "hm", "hmm", "mm"))

# Only where glued to a number, as in 10m: by themselves some of these are words.
_ATTACHED = {unit.symbol: unit.words[0] for unit in UNITS.values()} | {
    "hr": "hour",
    "oz": "ounce",
    "sec": "second",
}
_ORDINAL_ENDINGS = frozenset(("st", "nd", "rd", "th"))

_AMERICAN = {
    "armor": "armour",
    "behavior": "behaviour",
    "center": "centre",
    "color": "colour",
    "colored": "coloured",
    "colors": "colours",
    "favorite": "favourite",
    "flavor": "flavour",
    "fiber": "fibre",
    "gray": "grey",
    "harbor": "harbour",
    "honor": "honour",
    "jewelry": "jewellery",
    "neighbor": "neighbour",
    "plow": "plough",
    "theater": "theatre",
    "traveler": "traveller",
}
_PLURALS = {
    spelling: word
    for unit in UNITS.values()
    for word in unit.words
    for spelling in (
        f"{word}s",
        word.replace("metre", "meter"),
        f"{word.replace('metre', 'meter')}s",
        *unit.plurals,
    )
}
_SPELLINGS = (
    _AMERICAN
    | _PLURALS
    | {
        "cm": "centimetre",
        "ft": "foot",
        "km": "kilometre",
        "mm": "millimetre",
        "ok": "okay",
        "ounces": "ounce",
        "oz": "ounce",
    }
)

_SHORT = {
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "gimme": ("give", "me"),
    "gonna": ("going", "to"),
    "lemme": ("let", "me"),
    "let's": ("let", "us"),
    "shan't": ("shall", "not"),
    "wanna": ("want", "to"),
    "won't": ("will", "not"),
}
_ENDINGS = {"'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would"}
# fmt: off
_IS_AFTER = frozenset((
    "everything", "he", "here", "how", "it", "she", "that", "there", "this", "what",
    "when", "where", "who",
))
# fmt: on


def normalise(text: str) -> tuple[Token, ...]:
    """Returns the words of a text, each with the characters it came from, in order."""
    return tokens(text, in_chinese=_touches_han)


def tokens(
    text: str, *, in_chinese: Callable[[str, int, int], bool]
) -> tuple[Token, ...]:
    """Returns the words of a text, in order.

    Args:
        text: What was said.
        in_chinese: For the text in small letters and the start and end of a number or
            sign in it: whether it is written as Mandarin says it.
    """
    folded, origins = _folded(text)
    found: list[Token] = []
    number_end = -1
    number = ""
    for piece in _PIECE.finditer(folded):
        start, end = origins[piece.start()], origins[piece.end() - 1] + 1
        if piece.lastgroup in ("number", "sign") and in_chinese(folded, *piece.span()):
            words = _words_zh(piece)
            if words[:3] == _PERCENT_ZH:
                end = origins[piece.end()] + 1
        else:
            words = _words_of(piece, number if piece.start() == number_end else "")
        if piece.lastgroup == "word" and piece.start() == number_end:
            ordinal = piece.group() in _ORDINAL_ENDINGS and spell_ordinal(number)
            if ordinal:
                words = [ordinal]
                start = found[-1].start
                while found and found[-1].start == start:
                    found.pop()
        found += [Token(text=word, start=start, end=end) for word in words]
        if piece.lastgroup == "number":
            number, number_end = piece.group(), piece.end()
    return tuple(found)


def words_of(text: str) -> tuple[str, ...]:
    """Returns the normalised words of a text."""
    return tuple(token.text for token in normalise(text))


def _touches_han(folded: str, start: int, end: int) -> bool:
    """Returns whether a Chinese character stands right before or after a number."""
    while start > 0 and folded[start - 1] in _NUMBER_SIGNS:
        start -= 1
    while end < len(folded) and folded[end] in _NUMBER_SIGNS:
        end += 1
    return is_han(folded[start - 1 : start]) or is_han(folded[end : end + 1])


def _words_zh(piece: re.Match[str]) -> list[str]:
    """Returns a number or a sign as Mandarin says it; a % is said before its number."""
    text = piece.group()
    if piece.lastgroup == "sign":
        return _SIGNS_ZH[text]
    following = piece.string[piece.end() : piece.end() + 1]
    words = number_words_zh.spell(text.replace(",", ""), following)
    return [*_PERCENT_ZH, *words] if following == "%" else words


def _words_of(piece: re.Match[str], number: str) -> list[str]:
    """Returns the words of one piece, given the digits it is glued to, if any."""
    text = piece.group()
    if piece.lastgroup == "han":
        return [] if text in FILLERS else [text]
    if piece.lastgroup == "number":
        return spell(text.replace(",", ""))
    if piece.lastgroup == "sign":
        return [_SIGNS[text]]
    if number and text in _ATTACHED:
        return [_ATTACHED[text]]
    return [
        _SPELLINGS.get(word, word)
        for word in _taken_apart(text)
        if word not in _HESITATIONS
    ]


def _taken_apart(word: str) -> tuple[str, ...]:
    if word in _SHORT:
        return _SHORT[word]
    stem, apostrophe, ending = word.rpartition("'")
    if not apostrophe:
        return (word,)
    if ending == "t" and stem.endswith("n"):
        return (stem[:-1].replace("'", ""), "not")
    stem = stem.replace("'", "")
    if f"'{ending}" in _ENDINGS:
        return (stem, _ENDINGS[f"'{ending}"])
    if ending == "s" and stem in _IS_AFTER:
        return (stem, "is")
    return (stem + ending,)


def _folded(text: str) -> tuple[str, list[int] | range]:
    """Returns the text in lower case without accents, and each character's origin."""
    if text.isascii():
        return text.lower().replace("`", "'"), range(len(text))
    characters: list[str] = []
    origins: list[int] = []
    for index, character in enumerate(text):
        for plain in _plain(character):
            characters.append(plain)
            origins.append(index)
    return "".join(characters), origins


def _plain(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.combining(character):
        return ""
    if not character.isalpha():
        return character
    # Twice, as some letters that stand for a capital have no small form of their own.
    letters = unicodedata.normalize("NFKD", character).casefold()
    decomposed = unicodedata.normalize("NFKD", letters)
    return "".join(
        _CHARACTERS.get(c, c) for c in decomposed if not unicodedata.combining(c)
    )
