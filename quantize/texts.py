"""The texts that a model is calibrated, searched and judged on, kept apart.

A document is for one of these only, as the hash of its name and words decides, and what
stands in two of them is refused. Without a file, they are a pack's dialogues, told in
the model's own chat template, and the articles on the language that come with Python.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from pydoc_data import topics
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.pack import Pack
from quantize.errors import QuantizeError

_SHORTEST = 200
"""Characters of a document; shorter ones join the next."""
_LONGEST = 6000
_MAX_FILE_BYTES = 256 << 20


class Use(StrEnum):
    """What a document is for."""

    CALIBRATION = "calibration"
    SEARCH = "search"
    EVALUATION = "evaluation"


_SHARES = (Use.CALIBRATION,) * 5 + (Use.SEARCH,) * 2 + (Use.EVALUATION,) * 3
"""Of ten documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text, and what it is called in reports."""

    name: str
    source: str
    """The file or collection it is from."""
    text: str
    said: tuple[str, ...] = ()
    """What a player says in it, where it is a conversation."""
    is_prompt: bool = False
    """It is a prompt of the runtime's, and as long as these are."""

    @property
    def sha256(self) -> str:
        """Of its words, however they are spaced."""
        return hashlib.sha256(" ".join(self.text.split()).encode()).hexdigest()


Message = Mapping[str, str]
"""`role` and `content`."""


def shared_out(documents: Iterable[Document]) -> dict[Use, list[Document]]:
    """Returns each document under what it is for; one that comes twice, once."""
    found: dict[Use, list[Document]] = {use: [] for use in Use}
    seen: set[str] = set()
    for document in documents:
        if document.sha256 not in seen:
            seen.add(document.sha256)
            share = int(document.sha256[:8], 16) % len(_SHARES)
            found[_SHARES[share]].append(document)
    return found


def refuse_overlap(
    calibration: Iterable[Document], evaluation: Iterable[Document]
) -> None:
    """Raises unless no document is in both.

    Raises:
        QuantizeError: ``texts_overlap``.
    """
    known = {document.sha256: document.name for document in calibration}
    for document in evaluation:
        if document.sha256 in known:
            raise QuantizeError(
                "texts_overlap",
                f"{document.name} is the same text as {known[document.sha256]}, which "
                "calibrates: what was trained on says nothing of what was lost.",
                "Give the evaluation texts of its own.",
            )


def told(
    template: str,
    messages: Sequence[Message],
    specials: Mapping[str, str],
    *,
    awaits_reply: bool = False,
) -> str:
    """Returns a conversation as the chat template of a model tells it.

    Args:
        template: Jinja, as Hugging Face has it.
        messages: In order.
        specials: ``bos_token`` and ``eos_token``.
        awaits_reply: Ends with how the model's own answer begins.

    Raises:
        QuantizeError: ``chat_template``.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    # The same text on every day; what the runtime says, too.
    environment.globals["strftime_now"] = lambda _format: "today"
    try:
        return environment.from_string(template).render(
            messages=messages, add_generation_prompt=awaits_reply, **specials
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise QuantizeError(
            "chat_template",
            f"The model's chat template fails: {str(error)[:200]}.",
            "Mend `chat_template` in the model's tokenizer_config.json.",
        ) from error


def conversations(pack: Pack) -> Iterator[tuple[str, list[Message]]]:
    """Yields the names and messages of what a pack's character may be told."""
    character = pack.character()
    system = {"role": "system", "content": character.persona}
    for n, (question, answer) in enumerate(character.examples):
        yield (
            f"pack {pack.name}, example {n + 1}",
            [system, *_turn(question, answer)],
        )
    for intent in pack.intents:
        said = [test.sentence for test in intent.tests]
        said += [line.text for line in intent.like if "{" not in line.text]
        replies = [reply for reply in intent.reply if "{" not in reply] or [
            "All right."
        ]
        messages: list[Message] = [system]
        for n, sentence in enumerate(said):
            messages += _turn(sentence, replies[n % len(replies)])
        if said:
            yield f"pack {pack.name}, intent {intent.name}", messages


def python_topics() -> Iterator[Document]:
    """Yields the articles on the language that come with Python (PSF licence)."""
    for name, text in sorted(topics.topics.items()):
        if len(text) >= _SHORTEST:
            yield Document(
                name=f"Python topic {name}",
                source="Python's documentation",
                text=text[:_LONGEST],
            )


def load_documents(path: Path) -> Iterator[Document]:
    """Yields the documents of a file.

    A ``.jsonl`` file has an object with ``text`` on each line; of any other, paragraphs
    are joined to documents of a few hundred characters and more.

    Raises:
        QuantizeError: ``texts_unreadable``.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise _unreadable(path, f"it is over {_MAX_FILE_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is no UTF-8 at byte {error.start}") from error
    if path.suffix == ".jsonl":
        yield from _lines(path, text)
        return
    first, joined = 1, ""
    for n, paragraph in enumerate(text.split("\n\n"), 1):
        joined = f"{joined}\n\n{paragraph}".strip()
        if len(joined) >= _SHORTEST:
            yield _of(path, f"paragraph {first}", joined)
            first, joined = n + 1, ""
    if joined:
        yield _of(path, f"paragraph {first}", joined)


def _lines(path: Path, text: str) -> Iterator[Document]:
    for n, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found: Any = json.loads(line)
        except ValueError as error:
            raise _unreadable(path, f"line {n} is no JSON") from error
        said = found.get("text") if isinstance(found, dict) else None
        if not isinstance(said, str) or not said.strip():
            raise _unreadable(path, f'line {n} has no "text"')
        yield _of(path, f"line {n}", said)


def _of(path: Path, where: str, text: str) -> Document:
    return Document(name=f"{path.name}, {where}", source=path.name, text=text)


def _turn(question: str, answer: str) -> list[Message]:
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _unreadable(path: Path, why: str) -> QuantizeError:
    return QuantizeError(
        "texts_unreadable",
        f"{path} cannot be read: {why}.",
        'Give a text file, or .jsonl with {"text": "..."} on each line.',
    )
