"""Guesses repeat what was answered before, and cost little where they are wrong."""

from __future__ import annotations

from edge.llm.drafts import Drafts

WORDS = [900, 901, 902, 903]
ANSWER = [1, 2, 3, 10, 4, 5, 11, 6, 7]


def told(*answers: list[int], words: list[int] = WORDS) -> Drafts:
    """Returns drafts after some answers."""
    drafts = Drafts()
    for answer in answers:
        drafts.remember([*words, *answer], len(words))
    drafts.begin()
    return drafts


def test_without_anything_said_before_there_is_no_guess() -> None:
    assert told().guess([*WORDS, *ANSWER], 100) == []


def test_an_answer_goes_on_as_one_did_before() -> None:
    drafts = told(ANSWER)

    assert drafts.guess([500, 501, 502, *ANSWER[:3]], 100) == ANSWER[3:]


def test_the_latest_answer_counts() -> None:
    drafts = told(ANSWER, [1, 2, 3, 77])

    assert drafts.guess([500, 1, 2, 3], 100) == [77]


def test_the_answer_to_the_same_words_counts_most() -> None:
    same, other = told(ANSWER), [1, 2, 3, 77]
    same.remember([600, 601, 602, 603, *other], 4)

    assert same.guess([*WORDS, 1, 2, 3], 100) == ANSWER[3:]


def test_the_prompt_is_quoted() -> None:
    quoted = [20, 21, 22, 23, 24]

    assert told().guess([*quoted, 7, 8, 20, 21, 22], 100)[:2] == [23, 24]


def test_two_tokens_alike_are_no_reason_to_guess() -> None:
    assert told(ANSWER).guess([500, 2, 3], 100) == []


def test_a_guess_keeps_to_its_room() -> None:
    assert told(ANSWER).guess([500, 1, 2, 3], 2) == ANSWER[3:5]
    assert told(ANSWER).guess([500, 1, 2, 3], 0) == []
    assert Drafts(max_length=0).guess([1, 2, 3, 1, 2, 3], 100) == []


def test_tokens_are_never_found_in_the_middle_of_others() -> None:
    """Three tokens whose bytes also lie across the borders of four others."""
    across = [0x01000000, 0x02000000, 0x03000000, 0x04000000]

    assert told(across).guess([500, 1, 2, 3], 100) == []


def test_guesses_grow_while_they_are_right_and_shrink_where_they_are_not() -> None:
    drafts = told(list(range(1, 300)))
    said = [900, 1, 2, 3]
    lengths = []
    for _ in range(4):
        guess = drafts.guess(said, 100)
        said += guess
        drafts.confirm(len(said))
        lengths.append(len(guess))
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1] == drafts.max_length
    assert drafts.n_accepted == drafts.n_drafted == sum(lengths)

    for _ in range(6):
        drafts.guess(said, 100)
        drafts.confirm(len(said))
    assert drafts.guess(said, 100) == []
    drafts.begin()
    assert 0 < len(drafts.guess(said, 100)) < lengths[-1]


def test_only_the_latest_answers_are_remembered() -> None:
    drafts = told(ANSWER, *([50, 51, n] for n in range(100)))

    assert drafts.guess([500, *ANSWER[:3]], 100) == []
