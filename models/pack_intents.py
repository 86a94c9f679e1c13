"""The ``[intents.NAME]`` of a pack, each checked against the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.pack import IntentDeclaration, PackTest, Template, Value
from models.pack_lists import value_problem
from models.pack_rules import (
    Grammar,
    check_references,
    read_template,
    slot_references,
)
from models.pack_table import Table, nearest
from models.template import Measure, measure
from models.toml_lines import KeyPath

MAX_INTENTS = 200
MAX_SENTENCES = 100_000
"""Sentences one template may stand for, a list counted as one phrase."""
MAX_PIECES = 20_000
"""Words and slots of all templates together, rules put in."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_KEYS = (
    "say",
    "reply",
    "claims",
    "default",
    "test",
    "risk",
    "confirm",
    "when",
)


def read_intents(root: Table, grammar: Grammar) -> tuple[IntentDeclaration, ...]:
    """Returns the intents in order of declaration, as far as they can be read."""
    section = root.table("intents")
    intents = []
    n_pieces = 0
    for name in section.names(what="an intent", limit=MAX_INTENTS):
        table = section.table(name).known(*_KEYS)
        reader = _IntentReader(table=table, grammar=grammar)
        intents.append(reader.read(name))
        n_pieces += reader.n_pieces
    if n_pieces > MAX_PIECES:
        section.error(
            (),
            f"the templates come to {n_pieces} words; {MAX_PIECES} are allowed.",
            "Move long alternatives from rules into lists.",
        )
    return tuple(intents)


@dataclass(slots=True)
class _IntentReader:
    table: Table
    grammar: Grammar
    n_pieces: int = 0

    def read(self, name: str) -> IntentDeclaration:
        say, shapes = self._templates("say")
        if not self.table.values.get("say"):
            self.table.error((), "has no sentences.", 'Write say = ["..."].')
        claims, _ = self._templates("claims")
        slots = self._slots(say)
        required = (
            frozenset.intersection(*(shape.always for shape in shapes))
            if shapes
            else frozenset()
        )
        default = self._default(slots)
        sure = required | default.keys()
        high_risk = self.table.choice("risk", ("normal", "high"), "normal") == "high"
        confirm = self._line(("confirm",), self.table.text("confirm"), sure, slots)
        if high_risk and not confirm:
            self.table.error(
                "risk",
                'risk = "high" needs a question.',
                'Write confirm = "...?": a risky intent is never done unasked.',
            )
        return IntentDeclaration(
            name=name,
            line=self.table.findings.lines.at(*self.table.path),
            say=say,
            slots=MappingProxyType(slots),
            required=required,
            default=MappingProxyType(default),
            reply=tuple(
                self._line(path, text, sure, slots)
                for path, text in self.table.texts("reply")
            ),
            claims=claims,
            tests=self._tests(slots),
            high_risk=high_risk,
            confirm=confirm,
            when=self.table.text("when"),
        )

    def _templates(self, key: str) -> tuple[tuple[Template, ...], list[Measure]]:
        templates: list[Template] = []
        shapes: list[Measure] = []
        for path, text in self.table.texts(key):
            template = read_template(self.table, path, text)
            if template is None:
                continue
            check_references(self.table, path, template, self.grammar.declared)
            shape = measure(
                template.tree, rules=self.grammar.measures, free=self.grammar.free
            )
            templates.append(template)
            shapes.append(shape)
            self.n_pieces += shape.n_pieces
            self._check_shape(path, text, shape)
        return tuple(templates), shapes

    def _check_shape(self, path: KeyPath, text: str, shape: Measure) -> None:
        shown = f'"{text:.60}"'
        if shape.n_sentences > MAX_SENTENCES:
            self.table.error(
                path,
                f"{shown} stands for {shape.n_sentences:,} sentences; "
                f"{MAX_SENTENCES:,} are allowed.",
                "Split it, or move alternatives into a list.",
            )
        if shape.n_least == 0:
            self.table.error(
                path,
                f"{shown} matches without any word of its own.",
                "At least one word or slot, free text aside, must not be optional.",
            )
        for slot in sorted(shape.repeated):
            self.table.error(path, f'{shown} can fill slot "{slot}" twice.')

    def _slots(self, templates: tuple[Template, ...]) -> dict[str, str]:
        slots: dict[str, str] = {}
        for index, template in enumerate(templates):
            for slot in slot_references(template, self.grammar.rules):
                first = slots.setdefault(slot.slot, slot.list_name)
                if first != slot.list_name:
                    self.table.error(
                        ("say", index),
                        f'slot "{slot.slot}" is filled from two lists, '
                        f'"{first}" and "{slot.list_name}".',
                        "Give one of them another name: {list:slot}.",
                    )
        return slots

    def _default(self, slots: Mapping[str, str]) -> dict[str, Value]:
        defaults = self.table.pairs("default")
        for name, value in defaults.items():
            self._check_slot(("default", name), name, slots)
            found = self.grammar.lists.get(slots.get(name, ""))
            wrong = value_problem(value, found) if found else None
            if wrong:
                self.table.error(("default", name), *wrong)
        return defaults

    def _tests(self, slots: Mapping[str, str]) -> tuple[PackTest, ...]:
        table = self.table.table("test")
        tests = []
        for sentence in table.values:
            expected = table.pairs(sentence)
            for name in expected:
                self._check_slot(("test", sentence, name), name, slots)
            line = table.findings.lines.at(*table.path, sentence)
            tests.append(
                PackTest(sentence=sentence, line=line, slots=MappingProxyType(expected))
            )
        return tuple(tests)

    def _check_slot(self, path: KeyPath, name: str, slots: Mapping[str, str]) -> None:
        if name not in slots:
            self.table.error(
                path,
                f'no template fills a slot "{name}".',
                nearest(name, slots, what="slots"),
            )

    def _line(
        self, path: KeyPath, text: str, sure: frozenset[str], slots: Mapping[str, str]
    ) -> str:
        for name in _PLACEHOLDER.findall(text):
            if name not in slots:
                self._check_slot(path, name, slots)
            elif name not in sure:
                self.table.error(
                    path,
                    f"{{{name}}} may be missing from what was said.",
                    "Give the slot a default, or leave it out of this line.",
                )
        return text
