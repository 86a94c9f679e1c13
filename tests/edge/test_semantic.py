"""What was said in other words than the templates is known by the nearest examples."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.backends.echo import EchoEncoder
from edge.backends.minilm import MiniLm
from edge.engines import ECHO, EngineNames, Engines
from edge.kept import KeptFiles
from edge.normalise import words_of
from edge.semantic import (
    Encoder,
    Example,
    Examples,
    Match,
    SemanticError,
    Vectors,
    choose,
    named_spans,
    pack_examples,
    scene_nouns,
    without_slots,
)
from models.encoder_file import EncoderFile, save_encoder_file
from models.errors import ModelError
from models.pack import Pack, PackModels
from models.pack_file import load_pack
from models.store import State, Store

EXAMPLES = (
    Example("please paint the boat", "paint"),
    Example("a coat of paint for the boat", "paint"),
    Example("time to dance", "dance"),
    Example("what a lovely boat", None),
)
PACK = """\
format = 1
name = "harbour"
[character.Mara]
persona = "Harbour pilot."
examples = [["hello there", "Ahoy."]]
[lists]
light = { values = { bright = ["bright", "full"], dim = ["dim"] } }
metres = { range = [1, 50], unit = "m" }
vessel = { from_scene = { tag = "boat" } }
quay = { from_scene = { tag = "quay" } }
thing = { from_scene = { tag = "thing" } }
words = { type = "text" }
[intents.go]
say = ["go {metres} to {quay}", "go {metres}"]
like = ["I would rather be {metres} away", "off to the {quay}"]
[intents.set_light]
say = ["make it {light}"]
like = ["something {light} would be nice"]
[intents.sink]
say = ["sink {vessel}", "call {thing} {words}"]
like = ["the {vessel} must go", "call it {words}"]
test = { "sink the Sea Queen" = { vessel = "q" } }
[never]
say = ["the Queen is a fine ship"]
[[scene.object]]
id = "q"
name = "Queen"
aliases = ["Sea Queen"]
tags = ["thing", "boat"]
"""


class Counting(EchoEncoder):
    """Keeps what it was asked to encode."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().encode(texts)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    (tmp_path / "pack.toml").write_text(PACK, encoding="utf-8")
    return load_pack(tmp_path)


def said(examples: Examples, encoder: Encoder, text: str) -> list[Match]:
    return examples.nearest(encoder.encode([text])[0])


def test_the_nearest_example_comes_first() -> None:
    echo = EchoEncoder()
    examples = Examples.build(EXAMPLES, echo)

    found = said(examples, echo, "time to dance")

    assert found[0].intent == "dance"
    assert found[0].similarity == pytest.approx(1)
    assert {match.intent for match in found} == {"paint", "dance", None}
    assert [m.similarity for m in found] == sorted(
        (m.similarity for m in found), reverse=True
    )


def test_two_examples_of_an_intent_count() -> None:
    echo = EchoEncoder()
    examples = Examples.build(EXAMPLES, echo)
    vector = echo.encode(["paint the boat"])[0]
    both = echo.encode([e.text for e in EXAMPLES if e.intent == "paint"]) @ vector

    (paint,) = [m for m in examples.nearest(vector) if m.intent == "paint"]

    assert paint.similarity == pytest.approx(both.mean(), abs=1e-6)


def test_no_examples_are_near_to_nothing() -> None:
    echo = EchoEncoder()

    assert said(Examples.build((), echo), echo, "paint the boat") == []


@pytest.mark.parametrize(
    ("matches", "chosen"),
    [
        ([("paint", 0.8), ("dance", 0.3), (None, 0.3)], "paint"),
        ([(None, 0.3), ("paint", 0.8)], "paint"),
        ([("paint", 0.8)], "paint"),
        ([("paint", 0.4), ("dance", 0.1), (None, 0.1)], None),  # far from everything
        ([(None, 0.9), ("paint", 0.8)], None),  # like what is no command
        ([("paint", 0.8), (None, 0.75)], None),
        ([("paint", 0.8), ("dance", 0.79)], None),  # it could be either
        ([(None, 0.9)], None),
        ([], None),
    ],
)
def test_an_intent_must_be_near_and_nearer_than_the_others(
    matches: list[tuple[str | None, float]], chosen: str | None
) -> None:
    found = choose([Match(*match) for match in matches])

    assert (found and found.intent) == chosen


def test_thresholds_can_be_others() -> None:
    matches = [Match("paint", 0.8), Match("dance", 0.79), Match(None, 0.75)]

    assert choose(matches, margin=0.01, rival_margin=0.0) == matches[0]
    assert choose(matches, threshold=0.81, margin=0.0, rival_margin=0.0) is None


