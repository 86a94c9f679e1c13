"""A pack in another language: ``pack.zh.toml`` says anew what ``pack.toml`` says.

It holds what is said and heard. What a pack is made of (which slots an intent has, what
a number may be, what is risky, where things stand) is said in ``pack.toml`` alone; an
intent that is left out cannot be said in that language.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

from models.pack import Character, Line, Pack, PackObject
from models.pack_intents import read_translated_intents
from models.pack_lists import read_translated_lists
from models.pack_reader import MAX_CHARACTERS, MAX_PERSONA_CHARS, read_examples
from models.pack_rules import read_grammar
from models.pack_table import MAX_ITEMS, Findings, Table, nearest

_KEYS = ("title", "lists", "rules", "intents", "character", "never", "names")
_FALLBACK = {"zh": ("再说一遍好吗？",)}


def read_language(
    document: dict[str, object], *, pack: Pack, language: str, findings: Findings
) -> Pack:
    """Returns the pack as it is said in a language.

    Where ``findings`` gained mistakes, it must not be used.

    Args:
        document: The parsed file of the language.
        pack: What ``pack.toml`` says.
        language: ISO 639-1.
        findings: Where mistakes are kept.
    """
    root = Table(findings=findings, path=(), values=document).known(*_KEYS)
    lists, silent = read_translated_lists(root, pack.lists, language=language)
    grammar = read_grammar(root, lists)
    intents = read_translated_intents(root, grammar, pack.intents, silent=silent)
    if not intents:
        root.error("intents", "has no intents.", "Say one: [intents.NAME].")
    never = root.table("never").known("say")
    return dataclasses.replace(
        pack,
        title=root.text("title", pack.title),
        file=findings.file,
        language=language,
        characters=_characters(root, pack, language),
        lists=MappingProxyType(lists),
        rules=MappingProxyType(dict(grammar.rules)),
        intents=intents,
        never=tuple(
            Line(text=text, line=findings.lines.at(*never.path, *path))
            for path, text in never.texts("say")
        ),
        objects=_objects(root.table("names"), pack),
    )


def _characters(root: Table, pack: Pack, language: str) -> tuple[Character, ...]:
    section = root.table("character")
    known = [character.name for character in pack.characters]
    for name in section.names(what="a character", limit=MAX_CHARACTERS):
        if name not in known:
            section.error(
                name,
                f'pack.toml has no character "{name}".',
                nearest(name, known, what="characters"),
            )
    return tuple(
        _character(section.table(character.name), character, language)
        for character in pack.characters
    )


def _character(table: Table, base: Character, language: str) -> Character:
    table.known("persona", "fallback", "examples")
    persona = table.text("persona", limit=MAX_PERSONA_CHARS)
    if "persona" not in table.values:
        table.error((), "has no persona.", 'Write persona = "Who they are".')
    fallback = tuple(text for _, text in table.texts("fallback"))
    return dataclasses.replace(
        base,
        persona=persona,
        fallback=fallback or _FALLBACK.get(language, base.fallback),
        examples=read_examples(table),
    )


def _objects(names: Table, pack: Pack) -> tuple[PackObject, ...]:
    """Returns the objects by the names they have here; the others keep theirs."""
    known = [item.id for item in pack.objects]
    for identity in list(names.values)[:MAX_ITEMS]:
        if identity not in known:
            names.error(
                identity,
                f'pack.toml has no object "{identity}".',
                nearest(identity, known, what="objects"),
            )
    objects = []
    for item in pack.objects:
        called = [text for _, text in names.texts(item.id)]
        if called:
            line = names.findings.lines.at(*names.path, item.id)
            name, *aliases = called
            item = dataclasses.replace(  # noqa: PLW2901
                item, line=line, name=name, aliases=tuple(aliases)
            )
        elif item.id in names.values:
            names.error(item.id, f'"{item.id}" has no name.', 'Write id = ["..."].')
        objects.append(item)
    return tuple(objects)
