"""The first time that a model somebody else made is opened: in a process of its own.

llama.cpp ends the whole process on some files that are broken in ways a header does not
show. What opens there and says a few tokens is opened here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantize.child import Tell, in_child
from quantize.errors import QuantizeError
from quantize.llama import Llama

_N_TOKENS = 8


def check_opens(path: Path) -> None:
    """Raises unless llama.cpp opens a file and runs it.

    Raises:
        QuantizeError: ``child_died``, or as `Llama`.
    """
    try:
        in_child(_open, {"path": str(path)}, doing=f"Opening {path}")
    except QuantizeError as error:
        if error.code != "child_died":
            raise
        raise QuantizeError(
            error.code,
            error.message,
            "The file is broken, or of a kind that the installed llama.cpp does not "
            "know; `headside quantize inspect` says what is in it.",
        ) from error


def _open(arguments: Mapping[str, Any], _tell: Tell) -> None:
    with Llama(Path(arguments["path"]), n_tokens=_N_TOKENS, threads=1) as model:
        model.logits([token % model.n_vocabulary for token in range(_N_TOKENS)])
