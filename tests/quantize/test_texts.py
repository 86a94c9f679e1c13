"""Texts: read, told in a template, and never used for two things."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.pack_file import load_pack
from quantize.conversion import convert
from quantize.errors import QuantizeError
from quantize.gguf import load_header
from quantize.llama import Llama
from quantize.llm_texts import load_texts
from quantize.texts import (
    Document,
    Use,
    conversations,
    load_documents,
    python_topics,
    refuse_overlap,
    shared_out,
    told,
)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}\n"
    "{% endfor %}"
)


@pytest.mark.models
def test_what_judges_has_nothing_that_calibrates(smollm: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    convert(smollm, model, type_="f32")
    uses: dict[Use, list[Document]] = {}

    def seen(_model: Llama, documents: list[Document], use: Use) -> list[list[int]]:
        uses[use] = documents
        return [[1] * 3000]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantize.llm_texts._chunks", seen)
        load_texts(
            model, load_header(model), pack="explorer", calibration=(), evaluation=()
        )

    said = {line for one in uses[Use.CALIBRATION] for line in one.said}
    judged = {line for one in uses[Use.EVALUATION] for line in one.said}
    assert len(said) > 50
    assert len(judged) > 10
    assert not said & judged


def document(text: str, name: str = "a") -> Document:
    return Document(name=name, source="s", text=text)


def test_every_document_has_one_use_and_always_the_same() -> None:
    documents = [document(f"text {n}") for n in range(500)]

    found = shared_out([*documents, *documents])

    assert sum(map(len, found.values())) == 500
    assert all(len(found[use]) > 50 for use in Use)
    assert found == shared_out(documents)


def test_the_same_words_otherwise_spaced_are_the_same() -> None:
    with pytest.raises(QuantizeError) as failed:
        refuse_overlap([document("one  two\n", "x")], [document("one two", "y")])

    assert failed.value.code == "texts_overlap"
    assert "y is the same text as x" in failed.value.message


def test_a_conversation_in_a_template() -> None:
    messages = [{"role": "user", "content": "Hi"}]

    assert told(CHATML, messages, {"eos_token": "<e>"}) == ("<|im_start|>user\nHi<e>\n")


@pytest.mark.parametrize(
    "template",
    ["{% for %}", "{{ raise_exception('no system') }}", "{{ messages.x.y.z }}"],
)
def test_a_template_that_fails_is_told_of(template: str) -> None:
    with pytest.raises(QuantizeError) as failed:
        told(template, [{"role": "user", "content": "Hi"}], {})

    assert failed.value.code == "chat_template"


def test_a_template_cannot_reach_out() -> None:
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"

    with pytest.raises(QuantizeError):
        told(template, [], {})


def test_what_a_pack_may_be_asked() -> None:
    found = dict(conversations(load_pack("explorer")))

    assert len(found) > 20
    for messages in found.values():
        assert [message["role"] for message in messages[:3]] == [
            "system",
            "user",
            "assistant",
        ]


def test_python_brings_articles() -> None:
    assert len(list(python_topics())) > 40


def test_paragraphs_become_documents(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("short\n\n" + "long " * 100 + "\n\n" + "last")

    found = list(load_documents(path))

    assert [one.name for one in found] == [
        "text.txt, paragraph 1",
        "text.txt, paragraph 3",
    ]
    assert found[0].text.startswith("short")
    assert found[1].text == "last"


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text(json.dumps({"text": "one"}) + "\n\n" + json.dumps({"text": "two"}))

    assert [one.name for one in load_documents(path)] == [
        "text.jsonl, line 1",
        "text.jsonl, line 3",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"{", "line 1 is no JSON"),
        ("a.jsonl", b'{"words": "x"}', 'line 1 has no "text"'),
        ("a.jsonl", b'["x"]', 'line 1 has no "text"'),
        ("a.txt", b"\xff\xfe\xff", "no UTF-8"),
    ],
)
def test_what_cannot_be_read(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(QuantizeError) as failed:
        list(load_documents(path))

    assert failed.value.code == "texts_unreadable"
    assert said in failed.value.message


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError) as failed:
        list(load_documents(tmp_path / "none.txt"))

    assert failed.value.code == "texts_unreadable"
