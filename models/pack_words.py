"""The lists every pack can use by type: directions and colours, in each language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from models.pack import ListValue


def _list(**phrases: str) -> tuple[ListValue, ...]:
    return tuple(
        ListValue(
            value=value.replace("_", " "),
            phrases=(value.replace("_", " "), *filter(None, others.split(", "))),
        )
        for value, others in phrases.items()
    )


_DIRECTION = _list(
    forward="forwards, ahead, straight, straight ahead, straight on, onward, onwards",
    back="backward, backwards",
    left="leftward, leftwards, to the left, to my left",
    right="rightward, rightwards, to the right, to my right",
    up="upward, upwards",
    down="downward, downwards",
)

# The eleven basic colour terms of English (Berlin and Kay, 1969), and those that
# players and artists ask for besides.
_COLOUR = _list(
    red="crimson, scarlet",
    orange="amber",
    yellow="",
    green="emerald, emerald green",
    blue="",
    purple="violet",
    pink="rose",
    brown="",
    black="",
    grey="",
    white="",
    dark_red="maroon, burgundy",
    light_green="lime, lime green",
    dark_green="forest green",
    light_blue="sky blue, baby blue",
    dark_blue="navy, navy blue",
    turquoise="teal, aqua, cyan",
    magenta="fuchsia",
    beige="cream, tan",
    gold="golden",
    silver="",
)

BUILT_IN: Mapping[str, tuple[ListValue, ...]] = MappingProxyType(
    {"direction": _DIRECTION, "colour": _COLOUR}
)
"""Values by the name of their type."""


def _named(**phrases: str) -> tuple[ListValue, ...]:
    return tuple(
        ListValue(value=value.replace("_", " "), phrases=tuple(said.split()))
        for value, said in phrases.items()
    )


_DIRECTION_ZH = _named(
    forward="前 向前 往前 朝前 前面 前方 往前面 向前方 前边 往前边",
    back="后 向后 往后 朝后 后面 后方 往后面 向后方 后边 往后边 后退",
    left="左 向左 往左 朝左 左边 左侧 左面 向左边 往左边 靠左",
    right="右 向右 往右 朝右 右边 右侧 右面 向右边 往右边 靠右",
    up="上 向上 往上 朝上 上面 上方 往上面 上边",
    down="下 向下 往下 朝下 下面 下方 往下面 下边",
)
_COLOUR_ZH = _named(
    red="红色 红 大红色 鲜红色",
    orange="橙色 橘色 橙 橘黄色 橘红色",
    yellow="黄色 黄",
    green="绿色 绿 翠绿色",
    blue="蓝色 蓝",
    purple="紫色 紫 紫罗兰色",
    pink="粉色 粉红色 粉红 粉 玫瑰色",
    brown="棕色 褐色 咖啡色 棕",
    black="黑色 黑",
    grey="灰色 灰",
    white="白色 白",
    dark_red="深红色 暗红色 深红 酒红色",
    light_green="浅绿色 淡绿色 浅绿 嫩绿色",
    dark_green="深绿色 墨绿色 深绿",
    light_blue="浅蓝色 淡蓝色 天蓝色 浅蓝 天蓝",
    dark_blue="深蓝色 藏青色 深蓝 海军蓝",
    turquoise="青色 青绿色 蓝绿色",
    magenta="品红色 洋红色 品红",
    beige="米色 米黄色 米白色",
    gold="金色 金黄色 金",
    silver="银色 银白色 银",
)
_TRANSLATED = MappingProxyType(
    {"zh": {"direction": _DIRECTION_ZH, "colour": _COLOUR_ZH}}
)


def translated(
    values: tuple[ListValue, ...], language: str
) -> tuple[ListValue, ...] | None:
    """Returns a list of a type in another language; None for a pack's own list."""
    for kind, words in BUILT_IN.items():
        if values is words:
            return _TRANSLATED.get(language, {}).get(kind)
    return None
