"""What a language model is calibrated, searched and judged on, as its tokens."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.pack_file import load_pack
from quantize.errors import QuantizeError
from quantize.gguf import Header
from quantize.llama import Llama
from quantize.report import TextFacts
from quantize.texts import (
    Document,
    Message,
    Use,
    conversations,
    load_documents,
    python_topics,
    refuse_overlap,
    shared_out,
    told,
)

N_TOKENS: Mapping[Use, int] = {
    Use.CALIBRATION: 256,
    Use.SEARCH: 128,
    Use.EVALUATION: 256,
}
"""Of each text, at most."""
_N_PROMPT_TOKENS = 1536
"""Of a prompt of the runtime's, at most: what it has room for."""
_DIALOGUES = (sys.executable, "-m", "edge.cli", "pack", "dialogues")
_N_TEXTS = {Use.CALIBRATION: 48, Use.SEARCH: 3, Use.EVALUATION: 24}
"""At most."""
_SHORTEST = 32
"""Tokens of a text."""
_PLAYER = "user"
_FEWEST_CALIBRATION = 2000
"""Tokens below which an importance matrix says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts as tokens, by what they are for."""

    chunks: Mapping[Use, Sequence[Sequence[int]]]
    facts: Sequence[TextFacts]

    @property
    def n_longest(self) -> int:
        """Tokens of the longest."""
        return max(len(chunk) for chunks in self.chunks.values() for chunk in chunks)

    @property
    def measured_sha256(self) -> str:
        """Of those that something is measured on before the model is made."""
        some = (self.of(use).sha256 for use in (Use.CALIBRATION, Use.SEARCH))
        return hashlib.sha256("".join(some).encode()).hexdigest()

    def of(self, use: Use) -> TextFacts:
        """Returns what the texts of one use are."""
        return next(one for one in self.facts if one.use == use)


def load_texts(
    base: Path,
    header: Header,
    *,
    pack: str,
    calibration: Sequence[Path],
    evaluation: Sequence[Path],
) -> Texts:
    """Returns what is read for what, with nothing read for two uses.

    Args:
        base: The model, for its tokens.
        header: Of its file, for its chat template.
        pack: Whose dialogues stand for the use of the model.
        calibration: Files that are taken instead, where any are.
        evaluation: The same.

    Raises:
        QuantizeError: ``texts_overlap``, ``texts_unreadable``, ``chat_template``,
            ``calibration_short``, ``evaluation_short``.
    """
    teller = _Teller(header)
    own = [*_dialogues(pack, teller), *python_topics()]
    judged = [one for path in evaluation for one in load_documents(path)]
    known = {one.sha256 for one in judged}
    uses = shared_out(one for one in own if one.sha256 not in known)
    if judged:
        uses[Use.EVALUATION] = judged
    if calibration:
        uses[Use.CALIBRATION] = [one for p in calibration for one in load_documents(p)]
    refuse_overlap(uses[Use.CALIBRATION], uses[Use.EVALUATION])
    if not calibration:
        prompts = _prompts(pack, teller)
        taught = [prompts.get(one.name, one) for one in uses[Use.CALIBRATION]]
        uses[Use.CALIBRATION] = taught
        heard = {said for one in taught for said in one.said}
        uses[Use.EVALUATION] = [
            one for one in uses[Use.EVALUATION] if heard.isdisjoint(one.said)
        ]
    with Llama(base, n_tokens=1, threads=1) as model:
        chunks = {use: _chunks(model, uses[use], use) for use in Use}
    n_calibration = sum(map(len, chunks[Use.CALIBRATION]))
    if n_calibration < _FEWEST_CALIBRATION:
        raise QuantizeError(
            "calibration_short",
            f"The texts for calibration have {n_calibration} tokens; fewer than "
            f"{_FEWEST_CALIBRATION} say little of what the model is used for.",
            "Give more with --calibration.",
        )
    if not chunks[Use.EVALUATION]:
        raise QuantizeError(
            "evaluation_short",
            f"No text for evaluation has {_SHORTEST} tokens.",
            "Give longer ones with --eval.",
        )
    facts = [_facts(use, uses[use], chunks[use]) for use in Use]
    return Texts(chunks=chunks, facts=facts)


class _Teller:
    """Tells conversations as a model's chat template does.

    Args:
        header: Of the model's file.
    """

    def __init__(self, header: Header) -> None:
        self.template = header.text("tokenizer.chat_template")
        spelled = header.metadata.get("tokenizer.ggml.tokens", ())
        words = spelled if isinstance(spelled, tuple) else ()

        def special(key: str) -> str:
            number = header.number(f"tokenizer.ggml.{key}_token_id")
            is_known = number is not None and 0 <= number < len(words)
            return str(words[number]) if is_known and number is not None else ""

        self._specials = {f"{key}_token": special(key) for key in ("bos", "eos")}

    def told(self, messages: Sequence[Message]) -> str:
        """Returns a conversation as text."""
        return told(self.template, messages, self._specials)


def _dialogues(pack: str, teller: _Teller) -> Iterator[Document]:
    if not teller.template:
        return
    for title, messages in conversations(load_pack(pack)):
        yield Document(
            name=title,
            source=f"pack {pack}",
            text=teller.told(messages),
            said=_said(messages),
        )


def _prompts(pack: str, teller: _Teller) -> dict[str, Document]:
    """Returns what the runtime makes of the same sentences, with answers, by name."""
    if not teller.template:
        return {}
    done = subprocess.run(
        [*_DIALOGUES, pack], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise QuantizeError(
            "pack_failed",
            f"The runtime ended with code {done.returncode} on the pack {pack}: "
            f"{done.stderr.strip()[-300:]}",
            f"`headside pack check {pack}` says more.",
        )
    found, pack_name = {}, load_pack(pack).name
    for line in done.stdout.splitlines():
        row: Any = json.loads(line)
        name = f"pack {pack_name}, intent {row['intent']}"
        found[name] = Document(
            name=name,
            source=f"prompts of pack {pack}",
            text=teller.told(row["messages"]),
            said=_said(row["messages"]),
            is_prompt=True,
        )
    return found


def _said(messages: Sequence[Message]) -> tuple[str, ...]:
    """Returns what a player says in a conversation, examples included."""
    texts = (one["content"] for one in messages if one["role"] == _PLAYER)
    return tuple(line for text in texts for line in text.splitlines())


def _chunks(model: Llama, documents: Sequence[Document], use: Use) -> list[list[int]]:
    """Returns the tokens of texts; those that begin alike follow on each other."""
    texts: list[list[int]] = []
    prompts: list[list[int]] = []
    for document in documents:
        most = _N_PROMPT_TOKENS if document.is_prompt else N_TOKENS[use]
        chunk = model.tokens(document.text)[:most]
        if len(chunk) >= _SHORTEST:
            (prompts if document.is_prompt else texts).append(chunk)
    random.Random(1).shuffle(texts)  # noqa: S311
    return [*prompts, *texts[: _N_TEXTS[use]]]


def _facts(
    use: Use, documents: Sequence[Document], chunks: Sequence[Sequence[int]]
) -> TextFacts:
    tokens = repr([list(chunk) for chunk in chunks])
    return TextFacts(
        use=use,
        sources=tuple(dict.fromkeys(document.source for document in documents)),
        n_documents=len(chunks),
        n_tokens=sum(map(len, chunks)),
        sha256=hashlib.sha256(tokens.encode()).hexdigest(),
    )
