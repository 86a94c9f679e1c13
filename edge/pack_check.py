"""A pack examined as its author would: every mistake, every test, every never."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge.grammar import candidates
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

    Tests run on the pack's own scene, with every fact that an intent waits for true.

    Args:
        name_or_path: As for ``load_pack``.
        models: Names of the models there are.

    Raises:
        PackError: There is no such pack, or it cannot be read at all.
    """
    try:
        pack = load_pack(name_or_path)
        lexicon = build_lexicon(pack, _scene_with_all(pack))
    except PackError as error:
        if not error.problems:
            raise
        return PackReport(pack=name_or_path, problems=error.problems)
    problems = [
        *_unknown_models(pack, models),
        *_silent_phrases(pack),
        *itertools.chain.from_iterable(
            _test_problems(lexicon, intent, test)
            for intent in pack.intents
            for test in intent.tests
        ),
        *_never_problems(lexicon),
        *_warnings(pack),
    ]
    return PackReport(
        pack=name_or_path,
        problems=tuple(sorted(problems, key=lambda found: found.line)),
        n_intents=len(pack.intents),
        n_templates=sum(len(intent.say) for intent in pack.intents),
        n_tests=sum(len(intent.tests) for intent in pack.intents),
        n_never=len(pack.never),
    )


def _scene_with_all(pack: Pack) -> Scene:
    scene = default_scene(pack)
    waited = {intent.when: True for intent in pack.intents if intent.when}
    return dataclasses.replace(scene, facts=MappingProxyType({**scene.facts, **waited}))


def _unknown_models(pack: Pack, models: Collection[str]) -> Iterator[Problem]:
    chosen = pack.models
    for key, name in (("vad", chosen.vad), ("asr", chosen.asr), ("llm", chosen.llm)):
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

    found = candidates(lexicon, test.sentence)
    if not found:
        yield problem("is not understood.", "Its words are: " + _words(test.sentence))
        return
    best, understood = found[0]
    if understood.name != intent.name:
        yield problem(f'is understood as "{understood.name}".')
        return
    for reading, other in found[1:]:
        if (reading.n_literal, reading.n_listed) == (best.n_literal, best.n_listed):
            yield problem(
                f'is said by "{understood.name}" and by "{other.name}" alike.',
                "Give one of them a word of its own.",
            )
    expected = {**intent.default, **test.slots}
    if not _same(expected, understood.values):
        yield problem(f"yields {_shown(understood.values)}, not {_shown(expected)}.")


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
        for _, understood in candidates(lexicon, line.text)[:1]:
            yield Problem(
                file=lexicon.pack.file,
                line=line.line,
                message=f'[never]: "{line.text}" is understood as '
                f'"{understood.name}" ({_shown(understood.values)}).',
            )


def _warnings(pack: Pack) -> Iterator[Problem]:
    def warning(line: int, message: str, hint: str = "") -> Problem:
        return Problem(
            file=pack.file, line=line, message=message, hint=hint, is_warning=True
        )

    tags = {tag for thing in pack.objects for tag in thing.tags}
    for found in pack.lists.values():
        if isinstance(found, SceneList) and found.tag not in tags:
            yield warning(
                found.line,
                f'[lists.{found.name}]: no object has the tag "{found.tag}".',
                "Until the game brings one, nothing can be said for it.",
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
    for name, found in pack.lists.items():
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
                    "who says it means the first.",
                    is_warning=True,
                )
