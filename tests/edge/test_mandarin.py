"""Mandarin is taken apart, spelled one way, and known by its sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.grammar import match
from edge.han import SIMPLIFIED, is_han
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.mandarin import normalise_zh, words_of_zh
from edge.normalise import normalise, words_of
from edge.phonetics.mandarin import (
    FINALS,
    INITIALS,
    mandarin_costs,
    pronunciations,
)
from models.pack_file import load_pack

PACK = """\
format = 1
name = "harbour"
[character.Mara]
persona = "Harbour pilot."
[lists]
colour = { type = "colour" }
boat = { values = { small = ["小船"], big = ["大船"] } }
[intents.paint]
say = ["[请]把{boat}[全部](涂|刷)成{colour}[的]", "{boat}要{colour}"]
[intents.open]
say = ["打开[一下]门", "open [the] door"]
[intents.shirt]
say = ["[mini]T恤穿上"]
[intents.step]
say = ["走10步"]
"""

speech = st.text(
    st.one_of(
        st.sampled_from("把船涂成红色十二两嗯請門〇，。"),
        st.sampled_from("ab 0123456789.,%°-"),
    ),
    max_size=20,
)


@pytest.fixture
def lexicon(tmp_path: Path) -> Lexicon:
    text = PACK.replace('type = "colour"', 'values = { red = ["红色", "红"] }')
    (tmp_path / "pack.toml").write_text(text, encoding="utf-8")
    pack = load_pack(tmp_path)
    return build_lexicon(pack, default_scene(pack))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("把船涂成红色。", "把 船 涂 成 红 色"),
        ("把船塗成紅色！", "把 船 涂 成 红 色"),
        ("走10米", "走 十 米"),
        ("走１０米", "走 十 米"),
        ("走2.5米", "走 二 点 五 米"),
        ("2个球", "两 个 球"),
        ("12个球", "十 二 个 球"),
        ("调到50%", "调 到 百 分 之 五 十"),
        ("调到50\uff05吧", "调 到 百 分 之 五 十 吧"),
        ("转-90°啊", "转 九 十 度"),
        ("二〇二四", "二 零 二 四"),
        ("嗯，呃，打开 Light", "打 开 light"),
        ("走10m", "走 十 metre"),
    ],
)
def test_chinese_text_becomes_characters(written: str, words: str) -> None:
    assert " ".join(words_of(written)) == words
    assert " ".join(words_of_zh(written)) == words


def test_numbers_apart_are_english_unless_mandarin_is_known_to_be_spoken() -> None:
    assert words_of("走 10 米") == ("走", "ten", "米")
    assert words_of_zh("走 10 米") == ("走", "十", "米")
    assert words_of_zh("-5") == ("负", "五")
    assert words_of("50% of it") == ("fifty", "percent", "of", "it")


def test_every_character_knows_its_place() -> None:
    text = "嗯，音量50%，走10米"
    found = [(token.text, text[token.start : token.end]) for token in normalise(text)]
    assert found == [
        ("音", "音"),
        ("量", "量"),
        *((word, "50%") for word in "百分之五十"),
        ("走", "走"),
        ("十", "10"),
        ("米", "米"),
    ]


@given(speech)
def test_normalising_again_changes_nothing(text: str) -> None:
    for tokens in (normalise, normalise_zh):
        words = [token.text for token in tokens(text)]
        assert [token.text for token in tokens(" ".join(words))] == words
        starts = [token.start for token in tokens(text)]
        assert starts == sorted(starts)


@given(speech, speech)
def test_every_word_is_normalised_by_itself(one: str, other: str) -> None:
    assert words_of(f"{one} {other}") == words_of(one) + words_of(other)


def test_simplified_characters_are_not_changed_further() -> None:
    assert not SIMPLIFIED.keys() & set(SIMPLIFIED.values())
    assert all(map(is_han, SIMPLIFIED))


@pytest.mark.parametrize(
    ("text", "intent", "slots"),
    [
        ("把小船涂成红色", "paint", {"boat": "small", "colour": "red"}),
        ("请把大船全部刷成红的", "paint", {"boat": "big", "colour": "red"}),
        ("小船 要 红", "paint", {"boat": "small", "colour": "red"}),
        ("打开门", "open", {}),
        ("打開一下門", "open", {}),
        ("open the door", "open", {}),
        ("T恤穿上", "shirt", {}),
        ("miniT恤穿上", "shirt", {}),
        ("走10步", "step", {}),
        ("走十步", "step", {}),
    ],
)
def test_templates_need_no_spaces_between_characters(
    lexicon: Lexicon, text: str, intent: str, slots: dict[str, str]
) -> None:
    found = match(lexicon, text)
    assert found is not None
    assert (found.name, found.values) == (intent, slots)


@pytest.mark.parametrize(
    "text", ["把小船涂成", "打开一门", "打门", "涂成红色", "恤穿上"]
)
def test_what_no_template_says_is_not_understood(lexicon: Lexicon, text: str) -> None:
    assert match(lexicon, text) is None


def test_the_graph_stays_small_where_alternatives_follow_each_other(
    tmp_path: Path,
) -> None:
    alternatives = "(请|麻烦|劳驾|拜托|帮我|能不能)" * 8
    text = PACK + f'[intents.long]\nsay = ["{alternatives}开"]\n'
    (tmp_path / "pack.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match="sentences"):
        load_pack(tmp_path)
    text = text.replace(alternatives, alternatives[: len(alternatives) // 2])
    (tmp_path / "pack.toml").write_text(text, encoding="utf-8")
    pack = load_pack(tmp_path)
    assert len(build_lexicon(pack, default_scene(pack)).commands.graph.states) < 120


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("船", [("ch", "uan")]),
        ("五", [("u",)]),
        ("鱼", [("ü",)]),
        ("油", [("iu",)]),
        ("四", [("s", "-i")]),
        ("去", [("q", "ü")]),
        ("绿", [("l", "ü"), ("l", "u")]),
        ("塔", [("t", "a")]),
        ("翁", [("ueng",)]),
        ("长", [("zh", "ang"), ("ch", "ang")]),
        ("灯笼", [("d", "eng", "l", "ong")]),
        ("a", []),
        ("", []),
    ],
)
def test_characters_are_said_as_initials_and_finals(
    word: str, said: list[tuple[str, ...]]
) -> None:
    assert list(pronunciations(word)) == said


def test_every_common_character_is_said_in_known_sounds() -> None:
    symbols = set(mandarin_costs().symbols)
    for code in range(0x4E00, 0x9FA6):
        ways = pronunciations(chr(code))
        assert {symbol for way in ways for symbol in way} <= symbols
    common = [
        bytes((row, column)).decode("gb2312")
        for row in range(0xB0, 0xD7)
        for column in range(0xA1, 0xFF)
    ]
    assert [character for character in common if not pronunciations(character)] == []


def test_confusable_sounds_are_cheap_and_others_are_not() -> None:
    costs = mandarin_costs()
    at = {symbol: number for number, symbol in enumerate(costs.symbols)}

    def cost(one: str, other: str) -> float:
        return float(costs.substitute[at[one], at[other]])

    for one, other in (("z", "zh"), ("n", "l"), ("in", "ing"), ("an", "ang")):
        assert cost(one, other) < 0.3
    for one, other in (("b", "p"), ("i", "ü"), ("h", "f")):
        assert 0 < cost(one, other) <= 0.5
    assert cost("b", "sh") == cost("a", "ing") == 1
    assert cost("b", "a") == 2


def test_costs_are_a_symmetric_table_over_all_sounds() -> None:
    costs = mandarin_costs()
    n = len(INITIALS) + len(FINALS)
    assert costs.symbols == INITIALS + FINALS
    assert len(set(costs.symbols)) == n
    assert costs.substitute.shape == (n, n)
    assert costs.substitute.dtype == np.float32
    assert np.array_equal(costs.substitute, costs.substitute.T)
    assert np.all(np.diag(costs.substitute) == 0)
    others = costs.substitute[~np.eye(n, dtype=bool)]
    assert others.min() > 0
    for added in (costs.insert, costs.delete):
        assert added.shape == (n,)
        assert 0 < added.min() <= added.max() <= 1
