"""The document of a ``pack.toml`` in, a pack out, with every mistake on the way."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Protocol

from models.pack import (
    Character,
    Line,
    Listening,
    Pack,
    PackError,
    PackModels,
    PackObject,
)
from models.pack_intents import read_intents
from models.pack_lists import read_lists
from models.pack_rules import read_grammar
from models.pack_table import NAME, Findings, Table, is_number

LANGUAGES = ("en", "zh")
MODES = ("push_to_talk", "open_mic", "wake_phrase")
CONFIDENCE = 0.5
"""Of an intent, where a pack does not say otherwise: more likely meant than not."""
TIERS = ("grammar", "semantic", "llm")
MAX_PERSONA_CHARS = 2_000
MAX_CHARACTERS = 20
MAX_EXAMPLES = 50
MAX_WAKE_PHRASES = 16
MAX_KNOWLEDGE_FILES = 16
MIN_SIZE_M = 0.001
MAX_SIZE_M = 1_000
_KEYS = (
    "format",
    "name",
    "title",
    "languages",
    "models",
    "listen",
    "understand",
    "character",
    "lists",
    "rules",
    "intents",
    "never",
    "scene",
)
_STORE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class PackFiles(Protocol):
    """The files of the pack beside its ``pack.toml``."""

    def read_knowledge(self, name: str) -> str:
        """Returns the text of a file that a character knows; raises PackError."""

    def has_language(self, language: str) -> bool:
        """Returns whether there is a file for a language other than English."""

    @property
    def version(self) -> str:
        """Changes with every text that was read."""


def read_pack(
    document: dict[str, object],
    *,
    findings: Findings,
    files: PackFiles,
) -> Pack:
    """Returns the pack; where ``findings`` gained mistakes, it must not be used.

    Args:
        document: The parsed ``pack.toml``.
        findings: Where mistakes are kept.
        files: Where characters find what they know.
    """
    root = Table(findings=findings, path=(), values=document).known(*_KEYS)
    if root.values.get("format") != 1:
        root.error("format", "the format is not 1.", "Write format = 1 at the top.")
    name = root.text("name")
    if not NAME.fullmatch(name.replace("-", "_")):
        root.error("name", "has no usable name.", 'Write name = "letters_and_digits".')
    lists = read_lists(root)
    grammar = read_grammar(root, lists)
    intents = read_intents(root, grammar)
    if not intents:
        root.error("intents", "has no intents.", "Declare one: [intents.NAME].")
    characters = _characters(root, files)
    never = root.table("never").known("say")
    scene = root.table("scene").known("object", "facts")
    return Pack(
        name=name,
        title=root.text("title", name),
        file=findings.file,
        version=files.version,
        languages=_languages(root, files),
        models=_models(root),
        listening=_listening(root.table("listen")),
        tiers=_tiers(root.table("understand")),
        confidence=_confidence(root.table("understand")),
        characters=characters,
        lists=MappingProxyType(lists),
        rules=MappingProxyType(dict(grammar.rules)),
        intents=intents,
        never=tuple(
            Line(text=text, line=findings.lines.at(*never.path, *path))
            for path, text in never.texts("say")
        ),
        objects=_objects(scene),
        facts=_facts(scene.table("facts")),
    )


def _languages(root: Table, files: PackFiles) -> tuple[str, ...]:
    languages = root.texts("languages")
    for path, language in languages:
        if language not in LANGUAGES:
            wrong = _not_there("language", language, LANGUAGES, later=(language,))
            root.error(path, *wrong)
        elif language != "en" and not files.has_language(language):
            root.error(
                path,
                f"there is no pack.{language}.toml.",
                "Write it next to pack.toml, or leave the language out.",
            )
    spoken = tuple(dict.fromkeys(language for _, language in languages)) or ("en",)
    if "en" not in spoken and spoken[0] in LANGUAGES:
        root.error("languages", "pack.toml itself is in English.", 'Add "en".')
    return spoken


def _models(root: Table) -> PackModels:
    table = root.table("models").known("vad", "asr", "llm", "encoder", "pronunciations")
    standard = PackModels()
    names = {
        "vad": table.text("vad", standard.vad),
        "asr": table.text("asr", standard.asr),
        "llm": table.text("llm", standard.llm),
        "encoder": table.text("encoder", standard.encoder),
        "pronunciations": table.text("pronunciations", standard.pronunciations),
    }
    for key, name in names.items():
        if not _STORE_NAME.fullmatch(name):
            table.error(key, f'"{name}" is not the name of a model.')
    lines = {key: table.findings.lines.at(*table.path, key) for key in names}
    return PackModels(
        vad=names["vad"],
        asr=names["asr"],
        llm=names["llm"],
        encoder=names["encoder"],
        pronunciations=names["pronunciations"],
        lines=MappingProxyType(lines),
    )


def _listening(table: Table) -> Listening:
    table.known("mode", "endpoint_ms", "instant", "wake", "barge_in")
    standard = Listening()
    mode = table.text("mode", standard.mode)
    if mode not in MODES:
        table.error("mode", *_not_there("mode", mode, MODES, later=()))
    wake = tuple(text for _, text in table.texts("wake", limit=MAX_WAKE_PHRASES))
    if (mode == "wake_phrase") != bool(wake):
        table.error(
            "wake" if wake else "mode",
            "wake phrases and the mode wake_phrase go together.",
            'Write mode = "wake_phrase" and wake = ["hey NAME"].',
        )
    return Listening(
        mode=mode,
        endpoint_ms=_endpoint_ms(table) or standard.endpoint_ms,
        instant=table.flag("instant", default=standard.instant),
        wake=wake,
        barge_in=table.flag("barge_in", default=standard.barge_in),
    )


def _endpoint_ms(table: Table) -> tuple[int, int] | None:
    endpoint_ms = table.numbers("endpoint_ms", n=2)
    if endpoint_ms is None:
        return None
    finished, unfinished = map(int, endpoint_ms)
    if not 100 <= finished <= unfinished <= 5_000:
        table.error(
            "endpoint_ms",
            "must be two times from 100 to 5000, the shorter first.",
            "After a finished phrase, after an unfinished one: [250, 700].",
        )
        return None
    return finished, unfinished


def _confidence(table: Table) -> float:
    value = table.values.get("confidence", CONFIDENCE)
    if not is_number(value) or not 0 < value < 1:
        table.error(
            "confidence",
            '"confidence" must be a number above 0 and below 1.',
            "Higher, and less is taken for a command: confidence = 0.7.",
        )
        return CONFIDENCE
    return float(value)


def _tiers(table: Table) -> tuple[str, ...]:
    table.known("tiers", "confidence")
    tiers = table.texts("tiers")
    if table.values.get("tiers") == []:
        table.error("tiers", '"tiers" is empty.', 'Write ["grammar"], or leave it out.')
    for path, tier in tiers:
        if tier not in TIERS:
            table.error(path, *_not_there("tier", tier, TIERS, later=()))
    return tuple(dict.fromkeys(tier for _, tier in tiers)) or ("grammar",)


def _not_there(
    kind: str, name: str, known: tuple[str, ...], *, later: tuple[str, ...]
) -> tuple[str, str]:
    """Returns the message and the hint about a name that cannot be used."""
    hint = f"There is: {', '.join(known)}."
    if name in later:
        return f'{kind} "{name}" is not there yet.', hint
    return f'unknown {kind} "{name}".', hint


def _characters(root: Table, files: PackFiles) -> tuple[Character, ...]:
    section = root.table("character")
    characters = [
        _character(name, section.table(name), files)
        for name in section.names(what="a character", limit=MAX_CHARACTERS)
    ]
    if not characters:
        root.error(
            "character", "has no character.", "Declare one: [character.NAME] persona."
        )
    return tuple(characters)


def _character(name: str, table: Table, files: PackFiles) -> Character:
    table.known("persona", "knows", "fallback", "examples")
    persona = table.text("persona", limit=MAX_PERSONA_CHARS)
    if not persona and "persona" not in table.values:
        table.error((), "has no persona.", 'Write persona = "Who they are".')
    knowledge = []
    for path, file in table.texts("knows", limit=MAX_KNOWLEDGE_FILES):
        try:
            knowledge.append(files.read_knowledge(file).strip())
        except PackError as error:
            table.error(path, error.message, error.hint)
    fallback = tuple(text for _, text in table.texts("fallback"))
    return Character(
        name=name,
        persona=persona,
        fallback=fallback or ("Say that again?",),
        examples=read_examples(table),
        knowledge="\n\n".join(knowledge),
    )


def read_examples(table: Table) -> tuple[tuple[str, str], ...]:
    """Returns what players say to a character and what it answers."""
    value = table.values.get("examples", [])
    if not isinstance(value, list) or len(value) > MAX_EXAMPLES:
        table.error("examples", f"must be a list of at most {MAX_EXAMPLES} pairs.")
        return ()
    examples = []
    for index, pair in enumerate(value):
        match pair:
            case [str() as said, str() as answered] if (
                said.strip() and answered.strip()
            ):
                examples.append((said, answered))
            case _:
                table.error(
                    ("examples", index),
                    "an example is a pair of texts.",
                    'Write ["what the player says", "what the character answers"].',
                )
    return tuple(examples)


def _objects(scene: Table) -> tuple[PackObject, ...]:
    objects = []
    seen: set[str] = set()
    for table in scene.tables("object"):
        table.known("id", "name", "aliases", "tags", "position", "size")
        identity = table.text("id")
        name = table.text("name")
        for key in ("id", "name"):
            if key not in table.values:
                table.error((), f'has no "{key}".')
        if identity and identity in seen:
            table.error("id", f'object "{identity}" is declared twice.')
        seen.add(identity)
        position = table.numbers("position", n=3)
        objects.append(
            PackObject(
                id=identity,
                line=table.findings.lines.at(*table.path),
                name=name,
                aliases=tuple(text for _, text in table.texts("aliases")),
                tags=frozenset(text for _, text in table.texts("tags")),
                position=(position[0], position[1], position[2]) if position else None,
                size=_size(table),
            )
        )
    return tuple(objects)


def _size(table: Table) -> tuple[float, float, float] | None:
    size = table.numbers("size", n=3)
    if size is None:
        return None
    width, height, depth = size
    if not all(MIN_SIZE_M <= side <= MAX_SIZE_M for side in size):
        table.error(
            "size",
            f'"size" must be from {MIN_SIZE_M} to {MAX_SIZE_M} metres each way.',
            "Write [width, height, depth].",
        )
        return None
    return width, height, depth


def _facts(table: Table) -> MappingProxyType[str, bool | int | float | str]:
    facts: dict[str, bool | int | float | str] = {}
    for key, value in table.values.items():
        if isinstance(value, bool | str) or is_number(value):
            facts[key] = value
        else:
            table.error(
                key,
                "a fact is true, false, a number or a text.",
                'Quote keys that hold a dot: "gate.open" = true.',
            )
    return MappingProxyType(facts)
