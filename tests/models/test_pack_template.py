"""Sentence templates are read, measured without expanding, refused with a reason."""

from __future__ import annotations

import itertools
import re

import pytest

from models.template import (
    MAX_COUNT,
    AnyOrder,
    Choice,
    Measure,
    Node,
    RuleRef,
    Series,
    SlotRef,
    TemplateError,
    Words,
    measure,
    parse_template,
    references,
)

RULES = {"polite": parse_template("[please|could you]")}


def expanded(node: Node) -> list[str]:
    """Returns every sentence of a template: what measuring must agree with."""
    match node:
        case Words():
            return [node.text]
        case SlotRef():
            return [f"{{{node.slot}}}"]
        case RuleRef():
            return expanded(RULES[node.name])
        case Choice():
            return [text for item in node.items for text in expanded(item)]
        case Series():
            parts = [expanded(item) for item in node.items]
            return ["".join(texts) for texts in itertools.product(*parts)]
        case AnyOrder():
            return [
                "".join(texts)
                for order in itertools.permutations(node.items)
                for texts in itertools.product(*map(expanded, order))
            ]


def measured(template: str) -> Measure:
    rules = {
        name: measure(tree, rules={}, free=frozenset()) for name, tree in RULES.items()
    }
    return measure(parse_template(template), rules=rules, free=frozenset({"words"}))


@pytest.mark.parametrize(
    "template",
    [
        "go",
        "turn (on|off) the light[s]",
        "<polite> (go|walk) [forward] {metres} metres",
        "a ([{size}];[{roast}];[{shots}]) coffee",
        "[a|b] [c|d|[e|f]] g",
        "(one;two;three) (four|five)",
        "<polite> <polite> go",
    ],
)
def test_sentences_are_counted_as_if_they_were_written_out(template: str) -> None:
    assert measured(template).n_sentences == len(expanded(parse_template(template)))


@pytest.mark.parametrize(
    ("template", "always", "possible"),
    [
        ("go {a}", {"a"}, {"a"}),
        ("go [{a}]", set(), {"a"}),
        ("(go {a}|walk {a} {b})", {"a"}, {"a", "b"}),
        ("([{a}];{b}) go", {"b"}, {"a", "b"}),
        ("go {a:far}", {"far"}, {"far"}),
    ],
)
def test_slots_are_told_apart_by_whether_every_sentence_fills_them(
    template: str, always: set[str], possible: set[str]
) -> None:
    shape = measured(template)
    assert (set(shape.always), set(shape.possible)) == (always, possible)


@pytest.mark.parametrize(
    ("template", "repeated"),
    [
        ("{a} and {a}", {"a"}),
        ("{a} [or {b:a}]", {"a"}),
        ("({a}|b {a})", set()),
        ("({a};{b}) c", set()),
    ],
)
def test_a_slot_that_one_sentence_could_fill_twice_is_noticed(
    template: str, repeated: set[str]
) -> None:
    assert measured(template).repeated == repeated


@pytest.mark.parametrize(
    ("template", "n_least"),
    [("[go]", 0), ("{words}", 0), ("say {words}", 1), ("{a}", 1)],
)
def test_the_shortest_sentence_is_known_free_text_aside(
    template: str, n_least: int
) -> None:
    assert measured(template).n_least == n_least


def test_counts_of_rules_inside_rules_stay_small_numbers() -> None:
    shapes: dict[str, Measure] = {}
    tree = parse_template("(a|b)")
    for level in range(300):
        shapes[f"r{level}"] = measure(tree, rules=shapes, free=frozenset())
        tree = parse_template(f"<r{level}> <r{level}>")
    assert shapes["r299"].n_sentences == MAX_COUNT
    assert shapes["r299"].n_pieces == MAX_COUNT


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("go (now", '"(" at character 4 is never closed'),
        ("go) now", '")" at character 3 closes nothing'),
        ("go [now)", '")" at character 8 closes nothing'),
        ("go {", "never closed"),
        ("{}", "not a name"),
        ("<>", "not a name"),
        ("{a b}", "not a name"),
        ("{a:b:c}", "not a name"),
        ("{0..100:volume}", "not a name"),
        ("{list:@slot}", "not a name"),
        ("", "empty"),
        ("  ", "empty"),
        ("[|]", "empty"),
        ("a|b;c", "mixes | and ;"),
        ("(a;b;c;d;e;f;g)", "more than 6"),
        ("(" * 11 + "a" + ")" * 11, "deep"),
        ("(" * 3_000, "characters"),
        ("word " * 1_000, "characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    template: str, reason: str
) -> None:
    with pytest.raises(TemplateError, match=re.escape(reason)):
        parse_template(template)


def test_escaped_brackets_are_words() -> None:
    assert not list(references(parse_template(r"smile \(wide\)")))


def test_slots_and_rules_are_found_wherever_they_stand() -> None:
    found = references(parse_template("<a> ([{b}];(c|{d:e})) [<f>]"))
    assert [
        item.name if isinstance(item, RuleRef) else f"{item.list_name}:{item.slot}"
        for item in found
    ] == ["a", "b:b", "d:e", "f"]
