"""Numbers are written as Mandarin says them, and understood as people say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.normalise import words_of
from edge.number_graph_zh import number_graph_zh
from edge.number_words_zh import measured_at, number_at, spell
from edge.word_graph import readings
from models.units import conversions


@given(st.integers(0, 999_999_999))
def test_numbers_that_are_written_out_are_read_back(number: int) -> None:
    words = spell(str(number))
    assert number_at(words, 0) == (len(words), number)


@given(st.integers(0, 9_999), st.integers(0, 999))
def test_decimals_that_are_written_out_are_read_back(whole: int, part: int) -> None:
    written = f"{whole}.{part}"
    words = spell(written)
    assert number_at(words, 0) == (len(words), float(written))


@pytest.mark.parametrize(
    ("digits", "spoken"),
    [
        ("0", "零"),
        ("10", "十"),
        ("15", "十五"),
        ("110", "一百一十"),
        ("305", "三百零五"),
        ("1050", "一千零五十"),
        ("10002", "一万零二"),
        ("100000", "十万"),
        ("2.5", "二点五"),
        ("007", "零零七"),
    ],
)
def test_digits_are_written_as_they_are_said(digits: str, spoken: str) -> None:
    assert "".join(spell(digits)) == spoken


def test_two_of_something_is_another_word() -> None:
    assert spell("2", "个") == ["两"]
    assert spell("2", "月") == ["二"]
    assert spell("12", "个") == ["十", "二"]


@pytest.mark.parametrize(
    ("spoken", "value"),
    [
        ("两", 2),
        ("十", 10),
        ("二十", 20),
        ("一百十五", 115),
        ("三百五", 350),
        ("三百零五", 305),
        ("一千二", 1_200),
        ("一万二", 12_000),
        ("一万零二", 10_002),
        ("两万五千", 25_000),
        ("二零二四", 2_024),
        ("一点五", 1.5),
        ("零点二五", 0.25),
        ("半", 0.5),
        ("一半", 0.5),
        ("四分之三", 0.75),
    ],
)
def test_numbers_are_understood_as_people_say_them(spoken: str, value: float) -> None:
    found = number_at(spoken, 0)
    assert found is not None
    assert found[0] == len(spoken)
    assert found[1] == pytest.approx(value)


@pytest.mark.parametrize("spoken", ["万一", "点五", "百", "米", "个", ""])
def test_other_words_are_no_numbers(spoken: str) -> None:
    assert number_at(spoken, 0) is None


def test_a_number_ends_where_the_next_begins() -> None:
    assert number_at("三四米", 0) == (1, 3)
    assert number_at("五十分之", 0) == (2, 50)
    assert number_at("向前走十五米", 3) == (5, 15)


@pytest.mark.parametrize(
    ("spoken", "unit", "value"),
    [
        ("三米", "m", 3),
        ("半米", "m", 0.5),
        ("三米半", "m", 3.5),
        ("五十厘米", "m", 0.5),
        ("两公里", "m", 2_000),
        ("十英尺", "m", 3.048),
        ("九十度", "deg", 90),
        ("半圈", "deg", 180),
        ("一圈半", "deg", 540),
        ("两个小时", "min", 120),
        ("一个半小时", "min", 90),
        ("半个小时", "min", 30),
        ("十秒钟", "s", 10),
        ("百分之五十", "%", 50),
        ("百分之百", "%", 100),
        ("两 metres", "m", 2),
    ],
)
def test_measures_are_converted(spoken: str, unit: str, value: float) -> None:
    words = words_of(spoken)
    factors = conversions(unit, "zh")
    found = measured_at(words, 0, factors)
    assert found[-1][0] == len(words)
    assert found[-1][1] == pytest.approx(value)
    spelled = number_graph_zh(10_000, signed=False, units=tuple(sorted(factors)))
    assert readings(
        spelled,
        words,
        lambda name, start: (),
        starts=[0],
        ends=frozenset((len(words),)),
    )


def test_a_measure_needs_its_unit() -> None:
    factors = conversions("m", "zh")
    assert measured_at("三度", 0, factors) == []
    assert measured_at("三", 0, factors) == []
    assert measured_at("米", 0, factors) == []
    assert measured_at("百分之五", 0, factors) == []


def test_english_knows_no_chinese_units() -> None:
    assert "米" not in conversions("m")
    assert conversions("m", "zh")["metre"] == 1
