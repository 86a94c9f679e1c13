"""What a character is told, in which order, and what it may not say."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.dialogue import (
    CUT,
    MAX_HISTORY_TURNS,
    Conversation,
    Exchange,
    Outcome,
    ReplyGuard,
    Situation,
    sentences,
)
from edge.intent import Intent, Slot, Tier
from edge.llm.model import Role
from edge.llm.output import write_answer
from models.pack import Character

MARA = Character(
    name="mara",
    persona="Harbour pilot.",
    fallback=("Say again?", "The wind took that."),
    examples=(("hello", "Ahoy."), ("who are you", "Mara.")),
    knowledge="The harbour closes at night.",
)
MOVE = Intent(
    name="move", slots=(Slot(name="direction", value="up"),), tier=Tier.GRAMMAR
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Up we go. Mind the step!", ["Up we go.", "Mind the step!"]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ("Ask Dr. or Mrs. Brown. Now.", ["Ask Dr. or Mrs. Brown.", "Now."]),
        ("Bring rope, e.g. hemp. Now.", ["Bring rope, e.g. hemp.", "Now."]),
        ("It is 3.5 metres. Jump.", ["It is 3.5 metres.", "Jump."]),
        ("Hm\u2026 Maybe... Yes.", ["Hm\u2026", "Maybe...", "Yes."]),
        ('"Come in." She waved.', ['"Come in."', "She waved."]),
        ("(It is dark.) Go.", ["(It is dark.)", "Go."]),
        ("One.\nTwo.", ["One.", "Two."]),
        ("  Spaced.   Out.  ", ["Spaced.", "Out."]),
        ("no end in sight", ["no end in sight"]),
        ("One. Two. Then it sto", ["One.", "Two."]),
        ("One. Two.", ["One.", "Two."]),
        ("", []),
        ("   ", []),
    ],
)
def test_a_text_is_cut_into_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences([text])) == expected
    assert list(sentences(text)) == expected


@given(st.lists(st.text(st.sampled_from("aN.!?\u2026)\"' \nMrDog")), max_size=20))
def test_sentences_do_not_depend_on_the_pieces(pieces: list[str]) -> None:
    whole = "".join(pieces)
    found = list(sentences([whole]))

    assert list(sentences(pieces)) == found
    assert list(sentences(whole)) == found
    assert all(sentence == sentence.strip() != "" for sentence in found)
    assert "".join(whole.split()).startswith("".join("".join(found).split()))


def test_a_sentence_comes_as_soon_as_it_is_whole() -> None:
    pieces = iter(["Up we", " go.", " Mind", " the step."])
    found = sentences(pieces)

    assert next(found) == "Up we go."
    assert list(pieces) == [" the step."]


def guarded(
    spoken: list[str], done: set[str], guard: ReplyGuard | None = None
) -> list[str]:
    """Returns what Mara may say of a reply."""
    guard = guard or ReplyGuard(claims=claims, neutral=MARA.fallback)
    return list(guard.checked(spoken, frozenset(done)))


def claims(sentence: str) -> frozenset[str]:
    """Takes every word in capitals for a claim."""
    return frozenset(re.findall("[A-Z]{2,}", sentence))


def test_a_reply_may_say_what_was_done() -> None:
    spoken = ["I did OPEN it.", "And now LIGHT and OPEN both."]

    assert guarded(spoken, {"OPEN", "LIGHT"}) == spoken
    assert guarded(["Nothing to see."], set()) == ["Nothing to see."]


def test_the_first_false_claim_is_replaced_and_the_others_dropped() -> None:
    spoken = ["Hello.", "I did OPEN it.", "I did LIGHT it.", "Bye.", "I did SINK it."]

    assert guarded(spoken, set()) == ["Hello.", "Say again?", "Bye."]
    assert guarded(spoken, {"OPEN"}) == [
        "Hello.",
        "I did OPEN it.",
        "Say again?",
        "Bye.",
    ]


def test_a_sentence_that_is_half_true_is_a_false_claim() -> None:
    assert guarded(["I did OPEN and LIGHT it."], {"OPEN"}) == ["Say again?"]


def test_neutral_lines_take_turns() -> None:
    guard = ReplyGuard(claims=claims, neutral=MARA.fallback)

    said = [guarded(["I did OPEN it."], set(), guard) for _ in range(3)]

    assert said == [["Say again?"], ["The wind took that."], ["Say again?"]]


def test_the_order_of_a_prompt() -> None:
    conversation = Conversation(MARA)
    conversation.remember(Exchange(player="go up", intents=(MOVE,), reply="Up."))

    messages = conversation.messages("and now?", schema="move()", n_turns=8)

    assert [(each.role, each.text) for each in messages] == [
        (Role.SYSTEM, "move()"),
        (Role.SYSTEM, f"{MARA.persona}\n{MARA.knowledge}"),
        (Role.USER, "hello"),
        (Role.ASSISTANT, write_answer([], "Ahoy.")),
        (Role.USER, "who are you"),
        (Role.ASSISTANT, write_answer([], "Mara.")),
        (Role.USER, "go up"),
        (Role.ASSISTANT, write_answer([MOVE], "Up.")),
        (Role.USER, "and now?"),
    ]


def test_schema_and_opening_are_kept_and_what_follows_is_not() -> None:
    conversation = Conversation(MARA)
    conversation.remember(exchange(1))

    messages = conversation.messages("and now?", schema="move()", n_turns=8)

    assert [each.text for each in messages if each.keep] == [
        "move()",
        write_answer([], "Mara."),
    ]


@pytest.mark.parametrize("schema", ["move()", ""])
def test_every_prompt_begins_with_the_opening(schema: str) -> None:
    conversation = Conversation(MARA)
    opening = conversation.opening(schema)
    assert opening[-1].keep
    assert bool(schema) == (opening[0].text == schema)

    for number in range(3):
        messages = conversation.messages("now?", schema=schema, n_turns=8)
        assert messages[: len(opening)] == opening
        conversation.remember(exchange(number))


def test_characters_share_the_schema_alone() -> None:
    tom = Character(name="tom", persona="Fisherman.", fallback=("Eh?",))

    mara = Conversation(MARA).opening("move()")
    other = Conversation(tom).opening("move()")

    assert mara[0] == other[0]
    assert mara[1].text != other[1].text


def test_the_situation_stands_before_the_words_and_is_not_remembered() -> None:
    refused = (
        Outcome(intent=MOVE, ok=False, reason="the gate is shut"),
        Outcome(intent=MOVE, ok=False),
    )
    situation = Situation(near=("red boat", "pier"), refused=refused)
    conversation = Conversation(MARA)

    *_, last = conversation.messages("go", schema="", n_turns=8, situation=situation)

    assert last.text == (
        "[near: red boat, pier]\n[not done: move: the gate is shut]\n"
        "[not done: move]\ngo"
    )
    conversation.remember(Exchange(player="go", intents=(), reply="No."))
    later = conversation.messages("why", schema="", n_turns=8)
    assert not any("near" in each.text for each in later)


def test_where_nothing_is_special_the_words_stand_alone() -> None:
    assert Situation().text == ""
    *_, last = Conversation(MARA).messages("go", schema="", n_turns=8)
    assert last.text == "go"


@pytest.mark.parametrize(
    ("n_heard", "expected"),
    [
        (0, CUT),
        (5, f"Aye, {CUT}".replace(" ", "")),
        (6, f"Aye, c{CUT}"),
        (12, "Aye, captain"),
        (99, "Aye, captain"),
    ],
)
def test_what_the_player_did_not_hear_was_not_said(n_heard: int, expected: str) -> None:
    conversation = Conversation(MARA)
    conversation.remember(Exchange(player="one", intents=(), reply="Earlier."))
    conversation.remember(Exchange(player="two", intents=(MOVE,), reply="Aye, captain"))

    conversation.cut(n_heard)

    earlier, last = conversation.exchanges
    assert earlier.reply == "Earlier."
    assert last == Exchange(player="two", intents=(MOVE,), reply=expected)


def test_before_the_first_reply_there_is_nothing_to_cut() -> None:
    conversation = Conversation(MARA)

    conversation.cut(0)

    assert conversation.exchanges == ()


def test_a_prompt_without_schema_or_knowledge_has_no_gaps() -> None:
    plain = Character(name="mara", persona="Harbour pilot.", fallback=("Hm.",))

    messages = Conversation(plain).messages("hi", schema="", n_turns=8)

    assert [each.text for each in messages] == ["Harbour pilot.", "hi"]


def exchange(number: int) -> Exchange:
    """Returns a turn that can be told from others."""
    return Exchange(player=f"turn {number}", intents=(), reply="Yes.")


def test_a_conversation_remembers_a_bounded_number_of_turns() -> None:
    conversation = Conversation(MARA)
    for number in range(100):
        conversation.remember(exchange(number))

        kept = conversation.exchanges
        assert kept[-1] == exchange(number)
        assert min(number + 1, MAX_HISTORY_TURNS // 2) <= len(kept)
        assert len(kept) <= MAX_HISTORY_TURNS
        assert list(kept) == [exchange(number - n) for n in reversed(range(len(kept)))]


def test_a_prompt_mostly_begins_like_the_one_before() -> None:
    conversation = Conversation(MARA)
    prompts = []
    for number in range(4 * MAX_HISTORY_TURNS):
        words = exchange(number).player
        prompts.append(conversation.messages(words, schema="move()", n_turns=99))
        conversation.remember(exchange(number))

    grown = [after[: len(before)] == before for before, after in pairwise(prompts)]
    # What is forgotten is forgotten by half a history at once.
    assert grown.count(False) <= len(prompts) // (MAX_HISTORY_TURNS // 2)


def test_only_the_latest_turns_are_shown_where_asked() -> None:
    conversation = Conversation(MARA)
    for number in range(5):
        conversation.remember(exchange(number))

    def shown(n_turns: int) -> list[str]:
        messages = conversation.messages("now", schema="", n_turns=n_turns)
        return [each.text for each in messages if each.text.startswith("turn")]

    assert shown(2) == ["turn 3", "turn 4"]
    assert shown(0) == []
    assert len(shown(99)) == 5
