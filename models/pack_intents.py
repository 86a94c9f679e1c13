"""The ``[rules]`` and ``[intents.NAME]`` of a pack, each checked against the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.pack import (
    IntentDeclaration,
    PackTest,
    SlotList,
    Template,
    TextList,
    Value,
)
from models.pack_lists import value_problem
from models.pack_table import Table, nearest
from models.template import (
    Measure,
    RuleRef,
    SlotRef,
    TemplateError,
    measure,
    parse_template,
    references,
)
from models.toml_lines import KeyPath

MAX_RULES = 200
MAX_RULE_DEPTH = 8
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What templates may name."""

    lists: Mapping[str, SlotList]
    rules: Mapping[str, Template]
    measures: Mapping[str, Measure]
    """Of the rules; a rule that ends up in itself is left out."""
    free: frozenset[str]
    """Lists that take any words."""
    declared: frozenset[tuple[str, str]]
    """Section and name of every list and rule the pack has, right or wrong: to name
    one that has a mistake is not a second mistake."""


def read_grammar(root: Table, lists: Mapping[str, SlotList]) -> Grammar:
    """Returns the rules, measured, with the lists they may name."""
    section = root.table("rules")
    rules: dict[str, Template] = {}
    for name in section.names(what="a rule", limit=MAX_RULES):
        text = section.text(name, limit=2_000)
        template = _template(section, (name,), text) if text else None
        if template is not None:
            rules[name] = template
    free = frozenset(n for n, found in lists.items() if isinstance(found, TextList))
    declared = frozenset(
        (key, name) for key in ("lists", "rules") for name in root.table(key).values
    )
    for name, template in rules.items():
        _check_references(section, (name,), template, declared)
    return Grammar(
        lists=lists,
        rules=rules,
        measures=_measured(section, rules, free),
        free=free,
        declared=declared,
    )


def _measured(
    section: Table, rules: Mapping[str, Template], free: frozenset[str]
) -> dict[str, Measure]:
    named = {
        name: [
            item.name
            for item in references(template.tree)
            if isinstance(item, RuleRef) and item.name in rules
        ]
        for name, template in rules.items()
    }
    measures: dict[str, Measure] = {}
    waiting = list(rules)
    for _ in range(MAX_RULE_DEPTH):
        ready = [name for name in waiting if all(n in measures for n in named[name])]
        for name in ready:
            measures[name] = measure(rules[name].tree, rules=measures, free=free)
        waiting = [name for name in waiting if name not in measures]
    looping = [name for name in waiting if _reaches(name, name, named)]
    for name in looping:
        section.error(name, f"rule <{name}> ends up in itself.", "Rules cannot repeat.")
    if waiting and not looping:
        section.error(
            waiting[0], f"rules are more than {MAX_RULE_DEPTH} deep in each other."
        )
    return measures


def _reaches(start: str, goal: str, named: Mapping[str, list[str]]) -> bool:
    seen: set[str] = set()
    pending = list(named[start])
    while pending:
        name = pending.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            pending.extend(named[name])
    return False


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
            template = _template(self.table, path, text)
            if template is None:
                continue
            _check_references(self.table, path, template, self.grammar.declared)
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
            for slot in _slot_refs(template, self.grammar.rules):
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


def _template(table: Table, path: KeyPath, text: str) -> Template | None:
    try:
        tree = parse_template(text)
    except TemplateError as error:
        table.error(path, f'"{text:.60}": {error}.')
        return None
    line = table.findings.lines.at(*table.path, *path)
    return Template(text=text, line=line, tree=tree)


def _check_references(
    table: Table,
    path: KeyPath,
    template: Template,
    declared: frozenset[tuple[str, str]],
) -> None:
    for item in references(template.tree):
        if isinstance(item, RuleRef):
            section, name, shown = "rules", item.name, f"rule <{item.name}>"
        else:
            section, name = "lists", item.list_name
            shown = f"list {{{item.list_name}}}"
        if (section, name) not in declared:
            known = sorted(other for key, other in declared if key == section)
            table.error(path, f"unknown {shown}.", nearest(name, known, what=section))


def _slot_refs(template: Template, rules: Mapping[str, Template]) -> list[SlotRef]:
    """Returns the slots of a template and of the rules in it."""
    found: list[SlotRef] = []
    seen: set[str] = set()
    pending = [template]
    while pending:
        for item in references(pending.pop().tree):
            if isinstance(item, SlotRef):
                found.append(item)
            elif item.name in rules and item.name not in seen:
                seen.add(item.name)
                pending.append(rules[item.name])
    return found
