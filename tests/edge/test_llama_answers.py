"""How the language model's answers are drawn, counted, ended and cut short."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edge.backends.llama import Llama
from edge.llm.drafts import Drafts
from edge.llm.model import Generation, Message, Prompt, Role, Sampling, Usage
from edge.llm.output import reply_prefix
from tests.edge.conftest import CONTROL, TOKENS, TinyModels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.edge.conftest import Tensor

WORDS = {"type": "string", "pattern": "^[a-z]{6,12}$"}
FORM = {
    "type": "object",
    "properties": {
        "intents": {"type": "array", "items": {"const": "stop"}, "maxItems": 1},
        "reply": {"type": "string", "maxLength": 30},
    },
    "required": ["intents", "reply"],
    "additionalProperties": False,
}
OVER = "<%over%>"
"""No vocabulary takes this for an end by itself."""


NEVER = "<never>"
"""No answer has this text."""


def request(
    words: str = "hello", *, schema: object = None, sampling: Sampling | None = None
) -> Generation:
    """Returns what is asked of the model."""
    return Generation(
        prompt=Prompt(
            messages=(Message(role=Role.USER, text=words),),
            schema=json.dumps(schema) if schema else "",
        ),
        sampling=sampling or Sampling(max_tokens=24),
    )


def warm(seed: int, *, max_tokens: int = 24) -> Sampling:
    """Returns how tokens are drawn rather than taken."""
    return Sampling(temperature=1.5, top_p=0.95, seed=seed, max_tokens=max_tokens)


def answer(model: Llama, asked: Generation, cancel: Event | None = None) -> str:
    """Returns the whole answer."""
    return "".join(model.generate(asked, cancel or Event()))


@pytest.fixture
def small(tiny: TinyModels) -> Iterator[Llama]:
    """A tiny model with its context."""
    model = Llama(tiny.llama(), threads=1)
    yield model
    model.close()


def test_without_a_temperature_an_answer_repeats_itself(small: Llama) -> None:
    for schema in (None, WORDS):
        asked = request(schema=schema)
        assert len({answer(small, asked) for _ in range(3)}) == 1
        seeded = replace(asked, sampling=replace(asked.sampling, seed=5))
        assert answer(small, seeded) == answer(small, asked)


def test_a_seed_repeats_its_answer_and_another_draws_another(small: Llama) -> None:
    def drawn(seed: int) -> str:
        return answer(small, request(schema=WORDS, sampling=warm(seed)))

    texts = [drawn(seed) for seed in range(8)]

    assert [drawn(seed) for seed in range(8)] == texts
    assert len(set(texts)) > 4
    for text in texts:
        Draft202012Validator(WORDS).validate(json.loads(text))


@pytest.mark.models
def test_what_is_drawn_follows_the_schema(llama: Llama) -> None:
    texts = [
        answer(
            llama,
            request(
                "Tell me of the sea.", schema=FORM, sampling=warm(seed, max_tokens=200)
            ),
        )
        # The first reads the prompt in one go, whose sums are other ones.
        for seed in (3, 1, 2, 1)
    ]

    for text in texts:
        Draft202012Validator(FORM).validate(json.loads(text))
    assert texts[1] == texts[3] != texts[2]


@pytest.mark.models
def test_what_the_constraint_decides_costs_no_pass_of_its_own(llama: Llama) -> None:
    asked = request(
        "Tell me of the sea.", schema=FORM, sampling=Sampling(max_tokens=200)
    )

    text = answer(llama, asked)

    usage = llama.usage
    assert usage.n_forced > 0
    assert 0 < usage.n_forwards <= usage.n_tokens - usage.n_forced
    assert usage.n_tokens == pytest.approx(len(llama._vocabulary.tokens(text)), abs=3)
    assert usage.constraint_s > 0


@pytest.mark.models
def test_what_was_answered_before_saves_passes_and_changes_no_answer(
    llama_file: Path,
) -> None:
    sayings = ["Tell me of the sea.", "Tell me of the sea!", "Is it far?"]
    bound = Sampling(max_tokens=60, free_after=NEVER)
    asked = [
        request(words, schema=FORM, sampling=bound) for words in [*sayings, *sayings]
    ]
    plain, guessing = Llama(llama_file, threads=1), Llama(llama_file, threads=1)
    plain.drafts = Drafts(max_length=0)

    texts = [answer(plain, each) for each in asked]
    n_plain = plain.usage.n_forwards
    guessed = [answer(guessing, each) for each in asked]

    assert guessed == texts
    assert plain.usage.n_drafted == 0
    assert 0 < guessing.usage.n_accepted <= guessing.usage.n_drafted
    assert guessing.usage.n_forwards < n_plain / 2
    plain.close()
    guessing.close()


def test_a_guess_that_is_wrong_changes_no_answer(small: Llama) -> None:
    bound = Sampling(max_tokens=24, free_after=NEVER)
    asked = [request(f"{n} {n * n}", schema=WORDS, sampling=bound) for n in range(12)]
    small.drafts = Drafts(max_length=0)
    texts = [answer(small, each) for each in asked]
    assert len(set(texts)) > 4

    small.drafts = Drafts()
    n_drafted = n_accepted = 0
    for each, text in zip(asked, texts, strict=True):
        assert answer(small, each) == text
        n_drafted += small.usage.n_drafted
        n_accepted += small.usage.n_accepted
    assert n_accepted < n_drafted


@pytest.mark.parametrize(
    "sampling",
    [replace(warm(1), free_after=NEVER), Sampling(max_tokens=24)],
    ids=["drawn", "free"],
)
def test_what_cannot_be_foretold_is_not_guessed(
    small: Llama, sampling: Sampling
) -> None:
    for _ in range(2):
        answer(small, request(schema=WORDS, sampling=sampling))
    assert small.usage.n_drafted == 0


def test_a_free_answer_has_nothing_forced(small: Llama) -> None:
    answer(small, request())

    usage = small.usage
    assert (usage.n_forced, usage.n_masks, usage.constraint_s) == (0, 0, 0)
    assert usage.n_tokens == 24
    assert usage.n_forwards == 23  # the first token comes of the prompt's last
    assert usage.n_prompt > 0


def test_what_breaks_the_constraint_is_drawn_again(small: Llama) -> None:
    answer(small, request(schema=WORDS))

    assert small.usage.n_masks > 0


def test_a_penalty_holds_from_a_text_on(small: Llama) -> None:
    def said(*, penalty: float, after: str) -> str:
        sampling = Sampling(max_tokens=24, repetition_penalty=penalty, free_after=after)
        return answer(small, request(schema=WORDS, sampling=sampling))

    plain = said(penalty=1.0, after="")
    assert said(penalty=9.0, after="not said") == plain
    assert said(penalty=9.0, after="") != plain
    begun = plain[:4]
    assert said(penalty=9.0, after=begun).startswith(begun)


@dataclass(frozen=True, kw_only=True)
class OneTrackModels(TinyModels):
    """Models that know one token, or its opposite: any other one."""

    sign: int
    favourite: str

    def _noise(self, name: str, shape: Sequence[int]) -> Tensor:
        noise = super()._noise(name, shape)
        if name == "output.weight":
            token = list(self.tokens).index(self.favourite)
            noise = np.zeros_like(noise)
            noise[token] = self.sign
        return noise


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (f"{{% for m in messages %}}[{{{{ m.content }}}}{OVER}{{% endfor %}}:", True),
        ("{% for m in messages %}[{{ m.content }}]{% endfor %}:", False),
        (f"{OVER}{{% for m in messages %}}{{{{ m.content }}}}[{{% endfor %}}:", False),
    ],
)
def test_an_answer_ends_as_the_chat_format_says(
    tmp_path: Path, template: str, ends: bool
) -> None:
    # Of two opposite models, one says nothing but the token.
    lengths = []
    for sign in (1, -1):
        models = OneTrackModels(
            folder=tmp_path,
            tokens={**TOKENS, OVER: CONTROL},
            template=template,
            sign=sign,
            favourite=OVER,
        )
        model = Llama(models.llama(), threads=1)
        answer(model, request())
        lengths.append(model.usage.n_tokens)
        model.close()

    assert (min(lengths) == 0) == ends
    assert ends or lengths == [24, 24]


def test_what_the_chat_format_writes_as_text_ends_nothing(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.content }}A{% endfor %}:"
    lengths = []
    for sign in (1, -1):
        models = OneTrackModels(
            folder=tmp_path, template=template, sign=sign, favourite="<0x41>"
        )
        model = Llama(models.llama(), threads=1)
        text = answer(model, request())
        lengths.append(len(text))
        model.close()

    assert max(lengths) == 24


def test_whatever_bytes_are_drawn_the_pieces_are_text(small: Llama) -> None:
    for seed in range(5):
        sampling = Sampling(temperature=50, seed=seed, max_tokens=60)
        pieces = list(small.generate(request(sampling=sampling), Event()))

        assert all(pieces)
        assert "".join(pieces).encode().decode() == "".join(pieces)


def test_an_answer_that_is_cancelled_first_costs_nothing(small: Llama) -> None:
    expected = answer(small, request(schema=WORDS))
    cancel = Event()
    cancel.set()

    assert answer(small, request(schema={"const": "forced"}), cancel) == ""
    assert small.usage == Usage()
    assert answer(small, request(schema=WORDS)) == expected


class EventAfter(Event):
    """Is set once it was asked for a number of times."""

    def __init__(self, n_times: int) -> None:
        super().__init__()
        self.n_left = n_times

    def is_set(self) -> bool:
        self.n_left -= 1
        return self.n_left < 0


@pytest.mark.parametrize("n_times", range(6))
def test_wherever_it_is_cancelled_the_next_answer_is_whole(
    small: Llama, n_times: int
) -> None:
    long = request("a long story " * 90, schema=WORDS)
    expected = answer(small, long)
    assert small.usage.n_prompt > 1_000
    answer(small, request("something else"))

    cut = answer(small, long, EventAfter(n_times))

    assert expected.startswith(cut)
    assert cut != expected
    assert answer(small, long) == expected


def test_any_vocabulary_goes_on_from_what_is_decided(
    small: Llama, capfd: pytest.CaptureFixture[str]
) -> None:
    prefix = reply_prefix([])
    asked = request(sampling=Sampling(max_tokens=60), schema=FORM)
    asked = replace(asked, prompt=replace(asked.prompt, prefix=prefix))

    text = answer(small, asked)

    Draft202012Validator(FORM).validate(json.loads(prefix + text))
    assert capfd.readouterr() == ("", "")


def test_an_answer_left_half_said_does_no_harm(small: Llama) -> None:
    expected = answer(small, request("one", schema=WORDS))
    left = small.generate(request("two", schema=WORDS), Event())
    next(left)

    assert answer(small, request("one", schema=WORDS)) == expected
