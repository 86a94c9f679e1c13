"""Sentence templates: Home Assistant's syntax, parsed and measured, never expanded.

``(a|b)`` is a choice, ``[a]`` may be left out, ``(a;b)`` comes in any order,
``{list}`` or ``{list:slot}`` is a slot, ``<rule>`` stands for a rule of the pack.
How many sentences a template stands for is counted arithmetically: a template of one
line can stand for more sentences than there is memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hassil import expression as parsed

MAX_CHARS = 2_000
MAX_DEPTH = 10
MAX_ANY_ORDER = 6
"""Items of one permutation: n of them need a graph of 2**n states."""
MAX_COUNT = 10**12
"""Counts stop here, so that rules inside rules cannot make numbers of any length."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORD = re.compile("[\u3400-\u9fff]|[^\\s\u3400-\u9fff]+")
"""A Chinese character, or what stands between spaces."""
_CLOSERS = {")": "(", "]": "[", "}": "{", ">": "<"}


class TemplateError(ValueError):
    """A template that cannot be read; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Literal words."""

    text: str
    """With the spaces around it: they tell where a word ends, as in ``light[s]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Exactly one of them."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOrder:
    """All of them, in any order, each a word of its own."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRef:
    """A phrase of a list, kept as a slot."""

    list_name: str
    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRef:
    """What the rule of this name says."""

    name: str


Node = Words | Series | Choice | AnyOrder | SlotRef | RuleRef


def parse_template(text: str) -> Node:
    """Returns the tree of one template.

    Raises:
        TemplateError: The syntax is wrong, or the template is too long or too deep.
    """
    # Here, since a start has better to do meanwhile.
    from models.template_syntax import ParseError, parse_sentence  # noqa: PLC0415

    text = " ".join(text.split())
    if len(text) > MAX_CHARS:
        raise TemplateError(f"a template may have {MAX_CHARS} characters")
    _check_brackets(text)
    if not text.strip("()[] |;"):
        raise TemplateError("the template is empty")
    try:
        return _lowered(parse_sentence(text).expression)
    except AssertionError as error:
        # hassil checks a few things with assert; brackets and names are checked here.
        raise TemplateError(
            "it mixes | and ; without brackets: put one of them in ( )"
        ) from error
    except ParseError as error:
        raise TemplateError("the brackets do not fit together") from error


def _check_brackets(text: str) -> None:
    opened: list[tuple[str, int]] = []
    escaped = False
    for position, character in enumerate(text):
        if escaped or character == "\\":
            escaped = not escaped
        elif character in "([{<":
            opened.append((character, position))
        elif character in _CLOSERS:
            if not opened or opened[-1][0] != _CLOSERS[character]:
                raise TemplateError(
                    f'"{character}" at character {position + 1} closes nothing'
                )
            opener, start = opened.pop()
            if opener in "{<":
                _check_name(text[start : position + 1])
        if len(opened) > MAX_DEPTH:
            raise TemplateError(f"brackets are more than {MAX_DEPTH} deep")
    if opened:
        opener, start = opened[-1]
        raise TemplateError(f'"{opener}" at character {start + 1} is never closed')


def _check_name(reference: str) -> None:
    names = reference[1:-1].split(":") if reference[0] == "{" else [reference[1:-1]]
    if len(names) > 2 or not all(_NAME.fullmatch(name) for name in names):
        raise TemplateError(
            f"{reference} is not a name (letters, digits and _; "
            "<rule>, {list} or {list:slot})"
        )


def _lowered(item: parsed.Expression) -> Node:
    from models.template_syntax import expression as parsed  # noqa: PLC0415

    match item:
        case parsed.TextChunk():
            return Words(text=item.original_text)
        case parsed.ListReference():
            return SlotRef(list_name=item.list_name, slot=item.slot_name)
        case parsed.RuleReference():
            return RuleRef(name=item.rule_name)
        case parsed.Alternative():
            return Choice(items=tuple(map(_lowered, item.items)))
        case parsed.Permutation():
            if len(item.items) > MAX_ANY_ORDER:
                raise TemplateError(f"more than {MAX_ANY_ORDER} items in any order")
            space = Words(text=" ")
            return AnyOrder(
                items=tuple(
                    Series(items=(space, _lowered(part), space)) for part in item.items
                )
            )
        case parsed.Group():
            return Series(items=tuple(map(_lowered, item.items)))
    raise TemplateError(f"unknown syntax ({type(item).__name__})")


def references(node: Node) -> Iterator[SlotRef | RuleRef]:
    """Yields the slots and rules a template names, in order, rules not followed."""
    match node:
        case SlotRef() | RuleRef():
            yield node
        case Series() | Choice() | AnyOrder():
            for item in node.items:
                yield from references(item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How much a template stands for."""

    n_sentences: int = 1
    """Sentences, a list counted as one phrase; at most ``MAX_COUNT``."""
    n_pieces: int = 1
    """Words and slots of its graph, rules put in; at most ``MAX_COUNT``."""
    n_least: int = 0
    """Words or slots in the shortest sentence, slots of free text not counted."""
    always: frozenset[str] = frozenset()
    """Slots every sentence fills."""
    possible: frozenset[str] = frozenset()
    """Slots some sentence fills."""
    repeated: frozenset[str] = frozenset()
    """Slots one sentence could fill twice."""


def measure(
    node: Node, *, rules: Mapping[str, Measure], free: frozenset[str]
) -> Measure:
    """Returns the size and the slots of a template without expanding it.

    Args:
        node: The template.
        rules: The measures of the rules; one that is missing counts as a word.
        free: Names of the lists that take any words.
    """
    match node:
        case Words():
            n_words = len(_WORD.findall(node.text))
            return Measure(n_pieces=max(1, n_words), n_least=n_words)
        case SlotRef():
            slots = frozenset((node.slot,))
            n_least = 0 if node.list_name in free else 1
            return Measure(n_least=n_least, always=slots, possible=slots)
        case RuleRef():
            return rules.get(node.name, Measure(n_least=1))
        case Series() | Choice() | AnyOrder():
            parts = [measure(item, rules=rules, free=free) for item in node.items]
            return _choice(parts) if isinstance(node, Choice) else _all(node, parts)


def _choice(parts: list[Measure]) -> Measure:
    return Measure(
        n_sentences=min(MAX_COUNT, sum(part.n_sentences for part in parts)),
        n_pieces=min(MAX_COUNT, sum(part.n_pieces for part in parts)),
        n_least=min(part.n_least for part in parts),
        always=frozenset.intersection(*(part.always for part in parts)),
        possible=frozenset().union(*(part.possible for part in parts)),
        repeated=frozenset().union(*(part.repeated for part in parts)),
    )


def _all(node: Series | AnyOrder, parts: list[Measure]) -> Measure:
    n_orders = math.factorial(len(parts)) if isinstance(node, AnyOrder) else 1
    n_copies = 2 ** max(0, len(parts) - 1) if isinstance(node, AnyOrder) else 1
    n_sentences = n_orders
    possible: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    for part in parts:
        n_sentences = min(MAX_COUNT, n_sentences * part.n_sentences)
        repeated |= part.repeated | (possible & part.possible)
        possible |= part.possible
    return Measure(
        n_sentences=n_sentences,
        n_pieces=min(MAX_COUNT, n_copies * sum(part.n_pieces for part in parts)),
        n_least=min(MAX_COUNT, sum(part.n_least for part in parts)),
        always=frozenset().union(*(part.always for part in parts)),
        possible=possible,
        repeated=repeated,
    )
