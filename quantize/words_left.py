"""What a language model loses with the words that are left out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantize.child import Tell, in_child
from quantize.llama import Llama


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsLeft:
    """The words that stay, and what went with the others."""

    keep: tuple[int, ...]
    """Their numbers in the whole model, rising."""
    n_before: int
    respelled: float
    """Share of the tokens of texts that are spelled in smaller pieces now."""
    kl: float
    """Mean divergence of the model with fewer words from the whole one, in nats per
    token of the same texts: by nothing but what the other words would have weighed."""

    @property
    def sha256(self) -> str:
        """Of the words that stay."""
        return hashlib.sha256(repr(self.keep).encode()).hexdigest()

    @property
    def told(self) -> str:
        """What a reader of the figures has to know."""
        return (
            f"{len(self.keep):,} of {self.n_before:,} words stay. Of the texts that it "
            f"is judged on, {self.respelled:.1%} of the tokens are spelled in smaller "
            f"pieces now, and {self.kl:.4f} nats per token went with the words that "
            "are left out; all other losses here are against the model without them."
        )


def words_left(
    whole: Path,
    keep: Sequence[int],
    chunks: Sequence[Sequence[int]],
    *,
    threads: int,
    tell: Tell,
) -> WordsLeft:
    """Returns what goes with all other words.

    Without them the rest keep their odds among each other, so each text's divergence is
    the mean of -ln of what they weigh together.

    Args:
        whole: A GGUF file with all words.
        keep: Numbers of those that stay.
        chunks: Tokens of texts, as the whole model reads them.
        threads: How many work.
        tell: Told how many texts are read.
    """
    arguments = {
        "whole": str(whole),
        "keep": list(keep),
        "chunks": [list(chunk) for chunk in chunks],
        "threads": threads,
    }
    found = in_child(_measured, arguments, doing=f"Reading {whole}", tell=tell)
    stay = set(keep)
    tokens = [token for chunk in chunks for token in chunk]
    return WordsLeft(
        keep=tuple(keep),
        n_before=found["n_words"],
        respelled=sum(token not in stay for token in tokens) / len(tokens),
        kl=found["kl"],
    )


def _measured(arguments: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    chunks = arguments["chunks"]
    keep = np.array(arguments["keep"])
    lost: list[float] = []
    with Llama(
        Path(arguments["whole"]),
        n_tokens=max(map(len, chunks)),
        threads=arguments["threads"],
    ) as model:
        for n, chunk in enumerate(chunks):
            tell(n, len(chunks))
            for logits in model.logits(chunk):
                weights = np.exp(logits.astype(np.float64) - logits.max())
                lost.append(float(np.log(weights.sum() / weights[keep].sum())))
        tell(len(chunks), len(chunks))
        return {"n_words": model.n_vocabulary, "kl": float(np.mean(lost))}
