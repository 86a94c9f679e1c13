"""The process in which a GGUF file is run by llama.cpp, and compared with its folder.

It is given what the folder made of the texts (`quantize.parity_folder`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from models.lean_import import modules_of
from quantize.child import Tell
from quantize.errors import QuantizeError
from quantize.ggml import Floats
from quantize.llama import Llama
from quantize.parity_texts import CONVERT_AGAIN, GENERATION, MOST_TOKENS, apart

with modules_of("llama_cpp"):
    from llama_cpp import llama_cpp

SAME_TOP = 0.998
"""Of the tokens, at least: after so many both must say the same next."""
WORST_GAP = 1e-2
"""Of logit, at most: how much the folder may prefer its own where the file differs."""


def run_gguf(request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Returns the fields of `Parity` that llama.cpp has a word in.

    Args:
        request: That of `run_folder`, and what that returned.
        tell: Told how many texts are read, and of how many.

    Raises:
        QuantizeError: As `check_parity`.
    """
    with Llama(
        Path(request["gguf"]),
        n_tokens=MOST_TOKENS,
        threads=request["threads"],
    ) as model:
        n_composed, n_round_trips = _compare_texts(model, request["texts"])
        return {
            "n_composed": n_composed,
            "n_round_trips": n_round_trips,
            "end_tokens": _compare_ends(model, request["ends"]),
            **_compare_logits(model, request, tell),
        }


def _compare_texts(model: Llama, texts: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Returns how many texts had to be composed, and how many come back."""
    n_composed = n_round_trips = 0
    for case in texts:
        text = case["text"]
        composed = unicodedata.normalize("NFC", text)
        for way, ours in case["ways"].items():
            theirs = _tokens(model, text, way)
            if ours == theirs:
                continue
            if ours != _tokens(model, composed, way):
                raise _split_otherwise(model, case, way, theirs)
            n_composed += way == "bare"
        if case["is_back"]:
            back = model.text(case["ways"]["bare"])
            # SentencePiece puts a space in front of a text.
            if back not in (text, f" {text}"):
                raise QuantizeError(
                    "parity_tokeniser",
                    f"The file gives back {case['name']} otherwise: "
                    + apart(text, back),
                    CONVERT_AGAIN,
                )
            n_round_trips += 1
    return n_composed, n_round_trips


def _tokens(model: Llama, text: str, way: str) -> list[int]:
    """Returns how llama.cpp splits a text.

    Args:
        model: Has the vocabulary.
        text: The text.
        way: ``bare``, ``plain`` where names of special tokens are mere letters, or
            ``framed`` with what the tokeniser puts around a text.
    """
    if way != "framed":
        return model.tokens(text, special=way == "bare")
    spelled = text.encode()
    room = len(spelled) + 8
    found = (llama_cpp.llama_token * room)()
    n = llama_cpp.llama_tokenize(
        model.vocabulary, spelled, len(spelled), found, room, True, True
    )
    return list(found[:n])


def _split_otherwise(
    model: Llama, case: Mapping[str, Any], way: str, theirs: Sequence[int]
) -> QuantizeError:
    """Returns how two tokenisers split a text."""
    how = {
        "bare": "",
        "plain": ", read as mere text,",
        "framed": ", with what is put around it,",
    }
    ours = case["ways"][way]
    pairs = enumerate(zip_longest(ours, theirs))
    at = next(at for at, (our, their) in pairs if our != their)
    part = slice(at, at + 4)
    before = model.text(ours[:at])[-20:]
    return QuantizeError(
        "parity_tokeniser",
        f"The text {case['name']!r}{how[way]} is split otherwise: after {before!r} "
        f"the folder has tokens {ours[part]} and the file {list(theirs[part])}.",
        CONVERT_AGAIN,
    )


def _compare_ends(model: Llama, ends: Mapping[str, str]) -> list[str]:
    """Returns the words that end an answer."""
    for number, where in ends.items():
        if not llama_cpp.llama_vocab_is_eog(model.vocabulary, int(number)):
            raise QuantizeError(
                "parity_end_tokens",
                f"{model.text([int(number)])!r} (token {number}) ends an answer "
                f"by {where} in the folder, and does not in the file: it would not "
                "stop.",
                'Set "eos_token" in tokenizer_config.json and "eos_token_id" in '
                f"{GENERATION} to what the model was trained on; convert again.",
            )
    end = llama_cpp.llama_vocab_eos(model.vocabulary)
    if ends and end >= 0 and str(end) not in ends:
        raise QuantizeError(
            "parity_end_tokens",
            f"{model.text([end])!r} (token {end}) ends an answer in the file, "
            "and does not in the folder: it would stop early.",
            CONVERT_AGAIN,
        )
    return [model.text([int(number)]) for number in ends]


def _compare_logits(
    model: Llama, request: Mapping[str, Any], tell: Tell
) -> dict[str, float]:
    """Returns how close the logits are."""
    kept = np.load(request["logits"], mmap_mode="r")  # (tokens, words)
    if kept.shape[1] != model.n_vocabulary:
        raise QuantizeError(
            "parity_logits",
            f"The folder chooses between {kept.shape[1]} words, the file between "
            f"{model.n_vocabulary}.",
            CONVERT_AGAIN,
        )
    n_done = n_same = 0
    furthest, gap, where = 0.0, 0.0, ""
    for n, (name, tokens) in enumerate(request["read"]):
        ours = kept[n_done : n_done + len(tokens)]
        theirs = model.logits(tokens)
        furthest = max(furthest, _furthest(ours, theirs, name))
        tops, their_tops = ours.argmax(axis=1), theirs.argmax(axis=1)
        for at in np.flatnonzero(tops != their_tops):
            top, their_top = int(tops[at]), int(their_tops[at])
            lost = float(ours[at, top] - ours[at, their_top])
            if lost >= gap:
                gap = lost
                where = (
                    f" After {model.text(tokens[: at + 1])[-30:]!r} ({name}) the "
                    f"folder says {model.text([top])!r} and the file "
                    f"{model.text([their_top])!r}, {gap:.3g} of logit apart."
                )
        n_same += int((tops == their_tops).sum())
        n_done += len(tokens)
        tell(n + 1, len(request["read"]))
    if n_same < SAME_TOP * n_done or gap > WORST_GAP:
        raise QuantizeError(
            "parity_logits",
            f"The file says what the folder says after {n_same} of {n_done} tokens "
            f"({n_same / n_done:.1%}; at least {SAME_TOP:.1%}, and elsewhere at most "
            f"{WORST_GAP} apart).{where}",
            CONVERT_AGAIN,
        )
    return {
        "n_tokens": n_done,
        "same_top": n_same / n_done,
        "worst_gap": gap,
        "max_difference": furthest,
    }


def _furthest(ours: Floats, theirs: Floats, name: str) -> float:
    """Returns how far logits are apart at most."""
    furthest = float(np.abs(ours - theirs).max())
    if not np.isfinite(furthest):
        who = "file" if np.isfinite(ours).all() else "folder"
        raise QuantizeError(
            "parity_logits",
            f"What the {who} says of the text {name!r} is no number.",
            "Its weights are broken, or too large for their type.",
        )
    return furthest
