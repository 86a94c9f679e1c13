"""What the model read before saves time and changes no answer, wherever it was kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.backends.llama import Llama
from edge.backends.llama_state import batches
from edge.kept import KeptFiles
from edge.llm.model import Generation, Message, Prompt, Role, Sampling
from tests.edge.conftest import TinyModels

TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m.content }}>{% endfor %}:"
SCHEMA_TOLD = (
    "Answer as JSON: intents, then reply. Actions:\n"
    "move(direction: forward|back|left|right|up|down, distance_m: number)\n"
    "set_light(light: bright|dim|off)\nset_weather(weather: sun|rain|snow|storm)\n"
    "go_to(place: lighthouse|beach|cave|pier)\nwave()\nstop()"
)
WREN = (
    "You are Wren, a guide on a small island. Answer in one short sentence. "
    "You know every stone of it: the lighthouse, the cave, the pier, the old boat."
)
TOM = (
    "You are Tom, a fisherman who has seen it all. Answer in one short sentence. "
    "You speak of nets, of storms, of the price of herring and of your late father."
)


def request(
    words: str, *, persona: str = WREN, told: tuple[str, ...] = (), max_tokens: int = 12
) -> Generation:
    """Returns what a character is asked, after what both said before."""
    earlier = [
        Message(role=role, text=text)
        for role, text in zip(
            [Role.USER, Role.ASSISTANT] * len(told), told, strict=False
        )
    ]
    return Generation(
        prompt=Prompt(
            messages=(
                Message(role=Role.SYSTEM, text=SCHEMA_TOLD, keep=True),
                Message(role=Role.SYSTEM, text=persona, keep=True),
                *earlier,
                Message(role=Role.USER, text=words),
            )
        ),
        sampling=Sampling(max_tokens=max_tokens),
    )


def opening(persona: str = WREN) -> Prompt:
    """Returns how the prompts of a character begin."""
    return Prompt(messages=request("", persona=persona).prompt.messages[:2])


def answer(model: Llama, asked: Generation) -> str:
    return "".join(model.generate(asked, Event()))


Load = Callable[..., Llama]


@dataclass
class Models:
    """Loads one model again and again, and closes them all."""

    path: Path
    opened: list[Llama]

    def __call__(self, kept: Path | None = None, **options: int) -> Llama:
        files = None if kept is None else KeptFiles(kept)
        model = Llama(self.path, threads=1, kept=files, **options)
        self.opened.append(model)
        return model


REAL = pytest.param("llama_file", marks=pytest.mark.models)


@pytest.fixture(params=["llama", "mamba"])
def load(request: pytest.FixtureRequest, tiny: TinyModels) -> Iterator[Load]:
    """Loads a tiny transformer or a tiny recurrent model, or the real one if asked."""
    if request.param == "llama_file":
        path = request.getfixturevalue("llama_file")
    else:
        path = getattr(replace(tiny, template=TEMPLATE), request.param)()
    models = Models(path=path, opened=[])
    yield models
    for model in models.opened:
        model.close()


@pytest.mark.parametrize("load", [REAL, "llama", "mamba"], indirect=True)
def test_an_answer_is_the_same_wherever_its_beginning_comes_from(
    load: Load, tmp_path: Path
) -> None:
    asked = request("What do you see?")
    nowhere = load()
    expected = answer(nowhere, asked)
    n_prompt = nowhere.usage.n_prompt
    assert nowhere.usage.n_cached == 0

    first_run = load(tmp_path / "kept")
    assert answer(first_run, asked) == expected
    assert first_run.usage.n_cached == 0
    assert answer(first_run, asked) == expected

    second_run = load(tmp_path / "kept")
    assert answer(second_run, asked) == expected
    assert n_prompt // 2 < second_run.usage.n_cached < n_prompt


def test_what_was_prepared_is_not_read_again(load: Load, tmp_path: Path) -> None:
    asked = request("What do you see?")
    expected = answer(load(), asked)

    for run in range(2):
        model = load(tmp_path / "kept")
        model.prepare(opening())
        n_before = model._prefix.n_forwards
        assert (n_before > 0) == (run == 0)
        assert answer(model, asked) == expected
        assert model.usage.n_cached > model.usage.n_prompt // 2


def test_another_character_shares_what_both_are_told(
    load: Load, tmp_path: Path
) -> None:
    asked = request("What do you see?", persona=TOM)
    expected = answer(load(), asked)
    answer(load(tmp_path / "kept"), request("Hello."))

    model = load(tmp_path / "kept")

    assert answer(model, asked) == expected
    assert 0 < model.usage.n_cached < model.usage.n_prompt


@pytest.mark.parametrize("load", [REAL, "llama", "mamba"], indirect=True)
def test_two_conversations_on_one_model_are_what_each_would_be_alone(
    load: Load,
) -> None:
    def talk(model: Llama, *who: str) -> dict[str, list[str]]:
        said: dict[str, list[str]] = {persona: [] for persona in who}
        for words in ("What do you see?", "And behind it?", "Is it safe there?"):
            for persona in who:
                told = tuple(said[persona])
                asked = request(words, persona=persona, told=told)
                said[persona] += [words, answer(model, asked)]
        return said

    alone = {**talk(load(), WREN), **talk(load(), TOM)}

    assert talk(load(), WREN, TOM) == alone


@pytest.mark.parametrize("load", [REAL], indirect=True)
def test_a_conversation_goes_on_where_it_was_left_for_another(load: Load) -> None:
    model = load()
    told: tuple[str, ...] = ("Hello.", "Ahoy.", "Who are you?", "By the sea.") * 3
    first = answer(model, request("What do you see?", told=told))
    n_read = model.usage.n_prompt
    answer(model, request("What do you see?", persona=TOM, told=told))

    told = (*told, "What do you see?", first)
    answer(model, request("And behind it?", told=told))

    assert model.usage.n_cached > 0.9 * n_read


def test_what_was_put_away_stays_within_its_cap(load: Load) -> None:
    personas = [f"{number} {WREN}" for number in range(4)]
    asked = [request("What do you see?", persona=persona) for persona in personas]
    plain = load()
    expected = [answer(plain, each) for each in asked]

    model = load()
    answer(model, asked[0])
    one = len(model._prefix._state())
    model._prefix.cap_bytes = 2 * one
    for _ in range(2):
        assert [answer(model, each) for each in asked] == expected
        sizes = list(map(len, model._prefix._states.values()))
        assert sum(sizes) <= 2 * one

    model._prefix.cap_bytes = 1
    assert [answer(model, each) for each in asked] == expected


def damaged(folder: Path) -> None:
    """Alters a byte in the middle of every file."""
    for path in folder.glob("*.kept"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def cut_short(folder: Path) -> None:
    """Cuts every file in half."""
    for path in folder.glob("*.kept"):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])


def emptied(folder: Path) -> None:
    """Removes every file, and the key."""
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


@pytest.mark.parametrize("harm", [damaged, cut_short, emptied])
def test_a_state_that_is_not_sound_is_read_anew(
    load: Load, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    asked = request("What do you see?")
    expected = answer(load(tmp_path / "kept"), asked)
    harm(tmp_path / "kept")

    model = load(tmp_path / "kept")

    assert answer(model, asked) == expected
    assert model.usage.n_cached == 0


def test_a_state_with_a_seal_that_llama_cpp_refuses_is_read_anew(
    load: Load, tmp_path: Path
) -> None:
    asked = request("What do you see?")
    first = load(tmp_path / "kept")
    expected = answer(first, asked)
    read = first._tokens(asked.prompt)
    for n in read.keeps:
        name = first._prefix._file(read.tokens[:n])
        assert KeptFiles(tmp_path / "kept").read(name)
        KeptFiles(tmp_path / "kept").write(name, b"no state at all")

    model = load(tmp_path / "kept")

    assert answer(model, asked) == expected
    assert model.usage.n_cached == 0


@pytest.mark.models
def test_two_players_who_take_turns_read_their_history_once(llama_file: Path) -> None:
    model = Llama(llama_file, threads=1)
    told = ("Hello.", "Ahoy.", "Who are you?", "By the sea.") * 6
    for words in ("Near: boat. What do you see?", "Near: cave. And behind it?"):
        for persona in (WREN, TOM):
            answer(model, request(words, persona=persona, told=told))
            is_first = words.startswith("Near: boat")
            n_new = model.usage.n_prompt - model.usage.n_cached
            assert (n_new > 100) == is_first
    model.close()


def test_what_does_not_fit_8_bits_is_kept_in_16(tiny: TinyModels) -> None:
    path = replace(tiny, template=TEMPLATE).llama()  # heads of 16 numbers
    asked = request("What do you see?")
    usual = Llama(path, threads=1)
    short = Llama(path, threads=1, kv_bits=8)

    assert answer(short, asked) == answer(usual, asked)
    usual.close()
    short.close()


def test_a_full_disk_changes_no_answer(load: Load, tmp_path: Path) -> None:
    asked = [request("What do you see?"), request("And there?", persona=TOM)]
    expected = [answer(load(), each) for each in asked]

    model = load(tmp_path / "kept")
    model._prefix.kept = KeptFiles(tmp_path / "tiny", cap_bytes=100)

    assert [answer(model, each) for each in asked] == expected
    assert not list((tmp_path / "tiny").glob("*.kept"))


def test_a_state_is_for_the_context_it_was_made_in(load: Load, tmp_path: Path) -> None:
    asked = request("What do you see?")
    expected = answer(load(n_ctx=1024), asked)
    answer(load(tmp_path / "kept"), asked)

    other = load(tmp_path / "kept", n_ctx=1024)

    assert answer(other, asked) == expected
    assert other.usage.n_cached == 0


@pytest.mark.models
def test_a_state_is_for_the_precision_it_was_made_in(
    llama_file: Path, tmp_path: Path
) -> None:
    messages = request("Hello.", persona=f"{WREN} {TOM}", max_tokens=8).prompt.messages
    asked = Generation(
        prompt=Prompt(messages=messages[1:]), sampling=Sampling(max_tokens=8)
    )
    texts, read = [], []
    for kv_bits in (16, 8, 8):
        kept = KeptFiles(tmp_path / "kept")
        model = Llama(llama_file, threads=1, kv_bits=kv_bits, kept=kept)
        texts.append(answer(model, asked))
        read.append(model.usage.n_cached)
        model.close()

    assert texts[1] == texts[2] != ""
    assert read[:2] == [0, 0]
    assert read[2] > 0


def test_a_state_is_for_the_model_it_was_made_by(tmp_path: Path) -> None:
    asked = request("What do you see?")
    names = ["one", "two"]
    for name in names:
        (tmp_path / name).mkdir()
    paths = [
        TinyModels(folder=tmp_path / name, template=TEMPLATE, loudness=loudness).llama()
        for name, loudness in zip(names, (1.0, 0.9), strict=True)
    ]
    expected = []
    for path in paths:
        model = Llama(path, threads=1)
        expected.append(answer(model, asked))
        model.close()

    for path, text in zip(paths, expected, strict=True):
        model = Llama(path, threads=1, kept=KeptFiles(tmp_path / "kept"))
        assert answer(model, asked) == text
        assert model.usage.n_cached == 0
        model.close()
    assert expected[0] != expected[1]


def test_nothing_that_a_player_says_is_kept(load: Load, tmp_path: Path) -> None:
    answer(load(tmp_path / "kept"), request("What do you see?"))
    before = {path.name for path in (tmp_path / "kept").iterdir()}

    model = load(tmp_path / "kept")
    told = ("My secret is 4711, and I will tell it to nobody.", "Aye.") * 4
    answer(model, request("And who knows it?", told=told))
    answer(model, request("What do you see?"))

    assert {path.name for path in (tmp_path / "kept").iterdir()} == before


@given(
    n_tokens=st.integers(0, 1_500),
    cuts=st.lists(st.integers(-100, 1_600), max_size=4),
)
def test_a_prompt_is_read_in_batches_that_end_where_something_is_kept(
    n_tokens: int, cuts: list[int]
) -> None:
    tokens = list(range(n_tokens))

    found = batches(tokens, cuts)

    assert [token for batch in found for token in batch] == tokens
    assert all(0 < len(batch) <= 512 for batch in found)
    ends = {batch[-1] + 1 for batch in found}
    assert {cut for cut in cuts if 0 < cut < n_tokens} <= ends
