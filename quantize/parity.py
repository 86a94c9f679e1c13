"""Whether a GGUF file is the model in the folder it was made of.

Its words and how it splits text, how its template tells conversations, what ends an
answer, and what it says after each token of some texts. The folder is run by
transformers in one process, the file by llama.cpp in another, so that both models never
stand in memory together.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from quantize.child import Tell, in_child
from quantize.parity_folder import run_folder
from quantize.parity_gguf import run_gguf
from quantize.parity_texts import READ


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How close a file is to its folder; it is within every limit."""

    n_tokens: int
    """After which both were asked."""
    same_top: float
    """Share of them after which both say the same next."""
    worst_gap: float
    """Logit by which the folder prefers its own choice, at most, where they differ."""
    max_difference: float
    """Of any logit."""
    n_round_trips: int
    """Texts that both give back as they were, of those that are split."""
    n_composed: int
    """Texts that are split alike only once accents are part of their letters (Unicode's
    NFC), which the folder's tokeniser sees to and llama.cpp leaves to who calls it."""
    template_cases: int
    """Conversations that both templates tell, and tell alike."""
    end_tokens: tuple[str, ...]
    """What ends an answer in the folder; each of them does in the file."""


def check_parity(folder: Path, gguf: Path, *, threads: int, tell: Tell) -> Parity:
    """Returns how close a GGUF file is to the folder it was made of.

    Args:
        folder: As `quantize.source` found it in order.
        gguf: With weights no narrower than the folder's; llama.cpp rounds what goes
            into f16 and bf16 matrices, so only an f32 file is sure to be within limits.
        threads: How many work.
        tell: Told how many texts are read, and of how many.

    Raises:
        QuantizeError: ``parity_tokeniser``, ``parity_template``, ``parity_end_tokens``,
            ``parity_logits``; ``extra_missing``, ``folder_unreadable``,
            ``model_unreadable`` or ``child_died``.
        GgufError: The file's header is not to be believed.
    """
    n_texts = len(READ) + 1
    with tempfile.TemporaryDirectory(prefix="headside-parity-") as scratch:
        request = {
            "folder": str(folder.absolute()),
            "gguf": str(gguf.absolute()),
            "logits": str(Path(scratch) / "logits.npy"),
            "threads": threads,
        }
        of_folder = in_child(
            run_folder,
            request,
            doing=f"Running {folder}",
            tell=lambda done, _of: tell(done, 2 * n_texts),
        )
        of_file = in_child(
            run_gguf,
            {**request, **of_folder},
            doing=f"Running {gguf}",
            tell=lambda done, _of: tell(n_texts + done, 2 * n_texts),
        )
    return Parity(
        template_cases=of_folder["template_cases"],
        end_tokens=tuple(of_file.pop("end_tokens")),
        **of_file,
    )
