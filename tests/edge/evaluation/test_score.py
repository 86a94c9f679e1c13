"""When an answer is right, and what a share of right ones is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.evaluation.items import (
    Case,
    Cases,
    Spot,
    TextItem,
    Wanted,
    WantedIntent,
    WantedValue,
)
from edge.evaluation.score import Answer, Latency, Said, Share, is_right, score
from models.pack import Pack, Value


def wanted(name: str = "move", /, **slots: WantedValue) -> Wanted:
    return Wanted(intents=(WantedIntent(name=name, slots=slots),))


def said(name: str = "move", /, **slots: Value) -> Said:
    return Said(name=name, slots=slots)


def answer(*intents: Said, clarify: tuple[Said, ...] = (), name: str = "1") -> Answer:
    return Answer(id=name, condition="clean", intents=intents, clarify=clarify)


@pytest.mark.parametrize(
    ("label", "slots", "right"),
    [
        ({"metres": 10}, {"metres": 10}, True),
        ({"metres": 10}, {"metres": 10.0}, True),
        ({"metres": 10}, {"metres": 10 * (1 + 5e-7)}, True),
        ({"metres": 10}, {"metres": 10 * (1 + 5e-6)}, False),
        ({"metres": 10}, {"metres": "10"}, False),
        ({"metres": 0}, {"metres": 0}, True),
        ({"metres": 10}, {}, False),
        ({}, {"metres": 10}, False),
        ({"metres": 10}, {"metres": 10, "pace": "dim"}, True),
        ({"metres": 10}, {"metres": 10, "pace": "bright"}, False),
        ({"metres": 10, "pace": "dim"}, {"metres": 10}, False),
        ({"metres": 10, "pace": "bright"}, {"metres": 10, "pace": "bright"}, True),
        ({"pace": "dim"}, {"pace": "Dim"}, False),
        ({"at": Spot(position=(1, 2, 3))}, {"at": "1 2 3.49"}, True),
        ({"at": Spot(position=(1, 2, 3))}, {"at": "1 2 3.51"}, False),
        ({"at": Spot(position=(1, 2, 3))}, {"at": "1 2"}, False),
        ({"at": Spot(position=(1, 2, 3))}, {"at": "nan 2 3"}, False),
        ({"at": Spot(position=(1, 2, 3))}, {"at": "here"}, False),
        ({"at": Spot(position=(1, 2, 3))}, {"at": 1}, False),
    ],
)
def test_every_slot_has_to_be_as_labelled(
    pack: Pack,
    label: Mapping[str, WantedValue],
    slots: Mapping[str, Value],
    right: bool,
) -> None:
    found = answer(said(**slots))

    assert is_right(pack, wanted(**label), found) is right


@pytest.mark.parametrize(
    ("heard", "right"),
    [
        ("Sea Biscuit's!", True),
        ("sea  biscuits", True),
        ("sea biscuit", False),
        ("seabiscuits", False),
        (7, False),
    ],
)
def test_free_text_counts_by_its_words(pack: Pack, heard: Value, right: bool) -> None:
    label = wanted("write", label="sea biscuit's")

    assert is_right(pack, label, answer(said("write", label=heard))) is right


def test_intents_come_in_order_and_no_others(pack: Pack) -> None:
    both = Wanted(intents=(WantedIntent(name="greet"), WantedIntent(name="move")))
    greet, move = said("greet"), said()

    assert is_right(pack, both, answer(greet, move))
    assert not is_right(pack, both, answer(move, greet))
    assert not is_right(pack, both, answer(greet))
    assert not is_right(pack, both, answer(greet, move, move))
    assert not is_right(pack, both, answer())


def test_without_a_command_nothing_is_right(pack: Pack) -> None:
    assert is_right(pack, Wanted(), answer())
    assert is_right(pack, Wanted(), answer(clarify=(said(), said("greet"))))
    assert not is_right(pack, Wanted(), answer(said()))
    failed = Answer(id="1", condition="clean", error="it broke")
    assert not is_right(pack, Wanted(), failed)


def test_a_question_offers_exactly_what_was_wanted(pack: Pack) -> None:
    ask = Wanted(clarify=("b1", "b2"))
    first, second = said("scuttle", boat="b1", n=1), said("scuttle", boat="b2", n=1)

    assert is_right(pack, ask, answer(clarify=(second, first)))
    assert not is_right(pack, ask, answer(clarify=(first,)))
    assert not is_right(pack, ask, answer(clarify=(first, first)))
    assert not is_right(pack, ask, answer(clarify=(first, second, second)))
    assert not is_right(pack, ask, answer(clarify=(first, said("greet"))))
    assert not is_right(pack, ask, answer(first, clarify=(first, second)))
    assert not is_right(pack, ask, answer())


def test_a_score_counts_what_there_is(pack: Pack) -> None:
    wants = {"a": wanted("greet"), "b": wanted("move"), "c": Wanted(), "d": Wanted()}
    cases = Cases(
        file=Path("lines.jsonl"),
        cases=tuple(
            Case(item=TextItem(id=name, text="x", kind="k" + name), wanted=want, line=1)
            for name, want in wants.items()
        ),
        sha256="",
        is_sound=True,
    )
    answers = [
        answer(said("greet"), name="a"),
        answer(said("greet"), said("greet"), name="b"),
        answer(said("greet"), name="c"),
        answer(name="d"),
        Answer(id="a", condition="6", asr_ms=3, intents=(said("greet"),)),
        Answer(id="b", condition="6", asr_ms=4, error="broken"),
        Answer(id="c", condition="6"),
        Answer(id="d", condition="6", error="broken"),
    ]

    found = score(pack, cases, answers, ("clean", "6"))

    assert found.clean.commands == Share(n_right=1, n=2)
    assert found.clean.accepted == Share(n_right=1, n=2)
    assert found.noise[0].commands == Share(n_right=1, n=2)
    assert found.noise[0].accepted == Share(n_right=0, n=1)
    assert found.noise_mean == 0.5
    assert found.confusion == {
        "greet": {"greet": 1},
        "move": {"greet": 1},
        "none": {"greet": 2, "none": 1},
    }
    assert found.kinds["kc"] == Share(n_right=0, n=1)
    failed = [(one.answer.id, one.answer.condition) for one in found.failures]
    assert failed == [("b", "clean"), ("c", "clean"), ("b", "6"), ("d", "6")]
    assert [one.id for one in found.errors] == ["b", "d"]


def test_of_nothing_nothing_is_known() -> None:
    nothing = Share(n_right=0, n=0)

    assert nothing.exact is None
    assert nothing.interval is None
    assert Latency.of([]) is None


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [(50, 100, 0.40383, 0.59617), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0)],
)
def test_the_interval_is_wilsons(n_right: int, n: int, low: float, high: float) -> None:
    assert Share(n_right=n_right, n=n).interval == pytest.approx((low, high), abs=1e-5)


@given(n=st.integers(1, 1000), data=st.data())
def test_the_share_lies_in_its_interval(n: int, data: st.DataObject) -> None:
    share = Share(n_right=data.draw(st.integers(0, n)), n=n)
    assert share.exact is not None
    assert share.interval is not None
    assert 0 <= share.interval[0] <= share.exact <= share.interval[1] <= 1
