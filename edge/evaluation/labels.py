"""Whether a pack can yield what labels want, whatever is said."""

from __future__ import annotations

from collections.abc import Iterator

from edge.evaluation.items import (
    Cases,
    Recording,
    Spot,
    TextItem,
    Wanted,
    WantedValue,
    refuse,
    scene_of,
)
from edge.scene import Scene
from models.pack import (
    IntentDeclaration,
    Pack,
    Problem,
    RangeList,
    SceneList,
    ValuesList,
)
from models.pack_lists import value_problem
from models.pack_table import nearest


def check_labels(cases: Cases, pack: Pack) -> None:
    """Refuses labels that the pack cannot yield, whatever is said.

    Raises:
        EvalError: ``eval_labels``, with every one of them.
    """
    problems = []
    for case in cases.cases:
        item = case.item if isinstance(case.item, TextItem) else None
        scene = scene_of(pack, item)
        what = "of" if isinstance(case.item, Recording) else "in"
        problems += [
            Problem(
                file=str(cases.file),
                line=case.line,
                message=f"{what} {case.item.id!r}: {message}",
                hint=hint,
            )
            for message, hint in (
                *_impossible(pack, scene, case.wanted),
                *(_misplaced(pack, scene, item) if item else ()),
            )
        ]
    refuse(cases.file, problems)


def _misplaced(pack: Pack, scene: Scene, item: TextItem) -> Iterator[tuple[str, str]]:
    """Yields what a line says that is not so here."""
    if item.language not in {"", pack.language}:
        yield (
            f"it is in {item.language!r}, and taken for {pack.language!r}.",
            "Name the language with --language, or put the line into another file.",
        )
    ids = [thing.id for thing in scene.objects]
    for thing in item.focus:
        if thing not in ids:
            yield (
                f"focus names {thing!r}, which is not in the scene.",
                nearest(thing, ids, what="objects"),
            )


def _impossible(pack: Pack, scene: Scene, wanted: Wanted) -> Iterator[tuple[str, str]]:
    declared = {intent.name: intent for intent in pack.intents}
    for one in wanted.intents:
        intent = declared.get(one.name)
        if intent is None:
            yield (
                f"pack {pack.name} has no intent {one.name!r}.",
                nearest(one.name, declared, what="intents"),
            )
            continue
        if intent.when and scene.facts.get(intent.when) is not True:
            yield (
                f"{one.name} needs the fact {intent.when!r}, which is not true.",
                "Make it true in the scene of the line.",
            )
        missing = intent.required - one.slots.keys() - intent.default.keys()
        if missing:
            yield (
                f"{one.name} never comes without slot {min(missing)!r}.",
                "Write what it should be.",
            )
        for slot, value in one.slots.items():
            yield from _impossible_slot(pack, scene, intent, slot, value)
    values = {
        item.value
        for found in pack.lists.values()
        if isinstance(found, ValuesList)
        for item in found.values
    }
    known = [*(thing.id for thing in scene.objects), *values]
    for name in wanted.clarify:
        if name not in known:
            yield (
                f"clarify names {name!r}, which is neither in the scene nor a value.",
                nearest(name, known, what="ids"),
            )


def _impossible_slot(
    pack: Pack,
    scene: Scene,
    intent: IntentDeclaration,
    slot: str,
    value: WantedValue,
) -> Iterator[tuple[str, str]]:
    where = f"slot {slot!r} of {intent.name}"
    if slot not in intent.slots:
        yield (
            f"{intent.name} has no slot {slot!r}.",
            nearest(slot, intent.slots, what="slots"),
        )
        return
    found = pack.lists[intent.slots[slot]]
    if isinstance(value, Spot):
        if isinstance(found, ValuesList | RangeList | SceneList):
            yield f"{where} is no place.", f"List {found.name} has other values."
        return
    wrong = value_problem(value, found)
    if wrong:
        yield f"{where}: {wrong[0]}", wrong[1] or f"See list {found.name} of the pack."
    elif isinstance(found, SceneList):
        ids = [thing.id for thing in scene.tagged(found.tag)]
        if value not in ids:
            yield (
                f"{where}: no object {value!r} with the tag {found.tag!r} is there.",
                nearest(str(value), ids, what="objects"),
            )
