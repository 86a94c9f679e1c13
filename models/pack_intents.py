"""The ``[intents.NAME]`` of a pack, each checked against the rest."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from models.pack import IntentDeclaration, Line, PackTest, Template, Value
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
_SYNTAX = re.compile(r"[\[\](){}<>|]")
_KEYS = (
    "say",
    "like",
    "reply",
    "claims",
    "default",
    "test",
    "risk",
    "confirm",
    "when",
)
_SPOKEN_KEYS = ("say", "like", "reply", "claims", "test", "confirm")
"""Those that are said anew in every language."""


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


def read_translated_intents(
    root: Table,
    grammar: Grammar,
    declared: Sequence[IntentDeclaration],
    *,
    silent: frozenset[str],
) -> tuple[IntentDeclaration, ...]:
    """Returns the intents that can be said in another language, in the pack's order.

    Args:
        root: The document of the language.
        grammar: What its templates may name.
        declared: The intents of ``pack.toml``, whose structure is taken over.
        silent: Lists that nothing can be said for in this language.
    """
    section = root.table("intents")
    known = {intent.name: intent for intent in declared}
    found: dict[str, IntentDeclaration] = {}
    for name in section.names(what="an intent", limit=MAX_INTENTS):
        if name not in known:
            section.error(
                name,
                f'pack.toml has no intent "{name}".',
                nearest(name, known, what="intents"),
            )
            continue
        table = section.table(name).known(*_SPOKEN_KEYS)
        reader = _IntentReader(table=table, grammar=grammar)
        found[name] = reader.translate(known[name], silent)
    return tuple(found[name] for name in known if name in found)


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
            like=self._examples(slots),
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

    def translate(
        self, base: IntentDeclaration, silent: frozenset[str]
    ) -> IntentDeclaration:
        """Returns the intent as it is said in another language."""
        say, shapes = self._templates("say")
        if not self.table.values.get("say"):
            self.table.error((), "has no sentences.", 'Write say = ["..."].')
        claims, _ = self._templates("claims")
        for key, templates in (("say", say), ("claims", claims)):
            self._check_slots(key, templates, base, silent)
        self._check_required(say, shapes, base)
        required = base.required.union(
            frozenset.intersection(*(shape.always for shape in shapes))
            if shapes
            else ()
        )
        sure = required | base.default.keys()
        confirm = self._line(("confirm",), self.table.text("confirm"), sure, base.slots)
        if base.confirm and not confirm:
            self.table.error((), "needs its question.", 'Write confirm = "...?".')
        return dataclasses.replace(
            base,
            line=self.table.findings.lines.at(*self.table.path),
            say=say,
            required=required,
            like=self._examples(base.slots),
            reply=tuple(
                self._line(path, text, sure, base.slots)
                for path, text in self.table.texts("reply")
            ),
            claims=claims,
            tests=self._tests(base.slots),
            confirm=confirm,
        )

    def _check_slots(
        self,
        key: str,
        templates: Sequence[Template],
        base: IntentDeclaration,
        silent: frozenset[str],
    ) -> None:
        """Keeps a mistake for each slot that is not what it is in ``pack.toml``."""
        for template in templates:
            for slot in slot_references(template, self.grammar.rules):
                path = self._path_of(key, template)
                if slot.list_name in silent:
                    self.table.error(
                        path,
                        f"list {{{slot.list_name}}} has no phrases in this language.",
                        f"Write [lists.{slot.list_name}.values].",
                    )
                if key == "say" and base.slots.get(slot.slot) != slot.list_name:
                    slots = [f"{{{name}:{slot}}}" for slot, name in base.slots.items()]
                    self.table.error(
                        path,
                        f"pack.toml fills no slot {{{slot.list_name}:{slot.slot}}}.",
                        f"It fills: {', '.join(slots)}." if slots else "It fills none.",
                    )

    def _check_required(
        self,
        say: Sequence[Template],
        shapes: Sequence[Measure],
        base: IntentDeclaration,
    ) -> None:
        for template, shape in zip(say, shapes, strict=True):
            for slot in sorted(base.required - shape.always):
                self.table.error(
                    self._path_of("say", template),
                    f'"{template.text:.60}" may leave out slot "{slot}", which every '
                    "sentence of pack.toml fills.",
                )

    def _path_of(self, key: str, template: Template) -> KeyPath:
        texts = [text for _, text in self.table.texts(key)]
        return (key, texts.index(template.text))

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

    def _examples(self, slots: Mapping[str, str]) -> tuple[Line, ...]:
        lines = self.table.findings.lines
        examples = []
        for path, text in self.table.texts("like"):
            for name in _PLACEHOLDER.findall(text):
                self._check_slot(path, name, slots)
            if _SYNTAX.search(_PLACEHOLDER.sub("", text)):
                self.table.error(
                    path,
                    f'"{text:.60}" is not a plain sentence.',
                    "An example may hold a {slot} and no other signs of a template.",
                )
            line = lines.at(*self.table.path, *path)
            examples.append(Line(text=text, line=line))
        return tuple(examples)

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
