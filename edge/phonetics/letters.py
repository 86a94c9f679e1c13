"""How an English word that no dictionary holds is said: letters in, sounds out.

A table of spellings, the longest that fits first, and a few rules that look around.
Names that players and recognisers spell each in their own way come out alike, which is
what matters here; it knows nothing of stress.
"""

from __future__ import annotations

import re
from functools import cache

# fmt: off
_SPELLINGS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "sure": "ZH ER",
    "ough": "AO", "augh": "AO", "eigh": "EY", "tch": "CH", "sch": "S K", "igh": "AY",
    "dge": "JH", "que": "K", "gue": "G", "eau": "OW", "ous": "AH S", "air": "EH R",
    "ear": "IH R", "eer": "IH R", "our": "AO R", "oor": "AO R", "oar": "AO R",
    "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "gh": "G",
    "ng": "NG", "qu": "K W", "kn": "N", "wr": "R", "rh": "R", "ps": "P S",
    "ee": "IY", "ea": "IY", "ie": "IY", "ei": "EY", "ey": "IY", "ai": "EY", "ay": "EY",
    "oa": "OW", "oe": "OW", "oo": "UW", "ou": "AW", "ow": "OW", "oi": "OY", "oy": "OY",
    "au": "AO", "aw": "AO", "ue": "UW", "ui": "UW", "eu": "UW", "ew": "UW",
    "ae": "EY", "aa": "AA", "ar": "AA R", "er": "ER", "ir": "ER", "ur": "ER",
    "or": "AO R", "yr": "IH R", "ah": "AA", "oh": "OW", "uh": "AH", "eh": "EH",
    "bb": "B", "cc": "K", "dd": "D", "ff": "F", "gg": "G", "jj": "JH", "kk": "K",
    "ll": "L", "mm": "M", "nn": "N", "pp": "P", "rr": "R", "ss": "S", "tt": "T",
    "vv": "V", "zz": "Z",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH",
    "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P",
    "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S",
    "y": "IY", "z": "Z",
}
# fmt: on
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW", "y": "AY"}
_SILENT_E = re.compile(r"[aeiouy][^aeiouywx]e(s|d)?$")
_SOFT = re.compile(r"[eiy]")
_VOWELS = "aeiouy"
_AT_START = {"x": "Z", "y": "Y", "gn": "N", "pn": "N", "mn": "N", "ts": "S"}
_AT_END = {"a": "AH", "o": "OW", "y": "IY", "i": "IY", "u": "UW", "e": "", "le": "AH L"}
_LONGEST = max(map(len, _SPELLINGS))


@cache
def pronounced(word: str) -> tuple[str, ...]:
    """Returns how a word in small letters is probably said, in ARPAbet."""
    word = "".join(c for c in word if c in _SPELLINGS)
    has_silent_e = len(word) > 2 and _SILENT_E.search(word) is not None
    silent_at = word.rindex("e") if has_silent_e else -1
    sounds: list[str] = []
    at = 0
    while at < len(word):
        n, said = _next(word, at, silent_at)
        sounds += said.split()
        at += n
    return tuple(sounds)


def _next(word: str, at: int, silent_at: int) -> tuple[int, str]:
    """Returns how many letters are said next, and how."""
    letter = word[at]
    if at == silent_at:
        return 1, "IH" if word[at - 1] in "td" and word.endswith("ed") else ""
    if letter in _LONG and at == silent_at - 2:
        return 1, _LONG[letter]
    if at == 0:
        for begins in ("gn", "pn", "mn", "ts", "x"):
            if word.startswith(begins) and len(word) > len(begins):
                return len(begins), _AT_START[begins]
        if letter == "y" and word[1:2] and word[1] in _VOWELS:
            return 1, _AT_START["y"]
    rest = word[at:]
    if rest in _AT_END and at > 0 and (len(rest) > 1 or word[at - 1] not in _VOWELS):
        return len(rest), _AT_END[rest]
    following = word[at + 1 : at + 2]
    if letter in "cg" and _SOFT.match(following) and rest[:2] != "gh":
        return 1, "S" if letter == "c" else "JH"
    for n in range(min(_LONGEST, len(rest)), 0, -1):
        if rest[:n] in _SPELLINGS:
            return n, _SPELLINGS[rest[:n]]
    return 1, ""