def test_vectors_are_made_once_and_kept(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "kept")
    first, second = Counting(), Counting()

    made = Examples.build(EXAMPLES, first, kept=kept)
    found = Examples.build(EXAMPLES, second, kept=kept)

    assert len(first.asked) == len(EXAMPLES)
    assert second.asked == []
    np.testing.assert_array_equal(found.vectors, made.vectors)
    assert said(found, EchoEncoder(), "dance") == said(made, EchoEncoder(), "dance")


def test_only_new_examples_are_encoded_again() -> None:
    echo = Counting()
    before = Examples.build(EXAMPLES, echo)
    echo.asked.clear()

    changed = (*EXAMPLES[1:], Example("put some paint on it", "paint"))
    after = Examples.build(changed, echo, previous=before)

    assert echo.asked == ["put some paint on it"]
    np.testing.assert_array_equal(
        after.vectors, Examples.build(changed, EchoEncoder()).vectors
    )


def test_vectors_of_another_encoder_are_of_no_use() -> None:
    class Other(Counting):
        @property
        def fingerprint(self) -> str:
            return "other"

    other = Other()
    Examples.build(EXAMPLES, other, previous=Examples.build(EXAMPLES, EchoEncoder()))

    assert len(other.asked) == len(EXAMPLES)


def test_a_sentence_said_twice_counts_once() -> None:
    assert len(Examples.build(EXAMPLES * 2, EchoEncoder()).vectors) == len(EXAMPLES)


def test_names_give_way_to_a_noun() -> None:
    nouns = {("sea", "queen"): "vessel", ("queen",): "vessel", ("pier",): "quay"}
    words = words_of("Sink the Sea Queen at the pier!")

    spans = named_spans(words, nouns)

    assert spans == [(2, 4, "vessel"), (6, 7, "quay")]
    assert without_slots(words, spans) == "sink the vessel at the quay"
    assert without_slots(words, []) == " ".join(words)
    assert named_spans((), nouns) == named_spans(words, {}) == []


def test_a_thing_is_called_after_the_first_list_that_takes_it(pack: Pack) -> None:
    things = [
        (("Queen",), frozenset(("thing", "boat"))),
        (("Old Mole",), frozenset(("quay",))),
        (("gull",), frozenset(("bird",))),
        (("!",), frozenset(("quay",))),
    ]

    assert scene_nouns(pack, things) == {("queen",): "vessel", ("old", "mole"): "quay"}


NO_COMMANDS = ("the vessel is a fine ship", "hello there")


def test_a_pack_is_full_of_examples(pack: Pack) -> None:
    found = set(pack_examples(pack))

    assert {each for each in found if each.intent or each.text in NO_COMMANDS} == {
        Example("i would rather be ten metre away", "go"),
        Example("off to the quay", "go"),  # the game will bring some
        Example("something bright would be nice", "set_light"),
        Example("something dim would be nice", "set_light"),
        Example("the vessel must go", "sink"),
        Example("call it something", "sink"),
        Example("sink the vessel", "sink"),
        Example("the vessel is a fine ship", None),
        Example("hello there", None),
    }
    assert len(found) > 600  # ordinary talk is no command either


def test_the_stand_in_knows_words_by_themselves() -> None:
    vectors = EchoEncoder().encode(["go up", "up Go", "paint it", ""])

    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert abs(float(vectors[0] @ vectors[2])) < 0.5
    assert EchoEncoder().encode([]).shape[0] == 0


def engines(encoder: str | None, store: Store) -> Engines:
    names = EngineNames.chosen(
        PackModels(), vad=ECHO, asr=ECHO, llm=ECHO, encoder=encoder
    )
    return Engines(names, store, device="desktop")


def test_an_encoder_is_loaded_where_one_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")

    assert isinstance(engines(ECHO, store).encoder(), EchoEncoder)
    assert engines("", store).encoder() is None
    with pytest.raises(ModelError) as error:
        engines(None, store).encoder()
    assert PackModels().encoder in error.value.hint + error.value.message


def test_a_folder_that_is_no_encoder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SemanticError) as error:
        MiniLm(tmp_path)
    assert error.value.code == "encoder_model"

    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n", encoding="utf-8")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(SemanticError) as error:
        MiniLm(tmp_path)
    assert error.value.code == "encoder_model"


@pytest.fixture(scope="module")
def minilm() -> Iterator[MiniLm]:
    name = PackModels().encoder
    store = Store.default()
    if store.state(name) is not State.READY:
        from models.fetch import fetch

        fetch(store, name)
    minilm = MiniLm(store.path(name))
    yield minilm
    minilm.close()


