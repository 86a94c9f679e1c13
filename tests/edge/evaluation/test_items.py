"""Labels and lines: every mistake is told with its line before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.evaluation.items import (
    EvalError,
    Recording,
    Spot,
    TextItem,
    Wanted,
    WantedIntent,
    WantedValue,
    scene_of,
)
from edge.evaluation.labels import check_labels
from edge.evaluation.reading import read_cases
from edge.lexicon import default_scene
from edge.scene import RaySource
from models.pack import Pack
from tests.edge.evaluation.conftest import Folder

GREET = {"intent": "greet", "slots": {}}


def lines_of(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "lines.jsonl"
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(written) + "\n")
    return path


def line(**more: object) -> dict[str, object]:
    return {"id": "1", "text": "hello", "intents": [{"name": "greet"}], **more}


def check(path: Path, pack: Pack | None) -> None:
    cases = read_cases(path)
    if pack is not None:
        check_labels(cases, pack)


def mistakes(path: Path, pack: Pack | None = None) -> list[tuple[int, str]]:
    """Returns line and message of every mistake; each says what to do."""
    with pytest.raises(EvalError) as caught:
        check(path, pack)
    error = caught.value
    assert error.code == "eval_labels"
    assert all(problem.hint for problem in error.problems)
    assert error.problems
    assert f"{error.problems[0].line}" in error.message
    return [(problem.line, problem.message) for problem in error.problems]


def test_a_folder_of_recordings(recordings: Folder) -> None:
    folder = recordings({"a.wav": GREET, "b.wav": None})
    (folder / "audio" / "b.wav").rename(folder / "b.wav")

    for path in (folder, folder / "labels.json"):
        cases = read_cases(path)

        assert cases.is_sound
        assert [case.item for case in cases.cases] == [
            Recording(id="a.wav", file=folder / "audio" / "a.wav"),
            Recording(id="b.wav", file=folder / "b.wav"),
        ]
        assert [case.wanted.is_command for case in cases.cases] == [True, False]


def test_the_hash_changes_with_every_sound(recordings: Folder) -> None:
    folder = recordings({"a.wav": GREET})
    before = read_cases(folder).sha256

    sound = folder / "audio" / "a.wav"
    sound.write_bytes(sound.read_bytes()[:-2] + b"\1\1")

    assert read_cases(folder).sha256 != before


def test_a_line_with_everything(tmp_path: Path) -> None:
    path = lines_of(
        tmp_path,
        "",
        line(
            language="de",
            kind="pointing",
            intents=[{"name": "put", "slots": {"at": {"spot": [1, 2, 3]}, "n": 2}}],
            words=[{"text": "hello", "start_s": 0.1, "end_s": 0.4}],
            scene=[
                {"id": "b1", "name": "boat", "tags": ["boat"], "position": [0, 0, 1]}
            ],
            rays=[
                {
                    "source": "gaze",
                    "time_s": 0.2,
                    "origin": [0, 0, 0],
                    "direction": [0, 0, -2],
                }
            ],
            focus="b1",
            clarify=None,
        ),
    )

    (case,) = read_cases(path).cases

    assert case.line == 2
    item = case.item
    assert isinstance(item, TextItem)
    assert (item.language, item.kind, item.focus) == ("de", "pointing", ("b1",))
    assert item.scene is not None
    assert item.scene.objects[0].position == (0.0, 0.0, 1.0)
    assert item.rays[0].source is RaySource.GAZE
    assert item.rays[0].direction == (0.0, 0.0, -1.0)
    assert item.words[0].end_s == 0.4
    slots: dict[str, WantedValue] = {"at": Spot(position=(1.0, 2.0, 3.0)), "n": 2}
    assert case.wanted == Wanted(intents=(WantedIntent(name="put", slots=slots),))


def test_lines_that_ask_back_or_want_nothing(tmp_path: Path) -> None:
    ask, silent = line(id="2", intents=[], clarify=["b1", "b2"]), line(intents=[])

    cases = read_cases(lines_of(tmp_path, ask, silent)).cases

    assert cases[0].wanted == Wanted(clarify=("b1", "b2"))
    assert not cases[1].wanted.is_command
    assert not read_cases(tmp_path / "lines.jsonl").is_sound


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{", "not JSON"),
        ('{"id": NaN}', "NaN"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be an object"),
        (line(colour="red"), "unknown key 'colour'"),
        (line(id=""), "id must be a text"),
        (line(id=7), "id must be a text"),
        (line(text=None), "text must be a text"),
        (line(text="\ud800"), "half a character"),
        (line(intents=None), "intents must be a list"),
        (line(intents={}), "intents must be a list"),
        (line(intents=["greet"]), "an intent must be an object"),
        (line(intents=[{"intent": "greet"}]), "unknown key 'intent'"),
        (line(intents=[{"name": "greet", "slots": []}]), "slots must be an object"),
        (line(intents=[{"name": "a", "slots": {"b": True}}]), "slot 'b'"),
        (json.dumps(line(focus=12)).replace("12", "Infinity"), "Infinity"),
        (json.dumps(line(language=12)).replace("12", "1e999"), "language"),
        (
            '{"id":"1","text":"","intents":[{"name":"a","slots":{"b":1e999}}]}',
            "slot 'b'",
        ),
        (line(intents=[{"name": "a", "slots": {"b": 10**400}}]), "slot 'b'"),
        (line(intents=[{"name": "a", "slots": {"b": {"spot": [1]}}}]), "three numbers"),
        (line(clarify=["b1"]), "both intents and a question"),
        (line(words=[{"text": "a", "start_s": 2, "end_s": 1}]), "before it begins"),
        (line(scene="harbour"), "scene must be an object"),
        (line(scene=[{"id": "b1"}]), "name is missing"),
        (line(scene=[{"id": "b", "name": "x"}] * 2), "same id"),
        (line(scene={"facts": {"a": None}}), "fact 'a'"),
        (line(rays=[{"source": "nose", "t": 0}]), "'nose'"),
        (line(focus=[1]), "focus must be a text"),
    ],
)
def test_a_line_that_is_wrong(tmp_path: Path, wrong: object, told: str) -> None:
    found = mistakes(lines_of(tmp_path, line(id="0"), wrong))

    assert [number for number, _ in found] == [2]
    assert told in found[0][1]


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = lines_of(tmp_path, line(id=""), line(), line(), "nonsense")

    assert [number for number, _ in mistakes(path)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("greet", "must be an object"),
        ({"name": "greet"}, "unknown key 'name'"),
        ({"slots": {}}, "intent is missing"),
        ({"intent": "greet", "slots": {"a": [1]}}, "slot 'a'"),
    ],
)
def test_a_label_that_is_wrong(recordings: Folder, label: object, told: str) -> None:
    folder = recordings({"a.wav": GREET, "b.wav": label})
    text = (folder / "labels.json").read_text().replace(', "b.wav"', ',\n\n "b.wav"')
    (folder / "labels.json").write_text(text)

    ((number, message),) = mistakes(folder)

    assert number == 3
    assert told in message


@pytest.mark.parametrize(
    ("text", "number", "told"),
    [
        ("[]", 1, "no JSON object"),
        ("{}\n1", 2, "not JSON"),
        ('{"a.wav": null,\n}', 2, "not JSON"),
        ('{"a.wav": null,\n"a.wav": null}', 2, "line 1 already"),
        ('{"a.wav": null, "a.wav": null}', 1, "line 1 already"),
        ('{\n"no.wav": null}', 2, "no sound file 'no.wav'"),
        ('{"../a.wav": null}', 1, "leads out"),
        ('{"/a.wav": null}', 1, "leads out"),
        ('{"": null}', 1, "must be a text"),
        ('{"a\\u0000.wav": null}', 1, "no sound file"),
    ],
)
def test_labels_that_are_wrong(
    recordings: Folder, text: str, number: int, told: str
) -> None:
    folder = recordings({"a.wav": GREET})
    (folder / "labels.json").write_text(text)

    found = mistakes(folder)

    assert found[0][0] == number
    assert told in found[0][1]


def test_what_a_line_does_not_tell_is_the_packs(tmp_path: Path, pack: Pack) -> None:
    objects = [{"id": "x", "name": "ferry"}]
    ray = {"source": "gaze", "t": 1, "origin": [0, 0, 0], "direction": [1, 0, 0]}
    path = lines_of(
        tmp_path,
        line(id="1", rays=[ray]),
        line(id="2", scene=objects),
        line(id="3", scene={"objects": [], "facts": {"lamp": 2}}),
    )

    first, second, third = (
        scene_of(pack, case.item)
        for case in read_cases(path).cases
        if isinstance(case.item, TextItem)
    )

    assert scene_of(pack, None).objects == first.objects == default_scene(pack).objects
    assert first.facts == second.facts == {"harbour.open": True}
    assert first.rays[0].time_s == 1
    assert [thing.id for thing in second.objects] == ["x"]
    assert (third.objects, third.facts) == ((), {"lamp": 2})


def test_what_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "latin.jsonl").write_bytes(b"\n\xe9")
    for path, code in (
        (tmp_path, "eval_input"),
        (tmp_path / "no.jsonl", "eval_input"),
        (tmp_path / "notes.txt", "eval_input"),
        (tmp_path / "empty.jsonl", "eval_empty"),
        (tmp_path / "latin.jsonl", "eval_labels"),
    ):
        with pytest.raises(EvalError) as caught:
            read_cases(path)
        assert caught.value.code == code
        assert str(path) in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ({"name": "gret"}, "no intent 'gret'"),
        ({"name": "greet", "slots": {"loud": "a"}}, "no slot 'loud'"),
        ({"name": "set_light", "slots": {"light": "green"}}, "'green' is not in list"),
        ({"name": "set_light", "slots": {}}, "never comes without slot 'light'"),
        ({"name": "set_light", "slots": {"light": {"spot": [0, 0, 0]}}}, "no place"),
        ({"name": "move", "slots": {"metres": 51}}, "51 is not a number"),
        ({"name": "move", "slots": {"metres": "ten"}}, "'ten' is not a number"),
        ({"name": "scuttle", "slots": {"boat": "c1"}}, "'c1' with the tag 'boat'"),
    ],
)
def test_a_label_that_the_pack_cannot_yield(
    tmp_path: Path, pack: Pack, label: object, told: str
) -> None:
    ((number, message),) = mistakes(
        lines_of(tmp_path, line(id="0"), line(intents=[label])), pack
    )

    assert number == 2
    assert "'1'" in message
    assert told in message


def test_a_line_in_another_language_is_not_taken_for_this_one(
    tmp_path: Path, pack: Pack
) -> None:
    path = lines_of(tmp_path, line(id="1", language="en"), line(id="2", language="zh"))

    assert mistakes(path, pack) == [(2, "in '2': it is in 'zh', and taken for 'en'.")]


def test_what_was_spoken_of_is_in_the_scene(tmp_path: Path, pack: Pack) -> None:
    path = lines_of(tmp_path, line(focus=["b1", "b2"]))

    assert mistakes(path, pack) == [
        (1, "in '1': focus names 'b2', which is not in the scene.")
    ]


def test_labels_are_held_against_the_scene_of_their_line(
    tmp_path: Path, pack: Pack
) -> None:
    sink = [{"name": "scuttle", "slots": {"boat": "b9"}}]
    there = {
        "objects": [{"id": "b9", "name": "blue boat", "tags": ["boat"]}],
        "facts": {"harbour.open": True},
    }
    check_labels(read_cases(lines_of(tmp_path, line(intents=sink, scene=there))), pack)

    shut = {**there, "facts": {"harbour.open": False}}
    ((_, message),) = mistakes(lines_of(tmp_path, line(intents=sink, scene=shut)), pack)
    assert "harbour.open" in message

    ask = line(intents=[], clarify=["b1", "b9"])
    ((_, message),) = mistakes(lines_of(tmp_path, ask), pack)
    assert "'b9'" in message
