"""How Chinese characters are said, and which sounds of Mandarin are taken for which.

A character is said as an initial and a final, without its tone: 船 is ``ch uan``. Where
nothing comes first, there is a final alone: 五 is ``u``, 王 is ``uang``. Tones are left
out since recognisers that hear the wrong character keep the syllable more often than
the tone, and since commands within one pack seldom differ in tone alone.

Readings come from pypinyin's table of single characters; a character that is read in
several ways has up to three of them, whatever stands around it.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping
from functools import cache

import numpy as np

from edge.phonetics.costs import EditCosts
from models.errors import ModelError
from models.lean_import import modules_of

_MAX_READINGS = 3
"""Of one character; the table lists common readings first."""
_POLYPHONES = frozenset(
    "长行了着得地的都还和重乐调觉角数中空干教种少转传弹当倒发间降解尽看量没难强切散"
    "省石似提为相兴应与载占朝正什么那哪这谁血色壳薄剥把藏差车称乘处打单弹恶佛给更"
    "观冠好号喝荷横会几夹假见结劲卷卡拉落绿露率论蒙模宁迫铺奇铅悄翘曲圈塞杀煞厦折"
    "拾识属刷说宿挑帖吐尾系吓鲜校旋压咽饮拧泡屏吧呢啊哦嗯儿只大家"
)
"""Characters that people read in several ways today; of others the first reading is
taken, as the table goes back to the classics."""
_MAX_WAYS = 16
"""Of several characters together."""

# fmt: off
INITIALS = (
    "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x",
    "zh", "ch", "sh", "r", "z", "c", "s",
)
FINALS = (
    "a", "o", "e", "i", "-i", "u", "ü", "ê", "er",
    "ai", "ei", "ao", "ou", "an", "en", "ang", "eng", "ong",
    "ia", "ie", "iao", "iu", "ian", "in", "iang", "ing", "iong",
    "ua", "uo", "uai", "ui", "uan", "un", "uang", "ueng",
    "üe", "üan", "ün",
)
# fmt: on
"""As pinyin writes them after an initial; ``-i`` is the vowel of 是 and 四."""
_SPELLED_ALONE = {
    "yi": "i",
    "ya": "ia",
    "ye": "ie",
    "yao": "iao",
    "you": "iu",
    "yan": "ian",
    "yin": "in",
    "yang": "iang",
    "ying": "ing",
    "yong": "iong",
    "yo": "o",
    "yai": "ai",
    "yu": "ü",
    "yue": "üe",
    "yuan": "üan",
    "yun": "ün",
    "wu": "u",
    "wa": "ua",
    "wo": "uo",
    "wai": "uai",
    "wei": "ui",
    "wan": "uan",
    "wen": "un",
    "wang": "uang",
    "weng": "ueng",
    "wong": "ueng",
    "n": "en",
    "ng": "eng",
    "m": "en",
}
"""Syllables that begin with no consonant, and nasals that are whole syllables."""
_AFTER_PALATAL = {"u": "ü", "ue": "üe", "uan": "üan", "un": "ün"}
_APICAL = frozenset(("zh", "ch", "sh", "r", "z", "c", "s"))

# The pairs that the "fuzzy pinyin" of Chinese input methods (Microsoft Pinyin, Sogou,
# Google Pinyin, RIME's terra_pinyin) lets one type for each other, since Mandarin of
# the south and south-west does not tell them apart: retroflex and plain sibilants, l
# and n, f and h, r and l, front and back nasal endings, hu- and f-.
_FUZZY = {
    ("z", "zh"): 0.15,
    ("c", "ch"): 0.15,
    ("s", "sh"): 0.15,
    ("n", "l"): 0.2,
    ("f", "h"): 0.3,
    ("r", "l"): 0.3,
    ("in", "ing"): 0.15,
    ("en", "eng"): 0.15,
    ("an", "ang"): 0.2,
    ("ian", "iang"): 0.25,
    ("uan", "uang"): 0.25,
    ("ong", "eng"): 0.4,
}
# Pairs that differ in one feature, which noise and fast speech hide: breath after a
# stop, friction, rounding, a glide, the ending of a diphthong. The costs are judgement,
# not measurement.
_CLOSE = {
    ("b", "p"): 0.5,
    ("d", "t"): 0.5,
    ("g", "k"): 0.5,
    ("j", "q"): 0.5,
    ("zh", "ch"): 0.5,
    ("z", "c"): 0.5,
    ("q", "x"): 0.6,
    ("j", "x"): 0.7,
    ("ch", "sh"): 0.6,
    ("c", "s"): 0.6,
    ("zh", "sh"): 0.7,
    ("z", "s"): 0.7,
    ("zh", "j"): 0.5,
    ("ch", "q"): 0.5,
    ("sh", "x"): 0.5,
    ("z", "j"): 0.6,
    ("c", "q"): 0.6,
    ("s", "x"): 0.6,
    ("r", "n"): 0.6,
    ("m", "n"): 0.6,
    ("g", "h"): 0.7,
    ("k", "h"): 0.6,
    ("d", "l"): 0.7,
    ("b", "m"): 0.7,
    ("g", "d"): 0.7,
    ("i", "ü"): 0.35,
    ("u", "ü"): 0.4,
    ("ie", "üe"): 0.35,
    ("ian", "üan"): 0.35,
    ("in", "ün"): 0.35,
    ("iu", "ü"): 0.6,
    ("-i", "i"): 0.4,
    ("-i", "e"): 0.5,
    ("o", "uo"): 0.1,
    ("o", "e"): 0.4,
    ("uo", "ou"): 0.5,
    ("e", "uo"): 0.5,
    ("e", "er"): 0.3,
    ("e", "ê"): 0.3,
    ("ie", "ê"): 0.3,
    ("ei", "ê"): 0.4,
    ("ei", "i"): 0.6,
    ("a", "ia"): 0.5,
    ("a", "ua"): 0.5,
    ("ai", "uai"): 0.5,
    ("ei", "ui"): 0.4,
    ("ai", "ei"): 0.4,
    ("ao", "iao"): 0.5,
    ("ao", "ou"): 0.4,
    ("ou", "iu"): 0.5,
    ("ou", "u"): 0.6,
    ("ou", "ong"): 0.7,
    ("an", "en"): 0.5,
    ("ang", "eng"): 0.5,
    ("an", "ian"): 0.5,
    ("an", "uan"): 0.5,
    ("ang", "iang"): 0.5,
    ("ang", "uang"): 0.5,
    ("en", "un"): 0.4,
    ("en", "in"): 0.5,
    ("eng", "ing"): 0.5,
    ("eng", "ueng"): 0.3,
    ("ong", "ueng"): 0.3,
    ("ong", "iong"): 0.4,
    ("ong", "un"): 0.5,
    ("uan", "un"): 0.5,
    ("uan", "üan"): 0.4,
    ("un", "ün"): 0.4,
    ("ie", "ian"): 0.6,
    ("ian", "in"): 0.6,
    ("a", "ai"): 0.6,
    ("a", "an"): 0.6,
    ("a", "ao"): 0.6,
}
_ADD_INITIAL = 0.6
"""A consonant is lost or heard more easily than the rest of a syllable."""
_ADD_FINAL = 1.0


@cache
def mandarin_costs() -> EditCosts:
    """Returns what each change of an initial or a final costs.

    Unrelated initials cost 1, as do unrelated finals; an initial is never a final.
    """
    symbols = INITIALS + FINALS
    n, n_initials = len(symbols), len(INITIALS)
    at = {symbol: number for number, symbol in enumerate(symbols)}
    substitute = np.full((n, n), 2.0, np.float32)
    substitute[:n_initials, :n_initials] = 1.0
    substitute[n_initials:, n_initials:] = 1.0
    for (one, other), cost in (_FUZZY | _CLOSE).items():
        substitute[at[one], at[other]] = substitute[at[other], at[one]] = cost
    np.fill_diagonal(substitute, 0.0)
    added = np.full(n, _ADD_FINAL, np.float32)  # (n,)
    added[:n_initials] = _ADD_INITIAL
    return EditCosts(symbols=symbols, substitute=substitute, delete=added, insert=added)


def pronunciations(word: str) -> tuple[tuple[str, ...], ...]:
    """Returns the ways to say a word of Chinese characters, the usual one first.

    None where it holds a character that the table does not, such as a Latin letter.

    Raises:
        ModelError: ``pronunciations_zh``: pypinyin is not installed.
    """
    readings = [_readings(character) for character in word]
    if not readings or not all(readings):
        return ()
    ways = itertools.product(*readings)
    return tuple(
        tuple(itertools.chain.from_iterable(way))
        for way in itertools.islice(ways, _MAX_WAYS)
    )


@cache
def _readings(character: str) -> tuple[tuple[str, ...], ...]:
    listed = _table().get(ord(character), "")
    found = dict.fromkeys(
        symbols
        for reading in listed.split(",")
        if (symbols := _symbols(_without_tone(reading)))
    )
    return tuple(found)[: _MAX_READINGS if character in _POLYPHONES else 1]


@cache
def _table() -> Mapping[int, str]:
    """Returns the readings of each character, with tones and commas between them.

    The package itself would load a dictionary of phrases, too, of several times the
    size.
    """
    try:
        with modules_of("pypinyin"):
            from pypinyin.pinyin_dict import pinyin_dict  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            "pronunciations_zh",
            "The readings of Chinese characters are not installed.",
            'Install them: pip install "headside[zh]".',
        ) from error
    table: Mapping[int, str] = pinyin_dict
    return table


def _without_tone(reading: str) -> str:
    """Returns a syllable in pinyin without its tone mark; ü and ê stay."""
    letters = unicodedata.normalize("NFD", reading)
    kept = "".join(c for c in letters if not unicodedata.combining(c) or c == "\u0308")
    plain = unicodedata.normalize("NFC", kept)
    return "ê" if "\u0302" in letters else plain


def _symbols(syllable: str) -> tuple[str, ...]:
    """Returns the initial and the final of a syllable; nothing where it is none."""
    alone = _SPELLED_ALONE.get(syllable, syllable)
    if alone in FINALS:
        return (alone,)
    initial = syllable[:2] if syllable[:2] in INITIALS else syllable[:1]
    final = syllable[len(initial) :]
    if initial in ("j", "q", "x"):
        final = _AFTER_PALATAL.get(final, final)
    elif initial in _APICAL and final == "i":
        final = "-i"
    return (initial, final) if initial in INITIALS and final in FINALS else ()
