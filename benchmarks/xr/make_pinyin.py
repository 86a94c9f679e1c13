"""Prints sentences as a recogniser might mishear them: right sounds, wrong characters.

In each sentence one or two characters are replaced by common ones (level 1 of GB 2312)
of the same syllable, or of one that the fuzzy pinyin of input methods takes for it. The
intents are those of the sentence before. What comes out is understood by no template as
it stands. The choice depends on the text alone, so that every run prints the same.

    python -m benchmarks.xr.make_pinyin > lines.jsonl
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from pypinyin import Style, lazy_pinyin

from edge.grammar import match
from edge.lexicon import Lexicon, build_lexicon, default_scene
from models.pack_file import load_pack

FIRST_NUMBER = 121
N_TRIES = 200
# fmt: off
SENTENCES = (
    "向前走五米", "请往左走一米半", "前进二十米", "后退一步",
    "向右转", "往左转三十度", "顺时针旋转一百八十度", "掉头", "看看背后",
    "带我去灯塔", "传送我们到沙滩", "我想去山洞", "我们回到码头去", "带我们去花园看看",
    "请跟着我", "跟我们一起走", "停下来", "别再跟着我了", "请在这里等我",
    "到我这里来", "回到我身边", "把灯打开", "请关掉灯光", "灯光暗一点",
    "让天下雪", "把天气换成晴天", "来一场暴风雨", "变成黄昏", "把时间调到半夜",
    "变出两个气球", "给我来三只螃蟹", "在那边放一张红色的桌子", "再来一棵椰子树",
    "删除望远镜", "让风筝消失", "把小船往右推两米", "将雕像向后移动", "把宝箱往前拖",
    "把灯笼放在宝箱上面", "把望远镜放到长椅旁边", "捡起风筝", "把灯笼递给我",
    "把宝箱放下", "把船涂成紫色", "把长椅漆成白色", "把风筝的颜色换成橙色",
    "把船涂成红色", "让雕像变大一点", "把灯笼缩小", "把风筝变成两倍大",
    "介绍一下灯塔", "跟我讲讲那座雕像", "望远镜在哪里", "帮我找宝箱", "放一首欢快的歌",
    "播放恐怖的音乐", "把音乐停了", "把音量调到百分之三十", "把声音调大一点",
    "小声一点", "向大家挥挥手", "给我们跳个舞", "坐在篝火旁边", "站起来",
    "给灯塔拍张照片", "撤销上一步", "我可以做什么",
)
# fmt: on
SAME_SHARE = 2 / 3
"""Of the replacements: the very same syllable."""
_NUMERALS = frozenset("零一二两三四五六七八九十百千万半点")
_INITIALS = (("z", "zh"), ("c", "ch"), ("s", "sh"), ("n", "l"), ("f", "h"), ("r", "l"))
_FINALS = (("an", "ang"), ("en", "eng"), ("in", "ing"))


def misheard(sentence: str, lexicon: Lexicon) -> str:
    """Returns the sentence with other characters; empty where nothing was found."""
    places = [n for n, c in enumerate(sentence) if c not in _NUMERALS]
    common = _common()
    for attempt in range(N_TRIES):
        draw = _draws(f"{sentence}{attempt}")
        n_changed = 1 + (len(places) > 4 and next(draw) < 0.5)
        characters = list(sentence)
        for _ in range(n_changed):
            place = places[int(next(draw) * len(places))]
            syllable = lazy_pinyin(sentence, style=Style.NORMAL)[place]
            wanted = [syllable] if next(draw) < SAME_SHARE else _confused(syllable)
            choices = [c for s in wanted for c in common.get(s, "")]
            choices = [c for c in choices if c != sentence[place]]
            if choices:
                characters[place] = choices[int(next(draw) * len(choices))]
        heard = "".join(characters)
        n_differ = sum(a != b for a, b in zip(heard, sentence, strict=True))
        if n_differ == n_changed and match(lexicon, heard) is None:
            return heard
    return ""


def _draws(seed: str) -> Iterator[float]:
    """Yields numbers in [0, 1) that depend on the seed alone."""
    digest = hashlib.sha256(seed.encode())
    while True:
        yield int.from_bytes(digest.digest()[:4], "big") / 2**32
        digest.update(b".")


def _common() -> dict[str, str]:
    """Returns common characters by their usual syllable."""
    found: dict[str, str] = {}
    for row in range(0xB0, 0xD8):
        for column in range(0xA1, 0xFF):
            character = bytes((row, column)).decode("gb2312", "ignore")
            if character and character not in _NUMERALS:
                syllable = lazy_pinyin(character, style=Style.NORMAL)[0]
                found[syllable] = found.get(syllable, "") + character
    return found


def _confused(syllable: str) -> list[str]:
    """Returns the syllables that fuzzy pinyin takes for one."""
    found = []
    initial = next(
        (c for c in ("zh", "ch", "sh") if syllable.startswith(c)), syllable[:1]
    )
    rest = syllable[len(initial) :]
    for pair in _INITIALS:
        for one, other in (pair, pair[::-1]):
            if initial == one:
                found.append(other + rest)
    for pair in _FINALS:
        for one, other in (pair, pair[::-1]):
            if syllable.endswith(one) and not syllable.endswith(other):
                found.append(syllable.removesuffix(one) + other)
    return found


def main() -> None:
    """Prints one JSON object a line."""
    pack = load_pack("explorer", "zh")
    lexicon = build_lexicon(pack, default_scene(pack))
    number = FIRST_NUMBER
    for sentence in SENTENCES:
        intent = match(lexicon, sentence)
        heard = misheard(sentence, lexicon) if intent else ""
        if intent is None or not heard:
            continue
        line = {
            "id": f"zh-{number:04}",
            "text": heard,
            "language": "zh",
            "kind": "pinyin",
            "intents": [{"name": intent.name, "slots": intent.values}],
        }
        print(json.dumps(line, ensure_ascii=False))
        number += 1


if __name__ == "__main__":
    main()
