"""Labels and lines: files in, items out.

Files come from anywhere, so that every mistake in them is found here and told with file
and line, before a model is loaded. Whether a pack can yield a label at all is not known
here: see ``edge.evaluation.labels``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from edge.asr import Word
from edge.evaluation.fields import (
    JSON,
    Mistake,
    array_of,
    entries,
    fail,
    number,
    object_of,
    plain,
    text_of,
    vector,
)
from edge.evaluation.items import (
    Case,
    Cases,
    EvalError,
    Recording,
    Spot,
    TextItem,
    Wanted,
    WantedIntent,
    WantedValue,
    refuse,
    sound_sha256,
)
from edge.scene import Fact, Ray, RaySource, Scene, SceneObject
from models.pack import Problem

LABELS_FILE = "labels.json"
AUDIO_FOLDER = "audio"
MAX_FILE_BYTES = 64 << 20
"""Of labels or lines."""


def read_cases(path: Path) -> Cases:
    """Returns the items of a folder with ``labels.json``, or of a ``.jsonl`` file.

    Raises:
        EvalError: ``eval_input`` where there is no such thing, ``eval_labels`` with
            every mistake of the file.
    """
    if path.is_dir():
        path /= LABELS_FILE
    elif not path.exists():
        raise EvalError(
            "eval_input",
            f"{path} does not exist.",
            f"Name a folder with a {LABELS_FILE} in it, or a file of JSON lines.",
        )
    if path.name != LABELS_FILE and path.suffix.lower() != ".jsonl":
        raise EvalError(
            "eval_input",
            f"{path} is neither a folder nor a .jsonl file.",
            f"Name a folder with a {LABELS_FILE} in it, or a file of JSON lines.",
        )
    text, sha256 = _read_file(path)
    reader = _Reader(file=path)
    is_sound = path.name == LABELS_FILE
    cases = tuple(reader.recordings(text) if is_sound else reader.lines(text))
    refuse(path, reader.problems)
    if not cases:
        raise EvalError(
            "eval_empty", f"{path} holds no items.", "Add some, each with its label."
        )
    if is_sound:
        sha256 = _with_sounds(sha256, cases)
    return Cases(file=path, cases=cases, sha256=sha256, is_sound=is_sound)


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads one file, and goes on after a mistake to find them all."""

    file: Path
    problems: list[Problem] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)

    def recordings(self, text: str) -> Iterator[Case]:
        """Yields the labels of a folder."""
        if not text.lstrip().startswith("{"):
            self.problems.append(
                Problem(
                    file=str(self.file),
                    line=1,
                    message="the labels are no JSON object.",
                    hint='Write {"a.flac": {"intent": "...", "slots": {}}}.',
                )
            )
            return
        try:
            for line, name, label in entries(text):
                yield from self._read(line, partial(self._labelled, name, label))
        except json.JSONDecodeError as error:
            self._not_json(error.lineno, error.msg)
        except (ValueError, RecursionError) as error:
            self._not_json(1, str(error))

    def lines(self, text: str) -> Iterator[Case]:
        """Yields the items of JSON lines."""
        for line, written in enumerate(text.split("\n"), start=1):
            if not written.strip():
                continue
            try:
                value = JSON.decode(written)
            except json.JSONDecodeError as error:
                self._not_json(line, f"{error.msg}, column {error.colno}")
            except (ValueError, RecursionError) as error:
                self._not_json(line, str(error))
            else:
                yield from self._read(line, partial(_text_item, value))

    def _read(
        self,
        line: int,
        read: Callable[[], tuple[Recording | TextItem, Wanted]],
    ) -> Iterator[Case]:
        try:
            item, wanted = read()
            if item.id in self._seen:
                fail(
                    f"{item.id!r} was in line {self._seen[item.id]} already.",
                    "Give every item a name of its own.",
                )
            self._seen[item.id] = line
        except Mistake as mistake:
            self._problem(line, *mistake.args)
        else:
            yield Case(item=item, wanted=wanted, line=line)

    def _labelled(self, name: str, label: object) -> tuple[Recording, Wanted]:
        plain(name, "the name of the file")
        wanted = Wanted()
        if label is not None:
            fields = object_of(label, f"the label of {name!r}", ("intent", "slots"))
            wanted = Wanted(intents=(_intent(fields, "intent"),))
        return Recording(id=name, file=self._sound(name)), wanted

    def _sound(self, name: str) -> Path:
        inside = PurePosixPath(name)
        if not inside.parts or inside.is_absolute() or ".." in inside.parts:
            fail(f"{name!r} leads out of the folder.", "Name a file inside the folder.")
        places = (self.file.parent / inside, self.file.parent / AUDIO_FOLDER / inside)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            fail(
                f"there is no sound file {name!r}.",
                f"Put it beside {LABELS_FILE} or into {AUDIO_FOLDER}/, "
                "or drop its label.",
            )
        return found

    def _not_json(self, line: int, why: str) -> None:
        self._problem(line, f"this is not JSON: {why}.", "Mend the line.")

    def _problem(self, line: int, message: str, hint: str) -> None:
        self.problems.append(
            Problem(file=str(self.file), line=line, message=message, hint=hint)
        )


