"""The ``[rules]`` of a pack, and what any template of it may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.pack import SlotList, Template, TextList
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
        template = read_template(section, (name,), text) if text else None
        if template is not None:
            rules[name] = template
    free = frozenset(n for n, found in lists.items() if isinstance(found, TextList))
    declared = frozenset(
        (key, name) for key in ("lists", "rules") for name in root.table(key).values
    ) | {("lists", name) for name in lists}
    for name, template in rules.items():
        check_references(section, (name,), template, declared)
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


def read_template(table: Table, path: KeyPath, text: str) -> Template | None:
    """Returns the template under a key; None, and a mistake, where it is none."""
    try:
        tree = parse_template(text)
    except TemplateError as error:
        table.error(path, f'"{text:.60}": {error}.')
        return None
    line = table.findings.lines.at(*table.path, *path)
    return Template(text=text, line=line, tree=tree)


def check_references(
    table: Table,
    path: KeyPath,
    template: Template,
    declared: frozenset[tuple[str, str]],
) -> None:
    """Keeps a mistake for each list and rule that a template names in vain."""
    for item in references(template.tree):
        if isinstance(item, RuleRef):
            section, name, shown = "rules", item.name, f"rule <{item.name}>"
        else:
            section, name = "lists", item.list_name
            shown = f"list {{{item.list_name}}}"
        if (section, name) not in declared:
            known = sorted(other for key, other in declared if key == section)
            table.error(path, f"unknown {shown}.", nearest(name, known, what=section))


def slot_references(template: Template, rules: Mapping[str, Template]) -> list[SlotRef]:
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
