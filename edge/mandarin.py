"""Mandarin where its speakers are known to speak it.

``edge.normalise`` already takes Chinese text apart, whatever is spoken; what is here
also knows that a number by itself, as in "走 10 米", was said in Mandarin.
"""

from __future__ import annotations

from edge.normalise import Token, tokens

BEFORE = (
    "请",
    "那",
    "那么",
    "那个",
    "这个",
    "好",
    "好的",
    "好吧",
    "嘿",
    "喂",
    "哦",
    "哎",
    "额",
    "然后",
    "现在",
    "来",
    "对",
    "是的",
    "麻烦",
    "麻烦你",
)
"""What may stand before a command without a template for it."""
AFTER = (
    "吧",
    "呀",
    "哦",
    "哈",
    "嘛",
    "谢谢",
    "谢谢你",
    "好吗",
    "好不好",
    "行吗",
    "可以吗",
)
"""What may stand after it."""


def normalise_zh(text: str) -> tuple[Token, ...]:
    """Returns the words of Mandarin speech: one token a Chinese character.

    As ``edge.normalise.normalise``, but every number is written as Mandarin says it,
    also one that spaces set apart.
    """
    return tokens(text, in_chinese=_always)


def words_of_zh(text: str) -> tuple[str, ...]:
    """Returns the normalised words of Mandarin speech."""
    return tuple(token.text for token in normalise_zh(text))


def _always(folded: str, start: int, end: int) -> bool:
    del folded, start, end
    return True