@pytest.fixture(scope="module")
def pooling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniLm]:
    """A tiny encoder whose graph pools by itself."""
    folder = pooling_folder(tmp_path_factory.mktemp("encoder"))
    encoder = MiniLm(folder)
    yield encoder
    encoder.close()


def pooling_folder(folder: Path) -> Path:
    from quantize.encoder.building import build_encoder
    from quantize.encoder.source import load_encoder, read_weights
    from quantize.onnx_file import save_onnx
    from tests.quantize.encoders import save_encoder

    source = load_encoder(save_encoder(folder / "source"))
    weights = read_weights(source, lambda *_: None)
    made = folder / "made"
    made.mkdir()
    save_onnx(build_encoder(source.shape, weights), made / "model.onnx")
    source.pieces.save(made)
    about = EncoderFile(width=64, pooling="mean", max_pieces=48, lower_case=True)
    save_encoder_file(made, about)
    return made


def test_an_encoder_of_ones_own_is_loaded_from_its_folder(tmp_path: Path) -> None:
    folder = pooling_folder(tmp_path)
    store = Store(tmp_path / "cache")

    encoder = engines(str(folder), store).encoder()

    assert encoder is not None
    assert encoder.encode(["go to the island"]).shape == (1, 64)
    assert encoder.encode(["a " * 500]).shape == (1, 64)


def test_an_encoder_that_tells_capitals_apart_is_refused(tmp_path: Path) -> None:
    folder = pooling_folder(tmp_path)
    about = EncoderFile(width=64, pooling="mean", max_pieces=48, lower_case=False)
    save_encoder_file(folder, about)

    with pytest.raises(SemanticError) as error:
        MiniLm(folder)
    assert "capital letters" in error.value.message


@pytest.mark.parametrize(
    "name", [ECHO, "pooling", pytest.param("minilm", marks=pytest.mark.models)]
)
def test_an_encoder_makes_one_vector_of_length_1_a_text(
    name: str, request: pytest.FixtureRequest
) -> None:
    encoder: Encoder = EchoEncoder() if name == ECHO else request.getfixturevalue(name)
    texts = ["wave", "", "Ünïcode [SEP] \x00 😀", "put the lantern on the bench"]

    vectors = encoder.encode(texts)

    assert vectors.shape[0] == len(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], vectors, atol=1e-6)
    assert encoder.encode([]).shape == (0, vectors.shape[1])
    assert encoder.fingerprint


@pytest.mark.models
def test_what_means_the_same_is_near(minilm: MiniLm) -> None:
    one, same, other = minilm.encode(
        ["play some music", "get the party music going", "the boat is heavy"]
    )

    assert one @ same > 0.5 > one @ other


@pytest.mark.models
def test_a_vector_does_not_depend_on_its_neighbours(minilm: MiniLm) -> None:
    texts = [
        *("wave", "dance", "help", "could you put the lantern on the bench for me"),
        *("x " * 500, "stop"),
    ]
    together = minilm.encode(texts)

    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(minilm.encode([text])[0], vector, atol=1e-6)


@pytest.mark.models
def test_the_explorer_understands_other_words(minilm: MiniLm, tmp_path: Path) -> None:
    pack = load_pack("explorer")
    kept = KeptFiles(tmp_path / "kept")
    examples = Examples.build(pack_examples(pack), minilm, kept=kept)
    nouns = scene_nouns(
        pack, (((thing.name, *thing.aliases), thing.tags) for thing in pack.objects)
    )

    def meant(text: str) -> str | None:
        words = words_of(text)
        found = choose(
            said(examples, minilm, without_slots(words, named_spans(words, nouns)))
        )
        return found.intent if found else None

    for text, intent in {
        "I'd love to pay the old lighthouse a visit": "teleport",
        "get rid of this awful music": "stop_music",
        "can you give the rowing boat a red coat": "paint",
        "show us how well you can dance": "dance",
        "my cousin got married on a boat": None,
        "what did you have for breakfast": None,
        "that was a really good film": None,
    }.items():
        assert meant(text) == intent, text


@pytest.mark.models
def test_a_closed_encoder_says_so() -> None:
    name = PackModels().encoder
    closed = MiniLm(Store.default().path(name))
    closed.close()

    with pytest.raises(SemanticError) as error:
        closed.encode(["wave"])
    assert error.value.code == "encoder_closed"


def test_the_tier_needs_no_library_of_a_vendor() -> None:
    unwanted = "{'onnxruntime', 'tokenizers'} & sys.modules.keys()"
    code = f"import sys, edge.semantic; assert not {unwanted}"

    subprocess.run([sys.executable, "-c", code], check=True)