def _text_item(value: object) -> tuple[TextItem, Wanted]:
    optional = ("words", "scene", "rays", "focus", "clarify", "language", "kind")
    fields = object_of(value, "the line", ("id", "text", "intents", *optional))
    intents = tuple(
        _intent(object_of(found, "an intent", ("name", "slots")), "name")
        for found in array_of(fields, "intents", required=True)
    )
    clarify = tuple(plain(found, "clarify") for found in array_of(fields, "clarify"))
    if intents and clarify:
        fail("it wants both intents and a question.", "Leave intents empty: [].")
    focus = fields.get("focus")
    item = TextItem(
        id=text_of(fields, "id"),
        text=plain(fields.get("text"), "text", may_be_empty=True),
        language=text_of(fields, "language", ""),
        kind=text_of(fields, "kind", ""),
        words=tuple(_word(found) for found in array_of(fields, "words")),
        scene=_scene(fields["scene"]) if fields.get("scene") is not None else None,
        rays=tuple(
            sorted(map(_ray, array_of(fields, "rays")), key=lambda ray: ray.time_s)
        ),
        focus=(plain(focus, "focus"),)
        if isinstance(focus, str)
        else tuple(plain(found, "focus") for found in array_of(fields, "focus")),
    )
    return item, Wanted(intents=intents, clarify=clarify)


def _intent(fields: Mapping[str, object], key: str) -> WantedIntent:
    slots = fields.get("slots")
    if slots is None:
        slots = {}
    if not isinstance(slots, dict):
        fail("slots must be an object.", 'Write "slots": {"name": value}.')
    return WantedIntent(
        name=text_of(fields, key),
        slots=MappingProxyType(
            {plain(name, "a slot"): _slot(name, value) for name, value in slots.items()}
        ),
    )


def _slot(name: str, value: object) -> WantedValue:
    match value:
        case str():
            return plain(value, f"slot {name!r}", may_be_empty=True)
        case {"spot": place, **more} if not more:
            return Spot(position=vector(place, f"the spot of slot {name!r}"))
        case bool() | None | dict() | list():
            fail(
                f"slot {name!r} is neither text nor number nor a spot.",
                'Write "text", 10 or {"spot": [x, y, z]}.',
            )
    return number(value, f"slot {name!r}")


def _scene(value: object) -> Scene:
    if isinstance(value, list):
        value = {"objects": value}
    fields = object_of(value, "scene", ("objects", "facts"))
    facts: dict[str, Fact] = {}
    given = fields.get("facts") or {}
    if not isinstance(given, dict):
        fail("facts must be an object.", 'Write "facts": {"key": true}.')
    for name, fact in given.items():
        if isinstance(fact, bool | str):
            facts[name] = fact
        else:
            facts[name] = number(fact, f"fact {name!r}")
    objects = tuple(map(_thing, array_of(fields, "objects")))
    if len({thing.id for thing in objects}) < len(objects):
        fail("two objects of the scene have the same id.", "Give each its own.")
    return Scene(objects=objects, facts=MappingProxyType(facts))


def _thing(value: object) -> SceneObject:
    keys = ("id", "name", "aliases", "tags", "position", "size")
    fields = object_of(value, "an object of the scene", keys)
    place, size = fields.get("position"), fields.get("size")
    return SceneObject(
        id=text_of(fields, "id"),
        name=text_of(fields, "name"),
        aliases=tuple(plain(found, "aliases") for found in array_of(fields, "aliases")),
        tags=frozenset(plain(found, "tags") for found in array_of(fields, "tags")),
        position=None if place is None else vector(place, "position"),
        size=None if size is None else vector(size, "size"),
    )


def _ray(value: object) -> Ray:
    keys = ("source", "time_s", "origin", "direction", "t")
    fields = object_of(value, "a ray", keys)
    source = text_of(fields, "source")
    if source not in list(RaySource):
        fail(f"a ray comes from {source!r}.", f"Write one of {', '.join(RaySource)}.")
    direction = vector(fields.get("direction"), "direction")
    length = math.hypot(*direction)
    if not length:
        fail("the direction of a ray has no length.", "Write a unit vector.")
    x, y, z = direction
    return Ray(
        source=RaySource(source),
        # The wire calls it t.
        time_s=number(fields.get("time_s", fields.get("t")), "time_s of a ray"),
        origin=vector(fields.get("origin"), "origin"),
        direction=(x / length, y / length, z / length),
    )


def _word(value: object) -> Word:
    fields = object_of(value, "a word", ("text", "start_s", "end_s"))
    start_s = number(fields.get("start_s"), "start_s")
    end_s = number(fields.get("end_s"), "end_s")
    if not 0 <= start_s <= end_s:
        fail("a word ends before it begins.", "Write 0 <= start_s <= end_s.")
    return Word(
        text=text_of(fields, "text"), start_s=start_s, end_s=end_s, confidence=1.0
    )


def _read_file(path: Path) -> tuple[str, str]:
    """Returns the text of a file and its sha256."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise EvalError(
                "eval_input",
                f"{path} is longer than {MAX_FILE_BYTES >> 20} MiB.",
                "Split it.",
            )
        data = path.read_bytes()
    except OSError as error:
        raise EvalError(
            "eval_input",
            f"{path} cannot be read: {error.strerror or error}.",
            f"Name a folder with a {LABELS_FILE} in it, or a file of JSON lines.",
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EvalError(
            "eval_labels", f"{path}:{line}: this is not UTF-8.", "Save it as UTF-8."
        ) from error
    return text, hashlib.sha256(data).hexdigest()


def _with_sounds(sha256: str, cases: Sequence[Case]) -> str:
    digest = hashlib.sha256(sha256.encode())
    for case in cases:
        if isinstance(case.item, Recording):
            file = case.item.file
            digest.update(f"\n{case.item.id}\n{sound_sha256(file)}".encode())
    return digest.hexdigest()
