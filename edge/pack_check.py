"""A pack examined as its author would: every mistake, every test, every never."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge.grammar import Said, sentences_of, tokens_of
from edge.lexicon import Lexicon, build_lexicon, default_scene
from edge.normalise import words_of
from edge.scene import Scene
from models.pack import (
    IntentDeclaration,
    Pack,
    PackError,
    PackTest,
    Problem,
    SceneList,
    Value,
    ValuesList,
)
from models.pack_file import load_pack
from models.template import RuleRef, SlotRef, references


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport:
    """What was found in one pack."""

    pack: str
    """As it was asked for."""
    problems: tuple[Problem, ...]
    """In order of file and line."""
    n_intents: int = 0
    n_templates: int = 0
    n_tests: int = 0
    n_never: int = 0

    @property
    def ok(self) -> bool:
        """Whether the pack can be used: there is nothing but warnings."""
        return all(problem.is_warning for problem in self.problems)


def check_pack(name_or_path: str, *, models: Collection[str]) -> PackReport:
    """Returns every mistake in a pack, its tests and its never lines run.

    Every language of the pack is checked. Tests run on the pack's own scene, with every
    fact that an intent waits for true.

    Args:
        name_or_path: As for ``load_pack``.
        models: Names of the models there are.

    Raises:
        PackError: There is no such pack, or it cannot be read at all.
    """
    try:
        pack = load_pack(name_or_path)
        problems = [
            *_unknown_models(pack, models),
            *_unknown_tags(pack),
            *_promise_problems(pack),
        ]
    except PackError as error:
        if not error.problems:
            raise
        return PackReport(pack=name_or_path, problems=error.problems)
    packs = [pack]
    for language in pack.languages[1:]:
        try:
            packs.append(load_pack(name_or_path, language))
            problems += _promise_problems(packs[-1])
            problems += _unnamed_objects(packs[-1], pack)
        except PackError as error:
            if not error.problems:
                raise
            problems += error.problems
    spoken = [intent for found in packs for intent in found.intents]
    return PackReport(
        pack=name_or_path,
        problems=tuple(sorted(problems, key=lambda found: (found.file, found.line))),
        n_intents=len(pack.intents),
        n_templates=sum(len(intent.say) for intent in spoken),
        n_tests=sum(len(intent.tests) for intent in spoken),
        n_never=sum(len(found.never) for found in packs),
    )


def _promise_problems(pack: Pack) -> list[Problem]:
    """Returns what a file of the pack promises in vain.

    Raises:
        PackError: The templates make too many words.
    """
    lexicon = build_lexicon(pack, _scene_with_all(pack))
    return [
        *_silent_phrases(pack),
        *itertools.chain.from_iterable(
            _test_problems(lexicon, intent, test)
            for intent in pack.intents
            for test in intent.tests
        ),
        *_never_problems(lexicon),
        *_warnings(pack),
    ]


def _unnamed_objects(pack: Pack, base: Pack) -> Iterator[Problem]:
    for thing, known in zip(pack.objects, base.objects, strict=True):
        if thing == known:
            yield Problem(
                file=pack.file,
                line=1,
                message=f'[names]: "{thing.id}" has no name.',
                hint="It is called as in pack.toml.",
                is_warning=True,
            )


def _scene_with_all(pack: Pack) -> Scene:
    scene = default_scene(pack)
    waited = {intent.when: True for intent in pack.intents if intent.when}
    return dataclasses.replace(scene, facts=MappingProxyType({**scene.facts, **waited}))


def _unknown_models(pack: Pack, models: Collection[str]) -> Iterator[Problem]:
    chosen = pack.models
    for key, name in (
        ("vad", chosen.vad),
        ("asr", chosen.asr),
        ("llm", chosen.llm),
        ("pronunciations", chosen.pronunciations),
        *((("encoder", chosen.encoder),) if "semantic" in pack.tiers else ()),
    ):
        if name not in models:
            yield Problem(
                file=pack.file,
                line=chosen.lines[key],
                message=f'[models]: there is no model "{name}".',
                hint="`headside models list` shows those there are.",
            )


def _silent_phrases(pack: Pack) -> Iterator[Problem]:
    for found in pack.lists.values():
        if not isinstance(found, ValuesList):
            continue
        for item in found.values:
            for phrase in item.phrases:
                if not words_of(phrase):
                    yield Problem(
                        file=pack.file,
                        line=found.line,
                        message=f'[lists.{found.name}]: "{phrase}" is never heard: '
                        "nothing is left of it once hesitations are dropped.",
                    )


def _test_problems(
    lexicon: Lexicon, intent: IntentDeclaration, test: PackTest
) -> Iterator[Problem]:
    def problem(message: str, hint: str = "") -> Problem:
        return Problem(
            file=lexicon.pack.file,
            line=test.line,
            message=f'[intents.{intent.name}]: "{test.sentence}" {message}',
            hint=hint,
        )

    found = sentences_of(lexicon, test.sentence, tokens_of(lexicon, test.sentence))
    if not found:
        yield problem("is not understood.", "Its words are: " + _words(test.sentence))
        return
    best, *others = found
    if best.declared.name != intent.name:
        yield problem(f'is understood as "{best.declared.name}".')
        return
    for other in others:
        if _strength(other) == _strength(best):
            yield problem(
                f'is said by "{intent.name}" and by "{other.declared.name}" alike.',
                "Give one of them a word of its own.",
            )
    expected = {**intent.default, **test.slots}
    if not _same(expected, best.values):
        yield problem(f"yields {_shown(best.values)}, not {_shown(expected)}.")


def _strength(said: Said) -> tuple[int, int]:
    return said.reading.n_literal, said.reading.n_listed


def _words(sentence: str) -> str:
    return " ".join(words_of(sentence)) + "."


def _same(expected: Mapping[str, Value], actual: Mapping[str, Value]) -> bool:
    return expected.keys() == actual.keys() and all(
        value == actual[name]
        or (
            not isinstance(value, str)
            and not isinstance(actual[name], str)
            and abs(value - float(actual[name])) < 1e-6
        )
        for name, value in expected.items()
    )


def _shown(values: Mapping[str, Value]) -> str:
    pairs = (f"{name} = {value!r}" for name, value in sorted(values.items()))
    return ", ".join(pairs) or "no slots"


def _never_problems(lexicon: Lexicon) -> Iterator[Problem]:
    for line in lexicon.pack.never:
        for said in sentences_of(lexicon, line.text, tokens_of(lexicon, line.text))[:1]:
            yield Problem(
                file=lexicon.pack.file,
                line=line.line,
                message=f'[never]: "{line.text}" is understood as '
                f'"{said.declared.name}" ({_shown(said.values)}).',
            )


def _unknown_tags(pack: Pack) -> Iterator[Problem]:
    tags = {tag for thing in pack.objects for tag in thing.tags}
    for found in pack.lists.values():
        if isinstance(found, SceneList) and found.tag not in tags:
            yield Problem(
                file=pack.file,
                line=found.line,
                message=f'[lists.{found.name}]: no object has the tag "{found.tag}".',
                hint="Until the game brings one, nothing can be said for it.",
                is_warning=True,
            )


def _warnings(pack: Pack) -> Iterator[Problem]:
    def warning(line: int, message: str, hint: str = "") -> Problem:
        return Problem(
            file=pack.file, line=line, message=message, hint=hint, is_warning=True
        )

    used = set(_used(pack))
    for section, name, line in _declared(pack):
        if (section, name) not in used:
            yield warning(line, f"[{section}.{name}]: no template uses it.")
    for intent in pack.intents:
        if not intent.tests:
            yield warning(
                intent.line,
                f"[intents.{intent.name}]: has no test.",
                'Write test = { "a sentence" = { slot = value } }.',
            )
    yield from _shared_names(pack)


def _declared(pack: Pack) -> Iterator[tuple[str, str, int]]:
    # What a list is used for does not differ by language.
    for name, found in pack.lists.items() if pack.language == "en" else ():
        yield "lists", name, found.line
    for name, rule in pack.rules.items():
        yield "rules", name, rule.line


def _used(pack: Pack) -> Iterator[tuple[str, str]]:
    templates = [*pack.rules.values()]
    for intent in pack.intents:
        templates += [*intent.say, *intent.claims]
    for template in templates:
        for item in references(template.tree):
            match item:
                case RuleRef():
                    yield "rules", item.name
                case SlotRef():
                    yield "lists", item.list_name


def _shared_names(pack: Pack) -> Iterator[Problem]:
    owners: dict[tuple[str, ...], str] = {}
    for thing in pack.objects:
        for name in (thing.name, *thing.aliases):
            owner = owners.setdefault(words_of(name), thing.id)
            if owner != thing.id:
                yield Problem(
                    file=pack.file,
                    line=thing.line,
                    message=f'[[scene.object]]: "{name}" is also called "{owner}"; '
                    "who says it is asked which, or points.",
                    is_warning=True,
                )
